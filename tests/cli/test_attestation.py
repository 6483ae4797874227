from __future__ import annotations

import base64
import datetime as dt
import io
import json
import os
import pty
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.attestation.drafts import MODULE_ID, NOW, PCRS, good_draft
from tests.attestation.real import VERIFYING, RealDocument
from tests.vectors import VECTORS, needs_vectors
from trionitro._cli._attestation_file import to_binary
from trionitro._cli._main import main
from trionitro.testing import AttestationIssuer

DEBUG = PCRS | dict.fromkeys((0, 1, 2), bytes(48))
ISSUER = AttestationIssuer()

#: Exit code, standard output, standard error.
Outcome = tuple[int, str, str]
Run = Callable[..., Outcome]


@pytest.fixture(name="run")
def _run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run ``trionitro attestation`` in this process."""

    def run(*arguments: str | Path) -> Outcome:
        with pytest.raises(SystemExit) as ended:
            main(["attestation", *map(str, arguments)])
        out, err = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        if ended.value.code:
            assert out == ""
            assert len(err.splitlines()) == 1
        return ended.value.code, out, err

    return run


@pytest.fixture(name="root")
def _root(tmp_path: Path) -> Path:
    path = tmp_path / "root.pem"
    path.write_bytes(ISSUER.root_pem)
    return path


@pytest.fixture(name="file")
def _file(tmp_path: Path) -> Path:
    """Return a document that was made just now."""
    path = tmp_path / "document.bin"
    path.write_bytes(ISSUER.issue(MODULE_ID, PCRS, nonce=b"\xab\xcd", user_data=b""))
    return path


@pytest.fixture(name="debug_file")
def _debug_file(tmp_path: Path) -> Path:
    path = tmp_path / "debug.bin"
    path.write_bytes(ISSUER.issue(MODULE_ID, DEBUG))
    return path


def test_show_says_first_that_nobody_has_verified_it(run: Run, file: Path) -> None:
    code, out, _ = run("show", file)

    assert code == 0
    assert out.startswith("NOT VERIFIED")
    for words in (
        f"enclave      {MODULE_ID}",
        "instance     i-0123456789abcdef0",
        "mode         production",
        "algorithm    ES384",
        "public key   null",
        "user data    empty",
        "nonce        2 bytes: abcd",
        f"PCR0   the enclave's image\n       {PCRS[0].hex()}",
        "aws.nitro-enclaves: not AWS's root",
        f"4  {MODULE_ID}.us-east-1.aws",
        "valid now",
        " seconds ago",
    ):
        assert words in out


def test_show_says_debug_mode_in_words(run: Run, debug_file: Path) -> None:
    code, out, _ = run("show", debug_file)

    assert code == 0
    assert "DEBUG: PCR0, PCR1 and PCR2 are zero" in out
    assert "zero   PCR0, PCR1, PCR2\n" in out


def test_show_has_all_of_it_as_json(run: Run, file: Path) -> None:
    code, out, _ = run("show", file, "--json")

    shown = json.loads(out)
    assert code == 0
    assert shown["verified"] is False
    assert shown["module_id"] == MODULE_ID
    assert shown["debug"] is False
    assert shown["pcrs"] == {str(index): pcr.hex() for index, pcr in PCRS.items()}
    assert (shown["nonce"], shown["user_data"], shown["public_key"]) == (
        *("abcd", ""),
        None,
    )
    assert shown["aws_root"] is False
    assert shown["algorithm"] == -35
    assert len(shown["certificates"]) == 5
    assert dt.datetime.fromisoformat(shown["timestamp"]).tzinfo is not None


def test_show_has_nothing_to_do_with_terminals_that_an_enclave_could_wish(
    run: Run, tmp_path: Path
) -> None:
    file = tmp_path / "hostile.bin"
    file.write_bytes(good_draft().with_(module_id="\x1b[2Jgood\n\u202e").signed())

    _, out, _ = run("show", file)

    assert "\x1b" not in out
    assert "\u202e" not in out
    assert "'\\x1b[2Jgood\\n\\u202e'" in out


def test_show_says_what_is_not_yet(run: Run, tmp_path: Path) -> None:
    tomorrow = dt.datetime.now(dt.UTC) + dt.timedelta(days=1, minutes=1)
    issuer = AttestationIssuer(clock=lambda: tomorrow)
    file = tmp_path / "tomorrow.bin"
    file.write_bytes(issuer.issue(MODULE_ID, PCRS))

    _, out, _ = run("show", file)

    assert ", in 24 hours\n" in out
    assert ", not valid yet\n" in out


@needs_vectors
def test_show_shows_what_qemu_has_not_signed(run: Run) -> None:
    file = VECTORS / "attestation/qemu_virtio_nsm_unsigned.bin"

    code, out, _ = run("show", file)
    _, as_object, _ = run("show", file, "--json")

    assert code == 0
    assert "nobody has signed this" in out
    assert "no certificate" in out
    assert "error" in json.loads(as_object)["certificates"][0]


def test_red_is_for_terminals(
    run: Run, debug_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, piped, _ = run("show", debug_file)
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "rb", 0) as screen, os.fdopen(theirs, "w") as terminal:
        monkeypatch.setattr(sys, "stdout", terminal)
        run("show", debug_file)
        shown = screen.read(2**16)

    assert shown.startswith(b"\x1b[31m\x1b[1mNOT VERIFIED")
    assert "\x1b" not in piped


def test_verify_says_so_and_shows_the_document(
    run: Run, file: Path, root: Path
) -> None:
    code, out, _ = run("verify", file, "--root", root)

    assert code == 0
    assert out.startswith("VERIFIED under the root given\n")
    assert f"enclave      {MODULE_ID}" in out


def test_verify_prints_json(run: Run, file: Path, root: Path) -> None:
    code, out, _ = run("verify", file, "--root", root, "--json")

    assert code == 0
    assert json.loads(out)["verified"] is True
    assert json.loads(out)["module_id"] == MODULE_ID


def test_verify_trusts_aws_alone_unless_it_is_told(run: Run, file: Path) -> None:
    code, _, err = run("verify", file)

    assert code == 1
    assert "none of those that are trusted" in err


def forms_of(data: bytes) -> dict[str, bytes]:
    return {
        "binary": data,
        "hexadecimal": data.hex().upper().encode(),
        "lines": "\r\n".join(textwrap.wrap(data.hex())).encode(),
        "base64": base64.b64encode(data),
        "wrapped": base64.encodebytes(data),
        "URL-safe": base64.urlsafe_b64encode(data).rstrip(b"=") + b"\n",
    }


@pytest.mark.parametrize("form", forms_of(b""))
def test_any_form_of_the_document_will_do(
    run: Run, file: Path, root: Path, form: str
) -> None:
    file.write_bytes(forms_of(file.read_bytes())[form])

    code, out, _ = run("verify", file, "--root", root)

    assert code == 0
    assert MODULE_ID in out


@pytest.mark.parametrize("form", forms_of(b""))
def test_a_hyphen_is_standard_input(
    run: Run, file: Path, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = io.BytesIO(forms_of(file.read_bytes())[form])
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(written))

    code, out, _ = run("show", "-")

    assert code == 0
    assert MODULE_ID in out


@given(data=st.binary(max_size=100))
def test_the_forms_are_never_taken_for_each_other(data: bytes) -> None:
    """Of anything that begins as a document does, that is."""
    for document in (b"\x84" + data, b"\xd2\x84" + data):
        assert to_binary(document) == document
        assert to_binary(document.hex().encode()) == document
        assert to_binary(base64.b64encode(document)) == document
        assert to_binary(base64.urlsafe_b64encode(document)) == document


@pytest.mark.parametrize(
    "options",
    [
        ["--pcr0", PCRS[0].hex()],
        [word for index in PCRS for word in (f"--pcr{index}", PCRS[index].hex())],
        ["--nonce", "abcd"],
        ["--nonce", "AB CD"],
        ["--user-data", ""],
        ["--max-age", "600"],
        ["--allow-debug"],
        ["--at", "document"],
        ["--at", "now"],
    ],
    ids=lambda options: " ".join(options)[:20],
)
def test_what_is_asked_for_and_there_is_fine(
    run: Run, file: Path, root: Path, options: list[str]
) -> None:
    code, _, _ = run("verify", file, "--root", root, *options)

    assert code == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--pcr0", "ff" * 48], ["PCR0", PCRS[0].hex(), "ff" * 48]),
        (["--pcr15", "ff" * 48], ["PCR15", PCRS[15].hex()]),
        (["--pcr31", "ff" * 48], ["PCR31 is missing"]),
        (["--nonce", ""], ["nonce", "abcd", "empty"]),
        (["--user-data", "00"], ["user data", "empty", "00"]),
        (["--at", "2020-01-01T00:00:00Z"], ["is valid only from"]),
        (["--at", "2020-01-01"], ["2020-01-01T00:00:00Z"]),
        (["--at", "2048-01-01T00:00:00+01:00"], ["expired", "2047-12-31T23:00:00Z"]),
    ],
    ids=lambda value: " ".join(value)[:20],
)
def test_what_is_asked_for_and_not_there_exits_1(
    run: Run, file: Path, root: Path, options: list[str], words: list[str]
) -> None:
    code, _, err = run("verify", file, "--root", root, *options)

    assert code == 1
    for word in words:
        assert word in err


def test_debug_mode_has_to_be_allowed(run: Run, debug_file: Path, root: Path) -> None:
    refused, _, err = run("verify", debug_file, "--root", root)
    allowed, out, _ = run("verify", debug_file, "--root", root, "--allow-debug")

    assert refused == 1
    assert "debug mode" in err
    assert allowed == 0
    assert "DEBUG" in out


def test_an_old_document_is_as_old_as_it_is(
    run: Run, tmp_path: Path, root: Path
) -> None:
    """Also at its own time, at which it would be no second old."""
    issuer = AttestationIssuer(ISSUER.root, clock=lambda: NOW)
    file = tmp_path / "old.bin"
    file.write_bytes(issuer.issue(MODULE_ID, PCRS))

    known = ("verify", file, "--root", root, "--at", "document")
    passed, out, _ = run(*known)
    refused, _, err = run(*known, "--max-age", "600")

    assert passed == 0
    assert "as of its own timestamp, which may be long ago" in out
    assert refused == 1
    assert "may be 600 seconds old" in err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--pcr0", "xyz"], ["--pcr0", "'xyz'"]),
        (["--pcr0", "ff"], ["PCR0 has 1 bytes", "must have 48"]),
        (["--pcr0", "00" * 48], ["PCR0 is zero in debug mode only"]),
        (["--pcr32", "ff" * 48], ["--pcr32"]),
        (["--nonce", "0"], ["--nonce", "'0'"]),
        (["--at", "noon"], ["--at", "'noon'", "document"]),
        (["--at", "9999-12-31T23:59:59-14:00"], ["--at", "9999"]),
        (["--max-age", "-1"], ["--max-age", "'-1'"]),
        (["--max-age", "inf"], ["max_age", "inf"]),
        (["--root", "/no/such.pem"], ["/no/such.pem", "No such file"]),
        (["--root", "/dev/zero"], ["/dev/zero", "65536 bytes"]),
        (["--root", __file__], [__file__, "BEGIN CERTIFICATE"]),
    ],
    ids=lambda value: " ".join(value)[:20],
)
def test_wrong_options_exit_2(
    run: Run, file: Path, options: list[str], words: list[str]
) -> None:
    code, _, err = run("verify", file, *options)

    assert code == 2
    for word in words:
        assert word in err


@pytest.mark.parametrize("command", ["show", "verify"])
def test_a_file_that_can_t_be_read_exits_2(run: Run, command: str) -> None:
    code, _, err = run(command, "/no/such.bin")

    assert code == 2
    assert "/no/such.bin" in err
    assert "No such file" in err


@pytest.mark.parametrize("command", ["show", "verify"])
@pytest.mark.parametrize("data", [b"", b"hello", b"\x84", b"zz" * 30_000])
def test_what_is_no_document_exits_1(
    run: Run, tmp_path: Path, command: str, data: bytes
) -> None:
    file = tmp_path / "file"
    file.write_bytes(data)

    code, _, err = run(command, file)

    assert code == 1
    assert "not an attestation document" in err


def test_a_file_without_end_is_not_read_to_it(run: Run) -> None:
    code, _, err = run("show", "/dev/zero")

    assert code == 2
    assert "/dev/zero has more than 65536 bytes" in err


@pytest.mark.parametrize("real", VERIFYING, ids=lambda real: real.name)
def test_a_real_document_is_verified_in_its_time_and_refused_today(
    run: Run, real: RealDocument
) -> None:
    debug = ["--allow-debug"] if real.is_debug else []

    today, _, err = run("verify", real.path, *debug)
    then, out, _ = run("verify", real.path, *debug, "--at", "document")

    assert today == 1
    assert f"expired at {real.valid_until:%Y-%m-%dT%H:%M:%SZ}" in err
    assert err.endswith(": --at document\n")
    assert then == 0
    assert out.startswith("VERIFIED under AWS's root")
    assert "aws.nitro-enclaves: AWS's root" in out
