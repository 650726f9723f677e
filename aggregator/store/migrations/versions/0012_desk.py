"""Who may sign in at the desk, who has, and what each did there."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"

INSTANT = sa.BigInteger()
SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TABLES = ("desk_passwords", "desk_sessions", "desk_actions")


def upgrade() -> None:
    """Make their tables; texts are compared byte by byte, as everywhere."""
    text = sa.Text(collation="C") if op.get_bind().dialect.name == "postgresql" else sa.Text()
    op.create_table(
        "desk_passwords",
        sa.Column("user_name", text, nullable=False),
        sa.Column("hash", text, nullable=False),
        sa.Column("made_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("user_name"),
    )
    op.create_table(
        "desk_sessions",
        sa.Column("digest", text, nullable=False),
        sa.Column("user_name", text, nullable=False),
        sa.Column("made_at", INSTANT, nullable=False),
        sa.Column("seen_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("digest"),
    )
    op.create_table(
        "desk_actions",
        sa.Column("action_id", SERIAL, nullable=False),
        sa.Column("at", INSTANT, nullable=False),
        sa.Column("user_name", text, nullable=False),
        sa.Column("action", text, nullable=False),
        sa.Column("subject", text, nullable=False),
        sa.Column("draft", text, nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("said", text, nullable=False),
        sa.Column("key", text, nullable=False),
        sa.Column("asked", text, nullable=False),
        sa.PrimaryKeyConstraint("action_id"),
        sa.UniqueConstraint("user_name", "key"),
    )


def downgrade() -> None:
    """Drop the tables."""
    for name in reversed(TABLES):
        op.drop_table(name)
