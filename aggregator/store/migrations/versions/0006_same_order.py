"""Texts in one order everywhere: byte by byte, as SQLite and Python have it, whatever a server's locale is.

Else the same query would list things in another order on another server, and a key might be found under a
name that only its locale takes for the same. SQLite needs nothing.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0003"

ALEMBICS_OWN = "alembic_version"


def upgrade() -> None:
    """Give every text column the collation of bytes."""
    _collate("C")


def downgrade() -> None:
    """Give every text column the database's own collation again."""
    _collate("default")


def _collate(name: str) -> None:
    bind = op.get_bind()
    if bind.dialect.name != "postgresql":
        return
    inspector = sa.inspect(bind)
    for table in sorted(set(inspector.get_table_names()) - {ALEMBICS_OWN}):
        texts = [one["name"] for one in inspector.get_columns(table) if isinstance(one["type"], sa.Text)]
        changes = ", ".join(f'ALTER COLUMN "{column}" TYPE text COLLATE "{name}"' for column in texts)
        if changes:
            op.execute(f'ALTER TABLE "{table}" {changes}')
