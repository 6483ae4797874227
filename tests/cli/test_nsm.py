"""``trionitro nsm``, in this process, beside an emulated module."""

from __future__ import annotations

import base64
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cbor2
import pytest

from tests.nsm_servers import serving_elsewhere
from trionitro._cli import main
from trionitro.abc import NsmDevice
from trionitro.nsm import NSM_VARIABLE, ZERO_PCR, extend, measure_instance
from trionitro.testing import BootMeasurements, NsmEmulator

Run = Callable[..., tuple[int, bytes, str]]


class Babbler(NsmDevice):
    """No security module."""

    async def process(self, request: bytes) -> bytes:
        """Answer nonsense."""
        return b"\xffbla"


@pytest.fixture(name="path")
def _path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    path = str(tmp_path / "nsm.sock")
    monkeypatch.setenv(NSM_VARIABLE, f"unix:{path}")
    with serving_elsewhere(NsmEmulator(), path):
        yield path


@pytest.fixture(name="run")
def _run(capfdbinary: pytest.CaptureFixture[bytes]) -> Run:
    def run(*args: str) -> tuple[int, bytes, str]:
        """Run ``trionitro nsm`` and return exit code, standard output and error."""
        with pytest.raises(SystemExit) as ended:
            main(["nsm", *args])
        out, err = capfdbinary.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, out, err.decode()

    return run


def ask_json(run: Run, *args: str) -> dict[str, Any]:
    code, out, err = run(*args, "--json")
    assert (code, err) == (0, "")
    answer: dict[str, Any] = json.loads(out)
    return answer


def said_by(document: bytes) -> dict[str, Any]:
    said: dict[str, Any] = cbor2.loads(cbor2.loads(document)[2])
    return said


def check_one_line(err: str, *words: str) -> None:
    assert len(err.splitlines()) == 1, err
    for word in words:
        assert word in err


def test_describe_tells_who_and_what_is_locked(path: str, run: Run) -> None:
    code, out, err = run("describe")

    assert (code, err) == (0, "")
    lines = dict(line.split(maxsplit=1) for line in out.decode().splitlines())
    assert lines["module"] == "id    i-0123456789abcdef0-enc0123456789abcdef"
    assert lines["PCRs"] == "32, SHA384"
    assert lines["locked"] == "0-15"


def test_describe_as_json(path: str, run: Run) -> None:
    assert ask_json(run, "describe") == {
        "module_id": "i-0123456789abcdef0-enc0123456789abcdef",
        "version": "1.0.0",
        "digest": "SHA384",
        "max_pcrs": 32,
        "locked_pcrs": list(range(16)),
    }


def test_a_pcr_is_shown_with_what_it_measures(path: str, run: Run) -> None:
    code, out, _ = run("pcr", "4")

    assert code == 0
    text = out.decode()
    assert measure_instance("i-0123456789abcdef0").hex() in text
    assert "the instance id of the parent" in text
    assert "kms:RecipientAttestation:PCR4" in text


def test_a_zero_says_that_nothing_was_measured(path: str, run: Run) -> None:
    assert b"all zeros: there was nothing to measure" in run("pcr", "8")[1]


