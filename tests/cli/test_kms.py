"""The commands that call KMS, against the emulator, with TLS on a vsock."""

from __future__ import annotations

import base64
import datetime as dt
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import pytest
import trio
from click.testing import CliRunner
from cryptography.hazmat.primitives.serialization import (
    load_der_private_key,
    load_der_public_key,
)

from tests.cli.test_mistakes import check_one_line, run
from tests.testing.kms.worlds import (
    ADMIN,
    GOOD,
    OTHER,
    ROLE,
    Clock,
    World,
    key_policy,
    make_world,
)
from trionitro._cli import main
from trionitro.kms import Credentials
from trionitro.testing import BootMeasurements, serve_nsm
from trionitro.vsock import LocalVsock


def run_here(
    arguments: Sequence[str], stdin: bytes, environ: Mapping[str, str]
) -> subprocess.CompletedProcess[bytes]:
    """Run a command in this process, as if it were one."""
    with CliRunner().isolation(input=stdin, env=environ) as (stdout, stderr, _):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        sys.stderr.flush()
        done = (stdout.getvalue(), stderr.getvalue())
    assert isinstance(ended.value.code, int)
    return subprocess.CompletedProcess(arguments, ended.value.code, *done)


@attrs.frozen
class Shell:
    """Where commands run: an enclave, with the emulated KMS behind its parent."""

    world: World
    key: str
    directory: Path
    environ: Mapping[str, str]

    async def run(
        self, *command: str, stdin: bytes = b"", by: Credentials | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        """Run ``trionitro`` with these arguments, here: a process takes seconds."""
        credentials = by or self.world.enclave
        environ = {
            **self.environ,
            "AWS_ACCESS_KEY_ID": credentials.access_key_id,
            "AWS_SECRET_ACCESS_KEY": credentials.secret_access_key,
            "AWS_SESSION_TOKEN": credentials.session_token or "",
        }
        return await trio.to_thread.run_sync(run_here, command, stdin, environ)

    async def kms(
        self, *command: str, stdin: bytes = b"", by: Credentials | None = None
    ) -> bytes:
        """Run ``trionitro kms``, which must succeed, and return what it printed."""
        ca = str(self.directory / "ca.pem")
        way = ("--region", "us-east-1", "--connect", "vsock://3:8000", "--ca", ca)
        done = await self.run("kms", *command, *way, stdin=stdin, by=by)
        assert done.returncode == 0, done.stderr
        return done.stdout


@asynccontextmanager
async def a_shell(
    directory: Path, boot: BootMeasurements = GOOD
) -> AsyncIterator[Shell]:
    world = make_world(Clock(dt.datetime.now(dt.UTC)))
    (directory / "ca.pem").write_bytes(world.kms.ca_pem)
    environ = {
        "TRIONITRO_VSOCK": f"local:{directory}?cid=16",
        "TRIONITRO_NSM": f"unix:{directory}/nsm.sock",
        "AWS_CA_BUNDLE": str(directory / "ca.pem"),
    }
    async with trio.open_nursery() as nursery:
        listener = await LocalVsock(directory).open_listener(8000)
        await nursery.start(world.kms.serve_https, [listener])
        await nursery.start(serve_nsm, world.nsm(boot), directory / "nsm.sock")
        key = world.kms.add_key(key_policy())
        yield Shell(world, key, directory, environ)
        nursery.cancel_scope.cancel()


async def test_encrypt_and_decrypt_are_bytes_on_a_pipe(tmp_path: Path) -> None:
    async with a_shell(tmp_path) as shell:
        context = ("--encryption-context", "purpose=test")
        sealed = await shell.kms(
            *("encrypt", "-", "--key-id", shell.key, *context),
            stdin=b"secret\0",
            by=shell.world.admin,
        )
        (tmp_path / "sealed").write_bytes(sealed)
        plain = await shell.kms("decrypt", str(tmp_path / "sealed"), *context)
        again = await shell.kms(
            *("decrypt", "-", "--json", *context), stdin=base64.b64encode(sealed)
        )

    assert plain == b"secret\0"
    assert base64.b64decode(json.loads(again)["plaintext"]) == b"secret\0"


async def test_keys_are_generated_and_their_ciphertexts_kept(tmp_path: Path) -> None:
    async with a_shell(tmp_path) as shell:
        ciphertext = tmp_path / "key"
        key = await shell.kms(
            *("generate-data-key", "--key-id", shell.key, "--bytes", "48"),
            *("--ciphertext-out", str(ciphertext)),
        )
        again = await shell.kms("decrypt", str(ciphertext))
        pair = json.loads(
            await shell.kms(
                *("generate-data-key-pair", "--key-id", shell.key),
                *("--spec", "ECC_SECG_P256K1", "--json"),
            )
        )

    assert len(key) == 48
    assert again == key
    assert load_der_private_key(base64.b64decode(pair["private_key"]), None) is not None
    assert load_der_public_key(base64.b64decode(pair["public_key"])) is not None


async def test_random_bytes(tmp_path: Path) -> None:
    async with a_shell(tmp_path) as shell:
        assert len(await shell.kms("generate-random", "17")) == 17


async def test_a_key_is_created_that_only_the_enclave_can_decrypt_with(
    tmp_path: Path,
) -> None:
    async with a_shell(tmp_path) as shell:
        arn = await shell.kms(
            *("create-key", "--principal", ROLE, "--policy-administrator", ADMIN),
            *("--encrypter", ADMIN, "--image-sha384", GOOD.pcr0.hex()),
            by=shell.world.admin,
        )
        sealed = await shell.kms(
            *("encrypt", "-", "--key-id", arn.decode().strip()),
            stdin=b"secret",
            by=shell.world.admin,
        )

        assert await shell.kms("decrypt", "-", stdin=sealed) == b"secret"


async def test_another_image_is_refused_in_one_line_that_shows_its_pcr(
    tmp_path: Path,
) -> None:
    async with a_shell(tmp_path, OTHER) as shell:
        done = await shell.run(
            *("kms", "generate-data-key", "--key-id", shell.key),
            *("--region", "us-east-1", "--connect", "vsock://3:8000"),
            *("--ca", str(tmp_path / "ca.pem")),
        )

    (line,) = done.stderr.decode().splitlines()[-1:]  # the emulator logs here too
    check_one_line(line, ["AccessDeniedException", f"PCR0={OTHER.pcr0.hex()}"])
    assert done.returncode == 1
    assert shell.world.enclave.secret_access_key not in done.stderr.decode()


async def test_kmstool_says_what_the_original_says(tmp_path: Path) -> None:
    async with a_shell(tmp_path) as shell:
        genkey = await shell.run(
            *("kmstool-enclave-cli", "genkey", "-K", shell.key, "-p", "AES-256")
        )
        ciphertext, plaintext = (
            line.partition(": ")[2] for line in genkey.stdout.decode().splitlines()
        )
        decrypt = await shell.run(
            *("kmstool-enclave-cli", "decrypt", "--region", "us-east-1"),
            *("--proxy-port", "8000", "--ciphertext", ciphertext),
        )
        genrandom = await shell.run("kmstool-enclave-cli", "genrandom", "-l", "20")
        failed = await shell.run(
            "kmstool-enclave-cli", "decrypt", "-c", "AAAA", "-x", "8000"
        )

    assert genkey.stdout.decode() == (
        f"CIPHERTEXT: {ciphertext}\nPLAINTEXT: {plaintext}\n"
    )
    assert decrypt.stdout.decode() == f"PLAINTEXT: {plaintext}\n"
    assert genrandom.stdout.startswith(b"PLAINTEXT: ")
    assert (genkey.returncode, decrypt.returncode, genrandom.returncode) == (0, 0, 0)
    assert failed.returncode == 255


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--help"],
        ["encrypt"],
        ["genkey"],
        ["genrandom", "-l", "0"],
        ["decrypt", "-h"],
    ],
    ids=" ".join,
)
def test_kmstool_exits_1_for_wrong_usage_and_for_help(arguments: list[str]) -> None:
    assert run_here(["kmstool-enclave-cli", *arguments], b"", {}).returncode == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["kms", "decrypt", "/no/such"], ["region", "--region"]),
        (["kms", "decrypt", "/no/such", "--region", "eu-west-1"], ["/no/such"]),
        (["kms", "generate-random", "1", "--region", "x"], ["'x'", "eu-west-1"]),
        (["kms", "generate-random", "0"], ["1<=x<=1024"]),
        (
            ["kms", "generate-random", "1", "--region", "eu-west-1", "--ca", "/no/ca"],
            ["/no/ca", "PEM"],
        ),
        (
            [
                *("kms", "generate-random", "1", "--region", "eu-west-1"),
                *("--endpoint", "http://example.com"),
            ],
            ["http://example.com", "https"],
        ),
        (
            ["kms", "encrypt", "-", "--key-id", "k", "--encryption-context", "x"],
            ["K=V"],
        ),
        (["kms", "create-key", "--principal", "*"], ["any enclave"]),
        (["kms", "create-key", "--principal", "*", "--pcr", "x"], ["N=HEX"]),
        (["credentials", "serve", "--listen", "vsock://:80"], ["--allow-cid"]),
        (["credentials", "serve", "--listen", "tcp://:80"], ["network"]),
    ],
    ids=lambda value: " ".join(value[:3]) if isinstance(value, list) else None,
)
def test_wrong_arguments_exit_2(
    arguments: list[str], words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)

    done = run_here(arguments, b"", {})

    check_one_line(done.stderr.decode(), words)
    assert done.returncode == 2


def test_a_lock_out_must_be_accepted() -> None:
    code, stderr = run(
        *("trionitro", "kms", "create-key", "--principal", ROLE),
        *("--administrator", ADMIN, "--pcr", f"0={GOOD.pcr0.hex()}"),
    )

    assert "note: nobody may change this policy" in stderr
    assert "--accept-lock-out" in stderr
    assert code == 2
