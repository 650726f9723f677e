"""What is refused says what it is: files that are none, another profile, times that have no meaning here."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from aggregator.cli import run
from aggregator.model.errors import BadMessage
from market_adapters.openadr.read import read_message
from market_adapters.openadr.wire import event_faults, parse
from market_adapters.openadr.xmltree import MAX_BYTES, in_short
from tests.protocol.hostile.case import SOUND, swap
from tests.protocol.signing import an_identity, signed

ROOT = Path(__file__).parents[2]


def refused(what):
    with pytest.raises(BadMessage) as refusal:
        read_message(what)
    return refusal.value.faults


def test_a_pipe_is_refused_at_once(tmp_path, capsys):
    os.mkfifo(tmp_path / "pipe.xml")
    assert run(["openadr", "read", str(tmp_path / "pipe.xml")]) == 2
    assert "pipe.xml: 'no regular file' is not allowed" in capsys.readouterr().err


def test_a_file_beyond_the_cap_says_its_own_size(tmp_path):
    path = tmp_path / "large.xml"
    path.write_bytes(b" " * (MAX_BYTES + 1000))
    (fault,) = refused(path)
    assert fault.value == f"{MAX_BYTES + 1000} bytes"


def test_an_output_that_takes_nothing_is_one_line(tmp_path):
    path = tmp_path / "sound.xml"
    path.write_bytes(SOUND)
    with open("/dev/full", "w") as full:  # noqa: PTH123 - a device
        command = [sys.executable, "-m", "aggregator", "openadr", "read", str(path)]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, cwd=ROOT, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "flexloop: stdout: 'No space left on device' is not allowed; a place with space left"
    ]


def test_a_message_of_profile_a_is_called_so():
    (fault,) = refused(SOUND.replace(b"oadr-2.0b", b"oadr-2.0a"))
    assert "OpenADR 2.0a" in fault.value


def test_an_end_beyond_the_calendar_names_its_duration_alone():
    faults = refused(
        swap("<dtstart><date-time>2025-01-15T17:00:00.000000Z", "<dtstart><date-time>9999-12-31T23:30:00Z")
    )
    assert [(fault.where.rpartition("eiActivePeriod.")[2], fault.value) for fault in faults[:1]] == [
        ("properties.duration.duration", "PT1H")
    ]


@pytest.mark.parametrize("text", ["PT0.0000001S", "PT0.0000004S"])
def test_less_than_a_microsecond_is_not_open_ended(text):
    (fault,) = event_faults(parse(swap("<duration><duration>PT1H<", f"<duration><duration>{text}<")).body)
    assert (fault.value, "microsecond" in fault.allowed) == (text, True)


def test_a_signed_message_holds_no_processing_instruction():
    data = signed(SOUND, an_identity())
    assert parse(data).signed
    for place in (b"DSP-1<", b"<ei:vtnID"):
        (fault,) = refused(data.replace(place, b"<?x y?>" + place))
        assert fault.value == "a processing instruction"


def test_many_faults_are_told_in_short():
    names = ["<ei:interval/>" for _ in range(9)]
    faults = event_faults(parse(swap("<ei:interval>", "".join(names) + "<ei:interval>")).body)
    assert in_short(faults).endswith(f"and {len(faults) - 3} more")
