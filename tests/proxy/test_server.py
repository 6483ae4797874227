"""A proxy in this process, on a vsock in memory: its life, step by step."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import attrs
import pytest
import trio
from trio.testing import (
    MockClock,
    check_half_closeable_stream,
    wait_all_tasks_blocked,
)

from tests.proxy.ends import Stream, echo, receive_all
from trionitro import (
    CannotStartError,
    NotAllowedError,
    TcpEndpoint,
    VsockEndpoint,
    parse_endpoint,
)
from trionitro.abc import VsockListener, VsockNetwork, VsockStream
from trionitro.proxy import NO_ALLOWLIST, Allowlist, Proxy, ProxyConfig, Route
from trionitro.proxy import Surroundings as Around
from trionitro.testing import MemoryVsock, cancel_at_every_step
from trionitro.vsock import KernelVsock, LocalVsock


def config(*ports: tuple[int, int], **settings: object) -> ProxyConfig:
    """Route the parent's vsock ports to ports of the enclave with CID 16."""
    return ProxyConfig(
        routes=tuple(
            Route(
                listen=VsockEndpoint(None, listen),
                forward=VsockEndpoint(16, forward),
                **settings,  # type: ignore[arg-type]
            )
            for listen, forward in ports
        ),
    )


@attrs.define(eq=False)
class World:
    """A parent with a proxy, an enclave with an echo, and another that connects."""

    nursery: trio.Nursery
    parent: MemoryVsock = attrs.field(factory=MemoryVsock)
    proxy: Proxy = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.proxy = Proxy(Around(self.parent, NO_ALLOWLIST))

    async def start(self, config: ProxyConfig) -> None:
        """Start the proxy, and an echo behind it."""
        await self.serve_echo(2000)
        await self.nursery.start(self.proxy.serve, config)

    async def serve_echo(self, port: int) -> None:
        """Serve an echo on a port of the enclave."""
        listener = await self.parent.at(16).open_listener(port)
        self.nursery.start_soon(trio.serve_listeners, echo, [listener])

    async def connect(self, port: int) -> Stream:
        """Connect to a port of the parent, as the enclave with CID 17."""
        return await self.parent.at(17).open_stream(3, port)

    async def converse(self, stream: Stream) -> None:
        """Check that the echo answers."""
        await stream.send_all(b"hello")
        assert await stream.receive_some(100) == b"hello"


@attrs.define(eq=False)
class BuggyVsock(VsockNetwork):
    """A network that listens well, and dials with a bug."""

    good: MemoryVsock

    async def open_stream(self, cid: int, port: int) -> VsockStream:
        """Run into a bug."""
        raise ZeroDivisionError

    async def open_listener(
        self, port: int, *, backlog: int | None = None
    ) -> VsockListener:
        """Listen as the good network does."""
        return await self.good.open_listener(port, backlog=backlog)


@pytest.fixture(name="world")
def _world(nursery: trio.Nursery) -> World:
    return World(nursery)


async def ends_within(stream: Stream, seconds: float = 1) -> bool:
    """Tell whether the stream ends, which is all that a vsock ever says."""
    with trio.move_on_after(seconds):
        await receive_all(stream)
        return True
    return False


