"""``trionitro kms emulate``: started, asked, stopped; and a user's mistakes."""

from __future__ import annotations

import json
import os
import signal
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from tests.cli.test_mistakes import check_one_line, run
from tests.testing.kms.worlds import ADMIN, GOOD, ROLE, key_policy
from trionitro._endpoints import parse_endpoint
from trionitro.kms import Credentials, EndpointBackend, KmsClient, KmsError
from trionitro.nsm import Nsm
from trionitro.sandbox import LoggedProcess, run_logged
from trionitro.testing import AttestationIssuer, NsmEmulator
from trionitro.vsock import LocalVsock

OWN = Credentials(access_key_id="AKIAOWN", secret_access_key="own")
THEIRS = Credentials(access_key_id="AKIATHEIRS", secret_access_key="theirs")

EMULATE = ("trionitro", "kms", "emulate")
LISTEN = ("--listen", "tcp://127.0.0.1:0")


@asynccontextmanager
async def emulating(directory: Path, *arguments: str) -> AsyncIterator[LoggedProcess]:
    """Run the command with a key and two access keys."""
    (directory / "keys.json").write_text(
        json.dumps({"keys": [{"aliases": ["alias/app"], "policy": key_policy()}]})
    )
    entry = {
        "principal": ROLE,
        "access_key_id": THEIRS.access_key_id,
        "secret_access_key": THEIRS.secret_access_key,
    }
    (directory / "access.json").write_text(json.dumps({"access_keys": [entry]}))
    env = {
        **os.environ,
        "AWS_ACCESS_KEY_ID": OWN.access_key_id,
        "AWS_SECRET_ACCESS_KEY": OWN.secret_access_key,
    }
    env.pop("AWS_SESSION_TOKEN", None)
    command = [
        *(sys.executable, "-m", *EMULATE, "--log-format", "json"),
        *("--ca-out", str(directory / "ca.pem"), "--principal", ADMIN),
        *("--keys", str(directory / "keys.json")),
        *("--access-keys", str(directory / "access.json")),
        *arguments,
    ]
    async with trio.open_nursery() as nursery:
        process: LoggedProcess = await nursery.start(
            lambda task_status: run_logged(command, env=env, task_status=task_status)
        )
        yield process
        nursery.cancel_scope.cancel()


async def test_it_serves_on_every_kind_of_endpoint(tmp_path: Path) -> None:
    """Over TLS on a vsock and on TCP, without on a unix socket; then SIGTERM."""
    issuer = AttestationIssuer()
    (tmp_path / "root.pem").write_bytes(issuer.root_pem)
    network = LocalVsock(tmp_path / "vsock", cid=16)
    arguments = [
        *(*LISTEN, "--listen", "vsock://:8000"),
        *("--listen-http", f"unix://{tmp_path}/kms.sock"),
        *("--vsock", f"local:{tmp_path / 'vsock'}"),
        *("--attestation-root", str(tmp_path / "root.pem")),
    ]
    async with emulating(tmp_path, *arguments) as process:
        tcp, vsock, unix = (
            line["endpoint"] for line in await process.wait_logged("listening", 3)
        )
        tls = ssl.create_default_context(cafile=tmp_path / "ca.pem")
        for place, endpoint in (
            (tcp, None),
            (vsock.replace("://:", "://3:"), None),
            (unix, "http://127.0.0.1"),
        ):
            backend = EndpointBackend(parse_endpoint(place), network)
            async with KmsClient(
                region="us-east-1",
                credentials=OWN,
                network_backend=backend,
                endpoint=endpoint,
                tls=tls,
            ) as admin:
                sealed = await admin.encrypt("alias/app", b"secret")
        async with KmsClient(
            region="us-east-1",
            credentials=THEIRS,
            nsm=Nsm(NsmEmulator(GOOD, issuer=issuer)),
            network_backend=EndpointBackend(parse_endpoint(tcp), network),
            tls=tls,
        ) as enclave:
            opened = await enclave.decrypt(sealed.ciphertext)
        process.process.send_signal(signal.SIGTERM)
        code = await process.wait()

    assert opened.plaintext == b"secret"
    assert code == 0
    assert process.lines[-1]["event"] == "stopped"
    assert not (tmp_path / "kms.sock").exists()


async def test_its_clock_can_be_wrong(tmp_path: Path) -> None:
    """Six minutes are too many; the client corrects itself by what KMS answers."""
    async with emulating(tmp_path, *LISTEN, "--clock-offset", "360") as process:
        (line,) = await process.wait_logged("listening")
        backend = EndpointBackend(
            parse_endpoint(line["endpoint"]), LocalVsock(tmp_path)
        )
        async with KmsClient(
            region="us-east-1",
            credentials=OWN,
            network_backend=backend,
            tls=ssl.create_default_context(cafile=tmp_path / "ca.pem"),
        ) as admin:
            described = await admin.describe_key("alias/app")
            with pytest.raises(KmsError, match="NotFoundException"):
                await admin.describe_key("alias/none")

    assert described.state == "Enabled"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), ["nowhere to listen", "--listen tcp://127.0.0.1:8443"]),
        (LISTEN, ["nobody could ask", "AWS_ACCESS_KEY_ID", "--access-keys"]),
        (("--listen", "here"), ["'here'"]),
        (("--listen-http", "tcp://0.0.0.0:80"), ["in the clear", "--listen"]),
        ((*LISTEN, "--attestation-root", "/no/such"), ["can't read /no/such"]),
        ((*LISTEN, "--access-keys", "/no/such"), ["/no/such", "JSON"]),
        ((*LISTEN, "--max-document-age", "-1"), ["--max-document-age", "-1"]),
        ((*LISTEN, "--clock-offset", "x"), ["--clock-offset", "'x'"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_a_mistake_is_one_line_and_exits_2(
    monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], words: list[str]
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)

    code, stderr = run(*EMULATE, *arguments)

    check_one_line(stderr, words)
    assert code == 2


def test_half_an_access_key_in_the_environment_is_a_mistake(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAX")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY", raising=False)

    code, stderr = run(*EMULATE, *LISTEN)

    check_one_line(stderr, ["secret_access_key"])
    assert code == 2


def test_a_root_that_is_no_certificate_is_a_mistake(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAX")
    (tmp_path / "root.pem").write_text("nothing")

    code, stderr = run(
        *EMULATE, *LISTEN, "--attestation-root", str(tmp_path / "root.pem")
    )

    check_one_line(stderr, ["root.pem", "PEM"])
    assert code == 2
