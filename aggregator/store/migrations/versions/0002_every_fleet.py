"""Every fleet is kept, not the last one only: cars, chargers and homes are those of one import.

Of a database of the first version the last import's cars are there; they stay that import's. Those before it
are gone, and only their lines remain.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

PARENTS_FIRST = ("sites", "chargers", "cars")
INSTANT = sa.BigInteger()


def upgrade() -> None:
    """Make the three tables anew with the import in their keys, and copy what is there."""
    op.add_column("fleet_imports", sa.Column("served_from", INSTANT, nullable=True))
    columns = {name: _columns(name) for name in PARENTS_FIRST}
    for name in PARENTS_FIRST:
        op.rename_table(name, f"{name}_before")
    _sites()
    _chargers()
    _cars()
    for name in PARENTS_FIRST:
        same = ", ".join(columns[name])
        last = "(SELECT max(import_id) FROM fleet_imports)"
        op.execute(f"INSERT INTO {name} (import_id, {same}) SELECT {last}, {same} FROM {name}_before")
    for name in reversed(PARENTS_FIRST):
        op.drop_table(f"{name}_before")


def _columns(name: str) -> list[str]:
    return [column["name"] for column in sa.inspect(op.get_bind()).get_columns(name)]


def _imported() -> tuple[sa.Column[int], sa.ForeignKeyConstraint]:
    column = sa.Column("import_id", sa.BigInteger(), autoincrement=False, nullable=False)
    return column, sa.ForeignKeyConstraint(["import_id"], ["fleet_imports.import_id"])


def _sites() -> None:
    op.create_table(
        "sites",
        *_imported(),
        sa.Column("site_id", sa.Text(), nullable=False),
        sa.Column("zone", sa.Text(), nullable=False),
        sa.Column("export_limit_kw", sa.Float(), nullable=False),
        sa.Column("export_source", sa.Text(), nullable=False),
        sa.Column("import_limit_kw", sa.Float(), nullable=False),
        sa.Column("solar_kw", sa.Float(), nullable=False),
        sa.Column("dark_from", sa.Text(), nullable=True),
        sa.Column("dark_until", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("import_id", "site_id"),
    )


def _chargers() -> None:
    op.create_table(
        "chargers",
        *_imported(),
        sa.Column("charger_id", sa.Text(), nullable=False),
        sa.Column("charge_kw", sa.Float(), nullable=False),
        sa.Column("discharge_kw", sa.Float(), nullable=False),
        sa.Column("eta_charge", sa.Float(), nullable=False),
        sa.Column("eta_discharge", sa.Float(), nullable=False),
        sa.Column("min_kw", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("import_id", "charger_id"),
    )


def _cars() -> None:
    op.create_table(
        "cars",
        *_imported(),
        sa.Column("car_id", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("capacity_kwh", sa.Float(), nullable=False),
        sa.Column("floor_soc", sa.Float(), nullable=False),
        sa.Column("depart_local", sa.Text(), nullable=False),
        sa.Column("target_soc", sa.Float(), nullable=False),
        sa.Column("charger_id", sa.Text(), nullable=False),
        sa.Column("site_id", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["import_id", "charger_id"], ["chargers.import_id", "chargers.charger_id"]),
        sa.ForeignKeyConstraint(["import_id", "site_id"], ["sites.import_id", "sites.site_id"]),
        sa.PrimaryKeyConstraint("import_id", "car_id"),
    )
