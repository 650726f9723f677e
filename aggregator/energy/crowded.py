"""Cars whose plans overload a site's connection: what each does so that all stay within its room (P4).

First a toll per site and slot is raised where its room is exceeded and lowered where it is not (subgradient
steps on the dual), each car answering with its own exact optimum. The weighted mean of the answers keeps
every car's own rules, as these are linear, and nearly keeps the room. It is then cut to the room for good,
and in a few rounds every car keeps what it used and is offered a part of what is left, those short of their
target first: no round costs more. The joint optimum is not certified.
"""

import numpy as np

from aggregator.energy.alone import Bounds, Scene, Trades, alone, evenly, full_power, until_floor
from aggregator.energy.cars import TINY_KWH, BoolArray, FloatArray
from aggregator.energy.rooms import by_site, share_room
from aggregator.energy.tariff import RED_GBP_PER_KWH
from aggregator.energy.trades import Tolls

TOLL_STEPS = 60
FIRST_STEP = 0.3
"""Toll of a slot asked for twice its room, as a share of the tariff's spread; it falls as 1/sqrt(step)."""
KEPT_FREE = 0.01
"""Share of the room that the tolls leave, so that the mean answer needs no cutting; the rounds use it."""
ROUNDS = 6


def together(scene: Scene, wish: Trades) -> Trades:
    """Return the trades of all cars of crowded sites, within the room of their sites.

    Args:
        scene: All cars of those sites.
        wish: What each would do alone.
    """
    full = full_power(scene)
    urgent = until_floor(scene, full)
    even = np.maximum(urgent, evenly(scene, full))
    careful = _rounds(scene, full, [urgent, even, np.maximum(even, wish.drawn_kwh)], wish.given_kwh)
    drawn_kwh, given_kwh = _mean_answer(scene, full)
    cheap = _rounds(scene, full, [urgent, np.maximum(urgent, drawn_kwh)], given_kwh)
    return _better(scene, careful, cheap)


def _rounds(scene: Scene, full: Bounds, asked: list[FloatArray], given_kwh: FloatArray) -> Trades:
    """Return the trades after a few offers of unused room, beginning with what is ``asked`` for."""
    site, hours = scene.cars.site, scene.slot_hours
    import_kwh, export_kwh = scene.cars.import_room_kw * hours, scene.cars.export_room_kw * hours
    asked = [*asked, full.charge_kwh]
    for _ in range(ROUNDS):
        export = share_room([given_kwh, full.discharge_kwh], site, export_kwh)
        trades = alone(scene, Bounds(share_room(asked, site, import_kwh), export))
        late = (trades.short_kwh > TINY_KWH)[:, None]
        asked = [trades.drawn_kwh, np.where(late, full.charge_kwh, trades.drawn_kwh), full.charge_kwh]
        given_kwh = trades.given_kwh
    return trades


def _mean_answer(scene: Scene, full: Bounds) -> tuple[FloatArray, FloatArray]:
    """Return the mean of the cars' answers to the tolls, later ones weighing more. [kWh AC]"""
    cars, tariff = scene.cars, scene.tariff
    sites, slots = len(cars.import_room_kw), tariff.slots
    import_kwh = (cars.import_room_kw * scene.slot_hours * (1.0 - KEPT_FREE))[:, None]
    export_kwh = (cars.export_room_kw * scene.slot_hours)[:, None]
    scale = max(float(np.ptp(tariff.import_gbp_per_kwh)), float(np.ptp(tariff.export_gbp_per_kwh)), 0.01)
    buy, sell = np.zeros((sites, slots)), np.zeros((sites, slots))
    drawn_kwh, given_kwh = np.zeros_like(full.charge_kwh), np.zeros_like(full.charge_kwh)
    weights = 0.0
    for step in range(1, TOLL_STEPS + 1):
        answer = alone(scene, full, Tolls(buy[cars.site], sell[cars.site]))
        size = FIRST_STEP * scale / np.sqrt(step)
        over_import = by_site(answer.drawn_kwh, cars.site, sites) / np.maximum(import_kwh, TINY_KWH) - 1.0
        over_export = by_site(answer.given_kwh, cars.site, sites) / np.maximum(export_kwh, TINY_KWH) - 1.0
        buy = np.maximum(0.0, buy + size * np.clip(over_import, -1.0, 1.0))
        sell = np.maximum(0.0, sell + size * np.clip(over_export, -1.0, 1.0))
        weights += step
        drawn_kwh += (answer.drawn_kwh - drawn_kwh) * (step / weights)
        given_kwh += (answer.given_kwh - given_kwh) * (step / weights)
    return drawn_kwh, given_kwh


def _better(scene: Scene, first: Trades, second: Trades) -> Trades:
    """Return, site by site, the trades that leave less missing, or else cost less."""
    cars = scene.cars
    sites = len(cars.import_room_kw)
    short = [np.bincount(cars.site, one.short_kwh, sites) for one in (first, second)]
    cost = [np.bincount(cars.site, _cost_gbp(scene, one), sites) for one in (first, second)]
    less = short[1] < short[0] - TINY_KWH
    same = np.abs(short[1] - short[0]) <= TINY_KWH
    chosen: BoolArray = (less | (same & (cost[1] < cost[0])))[cars.site]
    return Trades(
        np.where(chosen[:, None], second.drawn_kwh, first.drawn_kwh),
        np.where(chosen[:, None], second.given_kwh, first.given_kwh),
        np.where(chosen, second.short_kwh, first.short_kwh),
    )


def _cost_gbp(scene: Scene, trades: Trades) -> FloatArray:
    """Return what each car's trades cost, less what its energy at the end saves later, shape (cars,)."""
    cars, tariff = scene.cars, scene.tariff
    paid = trades.drawn_kwh @ (tariff.import_gbp_per_kwh + RED_GBP_PER_KWH * tariff.red)
    earned = trades.given_kwh @ (tariff.export_gbp_per_kwh - tariff.wear_gbp_per_kwh)
    rise_kwh = (
        trades.drawn_kwh.sum(axis=1) * cars.eta_charge - trades.given_kwh.sum(axis=1) / cars.eta_discharge
    )
    useful_kwh = np.maximum(scene.stay.energy_kwh, np.minimum(scene.stay.target_kwh, cars.capacity_kwh))
    saved_kwh = np.minimum(scene.stay.energy_kwh + rise_kwh, useful_kwh)
    return np.asarray(paid - earned - saved_kwh * tariff.buy_back_gbp_per_kwh / cars.eta_charge)
