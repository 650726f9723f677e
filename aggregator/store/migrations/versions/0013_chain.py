"""What people did is a chain: each row has its hash, over its content and the hash of the row before it."""

import hashlib
import json

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"

COVERED = "action_id, at, user_name, action, subject, draft, status, said, key, asked, via"


def upgrade() -> None:
    """Add where each was done, at the desk so far, and chain the rows there are as they stand."""
    connection = op.get_bind()
    text = sa.Text(collation="C") if connection.dialect.name == "postgresql" else sa.Text()
    op.add_column("desk_actions", sa.Column("via", text, nullable=False, server_default="desk"))
    op.add_column("desk_actions", sa.Column("digest", text, nullable=False, server_default=""))
    before, links = "0" * 64, []
    for row in connection.execute(sa.text(f"SELECT {COVERED} FROM desk_actions ORDER BY action_id")):
        content = json.dumps([before, *row], separators=(",", ":"))
        before = hashlib.sha256(content.encode()).hexdigest()
        links.append({"number": row.action_id, "digest": before})
    if links:
        query = sa.text("UPDATE desk_actions SET digest = :digest WHERE action_id = :number")
        connection.execute(query, links)


def downgrade() -> None:
    """Forget the hashes; the numbers go on from the last one."""
    with op.batch_alter_table("desk_actions") as table:
        table.drop_column("digest")
        table.drop_column("via")
    if op.get_bind().dialect.name == "postgresql":
        last = "SELECT coalesce(max(action_id), 0) + 1 FROM desk_actions"
        op.execute(f"SELECT setval(pg_get_serial_sequence('desk_actions', 'action_id'), ({last}), false)")
