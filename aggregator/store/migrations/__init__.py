"""The way of the tables from version to version (Alembic); ``aggregator.store.schema`` runs it."""
