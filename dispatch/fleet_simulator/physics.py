"""How batteries, chargers and meters behave: pure functions over arrays with one entry a car.

Power is positive from car to grid, on the AC side of the charger, where the meter is.

* Efficiency is one-way and falls with power. The fleet file's figure is the worst case, reached as power goes
  to zero; at full power part of the loss is gone (``Traits.gain_at_full``).
* An idle charger draws its standby power from the grid; at work that draw is part of the efficiency.
* A charging battery takes full power up to ``taper_from_soc``, then linearly less, to ``taper_end`` at 100%.
* A car protects itself: below ``own_floor_soc`` it gives nothing, whatever it is told. That is not the
  driver's floor, which is the gateway's business.
"""

from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

FloatArray: TypeAlias = NDArray[np.float64]
BoolArray: TypeAlias = NDArray[np.bool_]

SECONDS_PER_HOUR = 3600.0
WH_PER_KWH = 1000.0
REGISTER_SLACK_WH = 1e-6
"""Keeps a register that should show a whole number from showing one less by rounding of floats."""
SMALLEST_CHANGE_KW = 1e-9


@dataclass(frozen=True, slots=True)
class Traits:
    """What all simulated cars and chargers have in common.

    Attributes:
        gain_at_full: Share of the worst case's loss that is gone at full power, 0 to 1. [-]
        half_gain_load: Share of full power at which about half of that gain is reached. [-]
        taper_from_soc: From here on a battery charges ever more slowly. [-]
        taper_end: Share of full charging power that is left at 100%. [-]
        own_floor_soc: Below this the car gives nothing. [-]
        ramp_kw_per_s: How fast a charger changes its power. [kW/s]
        standby_w: What an idle charger draws with a car plugged in. [W]
        soc_sigma: Standard deviation of the error of a reported state of charge. [-]
        soc_resolution: Step of a reported state of charge. [-]
        untold_delay_s: A charger that nobody told when to charge by itself waits this long after plug-in. [s]
    """

    gain_at_full: float = 0.4
    half_gain_load: float = 0.1
    taper_from_soc: float = 0.8
    taper_end: float = 0.2
    own_floor_soc: float = 0.10
    ramp_kw_per_s: float = 1.0
    standby_w: float = 8.0
    soc_sigma: float = 0.005
    soc_resolution: float = 0.01
    untold_delay_s: float = 600.0


@dataclass(frozen=True, slots=True)
class Plant:
    """What does not change about the cars and chargers; arrays have shape (cars,).

    Attributes:
        capacity_kwh: Usable capacity. [kWh]
        charge_kw: Most a charger draws. [kW AC]
        discharge_kw: Most it gives. [kW AC]
        min_kw: Least it can hold in either direction. [kW AC]
        eta_charge: Worst one-way efficiency of charging. [-]
        eta_discharge: Worst one-way efficiency of discharging. [-]
        traits: What they have in common.
    """

    capacity_kwh: FloatArray
    charge_kw: FloatArray
    discharge_kw: FloatArray
    min_kw: FloatArray
    eta_charge: FloatArray
    eta_discharge: FloatArray
    traits: Traits


@dataclass(frozen=True, slots=True)
class State:
    """How the cars are at one instant; arrays have shape (cars,).

    Attributes:
        energy_kwh: True stored energy. [kWh]
        power_kw: Power now, positive from car to grid, without standby. [kW AC]
        import_wh: Energy ever drawn from the grid, unrounded. [Wh]
        export_wh: Energy ever given to the grid, unrounded. [Wh]
    """

    energy_kwh: FloatArray
    power_kw: FloatArray
    import_wh: FloatArray
    export_wh: FloatArray


