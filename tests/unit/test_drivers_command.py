"""Who may use the drivers' door, from the command line; where the door may be."""

import json
import socket
from datetime import UTC, datetime

import pytest

from aggregator.cli import run
from aggregator.config import read_settings
from aggregator.demo.day import DATA
from aggregator.files.fleet import read_fleet
from aggregator.model.drivers import Topic, V2g, Word
from aggregator.model.errors import BadMessage
from aggregator.said import UNTOLD, DriversSaid
from aggregator.serving import listener_of
from aggregator.store import open_store
from tests.builders import NOON, a_fleet
from tests.fakes.clock import FakeClock
from tests.unit.config_steps import CONFIG, a_config, edit, faults_of

LISTEN = '# [drivers] # the drivers\' door; shut without it\n# listen = "127.0.0.1:8085"'


@pytest.fixture
def url(tmp_path):
    url = f"sqlite:///{tmp_path / 'flexloop.db'}"
    with open_store(url, create=True) as store:
        store.fleet.replace(a_fleet(2), NOON, "fleet")
    return url


def test_a_token_is_printed_once_listed_without_its_secret_and_revoked(url, capsys):
    assert run(["drivers", "token", "car-1", "--database", url, "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert (made["car_id"], made["revoked_at"]) == ("car-1", None)
    assert run(["drivers", "token", "car-1", "--database", url]) == 0
    (other,) = capsys.readouterr().out.splitlines()
    with open_store(url, create=False) as store:
        assert [store.tokens.check(text).car_id for text in (made["token"], other)] == ["car-1", "car-1"]
    assert run(["drivers", "list", "--database", url]) == 0
    listed = capsys.readouterr().out
    assert made["token_id"] in listed
    assert made["token"].rsplit("_", 1)[1] not in listed
    assert run(["drivers", "revoke", made["token_id"], "--database", url]) == 0
    assert "revoked" in capsys.readouterr().out
    with open_store(url, create=False) as store:
        assert store.tokens.check(made["token"]) is None
        assert store.tokens.check(other) is not None
    assert run(["drivers", "revoke", "car-1", "--database", url]) == 0
    with open_store(url, create=False) as store:
        assert store.tokens.check(other) is None
        rows = store.desk_trail.all()
        assert store.desk_trail.verify().holds
    assert {(row.action, row.subject, row.via) for row in rows} == {("token", "car-1", "command line")}
    assert [row.said.rpartition(" ")[2] for row in rows] == [
        "driver",
        "driver",
        "revoked",
        "already",
        "revoked",
    ]
    assert all(made["token_id"] in row.said for row in rows if rows.index(row) in (0, 2, 3))
    assert not any(made["token"].rsplit("_", 1)[1] in row.said for row in rows)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["token", "car-9"], "drivers token: CAR: 'car-9' is not allowed; the id of a car in the fleet"),
        (["revoke", "nobody"], "drivers revoke: TOKEN|CAR: 'nobody' is not allowed"),
    ],
)
def test_what_is_not_there_is_told_in_one_line(url, capsys, words, said):
    assert run(["drivers", *words, "--database", url]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


def test_the_door_is_shut_unless_configured_and_every_key_shown_is_known(tmp_path):
    settings = read_settings(CONFIG / "gateway.toml")
    assert listener_of(settings.drivers, "drivers") is None
    config = a_config(tmp_path)
    text = (config / "gateway.toml").read_text()
    start = text.index("# [drivers]")
    block = text[start : text.index("[fleet]")]
    shown = "\n".join(line.removeprefix("# ") for line in block.splitlines())
    (config / "gateway.toml").write_text(text.replace(block, f"{shown}\n"))
    drivers = read_settings(config / "gateway.toml").drivers
    assert (drivers.listen, drivers.behind_tls_proxy, drivers.requests_per_minute) == (
        "127.0.0.1:8085",
        True,
        60,
    )
    assert drivers.tls_certificate == config / "door.pem"
    assert drivers.miles_per_kwh == 3.33


def test_serve_ends_with_2_and_one_line_where_the_door_s_port_is_in_use(url, monkeypatch, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        monkeypatch.setenv("FLEXLOOP_DRIVERS__LISTEN", address)
        assert run(["serve", "--config", str(CONFIG / "gateway.toml"), "--database", url]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"flexloop: drivers.listen: '{address}' is not allowed; an address that is free")


def test_the_forecast_counts_on_no_car_with_v2g_off(tmp_path, capsys):
    url, at = f"sqlite:///{tmp_path / 'flexloop.db'}", datetime(2025, 1, 7, 12, tzinfo=UTC)
    arguments = ["forecast", "--config", str(CONFIG / "gateway.toml"), "--database", url, "--json"]
    arguments += ["--zone", "Canvey", "--date", "2025-01-08"]
    fleet = read_fleet(DATA / "fleet.csv")
    found = []
    with open_store(url, create=True) as store:
        store.fleet.replace(fleet, at, "fleet.csv")
        assert run(arguments) == 0
        found.append(json.loads(capsys.readouterr().out)["zones"][0]["slots"])
        said = DriversSaid(store, FakeClock(at))
        for car in fleet.in_zone("Canvey"):
            said.say(Word(car.car_id, Topic.V2G, 0, UNTOLD, "token", V2g(on=False)), 0)
        assert run(arguments) == 0
        found.append(json.loads(capsys.readouterr().out)["zones"][0]["slots"])
    most = [max(row["discharge_kw_p90"] for row in rows) for rows in found]
    assert most[0] > 20
    assert most[1] == 0


@pytest.mark.parametrize("address", ["0.0.0.0:8085", "192.0.2.7:8085", "[::]:8085"])
def test_away_from_loopback_a_token_is_never_taken_in_the_clear(tmp_path, address):
    config = a_config(tmp_path)
    (line,) = faults_of(config, (LISTEN, f'[drivers]\nlisten = "{address}"'))
    assert line.startswith(f"gateway.toml: drivers.listen: '{address}' is not allowed; a loopback address")
    edit(config / "gateway.toml", ("[drivers]", "[drivers]\nbehind_tls_proxy = true"))
    assert read_settings(config / "gateway.toml").drivers.listen == address


@pytest.mark.parametrize(
    ("keys", "where"),
    [
        ('tls_certificate = "a.pem"', "drivers.tls_key"),
        ('tls_key = "a.key"', "drivers.tls_certificate"),
        ("requests_per_minute = 0", "drivers.requests_per_minute"),
        ("miles_per_kwh = 0.5", "drivers.miles_per_kwh"),
        ('listen = "example.org:80"', "drivers.listen"),
        ("tokens = 3", "drivers.tokens"),
    ],
)
def test_what_is_wrong_with_it_is_told(tmp_path, keys, where):
    (line,) = faults_of(a_config(tmp_path), (LISTEN, f"[drivers]\n{keys}"))
    assert line.startswith(f"gateway.toml: {where}: ")


def test_a_certificate_that_cannot_be_used_stops_the_start(tmp_path):
    config = a_config(tmp_path)
    (config / "a.pem").write_text("no certificate")
    keys = 'listen = "127.0.0.1:0"\ntls_certificate = "a.pem"\ntls_key = "b.pem"'
    edit(config / "gateway.toml", (LISTEN, f"[drivers]\n{keys}"))
    with pytest.raises(BadMessage, match=r"drivers\.tls_certificate: .*a\.pem' is not allowed"):
        listener_of(read_settings(config / "gateway.toml").drivers, "drivers")
