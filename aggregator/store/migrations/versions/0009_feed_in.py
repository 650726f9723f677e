"""Homes: who pays for what they generate and export; cars: what their warranty covers.

Of homes of before nothing was stated: nobody pays.
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Add the columns."""
    for column in (
        sa.Column("fit_generation_payer", TEXT, nullable=True),
        sa.Column("fit_export", TEXT, nullable=False, server_default="none"),
        sa.Column("export_tariff", TEXT, nullable=False, server_default="none"),
        sa.Column("export_gbp_per_kwh", sa.Float(), nullable=True),
        sa.Column("feed_in_from", TEXT, nullable=True),
    ):
        op.add_column("sites", column)
    op.add_column("cars", sa.Column("warranty_throughput_kwh", sa.Float(), nullable=True))


def downgrade() -> None:
    """Drop them."""
    op.drop_column("cars", "warranty_throughput_kwh")
    for column in (
        "feed_in_from",
        "export_gbp_per_kwh",
        "export_tariff",
        "fit_export",
        "fit_generation_payer",
    ):
        op.drop_column("sites", column)
