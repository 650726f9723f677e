"""The best trades of many batteries at once: exact, in closed form, one pass back and one forth.

With prices per slot the worth of stored energy is a concave, piecewise linear function of it. One slot
earlier it is the same function with two more pieces: energy that would else be bought in the slot, and
energy that can be sold in it. Its slopes are the prices, so pieces of one slope share a bin and only the
breakpoints between bins move: down for what can be bought, up for what can be sold, cut to what the battery
may hold. Going forth, a car buys up to the breakpoint at the slot's buying price and sells down to the one
at its selling price. This is dynamic programming by conjugates ("slope trick"), hence the LP optimum.

Ties: buying goes to slots outside bid windows, of them to the later; nothing is traded for no gain; of equal
sales red slots come first.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from aggregator.energy.cars import CarArrays, FloatArray, IntArray
from aggregator.energy.tariff import Tariff

DUST_KWH = 1e-11
"""Trades below this are rounding of the breakpoints' sums, not trades."""


@dataclass(frozen=True, slots=True, eq=False)
class Batteries:
    """What each battery may do. Stored energies, but for the two powers' energies, which are AC.

    Attributes:
        start_kwh: At the beginning, shape (cars,). [kWh]
        lowest_kwh: At each slot boundary, shape (cars, slots + 1). [kWh]
        highest_kwh: At any time, shape (cars,). [kWh]
        due_kwh: Least at the end, shape (cars,). [kWh]
        wanted_kwh: Up to this, energy at the end is bought back later anyway, shape (cars,). [kWh]
        charge_kwh: Most drawn in each slot, shape (cars, slots). [kWh AC]
        discharge_kwh: Most given in each slot at the export price, shape (cars, slots). [kWh AC]
        home_kwh: Most given beside it to the house, each kWh one less bought at the slot's import price,
            shape (cars, slots); None for none. [kWh AC]
    """

    start_kwh: FloatArray
    lowest_kwh: FloatArray
    highest_kwh: FloatArray
    due_kwh: FloatArray
    wanted_kwh: FloatArray
    charge_kwh: FloatArray
    discharge_kwh: FloatArray
    home_kwh: FloatArray | None = None

    def at(self, rows: IntArray) -> "Batteries":
        """Return some of the batteries."""
        names = [name for name in self.__slots__ if name != "home_kwh"]
        home_kwh = None if self.home_kwh is None else self.home_kwh[rows]
        return Batteries(**{name: getattr(self, name)[rows] for name in names}, home_kwh=home_kwh)


@dataclass(frozen=True, slots=True, eq=False)
class Bins:
    """The distinct slopes of a chunk of cars.

    Attributes:
        place: Where column c of (due, buy..., surplus, none, sell...) stands in a car's falling order of
            slopes, shape (cars, columns).
        buy: Column of each slot's buying price, shape (slots,).
        sell: Column of each slot's selling price, shape (slots,).
        surplus: Column of energy beyond what is wanted; the next one is energy without worth.
        home: Column of what a kWh used by the house is worth in each slot, shape (slots,).
    """

    place: IntArray
    buy: IntArray
    sell: IntArray
    surplus: int
    home: IntArray


