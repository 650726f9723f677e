"""What a fleet can do in a window, asked through `Reach`."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aggregator.energy import TableReach, capability_kwh, reach, turn_down_kwh
from tests.property.energy_cases import SLOT_HOURS, Case, cases, subsets, window_of


@given(cases(most_cars=6), st.integers(0, 2**32 - 1), st.booleans())
@settings(max_examples=100, deadline=None)
def test_a_short_window_is_asked_by_its_table(case: Case, seed: int, up: bool) -> None:
    slots = min(6, case.tariff.slots)
    windows = [window_of(case, first, slots) for first in range(min(2, case.tariff.slots - slots + 1))]
    fleet = reach(windows, SLOT_HOURS, up=up)
    table = np.array([(capability_kwh if up else turn_down_kwh)(window, SLOT_HOURS) for window in windows])
    sets = subsets(slots)
    demand = np.random.default_rng(seed).uniform(-3.0, 12.0, (len(windows), slots))
    members = np.array([np.isin(np.arange(slots), chosen) for chosen in sets])
    assert (fleet.slots, fleet.scenarios) == (slots, len(windows))
    assert np.allclose(fleet.energy_kwh(members)[:, 1:], table[:, 1:])
    assert not fleet.energy_kwh(members)[:, 0].any()
    for w in range(len(windows)):
        excess = [demand[w, chosen].sum() - table[w, number] for number, chosen in enumerate(sets)]
        excess[0] = 0.0
        members_w, excess_w = (found[w] for found in fleet.tightest(demand))
        assert excess_w == pytest.approx(max(excess), abs=1e-9)
        assert demand[w, members_w].sum() - excess_w == pytest.approx(
            fleet.energy_kwh(members_w[None])[w, 0], abs=1e-9
        )
        assert fleet.most_kwh(demand)[w] == pytest.approx(demand[w].sum() - max(excess), abs=1e-9)


def test_a_slot_left_out_neither_asks_nor_has_to_give() -> None:
    fleet = TableReach(np.array([[0.0, -2.0, 5.0, 2.5]]))
    assert fleet.most_kwh(np.array([0.0, 4.0])) == pytest.approx([-2.0 + 4.0])
    assert fleet.most_kwh(np.array([-np.inf, 4.0])) == pytest.approx([4.0])


def test_a_table_has_one_number_for_each_set() -> None:
    with pytest.raises(ValueError, match="2\\*\\*slots"):
        TableReach(np.zeros((1, 6)))
    with pytest.raises(ValueError, match="at least one"):
        reach([], SLOT_HOURS, up=True)
