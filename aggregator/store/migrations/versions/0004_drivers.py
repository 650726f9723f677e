"""What drivers said, and the tokens by which they say it."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

INSTANT = sa.BigInteger()


def upgrade() -> None:
    """Make their tables."""
    op.create_table(
        "driver_words",
        sa.Column("car_id", sa.Text(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("told_at", INSTANT, nullable=False),
        sa.Column("told_by", sa.Text(), nullable=False),
        sa.Column("saying", sa.Text(), nullable=True),
        sa.Column("until", INSTANT, nullable=True),
        sa.PrimaryKeyConstraint("car_id", "topic", "version"),
    )
    op.create_table(
        "driver_tokens",
        sa.Column("token_id", sa.Text(), nullable=False),
        sa.Column("car_id", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("made_at", INSTANT, nullable=False),
        sa.Column("revoked_at", INSTANT, nullable=True),
        sa.PrimaryKeyConstraint("token_id"),
    )


def downgrade() -> None:
    """Drop the tables."""
    op.drop_table("driver_tokens")
    op.drop_table("driver_words")
