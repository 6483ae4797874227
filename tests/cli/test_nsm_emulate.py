"""``trionitro nsm emulate``, as the process it is."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tests.vectors import needs_vectors, vectors
from trionitro._cli import main
from trionitro.attestation import At, parse_roots, verify_attestation
from trionitro.nsm import (
    Nsm,
    UnixNsm,
    measure_certificate,
    measure_instance,
    measure_role,
)
from trionitro.testing import NsmEmulator

ROLE = "arn:aws:iam::123456789012:role/example"


@contextlib.contextmanager
def emulating(path: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """Start an emulator, and wait until it says that it listens."""
    command = ("-m", "trionitro", "nsm", "emulate", "--listen", f"unix:{path}")
    with subprocess.Popen(
        [sys.executable, *command, "--log-format", "json", *options],
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stderr is not None
            ready = json.loads(process.stderr.readline())
            assert ready["event"] == "listening"
            assert ready["endpoint"] == f"unix:{path}"
            yield process
        finally:
            process.kill()


def pcrs_of(path: Path, *indices: int) -> list[bytes]:
    async def ask() -> list[bytes]:
        nsm = Nsm(UnixNsm(path))
        return [(await nsm.describe_pcr(index)).value for index in indices]

    return trio.run(ask)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_when_told_to_and_leaves_no_socket(
    tmp_path: Path, number: signal.Signals
) -> None:
    path = tmp_path / "nsm.sock"
    with emulating(path, "--debug-mode", "--role-arn", ROLE) as process:
        assert pcrs_of(path, 0, 3) == [bytes(48), measure_role(ROLE)]
        process.send_signal(number)

        assert process.wait(20) == 0
    assert not path.exists()


def test_what_it_signs_is_verified_with_the_root_it_wrote(tmp_path: Path) -> None:
    path, root = tmp_path / "nsm.sock", tmp_path / "root.pem"
    certificate = tmp_path / "signer.pem"
    signer = NsmEmulator().root_pem
    certificate.write_bytes(signer)
    options = {
        "--root-out": str(root),
        "--pcr0": "00" * 47 + "01",
        "--role-arn": ROLE,
        "--instance-id": "i-77",
        "--module-id": "i-77-enc1",
        "--certificate": str(certificate),
        "--region": "eu-central-1",
        "--map-form": "definite",
        "--clock-offset": "-100000",
    }

    async def attest() -> bytes:
        return await Nsm(UnixNsm(path)).attest(nonce=b"n")

    with emulating(path, *(word for pair in options.items() for word in pair)):
        document = trio.run(attest)

    verified = verify_attestation(
        document, roots=parse_roots(root.read_bytes()), at=At.DOCUMENT_TIMESTAMP
    )
    der = x509.load_pem_x509_certificate(signer).public_bytes(Encoding.DER)
    assert verified.module_id == "i-77-enc1"
    assert verified.nonce == b"n"
    assert verified.pcrs[0] == bytes(47) + b"\1"
    assert verified.pcrs[3] == measure_role(ROLE)
    assert verified.pcrs[4] == measure_instance("i-77")
    assert verified.pcrs[8] == measure_certificate(der)


@needs_vectors
def test_an_image_is_measured(tmp_path: Path) -> None:
    (image,) = vectors("eif/signed_p384_x86.eif")
    expected = json.loads(image.with_suffix(".json").read_text())["measurements"]
    path = tmp_path / "nsm.sock"

    with emulating(path, "--image", str(image)):
        values = pcrs_of(path, 0, 1, 2, 8)

    assert [value.hex() for value in values] == list(expected.values())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], ["--listen"]),
        (["--listen", "/tmp/x"], ["'/tmp/x'", "unix:/tmp/nsm.sock"]),
        (["--listen", "unix:"], ["the path is missing"]),
        (["--listen", "unix:x", "--pcr0", "00"], ["--pcr0", "1 bytes", "96"]),
        (["--listen", "unix:x", "--pcr8", "no"], ["--pcr8", "'no'"]),
        (["--listen", "unix:x", "--image", "/no/such"], ["/no/such"]),
        (["--listen", "unix:x", "--image", "/usr"], ["/usr", "directory"]),
        (["--listen", "unix:x", "--image", "/dev/null"], ["/dev/null"]),
        (["--listen", "unix:x", "--image", sys.executable], ["no image", ".eif"]),
        (["--listen", "unix:x", "--certificate", "/no/such"], ["/no/such"]),
        (["--listen", "unix:x", "--certificate", "/dev/null"], ["no certificate"]),
        (["--listen", "unix:x", "--map-form", "canonical"], ["canonical"]),
        (["--listen", "unix:x", "--clock-offset", "nan"], ["nan"]),
    ],
    ids=lambda value: " ".join(value)[-40:],
)
def test_a_mistake_is_one_line_and_exits_2(
    options: list[str], words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["nsm", "emulate", *options])

    message = capsys.readouterr().err
    assert ended.value.code == 2
    assert len(message.splitlines()) == 1
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--listen", "unix:/no/such/nsm.sock"], ["/no/such", "create the directory"]),
        (["--listen", "unix:x", "--root-out", "/no/such/r"], ["/no/such/r", "another"]),
    ],
    ids=["listen", "root-out"],
)
def test_what_can_t_be_done_is_one_line_and_exits_1(
    options: list[str], words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["nsm", "emulate", *options])

    message = capsys.readouterr().err
    assert ended.value.code == 1
    assert len(message.splitlines()) == 1
    for word in words:
        assert word in message
