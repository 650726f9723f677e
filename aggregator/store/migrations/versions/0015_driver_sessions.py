"""Sessions of drivers: by which token each began."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """Add the column; whoever is signed in is no driver."""
    text = sa.Text(collation="C") if op.get_bind().dialect.name == "postgresql" else sa.Text()
    op.add_column("desk_sessions", sa.Column("token_id", text))


def downgrade() -> None:
    """Drop it, and the sessions of drivers: without it they would be a user's."""
    op.execute("DELETE FROM desk_sessions WHERE token_id IS NOT NULL")
    op.drop_column("desk_sessions", "token_id")
