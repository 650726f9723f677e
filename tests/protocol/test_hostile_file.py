"""``openadr read`` of hostile files: a refusal in plain lines or the right reading, and at once."""

import json
import socket
import time

import pytest

from aggregator.cli import run
from market_adapters.openadr.read import read_message
from tests.protocol.hostile.case import CANARY, SECRET, SOUND, Fate
from tests.protocol.hostile.content_cases import content_cases
from tests.protocol.hostile.other_cases import other_cases
from tests.protocol.hostile.signed_cases import VTN, signed_cases
from tests.protocol.hostile.xml_cases import xml_cases
from tests.protocol.signing import an_identity, signed

CASES = [*xml_cases(), *content_cases(), *other_cases()]
SIGNED = [*signed_cases()]
TRAP = "what nobody may read"
MOST_CPU_S = 5.0


@pytest.fixture(scope="module")
def canary():
    """Listen where hostile messages point to."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.setblocking(False)
        yield listener


@pytest.fixture
def read(tmp_path, capsys):
    """Return a function that reads bytes by the command; it returns exit code, JSON and lines."""

    def reading(data, *options):
        path = tmp_path / "message.xml"
        path.write_bytes(data)
        began = time.process_time()
        code = run(["openadr", "read", str(path), *options])
        assert time.process_time() - began < MOST_CPU_S
        out, err = capsys.readouterr()
        lines = err.splitlines()
        assert (code, bool(out), bool(lines)) in {(0, True, False), (2, False, True)}
        assert all(line.startswith("flexloop: ") for line in lines)
        assert TRAP not in out + err
        return code, json.loads(out) if out else None, lines

    return reading


def test_there_are_very_many_and_each_has_a_name():
    names = [case.name for case in (*CASES, *SIGNED)]
    assert len(set(names)) == len(names) >= 400


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_hostile_file(case, read, canary, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text(TRAP)
    address = f"http://127.0.0.1:{canary.getsockname()[1]}/canary"
    data = case.data.replace(CANARY, address.encode()).replace(SECRET, str(secret).encode())
    code, body, _ = read(data)
    assert code == (0 if case.fate is Fate.READ else 2)
    if case.fate is Fate.READ:
        sound = read_message(SOUND)
        assert body == sound | {"events": [sound["events"][0] | dict(case.but)]}
    read(data, "--lenient")
    with pytest.raises(BlockingIOError):
        canary.accept()


@pytest.mark.parametrize("case", SIGNED, ids=[case.name for case in SIGNED])
def test_a_file_with_a_signature_that_proves_nothing(case, read):
    for options in ((), ("--lenient",)):
        code, body, lines = read(case.make(), "--fingerprint", case.trusted, *options)
        if case.in_file is Fate.READ:
            assert (code, body["signature"]) == (0, "verified")
        else:
            (line,) = lines
            assert "Signature" in line


@pytest.mark.parametrize("kind", ["ec", "rsa"])
def test_a_signature_is_verified_by_certificate_or_fingerprint(kind, read, tmp_path):
    who = an_identity(kind=kind)
    cert, _ = who.files(tmp_path)
    data = signed(SOUND, who)
    _, body, _ = read(data)
    assert body["signature"] == "unchecked"
    for option in (("--cert", str(cert)), ("--fingerprint", who.fingerprint.lower())):
        _, body, _ = read(data, *option)
        assert body == read_message(SOUND) | {"signature": "verified"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--fingerprint", "00:11"), "--fingerprint: '00:11' is not allowed; 10 or 32 pairs of hex digits"),
        (("--fingerprint", VTN.fingerprint[1:]), "10 or 32 pairs"),
        (("--cert", "none.pem"), "--cert: 'none.pem: No such file or directory' is not allowed"),
        (("--cert", "{file}"), "a PEM file with a certificate"),
        (("--cert", "{file}", "--fingerprint", VTN.fingerprint), "either --cert or --fingerprint"),
    ],
)
def test_a_wrong_signer_is_one_line(options, said, read, tmp_path):
    file = tmp_path / "message.xml"
    code, _, (line,) = read(SOUND, *(option.format(file=file) for option in options))
    assert code == 2
    assert said in line
