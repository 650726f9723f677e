"""Alarms: what one is about beside its place, and how much it tells of; read from texts before."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
ALARMS = sa.table("alarms", *(sa.Column(name) for name in ("alarm_id", "code", "text", "about")))


def _about(code: str, text: str) -> str:
    """Return which order a text is about: ``dno:E2: 1.5 of ...`` or ``dno's order E2, 90 kW ...``."""
    if code == "order_short":
        return text.partition(": ")[0]
    vtn_id, _, event_id = text.partition(", ")[0].partition("'s order ")
    return f"{vtn_id}:{event_id}"


def upgrade() -> None:
    """Add the columns; of older alarms only which order they are about is known."""
    op.add_column("alarms", sa.Column("about", TEXT))
    op.add_column("alarms", sa.Column("amount", sa.Float()))
    about_orders = ALARMS.c.code.in_(("order_short", "order_yields"))
    for row in op.get_bind().execute(sa.select(ALARMS).where(about_orders)).all():
        meant = ALARMS.c.alarm_id == row.alarm_id
        op.execute(sa.update(ALARMS).where(meant).values(about=_about(row.code, row.text)))


def downgrade() -> None:
    """Drop them."""
    op.drop_column("alarms", "amount")
    op.drop_column("alarms", "about")
