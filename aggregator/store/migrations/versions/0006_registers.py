"""What became of registers that did not just count on; and texts in one order everywhere.

Texts are compared byte by byte, as SQLite and Python do, whatever a PostgreSQL server's locale is. Else the
same query would list things in another order on another server, and a key might be found under a name that
only its locale takes for the same. SQLite needs nothing for it.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

INSTANT = sa.BigInteger()
ALEMBICS_OWN = "alembic_version"


def upgrade() -> None:
    """Make the table, and give every text column the collation of bytes."""
    op.create_table(
        "register_events",
        sa.Column("meter_id", sa.Text(), nullable=False),
        sa.Column("register", sa.Text(), nullable=False),
        sa.Column("at", INSTANT, autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("since", INSTANT, nullable=False),
        sa.Column("before_wh", sa.BigInteger(), nullable=False),
        sa.Column("after_wh", sa.BigInteger(), nullable=False),
        sa.Column("known_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("meter_id", "register", "at"),
    )
    _collate("C")


def downgrade() -> None:
    """Drop the table, and give every text column the database's own collation again."""
    op.drop_table("register_events")
    _collate("default")


def _collate(name: str) -> None:
    bind = op.get_bind()
    if bind.dialect.name != "postgresql":
        return
    inspector = sa.inspect(bind)
    for table in sorted(set(inspector.get_table_names()) - {ALEMBICS_OWN}):
        texts = [one["name"] for one in inspector.get_columns(table) if isinstance(one["type"], sa.Text)]
        changes = ", ".join(f'ALTER COLUMN "{column}" TYPE text COLLATE "{name}"' for column in texts)
        if changes:
            op.execute(f'ALTER TABLE "{table}" {changes}')
