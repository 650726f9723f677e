from pathlib import Path
from typing import get_args

import pytest

from market_adapters.dno_simulator.book import Bid, Book, PriceStep
from market_adapters.dno_simulator.edge import BadFile
from market_adapters.dno_simulator.faults import Failure
from market_adapters.dno_simulator.main import run
from market_adapters.dno_simulator.market import orders
from market_adapters.dno_simulator.notices import notices
from market_adapters.dno_simulator.ordering import Form
from market_adapters.dno_simulator.scenario import Call, Requirement, Scenario, read_scenario

EXAMPLES = Path(__file__).parents[2] / "config"
HEAD = """
vtn_id = "DSO-Demo"
market_context = "http://dso.example/flex"
poll_interval_s = 0.25
starts_at = "2025-01-07T13:00:00Z"
ends_at = 2025-01-09T10:30:00Z
penalty_gbp_per_mwh = 600.0
"""
REQUIREMENT = """
[[requirement]]
id = "REQ-HW"
zone = "Hendon Way"
product = "day-ahead"
start = "2025-01-08T17:00:00Z"
end = "2025-01-08T19:00:00Z"
kw = 30.0
ceiling_gbp_per_mwh = 598.0
publish_at = "2025-01-07T14:00:00Z"
gate_closure_at = "2025-01-07T16:00:00Z"
award_at = "2025-01-07T16:30:00Z"
dispatch_at = "2025-01-08T15:00:00Z"
"""


def faults(folder: Path, text: str) -> list[str]:
    file = folder / "scenario.toml"
    file.write_text(text)
    with pytest.raises(BadFile) as error:
        read_scenario(file)
    return list(error.value.faults)


def test_a_scenario_is_read(tmp_path: Path) -> None:
    file = tmp_path / "scenario.toml"
    extra = (
        'amend = [{ at = "2025-01-08T17:30:00Z", scale = [1.0, 0.5] }]\ncancel_at = "2025-01-08T18:00:00Z"\n'
    )
    peak = '[[peak]]\nid = "P"\nzones = ["A", "B"]\nstart = "2025-01-08T16:00:00+00:00"\n'
    peak += 'end = "2025-01-08T20:00:00+01:00"\nlevel = 2\npublish_at = "2025-01-07T13:00:00Z"\n'
    fail = '[[fail]]\nfrom = "2025-01-08T16:00:00Z"\nto = "2025-01-08T16:10:00Z"\nkind = "http500"\n'
    file.write_text(HEAD + REQUIREMENT + extra + peak + fail)
    scenario = read_scenario(file)
    (requirement,) = scenario.requirement
    assert requirement.needed_kw == (30.0,) * 4
    assert len(requirement.slots) == 4
    assert scenario.penalty_of(requirement) == 600.0
    assert scenario.peak[0].end.hour == 19


def test_the_award_of_a_scheduled_need_is_its_order_and_no_dispatch_follows(tmp_path: Path) -> None:
    file = tmp_path / "scenario.toml"
    dispatch = REQUIREMENT.splitlines()[-1]
    file.write_text(HEAD + REQUIREMENT.replace(dispatch, "scheduled = true"))
    scenario = read_scenario(file)
    (need,) = scenario.requirement
    bid = Bid("B:1", 1, (PriceStep((20.0,) * 4, (596.0,) * 4, (0.0,) * 4),), need.publish_at)
    book = Book(scenario, bids={need.id: [bid]})
    assert orders(need, book, need.publish_at) == ()
    (order,) = orders(need, book, need.award_at)
    assert (order.at, order.kw, order.cancelled) == (need.award_at, bid.kw, False)
    assert [notice.id for notice in notices(scenario, book, need.start)] == ["REQ-HW", "AWD-REQ-HW"]
    (fault,) = faults(tmp_path, HEAD + REQUIREMENT + "scheduled = true\n")
    assert "none where scheduled is true" in fault


