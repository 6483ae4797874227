"""The contract of vsock networks refuses each network that breaks it."""

# ruff: noqa: D101, D102 -- each class is named after what it does wrong

from __future__ import annotations

import errno

import attrs
import pytest
import trio

from tests.wrapped import WrappedStream
from trionitro.abc import (
    VMADDR_ANY,
    VsockAddress,
    VsockListener,
    VsockNetwork,
    VsockStream,
)
from trionitro.testing import MemoryVsock, check_vsock_network
from trionitro.testing._memory_stream import MemoryVsockStream


@attrs.define(eq=False)
class Listener(VsockListener):
    """A listener that does what its inner one does."""

    inner: VsockListener
    stream: type[WrappedStream]

    @property
    def port(self) -> int:
        return self.inner.port

    async def accept(self) -> VsockStream:
        return self.stream(await self.inner.accept())

    async def aclose(self) -> None:
        await self.inner.aclose()


@attrs.define(eq=False)
class Network(VsockNetwork):
    """A network that does what a MemoryVsock does."""

    inner: MemoryVsock = attrs.field(factory=MemoryVsock)
    listener: type[Listener] = Listener
    stream: type[WrappedStream] = WrappedStream

    @property
    def cid(self) -> int | None:
        return self.inner.cid

    async def open_stream(self, cid: int, port: int) -> VsockStream:
        return self.stream(await self.inner.open_stream(cid, port))

    async def open_listener(
        self, port: int, *, backlog: int | None = None
    ) -> VsockListener:
        inner = await self.inner.open_listener(port, backlog=backlog)
        return self.listener(inner, self.stream)


class ReportsNoPort(Listener):
    @property
    def port(self) -> int:
        return VMADDR_ANY


@attrs.define(eq=False)
class TakesPortsAway(Network):
    owners: dict[int, VsockListener] = attrs.field(factory=dict)

    async def open_listener(
        self, port: int, *, backlog: int | None = None
    ) -> VsockListener:
        if port in self.owners:
            await self.owners[port].aclose()
        listener = await super().open_listener(port, backlog=backlog)
        self.owners[listener.port] = listener
        return listener


class ConnectsToNobody(Network):
    async def open_stream(self, cid: int, port: int) -> VsockStream:
        try:
            return await super().open_stream(cid, port)
        except ConnectionRefusedError:
            async with await self.inner.open_listener(port):
                return await super().open_stream(cid, port)


@attrs.define(eq=False)
class KeepsPorts(Network):
    taken: set[int] = attrs.field(factory=set)

    async def open_listener(
        self, port: int, *, backlog: int | None = None
    ) -> VsockListener:
        if port in self.taken:
            raise OSError(errno.EADDRINUSE, "somebody listened there once")
        listener = await super().open_listener(port, backlog=backlog)
        self.taken.add(listener.port)
        return listener


class SaysThereWillBeNoMore(Listener):
    async def accept(self) -> VsockStream:
        try:
            return await super().accept()
        except trio.ClosedResourceError:
            raise trio.EndOfChannel from None


@attrs.define(eq=False)
class TakesConnectionsAlong(Listener):
    accepted: list[VsockStream] = attrs.field(factory=list)

    async def accept(self) -> VsockStream:
        self.accepted.append(await super().accept())
        return self.accepted[-1]

    async def aclose(self) -> None:
        for stream in self.accepted:
            await stream.aclose()
        await super().aclose()


class EndsAltogether(WrappedStream):
    async def send_eof(self) -> None:
        await self.aclose()


class IsSomebodyElse(WrappedStream):
    @property
    def peer(self) -> VsockAddress:
        return VsockAddress(self.inner.peer.cid + 1, self.inner.peer.port)


class HasRoomForTwo(Network):
    async def open_listener(
        self, port: int, *, backlog: int | None = None
    ) -> VsockListener:
        return await super().open_listener(port, backlog=2)


class GivesUpAccepting(Listener):
    async def accept(self) -> VsockStream:
        try:
            return await super().accept()
        except trio.Cancelled:
            await trio.aclose_forcefully(self.inner)
            raise


