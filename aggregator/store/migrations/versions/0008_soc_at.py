"""When a car's state of charge was so, where that was before its charger reported it."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Make the column; of what is stored already every state of charge counts as new when it came."""
    op.add_column("car_states", sa.Column("soc_at", sa.BigInteger()))


def downgrade() -> None:
    """Drop the column."""
    with op.batch_alter_table("car_states") as table:
        table.drop_column("soc_at")
