"""What a profile of bids earns in `plan`, in closed form: no solver, so that it can check one.

All cars of a scenario are there for the whole window, so what they can deliver depends on how many slots
are asked, not on which: ``f_w(k) = sum_i min(E_i, p_i*D*k)``, a polymatroid. Serving the dearest slots first
is then best for every scenario at once (Edmonds' greedy), and the most that the slots of a set A can get is
``r_w(A) = min over k of (the |A|-k smallest bids of A) + f_w(k)/D``.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_CHUNK_NUMBERS = 4_000_000


@dataclass(frozen=True, slots=True)
class Risk:
    """A limit on CVaR: the mean unmet energy of the worst ``1 - level`` part, given activation.

    Attributes:
        level: In [0, 1). [-]
        limit: Most allowed, as a part of the energy bid. [-]
    """

    level: float
    limit: float


@dataclass(frozen=True, slots=True, eq=False)
class Terms:
    """A plan's money and capability, in the form that the search needs.

    Attributes:
        slot_hours: D. [h]
        top_kw: Most that may be bid in a slot. [kW]
        hold_gbp_per_kw: What a bid earns if nothing of it is delivered, shape (slots,). [GBP/kW]
        gain_gbp_per_kwh: What delivering adds to not delivering, shape (slots,). [GBP/kWh]
        activation: Probability of being called. [-]
        probability: Of each scenario, above 0, shape (scenarios,). [-]
        reach_kw: f_w(k)/D, shape (scenarios, slots + 1). [kW]
        risk: Limit on CVaR, None without one.
    """

    slot_hours: float
    top_kw: float
    hold_gbp_per_kw: FloatArray
    gain_gbp_per_kwh: FloatArray
    activation: float
    probability: FloatArray
    reach_kw: FloatArray
    risk: Risk | None

    @property
    def n_slots(self) -> int:
        """Slots in the window."""
        return len(self.hold_gbp_per_kw)

    @property
    def is_torn(self) -> bool:
        """Whether a risk limit may want energy delivered in slots where delivering loses.

        Then gain and total pull apart, and the closed form, which delivers all it can, is a lower estimate.
        """
        return self.risk is not None and bool((self.gain_gbp_per_kwh < 0.0).any())

    @property
    def levels(self) -> "tuple[Level, ...]":
        """Slots in falling order of what delivering them gains, cut where the gain changes.

        Slots that lose by delivering are left out, unless a risk limit may want them delivered all the same.
        """
        gain = self.gain_gbp_per_kwh
        order = np.argsort(-gain, kind="stable")
        if self.risk is None:
            order = order[gain[order] > 0.0]
        cuts = [k for k in range(1, len(order) + 1) if k == len(order) or gain[order[k]] < gain[order[k - 1]]]
        after = [float(gain[order[k]]) if k < len(order) else 0.0 for k in cuts]
        return tuple(
            Level(order[:k], float(gain[order[k - 1]]) - nxt) for k, nxt in zip(cuts, after, strict=True)
        )


@dataclass(frozen=True, slots=True, eq=False)
class Level:
    """The slots that gain at least so much, and the step down to the next level.

    Attributes:
        slots: Their indices, dearest first, shape (members,).
        step_gbp_per_kwh: Gain of this level less that of the next. [GBP/kWh]
    """

    slots: IntArray
    step_gbp_per_kwh: float


def deliverable_kw(bids_kw: FloatArray, reach_kw: FloatArray) -> FloatArray:
    """Return the most that a set of slots can get, summed over its slots.

    Args:
        bids_kw: Asked, shape (profiles, members). [kW]
        reach_kw: f_w(k)/D, shape (scenarios, at least members + 1). [kW]

    Returns:
        Sum of the delivered power, shape (profiles, scenarios). [kW]
    """
    return np.asarray(_split_costs(bids_kw, reach_kw).min(axis=2))


def worst_set_size(bids_kw: FloatArray, reach_kw: FloatArray) -> IntArray:
    """Return how many of the largest bids form the set that limits delivery most, shape (scenarios,)."""
    return np.asarray(_split_costs(bids_kw[None, :], reach_kw)[0].argmin(axis=1), dtype=np.int64)


def _split_costs(bids_kw: FloatArray, reach_kw: FloatArray) -> FloatArray:
    """Return, per k, the smallest ``members - k`` bids plus f_w(k)/D: shape (profiles, scenarios, k)."""
    members = bids_kw.shape[1]
    smallest = np.zeros((len(bids_kw), members + 1))
    np.cumsum(np.sort(bids_kw, axis=1), axis=1, out=smallest[:, 1:])
    return np.asarray(smallest[:, None, ::-1] + reach_kw[None, :, : members + 1])


def revenue_gbp(terms: Terms, bids_kw: FloatArray) -> FloatArray:
    """Return the expected revenue of each profile, the delivery being the best in every scenario.

    Args:
        terms: The plan.
        bids_kw: Shape (profiles, slots). [kW]

    Returns:
        Shape (profiles,); minus infinity where the risk limit is broken; too low if ``terms.is_torn``. [GBP]
    """
    levels = terms.levels
    size = max(1, _CHUNK_NUMBERS // (len(terms.probability) * (terms.n_slots + 1)))
    parts = [_revenue(terms, levels, bids_kw[first : first + size]) for first in range(0, len(bids_kw), size)]
    return np.concatenate(parts) if parts else np.zeros(0)


def _revenue(terms: Terms, levels: tuple[Level, ...], bids_kw: FloatArray) -> FloatArray:
    earned = bids_kw @ terms.hold_gbp_per_kw
    weight = terms.activation * terms.slot_hours * terms.probability
    delivered = np.zeros((len(bids_kw), len(terms.probability)))
    for level in levels:
        delivered = deliverable_kw(bids_kw[:, level.slots], terms.reach_kw)
        earned = earned + level.step_gbp_per_kwh * (delivered @ weight)
    if terms.risk is None:
        return earned
    missing_kwh = terms.slot_hours * (bids_kw.sum(axis=1, keepdims=True) - delivered)
    allowed_kwh = terms.risk.limit * terms.slot_hours * bids_kw.sum(axis=1)
    over = cvar(missing_kwh, terms.probability, terms.risk.level) - allowed_kwh
    return np.where(over <= 1e-7 * np.maximum(1.0, allowed_kwh), earned, -np.inf)


def cvar(loss: FloatArray, probability: FloatArray, level: float) -> FloatArray:
    """Return the mean of the worst ``1 - level`` part of each row.

    Args:
        loss: Shape (..., scenarios).
        probability: Sums to 1, shape (scenarios,). [-]
        level: In [0, 1). [-]

    Source: Rockafellar and Uryasev, Journal of Risk 2 (2000), equation 4, at its minimum.
    """
    order = np.argsort(-loss, axis=-1)
    sorted_loss = np.take_along_axis(loss, order, axis=-1)
    mass = probability[order]
    tail = 1.0 - level
    taken = np.minimum(np.cumsum(mass, axis=-1), tail)
    share = np.diff(taken, axis=-1, prepend=0.0)
    return np.asarray((share * sorted_loss).sum(axis=-1) / tail)
