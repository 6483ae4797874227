"""The originals' commands, with the originals' flags, on the emulated vsock."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import trio

from trionitro.vsock import LocalVsock


async def start(
    nursery: trio.Nursery, directory: Path, command: Sequence[str], *, cid: int = 3
) -> str:
    """Start a ``trionitro`` command, and return its log when it is listening."""
    process: trio.Process = await nursery.start(
        functools.partial(
            trio.run_process,
            [sys.executable, "-m", "trionitro", *command],
            stderr=subprocess.PIPE,
            check=False,
            env={**os.environ, "TRIONITRO_VSOCK": f"local:{directory}?cid={cid}"},
        )
    )
    assert process.stderr is not None
    log = ""
    while "listening" not in log:
        chunk = await process.stderr.receive_some()
        if not chunk:
            pytest.fail(log)
        log += chunk.decode()
    return log


@pytest.fixture(name="echo_port")
async def _echo_port(nursery: trio.Nursery) -> int:
    """A TCP port of 127.0.0.1 that sends back what it receives."""

    async def echo(stream: trio.SocketStream) -> None:
        async for chunk in stream:
            await stream.send_all(chunk)

    serve = functools.partial(trio.serve_tcp, echo, 0, host="127.0.0.1")
    listeners = await nursery.start(serve)
    port: int = listeners[0].socket.getsockname()[1]
    return port


@pytest.mark.parametrize(
    "flags",
    [[], ["-4"], ["--ipv4", "--num_workers", "2"], ["-w", "1"]],
    ids=" ".join,
)
async def test_vsock_proxy_forwards_its_port_to_what_its_config_allows(
    nursery: trio.Nursery, tmp_path: Path, echo_port: int, flags: list[str]
) -> None:
    config = tmp_path / "vsock-proxy.yaml"
    config.write_text(f"allowlist:\n- {{address: 127.0.0.1, port: {echo_port}}}\n")
    await start(
        nursery,
        tmp_path,
        [
            *("vsock-proxy", *flags, "--config", str(config)),
            *("8000", "127.0.0.1", str(echo_port)),
        ],
    )

    async with await LocalVsock(tmp_path, cid=16).open_stream(3, 8000) as stream:
        await stream.send_all(b"hello")
        assert await stream.receive_some(100) == b"hello"


@pytest.mark.parametrize(
    "flags",
    [
        ["-parentCID=16", "-vsockPort=2000", "-localAddr=127.0.0.1:0"],
        ["--parentCID", "16", "--vsockPort", "0x7d0", "--localAddr", "localhost:0"],
        ["-parentCID", "16", "--vsockPort=2000", "-localAddr", "127.0.0.1:0"],
    ],
    ids=" ".join,
)
async def test_vscproxy_forwards_its_address_to_the_vsock_port(
    nursery: trio.Nursery, tmp_path: Path, flags: list[str]
) -> None:
    """One dash or two, "=" or a space; and the target may come up later."""
    retry = ["-attempts=100", "-delay=10ms"]
    log = await start(nursery, tmp_path, ["vscproxy", *flags, *retry])
    port = int(log.partition("listen=tcp://")[2].partition(" ")[0].rpartition(":")[2])

    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        await stream.send_all(b"early")
        listener = await LocalVsock(tmp_path, cid=16).open_listener(2000)
        async with listener, await listener.accept() as accepted:
            assert await accepted.receive_some(100) == b"early"


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["vsock-proxy", "-w", "0", "8000", "h", "443"], ["-w", "0"]),
        (["vsock-proxy", "-4", "-6", "8000", "h", "443"], ["-4", "-6"]),
        (["vsock-proxy", "8000", "h", "0"], ["remote_port", "0"]),
        (["vsock-proxy", "--config", "/no/such", "1", "h", "1"], ["/no/such"]),
        (["vscproxy", "-delay=10000"], ["10000", "missing unit"]),
        (["vscproxy", "-localAddr=nowhere"], ["-localAddr", "127.0.0.2:443"]),
        (["vscproxy", "-parentCID=-3"], ["-parentCID", "-3"]),
    ],
    ids=" ".join,
)
def test_wrong_flags_exit_2_in_one_line(command: list[str], words: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "trionitro", *command],
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )

    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1, done.stderr
    for word in words:
        assert word in done.stderr
