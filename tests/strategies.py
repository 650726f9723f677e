"""Hypothesis strategies for model values: any value that the types allow, not only likely ones."""

from dataclasses import fields
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import get_type_hints

from hypothesis import strategies as st

from aggregator.model.time import Interval
from aggregator.store.codec import FACTS

instants = st.datetimes(
    min_value=datetime(1990, 1, 1),  # noqa: DTZ001 - the strategy adds the zone
    max_value=datetime(2100, 1, 1),  # noqa: DTZ001
    timezones=st.just(UTC),
)
intervals = st.builds(
    lambda start, length: Interval(start, start + length),
    instants,
    st.timedeltas(min_value=timedelta(microseconds=1), max_value=timedelta(days=400)),
)
numbers = st.floats(allow_nan=False, allow_infinity=False)
amounts = st.decimals(allow_nan=False, allow_infinity=False).map(Decimal)

st.register_type_strategy(datetime, instants)
st.register_type_strategy(Interval, intervals)
st.register_type_strategy(float, numbers)
st.register_type_strategy(Decimal, amounts)


def values_of(kind):
    """Return a strategy for any value of a dataclass, by the types of its fields; defaults are drawn too."""
    hints = get_type_hints(kind)
    return st.builds(kind, **{field.name: st.from_type(hints[field.name]) for field in fields(kind)})


facts = st.sampled_from(sorted(FACTS)).flatmap(lambda name: values_of(FACTS[name]))
