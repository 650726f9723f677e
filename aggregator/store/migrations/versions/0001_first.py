"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

CHILDREN_FIRST = (
    *("cars", "chargers", "sites", "fleet_imports"),
    *("alarms", "statements", "plans", "nominations"),
    *("set_points", "true_states", "car_states", "readings"),
    *("ven_memory", "outbox", "inbox", "facts", "opportunities"),
)
INSTANT = sa.BigInteger()
SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create every table."""
    _journal()
    _messages()
    _metering()
    _records()
    _fleet()


def downgrade() -> None:
    """Drop every table, those that refer to others first."""
    for name in CHILDREN_FIRST:
        op.drop_table(name)


def _journal() -> None:
    op.create_table(
        "opportunities",
        sa.Column("opportunity_id", sa.Text(), nullable=False),
        sa.Column("vtn_id", sa.Text(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("zone", sa.Text(), nullable=False),
        sa.Column("product", sa.Text(), nullable=False),
        sa.Column("starts_at", INSTANT, nullable=False),
        sa.Column("ends_at", INSTANT, nullable=False),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("opportunity_id"),
    )
    op.create_index("opportunities_by_event", "opportunities", ["vtn_id", "event_id"])
    op.create_index("opportunities_by_stage", "opportunities", ["stage"])
    op.create_index("opportunities_by_zone", "opportunities", ["zone", "starts_at"])
    op.create_table(
        "facts",
        sa.Column("opportunity_id", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("happened_at", INSTANT, nullable=False),
        sa.Column("recorded_by", sa.Text(), nullable=False),
        sa.Column("recorded_at", INSTANT, nullable=False),
        sa.ForeignKeyConstraint(["opportunity_id"], ["opportunities.opportunity_id"]),
        sa.PrimaryKeyConstraint("opportunity_id", "version"),
    )


def _messages() -> None:
    op.create_table(
        "inbox",
        sa.Column("vtn_id", sa.Text(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("modification", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("zones", sa.Text(), nullable=False),
        sa.Column("raw", sa.LargeBinary(), nullable=False),
        sa.Column("received_at", INSTANT, nullable=False),
        sa.Column("decision", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("opportunity_id", sa.Text(), nullable=True),
        sa.Column("content", sa.Text(), nullable=True),
        sa.Column("cancelled", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["opportunity_id"], ["opportunities.opportunity_id"]),
        sa.PrimaryKeyConstraint("vtn_id", "event_id", "modification"),
    )
    op.create_index("inbox_by_kind", "inbox", ["kind"])
    op.create_table(
        "outbox",
        sa.Column("report_id", sa.Text(), nullable=False),
        sa.Column("vtn_id", sa.Text(), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("attempted_at", INSTANT, nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("sent_at", INSTANT, nullable=True),
        sa.PrimaryKeyConstraint("report_id"),
    )
    op.create_index("outbox_by_state", "outbox", ["vtn_id", "state", "created_at"])
    op.create_table(
        "ven_memory",
        sa.Column("vtn_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("vtn_id", "name"),
    )


def _metering() -> None:
    op.create_table(
        "readings",
        sa.Column("charger_id", sa.Text(), nullable=False),
        sa.Column("measured_at", INSTANT, autoincrement=False, nullable=False),
        sa.Column("received_at", INSTANT, autoincrement=False, nullable=False),
        sa.Column("import_wh", sa.BigInteger(), nullable=False),
        sa.Column("export_wh", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("charger_id", "measured_at", "received_at"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "car_states",
        sa.Column("car_id", sa.Text(), nullable=False),
        sa.Column("measured_at", INSTANT, autoincrement=False, nullable=False),
        sa.Column("received_at", INSTANT, autoincrement=False, nullable=False),
        sa.Column("plugged", sa.Boolean(), nullable=False),
        sa.Column("soc", sa.Float(), nullable=True),
        sa.Column("export_w", sa.BigInteger(), nullable=False),
        sa.Column("boost", sa.Boolean(), nullable=False),
        sa.Column("depart_at", INSTANT, nullable=True),
        sa.Column("target_soc", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("car_id", "measured_at", "received_at"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "true_states",
        sa.Column("car_id", sa.Text(), nullable=False),
        sa.Column("at", INSTANT, autoincrement=False, nullable=False),
        sa.Column("plugged", sa.Boolean(), nullable=False),
        sa.Column("energy_kwh", sa.Float(), nullable=False),
        sa.Column("export_w", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("car_id", "at"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "set_points",
        sa.Column("set_point_id", SERIAL, nullable=False),
        sa.Column("car_id", sa.Text(), nullable=False),
        sa.Column("export_w", sa.BigInteger(), nullable=False),
        sa.Column("issued_at", INSTANT, nullable=False),
        sa.Column("expires_at", INSTANT, nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("opportunity_id", sa.Text(), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("set_point_id"),
    )
    op.create_index("set_points_by_expiry", "set_points", ["expires_at"])


def _records() -> None:
    op.create_table(
        "nominations",
        sa.Column("zone", sa.Text(), nullable=False),
        sa.Column("starts_at", INSTANT, autoincrement=False, nullable=False),
        sa.Column("ends_at", INSTANT, nullable=False),
        sa.Column("export_wh", sa.BigInteger(), nullable=False),
        sa.Column("base_wh", sa.BigInteger(), nullable=False),
        sa.Column("kept_wh", sa.BigInteger(), nullable=False),
        sa.Column("frozen_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("zone", "starts_at"),
    )
    op.create_table(
        "plans",
        sa.Column("opportunity_id", sa.Text(), nullable=False),
        sa.Column("made_at", INSTANT, autoincrement=False, nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("opportunity_id", "made_at"),
    )
    op.create_table(
        "statements",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("name", "version"),
    )
    op.create_table(
        "alarms",
        sa.Column("alarm_id", SERIAL, nullable=False),
        sa.Column("at", INSTANT, nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("cleared_at", INSTANT, nullable=True),
        sa.Column("cleared_by", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("alarm_id"),
    )


def _fleet() -> None:
    op.create_table(
        "fleet_imports",
        sa.Column("import_id", SERIAL, nullable=False),
        sa.Column("imported_at", INSTANT, nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("cars", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("import_id"),
    )
    op.create_table(
        "sites",
        sa.Column("site_id", sa.Text(), nullable=False),
        sa.Column("zone", sa.Text(), nullable=False),
        sa.Column("export_limit_kw", sa.Float(), nullable=False),
        sa.Column("export_source", sa.Text(), nullable=False),
        sa.Column("import_limit_kw", sa.Float(), nullable=False),
        sa.Column("solar_kw", sa.Float(), nullable=False),
        sa.Column("dark_from", sa.Text(), nullable=True),
        sa.Column("dark_until", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("site_id"),
    )
    op.create_table(
        "chargers",
        sa.Column("charger_id", sa.Text(), nullable=False),
        sa.Column("charge_kw", sa.Float(), nullable=False),
        sa.Column("discharge_kw", sa.Float(), nullable=False),
        sa.Column("eta_charge", sa.Float(), nullable=False),
        sa.Column("eta_discharge", sa.Float(), nullable=False),
        sa.Column("min_kw", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("charger_id"),
    )
    op.create_table(
        "cars",
        sa.Column("car_id", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("capacity_kwh", sa.Float(), nullable=False),
        sa.Column("floor_soc", sa.Float(), nullable=False),
        sa.Column("depart_local", sa.Text(), nullable=False),
        sa.Column("target_soc", sa.Float(), nullable=False),
        sa.Column("charger_id", sa.Text(), nullable=False),
        sa.Column("site_id", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["charger_id"], ["chargers.charger_id"]),
        sa.ForeignKeyConstraint(["site_id"], ["sites.site_id"]),
        sa.PrimaryKeyConstraint("car_id"),
    )
