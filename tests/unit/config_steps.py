"""A configuration of its own for a test, and what it is faulted for."""

import re
import shutil
from pathlib import Path

import pytest

from aggregator.config import read_settings
from aggregator.model.errors import BadMessage

CONFIG = Path(__file__).parents[2] / "config"
DAY_AHEAD = 'product_id = "day-ahead"'
BASELINE = 'baseline = "nominated"'


def factor(**changes):
    """Return a factor on the payment for energy, with these keys; a baseline ahead of it."""
    keys = {"measure": "'delivery'", "over": "'event'", "grace": "0.05", "multiplier": "3"} | changes
    stated = ", ".join(f"{key} = {value}" for key, value in keys.items())
    return f"{BASELINE}\nperformance = {{ utilisation = {{ {stated} }} }}"


def a_config(tmp_path):
    """Return a copy of the packaged configuration, with no history."""
    shutil.copytree(CONFIG, tmp_path / "config")
    path = tmp_path / "config" / "gateway.toml"
    path.write_text(re.sub(r"(?m)^(# )?history = .*$", '# history = "sessions.csv"', path.read_text()))
    return tmp_path / "config"


def edit(path, *changes):
    text = path.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    path.write_text(text)


def faults_of(config, *changes, market=(), database=None):
    """Return the faults of the configuration with these replacements, as lines."""
    edit(config / "gateway.toml", *changes)
    edit(config / "markets" / "ukpn.toml", *market)
    with pytest.raises(BadMessage) as refused:
        read_settings(config / "gateway.toml", database)
    lines = [str(fault) for fault in refused.value.faults]
    assert all("\n" not in line for line in lines)
    return lines