async def test_connections_belong_to_the_proxy(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """Cancelling the proxy ends its connections and frees its port."""
    world = World(nursery)
    async with trio.open_nursery() as inner:
        world.nursery = inner
        await world.start(config((8000, 2000)))
        stream = await world.connect(8000)
        await world.converse(stream)
        inner.cancel_scope.cancel()

    assert await ends_within(stream)
    await (await world.parent.open_listener(8000)).aclose()


async def test_draining_waits_for_connections(
    world: World, autojump_clock: MockClock
) -> None:
    await world.start(config((8000, 2000)))
    stream = await world.connect(8000)
    await world.converse(stream)

    world.proxy.drain()
    await wait_all_tasks_blocked()

    await world.converse(stream)
    with pytest.raises(OSError, match="8000"):
        await world.connect(8000)


async def test_draining_ends_after_the_grace(
    world: World, autojump_clock: MockClock
) -> None:
    await world.start(attrs.evolve(config((8000, 2000)), grace=7))
    stream = await world.connect(8000)
    await world.converse(stream)
    began = trio.current_time()

    world.proxy.drain()

    assert await ends_within(stream, 60)
    assert trio.current_time() - began == pytest.approx(7)


async def test_all_listeners_are_open_when_the_proxy_has_started(world: World) -> None:
    await world.start(config(*((port, 2000) for port in range(8000, 8020))))

    for port in range(8000, 8020):
        await world.converse(await world.connect(port))


async def test_a_port_in_use_keeps_the_proxy_from_starting(world: World) -> None:
    """And the ports that it could have had are free again."""
    await world.parent.open_listener(8001)

    with pytest.raises(ExceptionGroup) as caught:
        await world.proxy.serve(config((8000, 2000), (8001, 2000)))

    assert caught.group_contains(CannotStartError, match="8001")
    await (await world.parent.open_listener(8000)).aclose()


async def test_a_listener_takes_only_this_sides_own_cid(world: World) -> None:
    route = Route(listen=VsockEndpoint(7, 8000), forward=VsockEndpoint(16, 2000))

    with pytest.raises(ExceptionGroup) as caught:
        await world.proxy.serve(ProxyConfig(routes=(route,)))

    assert caught.group_contains(CannotStartError, match="CID 7")


async def test_only_admitted_cids_are_served(
    world: World, autojump_clock: MockClock
) -> None:
    await world.start(config((8000, 2000), allow_cids=frozenset({17})))
    stranger = await world.parent.at(18).open_stream(3, 8000)

    await world.converse(await world.connect(8000))

    assert await ends_within(stranger)
    text = world.proxy.around.metrics.render().decode()
    assert 'trionitro_refusals_total{reason="cid",route="vsock://:8000"} 1.0' in text


async def test_a_connection_that_meets_a_bug_harms_no_other(world: World) -> None:
    """What crashes one connection is logged and counted, and the route goes on."""
    buggy = Proxy(Around(BuggyVsock(world.parent), NO_ALLOWLIST))
    await world.nursery.start(buggy.serve, config((8000, 2000)))

    stream = await world.connect(8000)

    assert await ends_within(stream)
    assert 'outcome="crashed"' in buggy.around.metrics.render().decode()
    assert await ends_within(await world.connect(8000))


async def test_without_a_vsock_the_error_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """AF_X25 stands in for AF_VSOCK: no kernel of ours has it."""
    monkeypatch.setattr("trionitro.vsock._kernel._AF_VSOCK", 9)
    proxy = Proxy(Around(KernelVsock(), NO_ALLOWLIST))

    with pytest.raises(ExceptionGroup) as caught:
        await proxy.serve(config((8000, 2000)))

    assert caught.group_contains(
        CannotStartError, match=r"vsock://:8000.*no vsock.*--vsock local:DIR"
    )


async def test_a_proxied_stream_is_as_good_as_any(
    nursery: trio.Nursery, tmp_path: Path
) -> None:
    """Trio's own contract for half-closeable streams holds through both halves."""
    parent, enclave = LocalVsock(tmp_path), LocalVsock(tmp_path, cid=16)
    outside = TcpEndpoint("127.0.0.1", 0)
    inner = Proxy(Around(enclave, NO_ALLOWLIST))
    outer = Proxy(Around(parent, NO_ALLOWLIST))
    (target,) = await trio.open_tcp_listeners(0, host=outside.host)
    inward = Route(listen=outside, forward=VsockEndpoint(3, 8000))
    outward = Route(
        listen=VsockEndpoint(None, 8000),
        forward=TcpEndpoint(outside.host, target.socket.getsockname()[1]),
    )
    await nursery.start(outer.serve, ProxyConfig(routes=(outward,)))
    (entrance,) = await nursery.start(inner.serve, ProxyConfig(routes=(inward,)))

    async def connect() -> tuple[Stream, Stream]:
        client = await trio.open_tcp_stream(entrance.host, entrance.port)
        return client, await target.accept()

    async with target:
        await check_half_closeable_stream(connect, None)


# --- reloading --------------------------------------------------------------------


async def test_reloading_keeps_what_is_the_same_and_frees_what_is_not(
    world: World, autojump_clock: MockClock
) -> None:
    await world.start(config((8000, 2000), (8001, 2000)))
    kept, dropped = await world.connect(8000), await world.connect(8001)
    await world.converse(kept)
    await world.converse(dropped)

    await world.proxy.reload(config((8000, 2000), (8002, 2000)), NO_ALLOWLIST)

    await world.converse(kept)
    await world.converse(await world.connect(8002))
    with pytest.raises(OSError, match="8001"):
        await world.connect(8001)
    await world.converse(dropped)  # within the grace
    assert await ends_within(dropped, 60)
    await world.converse(kept)


async def test_a_reload_before_the_start_waits_for_it(world: World) -> None:
    async with trio.open_nursery() as reloading:
        reloading.start_soon(
            world.proxy.reload, config((8000, 2000), (8001, 2000)), NO_ALLOWLIST
        )
        await wait_all_tasks_blocked()
        await world.start(config((8000, 2000)))

    await world.converse(await world.connect(8000))
    await world.converse(await world.connect(8001))


async def test_a_reload_while_draining_opens_nothing(
    world: World, autojump_clock: MockClock
) -> None:
    await world.start(config((8000, 2000)))
    stream = await world.connect(8000)
    await world.converse(stream)

    world.proxy.drain()
    await wait_all_tasks_blocked()
    await world.proxy.reload(config((8000, 2000), (8001, 2000)), NO_ALLOWLIST)

    with pytest.raises(OSError, match="8001"):
        await world.connect(8001)
    await world.converse(stream)


async def test_a_changed_route_keeps_its_listener(world: World) -> None:
    """Connections that come meanwhile wait in the backlog; none is refused."""
    await world.serve_echo(2001)
    await world.start(config((8000, 1)))

    await world.proxy.reload(config((8000, 2001)), NO_ALLOWLIST)

    await world.converse(await world.connect(8000))


async def test_a_reload_that_cannot_listen_changes_nothing(world: World) -> None:
    await world.start(config((8000, 2000)))
    await world.parent.open_listener(8001)

    with pytest.raises(CannotStartError, match="8001"):
        await world.proxy.reload(
            config((8002, 2000), (8001, 2000)), Allowlist.parse("allowlist: []")
        )

    await world.converse(await world.connect(8000))
    assert world.proxy.around.allowlist is NO_ALLOWLIST
    await (await world.parent.open_listener(8002)).aclose()


async def test_a_route_that_the_allowlist_forbids_does_not_start(world: World) -> None:
    rules = Allowlist.parse("allowlist: []", source="empty.yaml")
    proxy = Proxy(Around(world.parent, rules))
    route = Route(
        listen=VsockEndpoint(None, 8000),
        forward=parse_endpoint("tcp://kms.example.com:443"),
    )

    with pytest.raises(NotAllowedError, match=r"empty\.yaml"):
        await proxy.serve(ProxyConfig(routes=(route,), allowlist="empty.yaml"))


# --- cancellation -----------------------------------------------------------------


def test_a_proxys_life_can_be_cancelled_at_every_step() -> None:
    """From start to drained, with a reload between: nothing is left open or running."""
    steps = cancel_at_every_step(
        _a_proxys_life, clock=partial(MockClock, autojump_threshold=0)
    )

    assert steps > 50


async def _a_proxys_life() -> None:
    parent = MemoryVsock()
    streams: list[Stream] = []
    try:
        async with trio.open_nursery() as nursery:
            world = World(nursery, parent)
            await world.start(config((8000, 2000), (8001, 2000)))
            streams.append(await world.connect(8000))
            await world.converse(streams[0])
            await world.proxy.reload(config((8000, 2000), (8002, 2000)), NO_ALLOWLIST)
            await world.converse(streams[0])
            world.proxy.drain()
            await streams[0].send_eof()
            await receive_all(streams[0])
            nursery.cancel_scope.cancel()
    finally:
        with trio.CancelScope(shield=True, deadline=trio.current_time() + 5):
            for stream in streams:
                assert await ends_within(stream)
            for port in (8000, 8001, 8002):
                await (await parent.open_listener(port)).aclose()
