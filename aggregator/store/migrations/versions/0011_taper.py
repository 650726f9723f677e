"""Cars: how their charging slows down near full.

Of cars of before nothing was planned for it, and so it stays until their fleet is imported again: what was
bid and promised then comes out the same.
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"

NAMES = ("taper_from_soc", "taper_full_share")


def upgrade() -> None:
    """Add the columns."""
    for name in NAMES:
        op.add_column("cars", sa.Column(name, sa.Float(), nullable=False, server_default="1.0"))


def downgrade() -> None:
    """Drop them."""
    for name in reversed(NAMES):
        op.drop_column("cars", name)
