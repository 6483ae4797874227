"""A proxy process is told to stop, or to read its files again."""

from __future__ import annotations

import functools
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from tests.proxy.ends import (
    Network,
    StartProxy,
    answer_with_digest,
    echo,
    receive_all,
)
from trionitro import TcpEndpoint, UnixEndpoint, parse_endpoint


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
async def test_one_signal_lets_a_transfer_finish(
    run_proxy: StartProxy, network: Network, signum: int
) -> None:
    target = await network.serve(echo)
    proxy = await run_proxy("tcp://127.0.0.1:0", str(target))
    stream = await network.connect_proven(proxy.listens[0])

    proxy.send_signal(signum)
    await proxy.logged.wait_logged("stopping")
    await stream.send_all(b"still here")
    await stream.send_eof()

    assert await receive_all(stream) == b"still here"
    assert await proxy.wait() == 0


async def test_a_stopping_proxy_accepts_nobody(
    run_proxy: StartProxy, network: Network
) -> None:
    target = await network.serve(echo)
    proxy = await run_proxy("tcp://127.0.0.1:0", str(target))
    stream = await network.connect_proven(proxy.listens[0])

    proxy.send_signal(signal.SIGTERM)
    await proxy.logged.wait_logged("stopped listening")

    with pytest.raises(OSError, match="all attempts"):
        await trio.open_tcp_stream("127.0.0.1", proxy.port)
    await stream.aclose()
    assert await proxy.wait() == 0


async def test_two_signals_end_a_transfer_with_a_reset(
    run_proxy: StartProxy, network: Network
) -> None:
    target = await network.serve(echo)
    proxy = await run_proxy("tcp://127.0.0.1:0", str(target))
    stream = await network.connect_proven(proxy.listens[0])

    proxy.send_signal(signal.SIGTERM)
    await proxy.logged.wait_logged("stopping")
    proxy.send_signal(signal.SIGTERM)

    assert await proxy.wait() == 0
    with pytest.raises(trio.BrokenResourceError):
        await stream.receive_some(1)


async def test_a_transfer_that_outlasts_the_grace_is_reset(
    run_proxy: StartProxy, network: Network
) -> None:
    target = await network.serve(echo)
    proxy = await run_proxy("tcp://127.0.0.1:0", str(target), "--grace", "0.1")
    stream = await network.connect_proven(proxy.listens[0])

    proxy.send_signal(signal.SIGTERM)

    assert await proxy.wait() == 0
    with pytest.raises(trio.BrokenResourceError):
        await stream.receive_some(1)


async def test_systemd_is_told_when_the_proxy_is_ready_and_when_it_stops(
    run_proxy: StartProxy,
    network: Network,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    target = await network.serve(echo)
    path = tmp_path / "notify"
    with trio.socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        await manager.bind(str(path))
        monkeypatch.setenv("NOTIFY_SOCKET", str(path))
        proxy = await run_proxy("tcp://127.0.0.1:0", str(target))

        assert await manager.recv(100) == b"READY=1"
        proxy.send_signal(signal.SIGTERM)
        assert await manager.recv(100) == b"STOPPING=1"


# --- SIGHUP -----------------------------------------------------------------------


def write_config(path: Path, **routes: object) -> None:
    """Write a config file with a route for each ``unix socket name = target``."""
    tables = [
        f'[[route]]\nlisten = "unix://{path.parent}/{name}.sock"\nforward = "{target}"'
        for name, target in routes.items()
    ]
    path.write_text("\n".join(tables))


def unix(directory: Path, name: str) -> UnixEndpoint:
    return UnixEndpoint(str(directory / f"{name}.sock"))


async def test_sighup_changes_what_changed_and_keeps_the_rest(
    run_proxy: StartProxy, network: Network, tmp_path: Path
) -> None:
    """An unchanged route keeps its connection; others are changed, added, removed."""
    echoing = await network.serve(echo)
    digesting = await network.serve(answer_with_digest)
    config = tmp_path / "proxy.toml"
    write_config(config, same=echoing, changed=echoing, removed=echoing)
    proxy = await run_proxy("--config", str(config))
    kept = await network.connect(unix(tmp_path, "same"))

    write_config(config, same=echoing, changed=digesting, added=echoing)
    proxy.send_signal(signal.SIGHUP)
    await proxy.logged.wait_logged("reloaded")

    await kept.send_all(b"kept")
    assert await kept.receive_some(4) == b"kept"
    changed = await network.connect(unix(tmp_path, "changed"))
    await changed.send_eof()
    assert len(await receive_all(changed)) == 32
    added = await network.connect(unix(tmp_path, "added"))
    await added.send_all(b"new")
    assert await added.receive_some(3) == b"new"
    assert not (tmp_path / "removed.sock").exists()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[[route]]\nlisten = 3", "forward"),
        ("[[route", "not TOML"),
        (
            '[[route]]\nlisten = "unix:///nowhere/x.sock"\nforward = "tcp://[::1]:1"',
            "/nowhere",
        ),
    ],
)
async def test_sighup_with_a_bad_file_changes_nothing_and_says_why(
    run_proxy: StartProxy,
    network: Network,
    tmp_path: Path,
    text: str,
    complaint: str,
) -> None:
    echoing = await network.serve(echo)
    config = tmp_path / "proxy.toml"
    write_config(config, same=echoing)
    proxy = await run_proxy("--config", str(config))

    config.write_text(text)
    proxy.send_signal(signal.SIGHUP)
    (line,) = await proxy.logged.wait_logged("not reloaded")

    assert complaint in line["problem"]
    stream = await network.connect(unix(tmp_path, "same"))
    await stream.send_all(b"alive")
    assert await stream.receive_some(5) == b"alive"


