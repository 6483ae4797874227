"""A connection on its way to the carrier, and what may happen to it there."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import attrs
import pytest
import trio
import trio.abc
from trio.testing import memory_stream_pair, wait_all_tasks_blocked

from tests.proxy.ends import Stream, echo
from tests.wrapped import WrappedHalfCloseable
from trionitro import TcpEndpoint, UnixEndpoint, VsockEndpoint
from trionitro._unix import open_unix_listener
from trionitro.abc import VsockAddress, VsockListener, VsockNetwork, VsockStream
from trionitro.proxy import NO_ALLOWLIST, Proxy, ProxyConfig, Route, Surroundings
from trionitro.vsock._stream import SocketVsockStream

TCP = TcpEndpoint("127.0.0.1", 0)


@attrs.define(eq=False)
class Dialled(VsockNetwork):
    """A network that nobody listens on, and that dials as told."""

    dial: Callable[[], VsockStream]
    dial_nowait: Callable[[], VsockStream]
    may_dial: trio.Event = attrs.field(factory=trio.Event)

    @property
    def cid(self) -> int | None:
        """Not known."""
        return None

    async def open_stream(self, cid: int, port: int) -> VsockStream:
        """Dial when that is allowed."""
        await self.may_dial.wait()
        return self.dial()

    def open_stream_nowait(self, cid: int, port: int) -> VsockStream:
        """Dial without waiting."""
        return self.dial_nowait()

    async def open_listener(
        self, port: int, *, backlog: int | None = None
    ) -> VsockListener:
        """Not possible."""
        raise OSError(errno.EADDRNOTAVAIL, "not here")


def would_block() -> VsockStream:
    raise trio.WouldBlock


def bug() -> VsockStream:
    raise ZeroDivisionError


@attrs.define(eq=False)
class MemoryStream(WrappedHalfCloseable, VsockStream):
    """A stream that is no socket."""

    inner: trio.abc.HalfCloseableStream = attrs.field(
        factory=lambda: memory_stream_pair()[0]
    )
    is_closed: bool = False

    @property
    def peer(self) -> VsockAddress:
        """Somebody."""
        return VsockAddress(16, 1)

    async def aclose(self) -> None:
        """Close."""
        self.is_closed = True
        await super().aclose()


async def start(nursery: trio.Nursery, proxy: Proxy, route: Route) -> TcpEndpoint:
    (listen,) = await nursery.start(proxy.serve, ProxyConfig(routes=(route,)))
    assert isinstance(listen, TcpEndpoint)
    return listen


async def connect(listen: TcpEndpoint) -> trio.SocketStream:
    return await trio.open_tcp_stream(listen.host, listen.port)


TO_VSOCK = Route(listen=TCP, forward=VsockEndpoint(16, 1))


@pytest.mark.parametrize("attempt", range(8))
async def test_who_is_dialled_as_the_proxy_is_cancelled_is_reset(attempt: int) -> None:
    """Whether the carrier or the connection hears of it first is up to chance."""
    near, far = trio.socket.socketpair()
    network = Dialled(lambda: SocketVsockStream(near, VsockAddress(16, 1)), would_block)
    proxy = Proxy(Surroundings(network, NO_ALLOWLIST))
    with far:
        async with trio.open_nursery() as nursery:
            client = await connect(await start(nursery, proxy, TO_VSOCK))
            await wait_all_tasks_blocked(0.01)
            network.may_dial.set()
            nursery.cancel_scope.cancel()

        with trio.fail_after(5), pytest.raises(trio.BrokenResourceError):
            await client.receive_some()
    await client.aclose()
    assert near.fileno() == -1


async def test_a_bug_in_dialling_at_once_ends_one_connection_only(
    nursery: trio.Nursery,
) -> None:
    network = Dialled(bug, bug)
    network.may_dial.set()
    proxy = Proxy(Surroundings(network, NO_ALLOWLIST))
    listen = await start(nursery, proxy, TO_VSOCK)

    for _ in range(2):
        async with await connect(listen) as client:
            with trio.fail_after(5), pytest.raises(trio.BrokenResourceError):
                await client.receive_some()


async def test_a_target_that_is_no_socket_is_dialled_once(
    nursery: trio.Nursery,
) -> None:
    targets: list[MemoryStream] = []

    def dial() -> VsockStream:
        targets.append(MemoryStream())
        return targets[-1]

    network = Dialled(dial, dial)
    network.may_dial.set()
    async with trio.open_nursery() as inner:
        proxy = Proxy(Surroundings(network, NO_ALLOWLIST))
        async with await connect(await start(inner, proxy, TO_VSOCK)):
            while not targets:
                await trio.sleep(0)
            await wait_all_tasks_blocked(0.01)
            inner.cancel_scope.cancel()

    assert [target.is_closed for target in targets] == [True]


@contextmanager
def no_descriptor_left() -> Iterator[None]:
    """Take all of them, and allow no more than there are."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(path.name) for path in Path("/proc/self/fd").iterdir())
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, before[1]))
    taken = []
    try:
        with suppress(OSError):
            while True:
                taken.append(os.open(os.devnull, os.O_RDONLY))
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
        for descriptor in taken:
            os.close(descriptor)


async def test_a_route_is_changed_where_no_descriptor_is_left(
    nursery: trio.Nursery, tmp_path: Path
) -> None:
    """Who is connected stays so, and who comes afterwards is served."""
    target = await open_unix_listener(tmp_path / "echo")
    nursery.start_soon(trio.serve_listeners, echo, [target])
    proxy = Proxy(Surroundings(Dialled(bug, bug), NO_ALLOWLIST))
    route = Route(listen=TCP, forward=UnixEndpoint(str(tmp_path / "echo")))
    listen = await start(nursery, proxy, route)

    changed = attrs.evolve(route, connect_attempts=2)
    with no_descriptor_left():
        await proxy.reload(ProxyConfig(routes=(changed,)), NO_ALLOWLIST)
        await wait_all_tasks_blocked()

    async with await connect(listen) as stream:
        await converse(stream)


async def converse(stream: Stream) -> None:
    await stream.send_all(b"hello")
    with trio.fail_after(5):
        assert await stream.receive_some() == b"hello"
