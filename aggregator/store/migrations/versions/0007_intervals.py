"""Meter operators' minutes and half-hours beside our own registers."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

NAMES = ("metered_intervals", "boundary_intervals")
INSTANT = sa.BigInteger()
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
"""Compared byte by byte: see 0006."""


def upgrade() -> None:
    """Make the tables."""
    for name in NAMES:
        op.create_table(
            name,
            sa.Column("meter_id", TEXT, nullable=False),
            sa.Column("measured_at", INSTANT, autoincrement=False, nullable=False),
            sa.Column("received_at", INSTANT, autoincrement=False, nullable=False),
            sa.Column("length_s", sa.BigInteger(), nullable=False),
            sa.Column("export_wh", sa.Float(), nullable=False),
            sa.PrimaryKeyConstraint("meter_id", "measured_at", "received_at"),
            sqlite_with_rowid=False,
        )


def downgrade() -> None:
    """Drop them."""
    for name in NAMES:
        op.drop_table(name)
