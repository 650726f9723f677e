"""Emergency stops, and who let go on after them."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

INSTANT = sa.BigInteger()
SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make their table."""
    op.create_table(
        "halts",
        sa.Column("halt_id", SERIAL, nullable=False),
        sa.Column("zone", sa.Text(), nullable=True),
        sa.Column("at", INSTANT, nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("first_restart_by", sa.Text(), nullable=True),
        sa.Column("first_restart_at", INSTANT, nullable=True),
        sa.Column("restarted_by", sa.Text(), nullable=True),
        sa.Column("restarted_at", INSTANT, nullable=True),
        sa.PrimaryKeyConstraint("halt_id"),
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_table("halts")
