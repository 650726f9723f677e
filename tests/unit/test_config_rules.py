"""Baselines and factors of a product, as a market file says them."""

import json
import re
from decimal import Decimal

import pytest

from aggregator.config import Settings, read_settings
from aggregator.files.inputs import as_text
from aggregator.market_file import read_market
from aggregator.model.errors import BadMessage
from aggregator.model.rules import (
    IN_FULL,
    NOMINATION,
    BaselineMethod,
    BaselineRule,
    FactorRule,
    Measure,
    Over,
    Performance,
)
from tests.unit.config_steps import BASELINE, a_config, edit, factor


@pytest.fixture
def config(tmp_path):
    return a_config(tmp_path)


def test_a_product_has_its_own_baseline_and_factors(config):
    market = config / "markets" / "ukpn.toml"
    product = read_market(market).product[0].to_product()
    assert (product.baseline, product.performance) == (NOMINATION, IN_FULL)
    edit(market, (BASELINE, factor()), (BASELINE, "baseline = { method = 'bl01', adjusted = true }"))
    product = read_market(market).product[0].to_product()
    assert product.baseline == BaselineRule(BaselineMethod.BL01, adjusted=True)
    rule = FactorRule(Measure.DELIVERY, Over.EVENT, Decimal("0.05"), Decimal(3))
    assert product.performance == Performance(utilisation=rule)


def test_the_rules_shown_as_comments_are_rules(config):
    market = config / "markets" / "ukpn.toml"
    before, shown, _ = re.split(r"(?s)# \[product.baseline\]|# With measure", market.read_text())
    shown = re.sub(r"(?m)^# (?=\[|[a-z_]+ = )", "", shown)
    market.write_text(f"{before.replace(BASELINE, '#')}\n[product.baseline]{shown}")
    product = read_market(market).product[0].to_product()
    assert product.baseline == BaselineRule(BaselineMethod.BL01)
    assert product.performance == Performance(
        utilisation=FactorRule(Measure.DELIVERY, Over.EVENT, Decimal("0.05"), Decimal(3)),
        availability=FactorRule(Measure.DELIVERY, Over.MONTH_BEFORE, Decimal(0), Decimal(1)),
    )


@pytest.mark.parametrize(
    ("baseline", "field", "allowed"),
    [
        ("{ method = 'bl01', not_nominated = 'zero' }", "not_nominated", "with the method nominated only"),
        ("{ method = 'nominated', not_nominated = 'nominated' }", "not_nominated", "another method: bl01"),
        ("{ method = 'nominated', not_nominated = 'fixed' }", "profile_kw", "48 half-hours of a day"),
        ("{ method = 'nominated', not_nominated = 'bl01', calendar = 'x' }", "calendar", "ISO 3166"),
    ],
)
def test_what_counts_where_nothing_was_nominated_is_a_whole_rule(config, baseline, field, allowed):
    market = config / "markets" / "ukpn.toml"
    edit(market, (f"\n{BASELINE}", f"\nbaseline = {baseline}"))
    with pytest.raises(BadMessage) as bad:
        read_market(market)
    assert f"product[0].baseline.{field}" in bad.value.faults[0].where
    assert allowed in bad.value.faults[0].allowed


def test_rules_survive_being_remembered(config):
    edit(config / "markets" / "ukpn.toml", (BASELINE, factor()))
    settings = read_settings(config / "gateway.toml")
    again = Settings(**as_text(json.loads(settings.model_dump_json())))
    assert again.products == settings.products
