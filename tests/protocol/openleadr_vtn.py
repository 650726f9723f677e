"""A stock openleadr VTN as a program: one event, its change, its cancellation; telemetry every minute.

Usage: python -m tests.protocol.openleadr_vtn PORT. What it learns is printed, one JSON array a line. It is a
process of its own as openleadr keeps a server's keys and look-ups on the class.
"""

import asyncio
import json
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from openleadr import OpenADRServer, enums

VEN_ID, REGISTRATION_ID, EVENT_ID = "ven-007", "reg-007", "DSP-1"
# openleadr itself goes by the wall clock, so the event must lie ahead of it
START = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) + timedelta(days=1)  # noqa: TID251


def tell(*words):
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()


async def main(port):
    server = OpenADRServer(vtn_id="DSO-Stock", http_port=port, requested_poll_freq=timedelta(seconds=1))

    async def register(payload):
        tell("registered", payload["ven_name"])
        return VEN_ID, REGISTRATION_ID

    async def answered(ven_id, event_id, opt_type):
        tell("opt", event_id, opt_type)
        modification = made.event_descriptor.modification_number
        # openleadr forgets it after one answer
        server.event_callbacks[event_id] = (made, answered)
        if modification == 0:
            made.event_signals[0].intervals[0]["signal_payload"] = -20.0
            made.event_descriptor.modification_number = 1
            server.services["poll_service"].events_updated[ven_id] = True
        elif modification == 1:
            server.cancel_event(ven_id, event_id)

    def received(values):
        tell("values", [[at.isoformat(), value] for at, value in values])

    def wanted(ven_id, resource_id, measurement, unit, scale, min_sampling_interval, max_sampling_interval):
        return received, min_sampling_interval, timedelta(minutes=5)

    server.add_handler("on_create_party_registration", register)
    server.add_handler("on_register_report", wanted)
    server.add_event(
        ven_id=VEN_ID,
        event_id=EVENT_ID,
        signal_name="LOAD_DISPATCH",
        signal_type="delta",
        intervals=[{"dtstart": START, "duration": timedelta(minutes=30), "signal_payload": -30.0}],
        target={"group_id": "Hendon Way"},
        market_context="http://dso.example/flex/dispatch/day-ahead",
        callback=answered,
    )
    # add_event has no argument for it
    made = server.events[VEN_ID][-1]
    made.event_signals[0].measurement = replace(enums.MEASUREMENTS.POWER_REAL, scale="k")
    await server.run_async()
    tell("ready")
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