@attrs.define(eq=False)
class ForgetsCancelledDials(Network):
    lost: list[VsockStream] = attrs.field(factory=list)

    async def open_stream(self, cid: int, port: int) -> VsockStream:
        with trio.CancelScope(shield=True):
            stream = await super().open_stream(cid, port)
        self.lost.append(stream)
        await trio.lowlevel.checkpoint()
        return stream


class TakesEverything(WrappedStream):
    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        if len(data) > 2**20:
            await trio.lowlevel.checkpoint()
        else:
            await super().send_all(data)


class LosesBytes(WrappedStream):
    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await super().send_all(data[: 2**20])


@attrs.define(eq=False)
class NeverEndsTwice(WrappedStream):
    ended: bool = False

    async def send_eof(self) -> None:
        if self.ended:
            raise trio.ClosedResourceError
        self.ended = True
        await super().send_eof()


class EndsInTheMiddle(WrappedStream):
    async def send_eof(self) -> None:
        try:
            await super().send_eof()
        except trio.BusyResourceError:
            await trio.lowlevel.checkpoint()


class NeverWaits(WrappedStream):
    async def wait_send_all_might_not_block(self) -> None:
        assert isinstance(self.inner, MemoryVsockStream)
        if self.inner._outgoing.is_full():
            await trio.lowlevel.checkpoint()
        else:
            await super().wait_send_all_might_not_block()


BROKEN: dict[str, tuple[Network, str]] = {
    "reports no port": (
        Network(listener=ReportsNoPort),
        "a free port must be picked and reported",
    ),
    "takes ports away": (TakesPortsAway(), "a port in use must be refused"),
    "connects to nobody": (
        ConnectsToNobody(),
        "dialling where nobody listens must be an OSError",
    ),
    "keeps ports": (KeepsPorts(), "a port must be free again"),
    "says there will be no more": (
        Network(listener=SaysThereWillBeNoMore),
        "closing a listener must wake",
    ),
    "takes connections along": (
        Network(listener=TakesConnectionsAlong),
        "a connection must outlive its listener",
    ),
    "ends altogether": (Network(stream=EndsAltogether), "each direction must end"),
    "is somebody else": (Network(stream=IsSomebodyElse), "each end must know who"),
    "has room for two": (HasRoomForTwo(), "many connections at once"),
    "gives up accepting": (
        Network(listener=GivesUpAccepting),
        r"a cancelled accept\(\) must leave",
    ),
    "forgets cancelled dials": (
        ForgetsCancelledDials(),
        r"a cancelled open_stream\(\) must leave nothing open",
    ),
    "takes everything": (Network(stream=TakesEverything), "a slow reader must hold"),
    "loses bytes": (Network(stream=LosesBytes), "a slow reader must hold"),
    "never ends twice": (
        Network(stream=NeverEndsTwice),
        "streams must meet trio's contract for half-closeable ones",
    ),
    "never waits": (
        Network(stream=NeverWaits),
        "streams must meet trio's contract for clogged ones",
    ),
    "ends in the middle": (
        Network(stream=EndsInTheMiddle),
        "two tasks that send at once must be told",
    ),
}


@pytest.mark.parametrize("network_and_sentence", BROKEN.values(), ids=BROKEN)
async def test_a_broken_network_is_told_what_must_hold(
    network_and_sentence: tuple[Network, str],
    autojump_clock: trio.testing.MockClock,
) -> None:
    network, sentence = network_and_sentence

    with pytest.raises(AssertionError, match=f"^{sentence}.*; but: "):
        await check_vsock_network(network)


async def test_the_network_that_the_broken_ones_are_made_of_is_whole() -> None:
    await check_vsock_network(Network())


async def test_a_network_that_does_not_tell_its_cid_needs_one_to_dial() -> None:
    class IsNobody(Network):
        @property
        def cid(self) -> int | None:
            return None

    with pytest.raises(ValueError, match="say which one to dial"):
        await check_vsock_network(IsNobody())
    await check_vsock_network(IsNobody(), cid=3)
