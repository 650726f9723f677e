"""What a bid's zone could give around its window, as known when the draft was made: P10, P50 and P90.

The figures are those of ``flexloop forecast``; need, bid and nomination are drawn against them.
"""

from collections import OrderedDict
from datetime import datetime, timedelta
from threading import Lock

from aggregator.forecast import Horizon
from aggregator.gateway import Gateway
from aggregator.model.opportunity import Opportunity
from aggregator.model.time import utc_text
from aggregator.web.bid_view import nominated_kw
from aggregator.worth import is_in_part
from aggregator.zone_forecast import ZoneForecast, zone_forecast

AROUND = timedelta(hours=2)
"""So much is shown before and after the window."""

MOST_KEPT = 64


class Fans:
    """Makes fans, and keeps the last of them: a forecast takes a good part of a second."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._kept: OrderedDict[tuple[object, ...], ZoneForecast] = OrderedDict()
        self._turn = Lock()

    def fan(self, one: Opportunity) -> dict[str, object]:
        """Return a bid's fan for JSON, powers in kW; ``reason`` says why there is none. In a thread.

        ``awarded_kw`` is told where less was awarded than bid: else it is the bid.
        """
        need, draft = one.requirement, one.draft
        if need is None:
            return {"reason": "an order without a need was not bid for", "slots": []}
        horizon = Horizon.over(need.window).parts[0]
        now = self._gateway.clock.now()
        known = draft.why.known_at if draft is not None and draft.why.known_at is not None else now
        found = self.forecast(one.zone, horizon, min(known, horizon.interval.start))
        start, end = need.window.start - AROUND, need.window.end + AROUND
        bid = {slot: n for n, slot in enumerate(need.slots)}
        nominated = nominated_kw(self._gateway.store, one)
        award = one.award if is_in_part(one) else None
        awarded = dict(zip(award.slots, award.awarded_kw, strict=True)) if award is not None else {}
        rows = []
        for slot, row in zip(found.slots, found.rows(), strict=bool(found.outlook)):
            if slot.end <= start or slot.start >= end:
                continue
            part = next((n for own, n in bid.items() if own.overlap(slot)), None)
            rows.append(
                {
                    "start": utc_text(slot.start),
                    "end": utc_text(slot.end),
                    "p10_kw": row["discharge_kw_p10"],
                    "p50_kw": row["discharge_kw_p50"],
                    "p90_kw": row["discharge_kw_p90"],
                    "need_kw": need.needed_kw[part] if part is not None else None,
                    "bid_kw": draft.offered_kw[part] if draft and part is not None else None,
                    "awarded_kw": awarded.get(need.slots[part]) if part is not None else None,
                    "nominated_kw": nominated.get(need.slots[part].start) if part is not None else None,
                }
            )
        return {
            "reason": found.reason,
            "known_at": utc_text(known),
            "cars": found.cars,
            "days": len(found.drawn_from),
            "slots": rows,
        }

    def forecast(self, zone: str, horizon: Horizon, known_at: datetime) -> ZoneForecast:
        """Return a zone's forecast by what was known at an instant, made now or kept. In a thread."""
        gateway, key = self._gateway, (zone, horizon, known_at)
        with self._turn:
            found = self._kept.get(key)
            if found is None:
                found = zone_forecast(
                    gateway.settings,
                    gateway.store,
                    gateway.fleet,
                    gateway.history,
                    zone,
                    horizon.day,
                    known_at,
                )
                self._kept[key] = found
            self._kept.move_to_end(key)
            while len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)
            return found
