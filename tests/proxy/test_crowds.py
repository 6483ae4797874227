"""Many connections at once, too many, and slow ones."""

from __future__ import annotations

import os
import resource
import signal
from pathlib import Path

import pytest
import trio

from tests.proxy.ends import Network, StartProxy, echo

#: What the kernel may hold for a direction of a connection between two sockets
#: (tcp_rmem and tcp_wmem's largest), with room to spare.
KERNEL_BUFFERS = 16 * 2**20


async def test_a_thousand_connections_open_at_once(
    run_proxy: StartProxy, network: Network
) -> None:
    """Through both halves; each reaches its own echo, all are open together."""
    target = await network.serve(echo)
    await run_proxy("vsock://:8000", str(target))
    enclave = await run_proxy("tcp://127.0.0.1:0", "vsock://parent:8000", cid=16)
    ready = trio.Event()
    proven = 0

    async def converse(number: int) -> None:
        nonlocal proven
        stream = await network.connect(enclave.listens[0])
        message = b"%06d" % number
        await stream.send_all(message)
        assert await stream.receive_some(6) == message
        proven += 1
        if proven == 1000:
            ready.set()
        await ready.wait()
        await stream.send_all(message)
        assert await stream.receive_some(6) == message

    async with trio.open_nursery() as nursery:
        for number in range(1000):
            nursery.start_soon(converse, number)


async def test_a_route_accepts_no_more_than_its_connections(
    run_proxy: StartProxy, network: Network
) -> None:
    """The third waits, unaccepted, until one of the two has ended."""
    target = await network.serve(echo)
    proxy = await run_proxy(
        *("tcp://127.0.0.1:0", str(target), "--max-connections", "2"),
        *("--metrics", "tcp://127.0.0.1:0", "-v"),
    )
    first = await network.connect_proven(proxy.listens[0])
    await network.connect_proven(proxy.listens[0])

    third = await network.connect(proxy.listens[0])
    await third.send_all(b"!")
    with trio.move_on_after(0.2) as patience:
        await third.receive_some(1)
    assert patience.cancelled_caught
    await first.aclose()

    assert await third.receive_some(1) == b"!"


async def test_a_slow_reader_holds_little_and_stops_nobody(
    run_proxy: StartProxy, network: Network
) -> None:
    """A flood that nobody reads stalls; the other direction, and others, go on."""
    unread = trio.Event()

    async def never_read(stream: trio.SocketStream) -> None:
        await stream.send_all(b"answer")
        await unread.wait()

    target = await network.serve(never_read)
    proxy = await run_proxy("tcp://127.0.0.1:0", str(target))
    flood = await network.connect(proxy.listens[0])
    before = resident_bytes(proxy.logged.process.pid)

    sent = 0
    with trio.move_on_after(1):
        while sent < 10 * KERNEL_BUFFERS:
            await flood.send_all(bytes(2**16))
            sent += 2**16

    assert sent < 3 * KERNEL_BUFFERS
    assert resident_bytes(proxy.logged.process.pid) - before < 2 * 2**20
    assert await flood.receive_some(6) == b"answer"
    other = await network.connect(proxy.listens[0])
    assert await other.receive_some(6) == b"answer"
    unread.set()


def resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


async def test_an_idle_connection_is_given_up(
    run_proxy: StartProxy, network: Network
) -> None:
    """The busy one stays; the silent one is reset after the timeout."""
    target = await network.serve(echo)
    proxy = await run_proxy("tcp://127.0.0.1:0", str(target), "--idle-timeout", "0.3")

    silent = await network.connect_proven(proxy.listens[0])

    with pytest.raises(trio.BrokenResourceError):
        await silent.receive_some(1)
    (line,) = await proxy.logged.wait_logged("connection ended")
    assert line["how"] == "idle"


async def test_running_out_of_descriptors_neither_ends_the_route_nor_spins(
    run_proxy: StartProxy, network: Network
) -> None:
    """When descriptors are free again, the waiting connection is served."""
    target = await network.serve(echo)
    proxy = await run_proxy("tcp://127.0.0.1:0", str(target))
    pid = proxy.logged.process.pid
    first = await network.connect_proven(proxy.listens[0])
    limit_descriptors(pid)

    waiting = await network.connect(proxy.listens[0])
    await waiting.send_all(b"!")
    cpu = cpu_seconds(pid)
    with trio.move_on_after(0.5):
        await waiting.receive_some(1)
        pytest.fail("served without a descriptor")
    spent = cpu_seconds(pid) - cpu
    await first.aclose()

    assert spent < 0.25
    assert await waiting.receive_some(1) == b"!"
    (line,) = await proxy.logged.wait_logged("can't accept")
    assert line["problem"] == "Too many open files"
    await waiting.aclose()
    proxy.send_signal(signal.SIGTERM)
    assert await proxy.wait() == 0


def limit_descriptors(pid: int) -> None:
    """Leave the process no descriptor beyond those it has."""
    highest = max(int(entry.name) for entry in Path(f"/proc/{pid}/fd").iterdir())
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (highest + 1, highest + 1))


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