async def test_sighup_reads_the_allowlist_again(
    run_proxy: StartProxy, network: Network, tmp_path: Path
) -> None:
    """A target that was taken off the list is refused from then on, and said so."""
    echoing = await network.serve(echo)
    assert isinstance(echoing, TcpEndpoint)
    allowlist = tmp_path / "vsock-proxy.yaml"
    allowlist.write_text(f"allowlist:\n- {{address: 127.0.0.1, port: {echoing.port}}}")
    proxy = await run_proxy(
        "tcp://127.0.0.1:0", str(echoing), "--allowlist", str(allowlist)
    )
    before = await network.connect_proven(proxy.listens[0])

    allowlist.write_text("allowlist:\n- {address: 127.0.0.1, port: 1}")
    proxy.send_signal(signal.SIGHUP)
    await proxy.logged.wait_logged("reloaded")

    await network.expect_reset(proxy.listens[0])
    (refusal,) = await proxy.logged.wait_logged("refused")
    assert str(echoing) in refusal["reason"]
    await before.send_all(b"kept")
    assert await before.receive_some(4) == b"kept"


async def test_sighup_while_stopping_changes_nothing(
    run_proxy: StartProxy, network: Network, tmp_path: Path
) -> None:
    """No route comes to life again, and what drains goes on draining."""
    echoing = await network.serve(echo)
    config = tmp_path / "proxy.toml"
    write_config(config, old=echoing)
    proxy = await run_proxy("--config", str(config))
    draining = await network.connect_proven(proxy.listens[0])

    proxy.send_signal(signal.SIGTERM)
    await proxy.logged.wait_logged("stopped listening")
    write_config(config, old=echoing, new=echoing)
    proxy.send_signal(signal.SIGHUP)
    await proxy.logged.wait_logged("not reloaded")

    assert not (tmp_path / "new.sock").exists()
    await draining.send_all(b"still here")
    assert await draining.receive_some(100) == b"still here"
    await draining.aclose()
    assert await proxy.wait() == 0


async def test_a_file_that_never_comes_keeps_no_signal_waiting(
    run_proxy: StartProxy, network: Network, tmp_path: Path
) -> None:
    """As a network file system may do it: reading the allowlist hangs."""
    echoing = await network.serve(echo)
    assert isinstance(echoing, TcpEndpoint)
    allowlist = tmp_path / "vsock-proxy.yaml"
    allowlist.write_text(f"allowlist:\n- {{address: 127.0.0.1, port: {echoing.port}}}")
    proxy = await run_proxy(
        "tcp://127.0.0.1:0", str(echoing), "--allowlist", str(allowlist)
    )
    await network.connect_proven(proxy.listens[0])

    allowlist.unlink()
    os.mkfifo(allowlist)
    proxy.send_signal(signal.SIGHUP)
    proxy.send_signal(signal.SIGTERM)
    await proxy.logged.wait_logged("stopping")
    proxy.send_signal(signal.SIGTERM)

    assert await proxy.wait() == 0


async def test_a_log_that_nobody_reads_any_more_ends_nothing(
    network: Network, nursery: trio.Nursery
) -> None:
    """The reader of the log goes away; a dial fails and is not logged; life goes on."""
    echoing = await network.serve(echo)
    process: trio.Process = await nursery.start(
        functools.partial(
            trio.run_process,
            [
                *(sys.executable, "-m", "trionitro.proxy"),
                *("tcp://127.0.0.1:0", str(echoing)),
                *("tcp://127.0.0.1:0", "tcp://127.0.0.1:1"),
                *("--log-format", "json", "--grace", "0"),
            ],
            stderr=subprocess.PIPE,
            check=False,
        )
    )
    assert process.stderr is not None
    log = b""
    while log.count(b"listening") < 2:
        log += await process.stderr.receive_some()
    good, bad = (
        parse_endpoint(json.loads(line)["listen"]) for line in log.splitlines()
    )
    proven = await network.connect_proven(good)

    await process.stderr.aclose()
    await network.expect_reset(bad)

    await proven.send_all(b"still here")
    assert await proven.receive_some(100) == b"still here"