def step(plant: Plant, state: State, wanted_kw: FloatArray, plugged: BoolArray, seconds: float) -> State:
    """Return the state ``seconds`` later, with every car told ``wanted_kw`` all the while.

    A battery that fills up or runs down to the car's own floor on the way stops there; the meters count
    what flowed until then. Meant for steps of up to a minute: taper and efficiency hold for a whole step.
    """
    traits, hours = plant.traits, seconds / SECONDS_PER_HOUR
    power_kw = np.where(plugged, state.power_kw, 0.0)
    target_kw = np.where(plugged, allowed_kw(plant, state.energy_kwh, wanted_kw), 0.0)
    reached_kw, drawn_kwh, given_kwh = ramp(power_kw, target_kw, traits.ramp_kw_per_s, seconds)
    eta_in = efficiency(plant.eta_charge, load(drawn_kwh, plant.charge_kw * hours), traits)
    eta_out = efficiency(plant.eta_discharge, load(given_kwh, plant.discharge_kw * hours), traits)
    room_kwh = plant.capacity_kwh - state.energy_kwh
    spare_kwh = np.maximum(state.energy_kwh - traits.own_floor_soc * plant.capacity_kwh, 0.0)
    share_in = _share_that_fits(room_kwh, drawn_kwh * eta_in)
    share_out = _share_that_fits(spare_kwh, given_kwh / eta_out)
    drawn_kwh, given_kwh = drawn_kwh * share_in, given_kwh * share_out
    energy_kwh = state.energy_kwh + drawn_kwh * eta_in - given_kwh / eta_out
    idle = np.where(drawn_kwh + given_kwh > 0, 1.0 - np.minimum(share_in, share_out), 1.0) * plugged
    return State(
        energy_kwh=np.clip(energy_kwh, 0.0, plant.capacity_kwh),
        power_kw=np.where((share_in < 1) | (share_out < 1), 0.0, reached_kw),
        import_wh=state.import_wh + drawn_kwh * WH_PER_KWH + idle * traits.standby_w * hours,
        export_wh=state.export_wh + given_kwh * WH_PER_KWH,
    )


def allowed_kw(plant: Plant, energy_kwh: FloatArray, wanted_kw: FloatArray) -> FloatArray:
    """Return what a charger makes of ``wanted_kw``: within its limits and the car's, or nothing. [kW]"""
    soc = energy_kwh / plant.capacity_kwh
    drawn_kw = np.maximum(plant.charge_kw * taper(soc, plant.traits), plant.min_kw)
    drawn_kw = np.where(soc < 1.0, drawn_kw, 0.0)
    given_kw = np.where(soc > plant.traits.own_floor_soc, plant.discharge_kw, 0.0)
    power_kw = np.clip(wanted_kw, -drawn_kw, given_kw)
    return np.where(np.abs(power_kw) < plant.min_kw, 0.0, power_kw)


def taper(soc: FloatArray, traits: Traits) -> FloatArray:
    """Return the share of full charging power that a battery takes at ``soc``. [-]"""
    done = np.clip((soc - traits.taper_from_soc) / (1.0 - traits.taper_from_soc), 0.0, 1.0)
    return 1.0 - (1.0 - traits.taper_end) * done


def efficiency(worst: FloatArray, load_share: FloatArray, traits: Traits) -> FloatArray:
    """Return the one-way efficiency at a share of full power; never below ``worst``. [-]"""
    gain = (1.0 + traits.half_gain_load) * load_share / (load_share + traits.half_gain_load)
    return worst + traits.gain_at_full * (1.0 - worst) * gain


def load(moved_kwh: FloatArray, most_kwh: FloatArray) -> FloatArray:
    """Return the share of full power that ``moved_kwh`` means, 0 where there is no power at all. [-]"""
    share = np.divide(moved_kwh, most_kwh, out=np.zeros_like(moved_kwh), where=most_kwh > 0)
    return np.clip(share, 0.0, 1.0)