def test_a_zero_image_says_debug_mode(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(tmp_path / "nsm.sock")
    emulator = NsmEmulator(BootMeasurements(debug_mode=True))
    with serving_elsewhere(emulator, path):
        assert b"debug mode" in run("pcr", "0", "--nsm", f"unix:{path}")[1]


def test_extending_and_locking_show_what_came_of_it(path: str, run: Run) -> None:
    value = extend(ZERO_PCR, b"\1\2\3").hex()
    shown = {
        "index": 16,
        "value": value,
        "measures": "what the application extends it with",
    }

    assert ask_json(run, "extend", "16", "010203") == shown | {"locked": False}
    assert ask_json(run, "lock", "16") == shown | {"locked": True}
    assert ask_json(run, "pcr", "16") == shown | {"locked": True}
    assert value.encode() in run("pcr", "16")[1]


def test_a_range_is_locked(path: str, run: Run) -> None:
    run("lock", "19")

    assert run("lock-range", "18")[1] == b"locked       0-17, 19\n"
    assert ask_json(run, "lock-range", "0") == {"locked_pcrs": [*range(18), 19]}


def test_random_bytes_are_raw_where_nobody_looks(path: str, run: Run) -> None:
    code, out, _ = run("random", "1000")

    assert code == 0
    assert len(out) == 1000
    assert len(bytes.fromhex(ask_json(run, "random", "7")["random"])) == 7


def test_on_a_terminal_bytes_are_text(
    path: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.TextIOWrapper):
        def isatty(self) -> bool:
            return True

    terminal = Terminal(io.BytesIO())
    monkeypatch.setattr(sys, "stdout", terminal)

    run("random", "8")
    run("attest")

    terminal.seek(0)
    entropy, document = terminal.read().splitlines()
    assert len(bytes.fromhex(entropy)) == 8
    assert said_by(base64.b64decode(document))["digest"] == "SHA384"


def test_a_document_carries_what_was_given(path: str, run: Run, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_bytes(b"\0key")
    options = ("--user-data", "00ff", "--nonce", "", "--public-key", str(key))

    code, out, err = run("attest", *options)

    assert (code, err) == (0, "")
    said = said_by(out)
    fields = (said["user_data"], said["nonce"], said["public_key"])
    assert fields == (b"\x00\xff", b"", b"\0key")


def test_a_document_goes_to_a_file_or_into_json(
    path: str, run: Run, tmp_path: Path
) -> None:
    file = tmp_path / "document.bin"

    assert run("attest", "-o", str(file)) == (0, b"", "")
    assert said_by(file.read_bytes())["nonce"] is None
    document = ask_json(run, "attest", "--nonce", "01")["document"]
    assert said_by(base64.b64decode(document))["nonce"] == b"\1"


def test_where_there_is_no_device_one_line_says_how_to_emulate_one(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    if os.path.exists("/dev/nsm"):  # noqa: PTH110
        pytest.skip("this is an enclave, or something like it")
    monkeypatch.delenv(NSM_VARIABLE, raising=False)

    code, out, err = run("describe")

    assert (code, out) == (1, b"")
    check_one_line(err, "/dev/nsm", "not an enclave", "nsm emulate --listen unix:")


def test_where_nobody_listens_one_line_says_what_to_start(
    run: Run, tmp_path: Path
) -> None:
    code, _, err = run("random", "1", "--nsm", f"unix:{tmp_path}/x.sock")

    assert code == 1
    check_one_line(err, f"unix:{tmp_path}/x.sock", "nsm emulate")


def test_a_file_that_is_no_device_is_one_line(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "nsm"
    file.touch()

    code, _, err = run("describe", "--nsm", str(file))

    assert code == 1
    check_one_line(err, str(file), "not a security module")


def test_an_answer_that_makes_no_sense_is_one_line(run: Run, tmp_path: Path) -> None:
    path = str(tmp_path / "nsm.sock")
    with serving_elsewhere(Babbler(), path):
        code, _, err = run("describe", "--nsm", f"unix:{path}")

    assert code == 1
    check_one_line(err, "makes no sense", "is it one?")


def test_a_refusal_is_one_line(path: str, run: Run) -> None:
    code, _, err = run("extend", "3", "00")

    assert code == 1
    check_one_line(err, "ExtendPCR", "ReadOnlyIndex", "locked")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["pcr", "32"], ["32", "31"]),
        (["pcr", "x"], ["'x'"]),
        (["pcr"], ["N"]),
        (["extend", "16", "0x00"], ["'0x00'", "00ff"]),
        (["extend", "16", "abc"], ["'abc'", "00ff"]),
        (["extend", "16", "00" * 4090], ["4096"]),
        (["lock", "-1"], ["-1"]),
        (["lock-range", "33"], ["33", "32"]),
        (["random", "-1"], ["-1"]),
        (["random", "many"], ["'many'"]),
        (["attest", "--nonce", "xy"], ["--nonce", "'xy'"]),
        (["attest", "--user-data", "00" * 1025], ["user_data", "1025", "1024"]),
        (["attest", "--public-key", "/no/such/key"], ["/no/such/key"]),
        (["attest", "--public-key", "/usr"], ["/usr", "directory"]),
        (["attest", "--public-key", sys.executable], [sys.executable, "1024"]),
        (["describe", "--nsm", "moon"], ["--nsm", "'moon'", "unix:/tmp/nsm.sock"]),
        (["dance"], ["dance"]),
    ],
    ids=lambda value: " ".join(value)[:40],
)
def test_a_mistake_is_one_line_and_exits_2(
    path: str, run: Run, arguments: list[str], words: list[str]
) -> None:
    code, out, err = run(*arguments)

    assert (code, out) == (2, b"")
    check_one_line(err, *words)


def test_a_wrong_environment_is_a_mistake_too(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(NSM_VARIABLE, "moon")

    code, _, err = run("describe")

    assert code == 2
    check_one_line(err, NSM_VARIABLE, "'moon'")


def test_a_file_that_can_t_be_written_is_one_line(
    path: str, run: Run, tmp_path: Path
) -> None:
    code, _, err = run("attest", "-o", str(tmp_path / "no/such/file"))

    assert code == 1
    check_one_line(err, "no/such/file", "choose another")


def test_a_reader_that_is_gone_is_one_line(path: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)

    done = subprocess.run(
        [sys.executable, "-m", "trionitro", "nsm", "random", "100000"],
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        timeout=20,
        check=False,
    )
    os.close(writing)

    assert done.returncode == 1
    check_one_line(done.stderr, "standard output")
