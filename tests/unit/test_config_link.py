"""A link by https is whole or refused: half of it would look secure."""

import math
import re
import shutil
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from aggregator.config import read_settings
from aggregator.model.errors import BadMessage
from tests.protocol.signing import an_identity

CONFIG = Path(__file__).parents[2] / "config"
HTTP = 'url = "http://127.0.0.1:8090/OpenADR2/Simple/2.0b"'
HTTPS = 'url = "https://dso.example/OpenADR2/Simple/2.0b"'
FINGERPRINT = ":".join(["0a"] * 10)
WHOLE = {"certificate": "ven.pem", "key": "ven.key", "vtn_fingerprint": FINGERPRINT}


@pytest.fixture
def vtn(tmp_path):
    """Return a function that reads the packaged configuration with these keys in ``[vtn]``."""
    shutil.copytree(CONFIG, tmp_path / "config")
    gateway = tmp_path / "config" / "gateway.toml"
    gateway.write_text(re.sub(r"(?m)^history = .*$", "", gateway.read_text()))
    cert, key = an_identity("ven").files(tmp_path)
    market = tmp_path / "config" / "markets" / "ukpn.toml"
    shutil.move(cert, market.parent / "ven.pem")
    shutil.move(key, market.parent / "ven.key")
    (market.parent / "other.key").write_bytes(an_identity("other").key)
    text = re.sub(r"(?m)^replay_.*$", "", market.read_text())
    assert HTTP in text

    def reading(url=HTTPS, **keys):
        lines = "\n".join(
            f'{name} = "{value}"' if isinstance(value, str) else f"{name} = {value}"
            for name, value in keys.items()
        )
        market.write_text(text.replace(HTTP, f"{url}\n{lines}"))
        return read_settings(gateway).market[0].vtn

    return reading


def faults_of(read, **keys):
    with pytest.raises(BadMessage) as refusal:
        read(**keys)
    return [str(fault) for fault in refusal.value.faults]


def test_https_with_all_it_needs_is_taken(vtn):
    said = vtn(**WHOLE)
    assert said.vtn_fingerprint == FINGERPRINT.upper()
    assert said.certificate.is_file()
    assert (said.replay_back_s, said.replay_ahead_s) == (60, 60)
    assert vtn(**WHOLE | {"vtn_fingerprint": ":".join(["0A"] * 32)}).vtn_fingerprint == ":".join(["0A"] * 32)


def test_http_needs_none_of_it(vtn):
    assert vtn(HTTP).certificate is None
    assert vtn(HTTP, **WHOLE).key.is_file()
    assert vtn(HTTP, vtn_fingerprint=FINGERPRINT).vtn_fingerprint == FINGERPRINT.upper()


@pytest.mark.parametrize("missing", [["certificate"], ["key"], ["vtn_fingerprint"], list(WHOLE)])
def test_https_names_all_that_is_missing(vtn, missing):
    lines = faults_of(vtn, **{name: value for name, value in WHOLE.items() if name not in missing})
    assert lines == [
        f"ukpn.toml: vtn.{name}: '(missing)' is not allowed; stated, as url is https" for name in missing
    ]


@pytest.mark.parametrize(("stated", "missing"), [("certificate", "key"), ("key", "certificate")])
def test_a_certificate_and_its_key_go_together_by_http_too(vtn, stated, missing):
    (line,) = faults_of(vtn, url=HTTP, **{stated: WHOLE[stated]})
    assert line.startswith(
        f"ukpn.toml: vtn.{missing}: '(missing)' is not allowed; stated, as a certificate and"
    )


@pytest.mark.parametrize(
    ("keys", "where", "allowed"),
    [
        ({"key": "other.key"}, "vtn.key: 'other.key (", "the certificate's own key"),
        ({"key": "ven.pem"}, "vtn.key: 'ven.pem (", "both in PEM"),
        ({"certificate": "ukpn.toml"}, "vtn.key: 'ven.key (", "both in PEM"),
        ({"key": "none.key"}, "vtn.key: 'none.key'", "a file that exists"),
        ({"vtn_fingerprint": "0a:0b"}, "vtn.vtn_fingerprint: '0a:0b'", "10 or 32 pairs of hex digits"),
        ({"vtn_fingerprint": FINGERPRINT.replace(":", "")}, "vtn.vtn_fingerprint", "10 or 32 pairs"),
        ({"vtn_fingerprint": ""}, "vtn.vtn_fingerprint: ''", "10 or 32 pairs"),
        ({"replay_back_s": 0}, "vtn.replay_back_s: '0'", "greater than 0"),
        ({"replay_ahead_s": math.inf}, "vtn.replay_ahead_s: 'inf'", "finite"),
    ],
)
def test_what_is_wrong_with_it_is_one_line(vtn, keys, where, allowed):
    (line,) = faults_of(vtn, **WHOLE | keys)
    assert line.startswith(f"ukpn.toml: {where}")
    assert allowed in line


def test_a_key_with_a_passphrase_asks_nobody(vtn, tmp_path):
    key = serialization.load_pem_private_key(an_identity("ven").key, None)
    locked = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"x"),
    )
    (tmp_path / "config" / "markets" / "locked.key").write_bytes(locked)
    (line,) = faults_of(vtn, **WHOLE | {"key": "locked.key"})
    assert "without a passphrase" in line
