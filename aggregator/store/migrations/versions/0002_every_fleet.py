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
    _made_anew(["import_id"])
    for name in PARENTS_FIRST:
        same = ", ".join(columns[name])
        last = "(SELECT max(import_id) FROM fleet_imports)"
        op.execute(f"INSERT INTO {name} (import_id, {same}) SELECT {last}, {same} FROM {name}_before")
    _without_those_before()


def downgrade() -> None:
    """Keep the last import's cars, and the lines of those before it."""
    columns = {name: _columns(name) for name in PARENTS_FIRST}
    _made_anew([])
    for name in PARENTS_FIRST:
        same = ", ".join(column for column in columns[name] if column != "import_id")
        last = "import_id = (SELECT max(import_id) FROM fleet_imports)"
        op.execute(f"INSERT INTO {name} ({same}) SELECT {same} FROM {name}_before WHERE {last}")
    _without_those_before()
    op.drop_column("fleet_imports", "served_from")


def _columns(name: str) -> list[str]:
    return [column["name"] for column in sa.inspect(op.get_bind()).get_columns(name)]


def _made_anew(key: list[str]) -> None:
    """Put empty tables in place of those there are, keyed by an import or by none."""
    for name in PARENTS_FIRST:
        op.rename_table(name, f"{name}_before")
    _sites(key)
    _chargers(key)
    _cars(key)


def _without_those_before() -> None:
    for name in reversed(PARENTS_FIRST):
        op.drop_table(f"{name}_before")


def _imported(key: list[str]) -> list[sa.schema.SchemaItem]:
    columns = [sa.Column(name, sa.BigInteger(), autoincrement=False, nullable=False) for name in key]
    return [*columns, *(sa.ForeignKeyConstraint([name], [f"fleet_imports.{name}"]) for name in key)]


def _sites(key: list[str]) -> None:
    op.create_table(
        "sites",
        *_imported(key),
        sa.Column("site_id", sa.Text(), nullable=False),
        sa.Column("zone", sa.Text(), nullable=False),
        sa.Column("export_limit_kw", sa.Float(), nullable=False),
        sa.Column("export_source", sa.Text(), nullable=False),
        sa.Column("import_limit_kw", sa.Float(), nullable=False),
        sa.Column("solar_kw", sa.Float(), nullable=False),
        sa.Column("dark_from", sa.Text(), nullable=True),
        sa.Column("dark_until", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint(*key, "site_id"),
    )


def _chargers(key: list[str]) -> None:
    op.create_table(
        "chargers",
        *_imported(key),
        sa.Column("charger_id", sa.Text(), nullable=False),
        sa.Column("charge_kw", sa.Float(), nullable=False),
        sa.Column("discharge_kw", sa.Float(), nullable=False),
        sa.Column("eta_charge", sa.Float(), nullable=False),
        sa.Column("eta_discharge", sa.Float(), nullable=False),
        sa.Column("min_kw", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint(*key, "charger_id"),
    )


def _cars(key: list[str]) -> None:
    op.create_table(
        "cars",
        *_imported(key),
        sa.Column("car_id", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("capacity_kwh", sa.Float(), nullable=False),
        sa.Column("floor_soc", sa.Float(), nullable=False),
        sa.Column("depart_local", sa.Text(), nullable=False),
        sa.Column("target_soc", sa.Float(), nullable=False),
        sa.Column("charger_id", sa.Text(), nullable=False),
        sa.Column("site_id", sa.Text(), nullable=False),
        *(
            sa.ForeignKeyConstraint([*key, name], [f"{table}.{column}" for column in (*key, name)])
            for name, table in (("charger_id", "chargers"), ("site_id", "sites"))
        ),
        sa.PrimaryKeyConstraint(*key, "car_id"),
    )
