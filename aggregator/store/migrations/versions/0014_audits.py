"""What each audit found is kept, with when and for whom it ran."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"

SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make its table."""
    text = sa.Text(collation="C") if op.get_bind().dialect.name == "postgresql" else sa.Text()
    op.create_table(
        "audits",
        sa.Column("audit_id", SERIAL, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("run_by", text, nullable=False),
        sa.Column("kept", sa.Boolean(), nullable=False),
        sa.Column("body", text, nullable=False),
        sa.PrimaryKeyConstraint("audit_id"),
    )


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("audits")
