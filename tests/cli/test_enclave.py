"""``trionitro enclave`` as a process, in namespaces that make it an enclave's."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from tests.cli.test_mistakes import check_one_line, run
from tests.enclave.namespaces import NETWORK, PROCESSES, skip_without
from tests.enclave.world import Parent
from trionitro.manifest import parse_plan
from trionitro.testing import NsmEmulator, serve_nsm
from trionitro.vsock import LocalVsock

#: Most of what a manifest can ask for, and a command that looks around.
MANIFEST = """
    [enclave]
    name = "test"
    cid = 16
    command = ["sh", "-c", "{script}"]

    [[egress]]
    host = "kms.example.com"
    port = 443
    [[ingress]]
    listen = "127.0.0.1:0"
    port = 8443
"""


@asynccontextmanager
async def parent_of(manifest: str, directory: Path) -> AsyncIterator[Parent]:
    """Be the parent of an enclave, with an emulated security module beside."""
    (directory / "nitro.toml").write_text(manifest)
    plan = parse_plan(manifest, source="nitro.toml")
    parent = Parent(LocalVsock(directory / "vsock"), plan)
    async with trio.open_nursery() as nursery:
        await nursery.start(parent.serve)
        await nursery.start(serve_nsm, NsmEmulator(), directory / "nsm.sock")
        yield parent
        nursery.cancel_scope.cancel()


async def boot(directory: Path, *flags: str) -> subprocess.CompletedProcess[bytes]:
    """Boot the enclave of ``directory`` in namespaces."""
    skip_without(*flags)
    return await trio.run_process(
        [
            *("unshare", *flags, sys.executable, "-m", "trionitro", "enclave"),
            *(str(directory / "nitro.toml"), "--hosts", str(directory / "hosts")),
            *("--vsock", f"local:{directory}/vsock?cid=16"),
            *("--nsm", f"unix:{directory}/nsm.sock", "--log-format", "json"),
        ],
        capture_stdout=True,
        capture_stderr=True,
        check=False,
    )


async def test_an_enclave_boots_where_there_is_only_lo(tmp_path: Path) -> None:
    manifest = MANIFEST.format(script=f"cat {tmp_path}/hosts; exit 7")

    async with parent_of(manifest, tmp_path) as parent:
        done = await boot(tmp_path, *NETWORK)

    assert done.returncode == 7, done.stderr
    assert parent.end is not None
    assert parent.end.code == 7
    assert "127.0.0.2\tkms.example.com" in parent.said_by("stdout")
    assert any('"event": "booted"' in line for line in parent.said_by("boot"))
    assert not (tmp_path / "hosts").exists()
    assert done.stdout == b""


async def test_process_1_reaps_and_returns_the_application_s_code(
    tmp_path: Path,
) -> None:
    """Its grandchildren become the boot's children, and are gone before its end."""
    orphan = f"(setsid sh -c 'echo orphan; touch {tmp_path}/up; sleep 1000' &)"
    wait = f"until test -e {tmp_path}/up; do sleep 0.01; done"
    manifest = MANIFEST.format(script=f"{orphan}; {wait}; exit 5")

    async with parent_of(manifest, tmp_path) as parent:
        done = await boot(tmp_path, "-n", *PROCESSES)

    assert done.returncode == 5, done.stderr
    assert "orphan" in parent.said_by("stdout")
    assert any("ending processes" in line for line in parent.said_by("boot"))


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        (
            "[enclave]\nname = 'x'\ncid = 16\ncomand = ['true']",
            [],
            ["comand", "command"],
        ),
        ("", ["--nsm", "pigeon"], ["--nsm", "'pigeon'", "unix:"]),
        ("", ["--vsock", "pigeon"], ["--vsock", "'pigeon'", "local:"]),
        (None, [], ["nitro.toml", "No such file"]),
    ],
)
def test_a_mistake_exits_2(
    tmp_path: Path, text: str | None, options: list[str], words: list[str]
) -> None:
    if text is not None:
        (tmp_path / "nitro.toml").write_text(text or MANIFEST.format(script="true"))

    code, stderr = run("trionitro", "enclave", str(tmp_path / "nitro.toml"), *options)

    check_one_line(stderr, words)
    assert code == 2


def test_what_is_missing_exits_1(tmp_path: Path) -> None:
    """Here the parent; the last line is for whoever looks at the exit code."""
    manifest = (
        "[enclave]\nname = 'x'\ncid = 16\ncommand = ['true']\n[control]\nwait = 0.1"
    )
    (tmp_path / "nitro.toml").write_text(manifest)

    code, stderr = run(
        *("trionitro", "enclave", str(tmp_path / "nitro.toml")),
        *("--vsock", f"local:{tmp_path}/vsock?cid=16", "--nsm", "/no/such/nsm"),
        *("--hosts", str(tmp_path / "hosts")),
    )

    check_one_line(stderr.splitlines()[-1], ["trionitro: ", "/no/such/nsm"])
    assert code == 1