def ramp(
    from_kw: FloatArray, to_kw: FloatArray, ramp_kw_per_s: float, seconds: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Move linearly from one power to another, then hold it.

    Returns:
        The power at the end [kW], the energy drawn and the energy given meanwhile, both >= 0 [kWh].
    """
    change_kw = to_kw - from_kw
    needed_s = np.abs(change_kw) / ramp_kw_per_s
    reached_kw = np.where(needed_s <= seconds, to_kw, from_kw + np.sign(change_kw) * ramp_kw_per_s * seconds)
    moving_s = np.minimum(needed_s, seconds)
    given_kws = _mean_above_zero(from_kw, reached_kw) * moving_s
    given_kws += np.maximum(reached_kw, 0.0) * (seconds - moving_s)
    drawn_kws = _mean_above_zero(-from_kw, -reached_kw) * moving_s
    drawn_kws += np.maximum(-reached_kw, 0.0) * (seconds - moving_s)
    return reached_kw, drawn_kws / SECONDS_PER_HOUR, given_kws / SECONDS_PER_HOUR


def metered_w(state: State, plugged: BoolArray, traits: Traits) -> NDArray[np.int64]:
    """Return the power at the meters now, positive from car to grid, standby included. [W]"""
    watts = np.where(state.power_kw == 0, -traits.standby_w, state.power_kw * WH_PER_KWH)
    return np.rint(np.where(plugged, watts, 0.0)).astype(np.int64)


def register_wh(exact_wh: FloatArray) -> NDArray[np.int64]:
    """Return what a register shows: whole watt-hours, rounded down. [Wh]"""
    return np.floor(exact_wh + REGISTER_SLACK_WH).astype(np.int64)


def reported_soc(
    plant: Plant,
    energy_kwh: FloatArray,
    at_s: float,
    seed: int,
    sigma: FloatArray | float,
    step: FloatArray | float,
) -> FloatArray:
    """Return the state of charge as cars report it: with an error, in coarse steps. [-]

    The error is drawn per car and minute from ``seed`` alone, so that it is the same whoever asks how often.

    Args:
        plant: The cars.
        energy_kwh: What is truly stored.
        at_s: When. [s since 1970]
        seed: Of the errors.
        sigma: Their standard deviation, of all or of each.
        step: In which it is reported, of all or of each.
    """
    noise = np.random.Generator(np.random.Philox(key=seed, counter=int(at_s // 60)))
    soc = energy_kwh / plant.capacity_kwh + sigma * noise.standard_normal(energy_kwh.shape)
    steps = np.rint(np.clip(soc, 0.0, 1.0) / step)
    return np.clip(np.round(steps * step, 6), 0.0, 1.0)


def unplugged(state: State, car: int) -> State:
    """Return the state with no power at ``car``'s charger."""
    power_kw = state.power_kw.copy()
    power_kw[car] = 0.0
    return replace(state, power_kw=power_kw)


def refilled(state: State, car: int, energy_kwh: float) -> State:
    """Return the state with ``car`` holding ``energy_kwh``, as it comes home."""
    energies_kwh = state.energy_kwh.copy()
    energies_kwh[car] = energy_kwh
    return replace(state, energy_kwh=energies_kwh)


def _share_that_fits(room_kwh: FloatArray, wanted_kwh: FloatArray) -> FloatArray:
    fits = wanted_kwh <= room_kwh
    return np.divide(np.maximum(room_kwh, 0.0), wanted_kwh, out=np.ones_like(wanted_kwh), where=~fits)


def _mean_above_zero(from_kw: FloatArray, to_kw: FloatArray) -> FloatArray:
    """Return the mean of max(p, 0) while p goes linearly from one power to the other. [kW]"""
    low_kw, high_kw = np.maximum(from_kw, 0.0), np.maximum(to_kw, 0.0)
    change_kw = to_kw - from_kw
    moving = np.abs(change_kw) > SMALLEST_CHANGE_KW
    above = np.divide(high_kw - low_kw, change_kw, out=np.ones_like(change_kw), where=moving)
    return np.asarray((low_kw + high_kw) / 2 * above)
