"""Which settlement days' readings lie in files, and between which instants each meter told in them."""

import sqlalchemy as sa
from alembic import op

from aggregator.model.errors import BadMessage, Fault

revision = "0010"
down_revision = "0009"

INSTANT = sa.BigInteger()


def upgrade() -> None:
    """Make the tables; texts are compared byte by byte, as those of all other tables."""
    text = sa.Text(collation="C") if op.get_bind().dialect.name == "postgresql" else sa.Text()
    op.create_table(
        "rolled_days",
        sa.Column("readings", text, nullable=False),
        sa.Column("settlement_date", text, nullable=False),
        sa.Column("ends_at", INSTANT, nullable=False),
        sa.Column("file", text, nullable=False),
        sa.Column("sha256", text, nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("readings", "settlement_date"),
    )
    op.create_table(
        "rolled_meters",
        sa.Column("readings", text, nullable=False),
        sa.Column("meter_id", text, nullable=False),
        sa.Column("first_at", INSTANT, nullable=False),
        sa.Column("last_at", INSTANT, nullable=False),
        sa.Column("known_from", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("readings", "meter_id", "first_at"),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    """Drop the tables, where no readings are in files."""
    days = op.get_bind().execute(sa.text("SELECT count(*) FROM rolled_days")).scalar()
    if days:
        allowed = "none in files: run `flexloop readings unroll --from 0001-01-01` first"
        raise BadMessage(Fault("db downgrade", f"readings of {days} days in files", allowed))
    op.drop_table("rolled_meters")
    op.drop_table("rolled_days")
