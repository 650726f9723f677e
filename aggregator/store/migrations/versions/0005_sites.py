"""Homes: where their application to export stands, and what is known at their boundary.

Homes of before stated what allows their export, which meant that it did.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

INSTANT = sa.BigInteger()


def upgrade() -> None:
    """Add the columns and make the table of boundary meters."""
    for column in (
        sa.Column("approval", sa.Text(), nullable=False, server_default="granted"),
        sa.Column("approved_from", sa.Text(), nullable=True),
        sa.Column("boundary_meter", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("house_load_kw", sa.Text(), nullable=False, server_default=""),
    ):
        op.add_column("sites", column)
    op.execute("UPDATE sites SET approval = 'none' WHERE export_source = 'none'")
    op.add_column("true_states", sa.Column("boundary_w", sa.BigInteger(), nullable=True))
    op.create_table(
        "boundary_readings",
        sa.Column("site_id", sa.Text(), nullable=False),
        sa.Column("measured_at", INSTANT, nullable=False),
        sa.Column("received_at", INSTANT, nullable=False),
        sa.Column("import_wh", sa.BigInteger(), nullable=False),
        sa.Column("export_wh", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("site_id", "measured_at", "received_at"),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    """Drop the table and the columns."""
    op.drop_table("boundary_readings")
    op.drop_column("true_states", "boundary_w")
    for column in ("house_load_kw", "boundary_meter", "approved_from", "approval"):
        op.drop_column("sites", column)