def best_trades(
    cars: CarArrays, batteries: Batteries, tariff: Tariff
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return what each car draws and gives in each slot at the least cost, each of shape (cars, slots).

    A slot in which a kWh could be drawn and sold at a profit must not allow both directions.

    Returns:
        Drawn energy, energy given at the export price, and energy given to the house. [kWh AC]
    """
    can_buy_kwh = batteries.charge_kwh * cars.eta_charge[:, None]
    can_sell_kwh = batteries.discharge_kwh / cars.eta_discharge[:, None]
    bins = _bins(cars, tariff, homes=batteries.home_kwh is not None)
    sales = [_Sale(can_sell_kwh, bins.sell)]
    if batteries.home_kwh is not None:
        sales.append(_Sale(batteries.home_kwh / cars.eta_discharge[:, None], bins.home))
    bought_kwh, sold_kwh = _trade(batteries, bins, can_buy_kwh, sales)
    given_kwh = [kwh * cars.eta_discharge[:, None] for kwh in sold_kwh]
    used_kwh = given_kwh[1] if batteries.home_kwh is not None else np.zeros_like(bought_kwh)
    return bought_kwh / cars.eta_charge[:, None], given_kwh[0], used_kwh


@dataclass(frozen=True, slots=True, eq=False)
class _Sale:
    """One way to give energy: how much in each slot, (cars, slots) [kWh stored], and each slot's column."""

    can_kwh: FloatArray
    column: IntArray


def _bins(cars: CarArrays, tariff: Tariff, *, homes: bool) -> Bins:
    """Sort the distinct prices by their worth per stored kWh, dearest first; the column order breaks ties."""
    eta_charge, eta_discharge = cars.eta_charge, cars.eta_discharge
    earned = tariff.export_gbp_per_kwh - tariff.wear_gbp_per_kwh
    buying, buy = _distinct(tariff.asked_gbp_per_kwh[None, :])
    saved = tariff.import_gbp_per_kwh - tariff.wear_gbp_per_kwh if homes else earned
    selling, both = _distinct(np.stack([np.tile(~tariff.red, 2), np.concatenate([earned, saved])]))
    bought_back = (tariff.buy_back_gbp_per_kwh / eta_charge)[:, None]
    slopes = np.concatenate(
        [
            bought_back,
            buying / eta_charge[:, None],
            bought_back,
            np.zeros_like(bought_back),
            selling * eta_discharge[:, None],
        ],
        axis=1,
    )
    order = np.argsort(-slopes, axis=1, kind="stable")
    place = np.empty_like(order)
    np.put_along_axis(place, order, np.arange(slopes.shape[1])[None, :], axis=1)
    surplus = 1 + len(buying)
    sell, home = np.split(surplus + 2 + both, 2)
    return Bins(place, 1 + buy, sell, surplus, home)


def _distinct(prices: FloatArray) -> tuple[FloatArray, IntArray]:
    """Return the last row of the distinct columns of ``prices``, and which of them each column is."""
    columns, index = np.unique(prices, axis=1, return_inverse=True)
    return columns[-1], index.ravel()


def _trade(
    batteries: Batteries, bins: Bins, can_buy_kwh: FloatArray, sales: Sequence[_Sale]
) -> tuple[FloatArray, list[FloatArray]]:
    """Return what is bought, and sold in each way, in stored kWh, each of shape (cars, slots)."""
    buy_to_kwh, sell_to_kwh = _levels(batteries, bins, can_buy_kwh, sales)
    bought_kwh = np.zeros_like(can_buy_kwh)
    sold_kwh = [np.zeros_like(can_buy_kwh) for _ in sales]
    stored_kwh = batteries.start_kwh.copy()
    for slot in range(can_buy_kwh.shape[1]):
        bought_kwh[:, slot] = np.clip(buy_to_kwh[:, slot] - stored_kwh, 0.0, can_buy_kwh[:, slot])
        stored_kwh += bought_kwh[:, slot]
        for n in sorted(range(len(sales)), key=lambda n: -sales[n].column[slot]):  # the dearer one first
            left_kwh = stored_kwh - sell_to_kwh[n][:, slot]
            sold_kwh[n][:, slot] = np.clip(left_kwh, 0.0, sales[n].can_kwh[:, slot])
            stored_kwh -= sold_kwh[n][:, slot]
    for moved in (bought_kwh, *sold_kwh):
        moved[moved < DUST_KWH] = 0.0
    return bought_kwh, sold_kwh


def _levels(
    batteries: Batteries, bins: Bins, can_buy_kwh: FloatArray, sales: Sequence[_Sale]
) -> tuple[FloatArray, list[FloatArray]]:
    """Return up to which energy it pays to buy, and down to which to sell each way, (cars, slots) each."""
    breakpoints = _at_the_end(batteries, bins)
    rows, columns = np.arange(len(breakpoints)), np.arange(breakpoints.shape[1])
    buy_to_kwh = np.empty_like(can_buy_kwh)
    sell_to_kwh = [np.empty_like(can_buy_kwh) for _ in sales]
    highest_kwh = batteries.highest_kwh[:, None]
    for slot in reversed(range(can_buy_kwh.shape[1])):
        buy = bins.place[:, bins.buy[slot]]
        sells = [bins.place[:, sale.column[slot]] for sale in sales]
        buy_to_kwh[:, slot] = breakpoints[rows, buy]
        for to_kwh, sell in zip(sell_to_kwh, sells, strict=True):
            to_kwh[:, slot] = breakpoints[rows, sell + 1]
        breakpoints -= can_buy_kwh[:, slot, None] * (columns <= buy[:, None])
        for sale, sell in zip(sales, sells, strict=True):
            breakpoints += sale.can_kwh[:, slot, None] * (columns > sell[:, None])
        np.clip(breakpoints, batteries.lowest_kwh[:, slot, None], highest_kwh, out=breakpoints)
    return buy_to_kwh, sell_to_kwh


def _at_the_end(batteries: Batteries, bins: Bins) -> FloatArray:
    """Return the breakpoints of the worth of energy when all slots are over, shape (cars, columns + 1)."""
    rows = np.arange(len(batteries.start_kwh))
    due_kwh = np.clip(batteries.due_kwh, batteries.lowest_kwh[:, -1], batteries.highest_kwh)
    wanted_kwh = np.clip(batteries.wanted_kwh, due_kwh, batteries.highest_kwh)
    surplus_kwh = np.clip(batteries.start_kwh, wanted_kwh, batteries.highest_kwh)
    lengths = np.zeros(bins.place.shape)
    lengths[rows, bins.place[:, 0]] = wanted_kwh - due_kwh
    lengths[rows, bins.place[:, bins.surplus]] = surplus_kwh - wanted_kwh
    lengths[rows, bins.place[:, bins.surplus + 1]] = batteries.highest_kwh - surplus_kwh
    return np.concatenate([due_kwh[:, None], due_kwh[:, None] + np.cumsum(lengths, axis=1)], axis=1)
