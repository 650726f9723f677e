"""The tables. What can be counted or searched is a column; the rest of a value is canonical JSON text.

Instants are whole microseconds since 1970 in UTC (``UtcMicros``): they sort and compare as numbers, take
eight bytes, and mean the same on every database. Energies are integer Wh, but for intervals that others
metered. Facts, statements, nominations,
readings, plans, drivers' words and fleets are only ever added. Texts are compared byte by byte: SQLite does
so by itself, on PostgreSQL migrations say so.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

from aggregator.store.columns import SERIAL, Figures, LocalDate, LocalTime, UtcMicros

METADATA = MetaData()

OPPORTUNITIES = Table(
    "opportunities",
    METADATA,
    Column("opportunity_id", Text, primary_key=True),
    Column("vtn_id", Text, nullable=False),
    Column("event_id", Text, nullable=False),
    Column("zone", Text, nullable=False),
    Column("product", Text, nullable=False),
    Column("starts_at", UtcMicros, nullable=False),
    Column("ends_at", UtcMicros, nullable=False),
    Column("stage", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Index("opportunities_by_event", "vtn_id", "event_id"),
    Index("opportunities_by_zone", "zone", "starts_at"),
    Index("opportunities_by_stage", "stage"),
)

FACTS = Table(
    "facts",
    METADATA,
    Column("opportunity_id", Text, ForeignKey("opportunities.opportunity_id"), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("name", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("happened_at", UtcMicros, nullable=False),
    Column("recorded_by", Text, nullable=False),
    Column("recorded_at", UtcMicros, nullable=False),
)

INBOX = Table(
    "inbox",
    METADATA,
    Column("vtn_id", Text, primary_key=True),
    Column("event_id", Text, primary_key=True),
    Column("modification", BigInteger, primary_key=True, autoincrement=False),
    Column("kind", Text, nullable=False),
    Column("zones", Text, nullable=False),
    Column("raw", LargeBinary, nullable=False),
    Column("received_at", UtcMicros, nullable=False),
    Column("decision", Text, nullable=False),
    Column("reason", Text),
    Column("opportunity_id", Text, ForeignKey("opportunities.opportunity_id")),
    Column("content", Text),
    Column("cancelled", Boolean, nullable=False),
    Index("inbox_by_kind", "kind"),
)

OUTBOX = Table(
    "outbox",
    METADATA,
    Column("report_id", Text, primary_key=True),
    Column("vtn_id", Text, nullable=False),
    Column("created_at", UtcMicros, nullable=False),
    Column("body", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("attempted_at", UtcMicros),
    Column("last_error", Text),
    Column("sent_at", UtcMicros),
    Index("outbox_by_state", "vtn_id", "state", "created_at"),
)

VEN_MEMORY = Table(
    "ven_memory",
    METADATA,
    Column("vtn_id", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
)

READINGS = Table(
    "readings",
    METADATA,
    Column("charger_id", Text, primary_key=True),
    Column("measured_at", UtcMicros, primary_key=True, autoincrement=False),
    Column("received_at", UtcMicros, primary_key=True, autoincrement=False),
    Column("import_wh", BigInteger, nullable=False),
    Column("export_wh", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

BOUNDARY_READINGS = Table(
    "boundary_readings",
    METADATA,
    Column("site_id", Text, primary_key=True),
    Column("measured_at", UtcMicros, primary_key=True, autoincrement=False),
    Column("received_at", UtcMicros, primary_key=True, autoincrement=False),
    Column("import_wh", BigInteger, nullable=False),
    Column("export_wh", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

METERED_INTERVALS, BOUNDARY_INTERVALS = (
    Table(
        name,
        METADATA,
        Column("meter_id", Text, primary_key=True),
        Column("measured_at", UtcMicros, primary_key=True, autoincrement=False),
        Column("received_at", UtcMicros, primary_key=True, autoincrement=False),
        Column("length_s", BigInteger, nullable=False),
        Column("export_wh", Float, nullable=False),
        sqlite_with_rowid=False,
    )
    for name in ("metered_intervals", "boundary_intervals")
)

REGISTER_EVENTS = Table(
    "register_events",
    METADATA,
    Column("meter_id", Text, primary_key=True),
    Column("register", Text, primary_key=True),
    Column("at", UtcMicros, primary_key=True, autoincrement=False),
    Column("kind", Text, nullable=False),
    Column("since", UtcMicros, nullable=False),
    Column("before_wh", BigInteger, nullable=False),
    Column("after_wh", BigInteger, nullable=False),
    Column("known_at", UtcMicros, nullable=False),
)

CAR_STATES = Table(
    "car_states",
    METADATA,
    Column("car_id", Text, primary_key=True),
    Column("measured_at", UtcMicros, primary_key=True, autoincrement=False),
    Column("received_at", UtcMicros, primary_key=True, autoincrement=False),
    Column("plugged", Boolean, nullable=False),
    Column("soc", Float),
    Column("export_w", BigInteger, nullable=False),
    Column("boost", Boolean, nullable=False),
    Column("depart_at", UtcMicros),
    Column("target_soc", Float),
    Column("soc_at", UtcMicros),
    sqlite_with_rowid=False,
)

TRUE_STATES = Table(
    "true_states",
    METADATA,
    Column("car_id", Text, primary_key=True),
    Column("at", UtcMicros, primary_key=True, autoincrement=False),
    Column("plugged", Boolean, nullable=False),
    Column("energy_kwh", Float, nullable=False),
    Column("export_w", BigInteger, nullable=False),
    Column("boundary_w", BigInteger),
    sqlite_with_rowid=False,
)

SET_POINTS = Table(
    "set_points",
    METADATA,
    Column("set_point_id", SERIAL, primary_key=True),
    Column("car_id", Text, nullable=False),
    Column("export_w", BigInteger, nullable=False),
    Column("issued_at", UtcMicros, nullable=False),
    Column("expires_at", UtcMicros, nullable=False),
    Column("purpose", Text, nullable=False),
    Column("opportunity_id", Text),
    Column("outcome", Text, nullable=False),
    Column("reason", Text),
    Index("set_points_by_expiry", "expires_at"),
)

NOMINATIONS = Table(
    "nominations",
    METADATA,
    Column("zone", Text, primary_key=True),
    Column("starts_at", UtcMicros, primary_key=True, autoincrement=False),
    Column("ends_at", UtcMicros, nullable=False),
    Column("export_wh", BigInteger, nullable=False),
    Column("base_wh", BigInteger, nullable=False),
    Column("kept_wh", BigInteger, nullable=False),
    Column("frozen_at", UtcMicros, nullable=False),
)

PLANS = Table(
    "plans",
    METADATA,
    Column("opportunity_id", Text, primary_key=True),
    Column("made_at", UtcMicros, primary_key=True, autoincrement=False),
    Column("digest", Text, nullable=False),
    Column("body", Text, nullable=False),
)

STATEMENTS = Table(
    "statements",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("reason", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
)

ALARMS = Table(
    "alarms",
    METADATA,
    Column("alarm_id", SERIAL, primary_key=True),
    Column("at", UtcMicros, nullable=False),
    Column("code", Text, nullable=False),
    Column("place", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("cleared_at", UtcMicros),
    Column("cleared_by", Text),
    Column("over_at", UtcMicros),
    Column("about", Text),
    Column("amount", Float),
)

HALTS = Table(
    "halts",
    METADATA,
    Column("halt_id", SERIAL, primary_key=True),
    Column("zone", Text),
    Column("at", UtcMicros, nullable=False),
    Column("by", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("first_restart_by", Text),
    Column("first_restart_at", UtcMicros),
    Column("restarted_by", Text),
    Column("restarted_at", UtcMicros),
)

DRIVER_WORDS = Table(
    "driver_words",
    METADATA,
    Column("car_id", Text, primary_key=True),
    Column("topic", Text, primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("told_at", UtcMicros, nullable=False),
    Column("told_by", Text, nullable=False),
    Column("saying", Text),
    Column("until", UtcMicros),
)

DRIVER_TOKENS = Table(
    "driver_tokens",
    METADATA,
    Column("token_id", Text, primary_key=True),
    Column("car_id", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("made_at", UtcMicros, nullable=False),
    Column("revoked_at", UtcMicros),
)

DESK_PASSWORDS = Table(
    "desk_passwords",
    METADATA,
    Column("user_name", Text, primary_key=True),
    Column("hash", Text, nullable=False),
    Column("made_at", UtcMicros, nullable=False),
)

DESK_SESSIONS = Table(
    "desk_sessions",
    METADATA,
    Column("digest", Text, primary_key=True),
    Column("user_name", Text, nullable=False),
    Column("made_at", UtcMicros, nullable=False),
    Column("seen_at", UtcMicros, nullable=False),
    Column("token_id", Text),
)

DESK_ACTIONS = Table(
    "desk_actions",
    METADATA,
    Column("action_id", SERIAL, primary_key=True),
    Column("at", UtcMicros, nullable=False),
    Column("user_name", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("draft", Text, nullable=False),
    Column("status", Integer, nullable=False),
    Column("said", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("asked", Text, nullable=False),
    Column("via", Text, nullable=False),
    Column("digest", Text, nullable=False),
    UniqueConstraint("user_name", "key"),
)

AUDITS = Table(
    "audits",
    METADATA,
    Column("audit_id", SERIAL, primary_key=True),
    Column("at", UtcMicros, nullable=False),
    Column("run_by", Text, nullable=False),
    Column("kept", Boolean, nullable=False),
    Column("body", Text, nullable=False),
)

FLEET_IMPORTS = Table(
    "fleet_imports",
    METADATA,
    Column("import_id", SERIAL, primary_key=True),
    Column("imported_at", UtcMicros, nullable=False),
    Column("source", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("cars", Integer, nullable=False),
    Column("served_from", UtcMicros),
)


def _imported() -> Column[int]:
    """Return the column that says with which import a row came."""
    key = ForeignKey("fleet_imports.import_id")
    return Column("import_id", BigInteger, key, primary_key=True, autoincrement=False)


SITES = Table(
    "sites",
    METADATA,
    _imported(),
    Column("site_id", Text, primary_key=True),
    Column("zone", Text, nullable=False),
    Column("export_limit_kw", Float, nullable=False),
    Column("export_source", Text, nullable=False),
    Column("import_limit_kw", Float, nullable=False),
    Column("solar_kw", Float, nullable=False),
    Column("dark_from", LocalTime),
    Column("dark_until", LocalTime),
    Column("approval", Text, nullable=False),
    Column("approved_from", LocalDate),
    Column("boundary_meter", Boolean, nullable=False),
    Column("house_load_kw", Figures, nullable=False),
    Column("fit_generation_payer", Text),
    Column("fit_export", Text, nullable=False),
    Column("export_tariff", Text, nullable=False),
    Column("export_gbp_per_kwh", Float),
    Column("feed_in_from", LocalDate),
)

CHARGERS = Table(
    "chargers",
    METADATA,
    _imported(),
    Column("charger_id", Text, primary_key=True),
    Column("charge_kw", Float, nullable=False),
    Column("discharge_kw", Float, nullable=False),
    Column("eta_charge", Float, nullable=False),
    Column("eta_discharge", Float, nullable=False),
    Column("min_kw", Float, nullable=False),
)

CARS = Table(
    "cars",
    METADATA,
    _imported(),
    Column("car_id", Text, primary_key=True),
    Column("position", Integer, nullable=False),
    Column("capacity_kwh", Float, nullable=False),
    Column("floor_soc", Float, nullable=False),
    Column("depart_local", LocalTime, nullable=False),
    Column("target_soc", Float, nullable=False),
    Column("charger_id", Text, nullable=False),
    Column("site_id", Text, nullable=False),
    Column("warranty_throughput_kwh", Float),
    Column("taper_from_soc", Float, nullable=False),
    Column("taper_full_share", Float, nullable=False),
    ForeignKeyConstraint(["import_id", "charger_id"], ["chargers.import_id", "chargers.charger_id"]),
    ForeignKeyConstraint(["import_id", "site_id"], ["sites.import_id", "sites.site_id"]),
)