def test_every_fault_is_named_with_file_field_value_and_what_is_allowed(tmp_path: Path) -> None:
    text = HEAD.replace("0.25", "0.0") + REQUIREMENT.replace("30.0", "nan").replace(
        '"2025-01-08T17:00:00Z"', '"17:00"'
    )
    text = text.replace('"2025-01-07T14:00:00Z"', "2025-01-07T14:00:00") + 'colour = "red"\n'
    lines = faults(tmp_path, text)
    assert [line.split(": ")[1] for line in lines] == [
        "poll_interval_s",
        "requirement[0].start",
        "requirement[0].kw[0]",
        "requirement[0].publish_at",
        "requirement[0].colour",
    ]
    assert all(line.startswith("scenario.toml: ") for line in lines)
    assert lines[1] == (
        "scenario.toml: requirement[0].start: '17:00' is not allowed; a time such as 2025-01-07T13:00:00Z"
    )
    assert "a time with its zone" in lines[3]
    assert lines[4] == "scenario.toml: requirement[0].colour: 'red' is not allowed; there is no such field"


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ("kw = 30.0", "kw = [30.0, 30.0]", "requirement[0].kw"),
        ("kw = 30.0", "kw = -1.0", "requirement[0].kw[0]"),
        ("kw = 30.0", "kw = true", "requirement[0].kw[0]"),
        ("kw = 30.0", "kw = inf", "requirement[0].kw[0]"),
        ("kw = 30.0", "kw = 30.0\nslot_minutes = 50", "requirement[0].slot_minutes"),
        ("kw = 30.0", "kw = 30.0\naccept_fraction = 1.1", "requirement[0].accept_fraction"),
        ("kw = 30.0", "kw = 30.0\ntick_kw = 0", "requirement[0].tick_kw"),
        ("kw = 30.0", 'kw = 30.0\ncancel_at = "2025-01-08T19:00:00Z"', "requirement[0].cancel_at"),
        (
            "kw = 30.0",
            'kw = 30.0\namend = [{ at = "2025-01-08T14:00:00Z", kw = 1.0 }]',
            "requirement[0].amend[0].at",
        ),
        (
            "kw = 30.0",
            'kw = 30.0\namend = [{ at = "2025-01-08T16:00:00Z" }]',
            "requirement[0].amend[0].scale",
        ),
        (
            "kw = 30.0",
            'kw = 30.0\namend = [{ at = "2025-01-08T16:00:00Z", kw = [1, 1, 1, 1, 1] }]',
            "requirement[0].amend[0]",
        ),
        ('end = "2025-01-08T19', 'end = "2025-01-08T17', "requirement[0].end"),
        (
            'gate_closure_at = "2025-01-07T16',
            'gate_closure_at = "2025-01-07T14',
            "requirement[0].gate_closure_at",
        ),
        ('award_at = "2025-01-07T16:30', 'award_at = "2025-01-07T15:30', "requirement[0].award_at"),
        ('dispatch_at = "2025-01-08T15', 'dispatch_at = "2025-01-08T19', "requirement[0].dispatch_at"),
        ('id = "REQ-HW"', 'id = ""', "requirement[0].id"),
        ('id = "REQ-HW"', "id = 7", "requirement[0].id"),
        (
            "starts_at",
            'telemetry = { from = "2025-01-08T17:30:00Z", to = "2025-01-08T20:00:00Z" }\nstarts_at',
            "telemetry",
        ),
        ("ends_at = 2025-01-09", "ends_at = 2025-01-06", "ends_at"),
        ("ends_at = 2025-01-09T10:30:00Z", "ends_at = 2025-01-09", "ends_at"),
        ("ends_at = 2025-01-09T10:30:00Z", "ends_at = 1736500000", "ends_at"),
    ],
)
def test_what_is_refused(tmp_path: Path, old: str, new: str, field: str) -> None:
    text = HEAD + REQUIREMENT
    assert old in text
    lines = faults(tmp_path, text.replace(old, new, 1))
    assert field in [line.split(": ")[1] for line in lines]


def test_the_examples_can_be_played_and_name_every_key_and_fault() -> None:
    for name in ("dno.example.toml", "dno.broken.example.toml"):
        read_scenario(EXAMPLES / name)
    text = (EXAMPLES / "dno.broken.example.toml").read_text()
    kinds = get_args(Failure.model_fields["kind"].annotation)
    assert [kind for kind in kinds if kind not in text] == []
    fields = [*Scenario.model_fields, *Call.model_fields, *Form.model_fields, *Requirement.model_fields]
    assert [field for field in fields if field.rstrip("_") not in text] == []


def test_an_id_used_twice_is_refused(tmp_path: Path) -> None:
    assert faults(tmp_path, HEAD + REQUIREMENT + REQUIREMENT) == [
        "scenario.toml: requirement.id: 'REQ-HW' is not allowed; each id once"
    ]


def test_several_faults_of_one_requirement_come_together(tmp_path: Path) -> None:
    text = REQUIREMENT.replace('"2025-01-07T16:30', '"2025-01-07T15:30').replace("30.0", "[1.0, 2.0]")
    assert len(faults(tmp_path, HEAD + text)) == 2


def test_running_on_wrong_input_says_why_and_returns_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scenario = tmp_path / "scenario.toml"
    scenario.write_text(HEAD.replace("0.25", '"soon"'))
    assert run(scenario, "127.0.0.1:0", tmp_path / "out") == 2
    scenario.write_text(HEAD)
    assert run(scenario, "nowhere", tmp_path / "out") == 2
    assert run(tmp_path / "none.toml", "127.0.0.1:0", tmp_path / "out") == 2
    (tmp_path / "file").write_text("")
    assert run(scenario, "127.0.0.1:0", tmp_path / "file") == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(":")[0] for line in lines[:3]] == ["scenario.toml", "listen", "none.toml"]
    assert len(lines) == 4
