"""Registers read again, for the settlement's re-computation: plain pandas, written from the text."""

from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise

import pandas as pd

HOUR_US = 60 * 60 * 10**6
MOST_W = 100_000
COUNTERS_WH = (*(10**digits for digits in range(6, 13)), 2**31, 2**32)
REGISTERS = ("import_wh", "export_wh")


def counted_on(told: pd.DataFrame) -> pd.DataFrame:
    """Return both registers at each reading as if they had counted on: falls and jumps are no energy.

    ``odd`` says where one did not just count on from the reading before.
    """
    wrong = {n for register in REGISTERS for n in _wrong(_pairs(told, register))}
    good = told.drop(index=sorted(wrong)).reset_index(drop=True)
    counted = pd.DataFrame({"measured_at": good["measured_at"]})
    counted["odd"] = good.index.isin([n - sum(one < n for one in wrong) for n in wrong])
    for register in REGISTERS:
        steps = pd.Series([0, *_steps(_pairs(good, register))][: len(good)], dtype=int)
        counted[register] = steps.cumsum()
        counted["odd"] |= good[register].diff().fillna(0) != steps
    return counted


def _pairs(told: pd.DataFrame, register: str) -> list[tuple[int, int]]:
    return list(zip(told["measured_at"].tolist(), told[register].tolist(), strict=True))


def _wrong(shown: list[tuple[int, int]]) -> Iterator[int]:
    """Yield which single readings fall with the next one back where it was."""
    last = None
    for n, one in enumerate(shown):
        fell = last is not None and one[1] < last[1] and _rolled(last, one) is None
        if fell and n + 1 < len(shown) and shown[n + 1][1] >= last[1]:
            yield n
        else:
            last = one


def _steps(shown: list[tuple[int, int]]) -> Iterator[int]:
    """Yield the energy that passed up to each reading but the first. [Wh]"""
    for before, after in pairwise(shown):
        risen = after[1] - before[1]
        if risen < 0:
            yield _rolled(before, after) or 0
        else:
            yield risen if risen <= _most_wh(before, after) else 0


def _rolled(before: tuple[int, int], after: tuple[int, int]) -> int | None:
    """Return the energy of a register that rolled over, None where no usual counter fits. [Wh]"""
    ends = (end - before[1] + after[1] for end in COUNTERS_WH if end > before[1])
    return min((wh for wh in ends if wh <= _most_wh(before, after)), default=None)


def _most_wh(before: tuple[int, int], after: tuple[int, int]) -> Fraction:
    return Fraction(MOST_W * (after[0] - before[0]), HOUR_US)


def between(shown: pd.DataFrame, register: str, at: int) -> int:
    """Return a register on the line between its neighbours, held before the first and after the last. [Wh]"""
    after = int(shown["measured_at"].searchsorted(at))
    if after == len(shown) or after == 0:
        return int(shown[register].iloc[-1 if after else 0])
    low, high = (int(one) for one in shown["measured_at"].iloc[after - 1 : after + 1])
    before, then = (int(wh) for wh in shown[register].iloc[after - 1 : after + 1])
    return before + round(Fraction((then - before) * (at - low), high - low))


def neighbours(shown: pd.DataFrame, at: int) -> tuple[int, int, bool] | None:
    """Return the instants of the readings on both sides of an instant, and whether nothing moved there."""
    after = int(shown["measured_at"].searchsorted(at))
    if after == len(shown) or (after == 0 and int(shown["measured_at"].iloc[0]) != at):
        return None
    if int(shown["measured_at"].iloc[after]) == at:
        return at, at, True
    sides = shown.iloc[after - 1 : after + 1]
    still = sides[list(REGISTERS)].nunique().max() == 1
    return int(sides["measured_at"].iloc[0]), int(sides["measured_at"].iloc[1]), bool(still)
