"""Alarms: since when what they tell of is over."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    """Add the column; of older alarms nobody knows."""
    op.add_column("alarms", sa.Column("over_at", sa.BigInteger()))


def downgrade() -> None:
    """Drop it."""
    op.drop_column("alarms", "over_at")
