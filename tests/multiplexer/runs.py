"""Carrying flows in a Trio run, on one lane or two whatever the machine."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from itertools import chain
from typing import Final

import attrs
import pytest
import trio

from tests.relay_world import UNIX, Kind, Stream, StreamPair
from trionitro import Ending, Progress
from trionitro._multiplexer import Carrier, _carrier, carry
from trionitro._multiplexer._lanes import Lanes
from trionitro.vsock._stream import SocketVsockStream

LANES: Final = {"one lane": Lanes.single, "two lanes": Lanes.double}

on_each = pytest.mark.parametrize("make_lanes", LANES.values(), ids=LANES)

#: Enough to become bulk on the way, and more than all buffers between two ends hold.
BULK: Final = 2**20


def use(make_lanes: Callable[[], Lanes]) -> Lanes:
    """Have this run use other lanes than it would.

    The bulk lane is not found to be starved, whatever else this machine has to do.

    """
    lanes = use_as_they_are(make_lanes)
    if lanes.bulk is not None:
        lanes.bulk.share.patience = math.inf
    return lanes


def use_as_they_are(make_lanes: Callable[[], Lanes]) -> Lanes:
    """Have this run use other lanes than it would, of which bulk's may starve."""
    lanes = make_lanes()
    _carrier._lanes.set(lanes)
    return lanes


@attrs.define(eq=False)
class Carried:
    """A flow, and those who talk through it.

    Attributes:
      client: the left end.
      server: the right end.
      scope: what the flow is carried in.
      progress: how far it is.
      ending: how it ended.
      ended: set when it did, in whatever way.

    """

    client: Stream
    server: Stream
    progress: Progress = attrs.field(factory=Progress)
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    ending: Ending | None = None
    ended: trio.Event = attrs.field(factory=trio.Event)

    async def carry(
        self, left: Stream, right: Stream, idle_timeout: float = float("inf")
    ) -> None:
        """Carry what is said, and close the two streams."""
        assert isinstance(left, trio.SocketStream | SocketVsockStream)
        assert isinstance(right, trio.SocketStream | SocketVsockStream)
        try:
            with self.scope:
                self.ending = await carry(
                    left.socket, right.socket, self.progress, idle_timeout
                )
        finally:
            left.socket.close()
            right.socket.close()
            self.ended.set()

    async def ask(self, question: bytes = b"?") -> None:
        """Have the client say something, and the server hear it."""
        await self.client.send_all(question)
        heard = 0
        while heard < len(question):
            data = await self.server.receive_some(2**16)
            assert data
            heard += len(data)

    async def answer(self) -> None:
        """Have the server say something, and the client hear it."""
        await self.server.send_all(b"!")
        assert await self.client.receive_some(1) == b"!"

    async def become_bulk(self) -> None:
        """Send so much from client to server that this is bulk, and hear all of it."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.client.send_all, bytes(BULK))
            await swallow(self.server, BULK)

    async def cancel(self) -> None:
        """Cancel it, and wait for it to end."""
        self.scope.cancel()
        await self.ended.wait()


async def swallow(stream: Stream, size: int) -> None:
    """Receive so many bytes."""
    while size:
        data = await stream.receive_some(min(size, 2**18))
        assert data
        size -= len(data)


async def until(condition: Callable[[], object]) -> None:
    """Let others run, the worker thread among them, until ``condition`` holds."""
    while not condition():
        await trio.lowlevel.checkpoint()


@asynccontextmanager
async def carrying(
    kind: Kind, count: int = 1, idle_timeout: float = float("inf")
) -> AsyncIterator[list[Carried]]:
    """Carry so many flows; cancel what is left of them in the end."""
    with trio.CancelScope(shield=True):
        pairs = [await kind.open_pair() for _ in range(2 * count)]
    carried = []
    try:
        async with trio.open_nursery() as nursery:
            for (client, left), (right, server) in batched(pairs):
                carried.append(one := Carried(client, server))
                nursery.start_soon(one.carry, left, right, idle_timeout)
            # With nothing to do, one leads and the others are parked.
            await trio.testing.wait_all_tasks_blocked()
            yield carried
            nursery.cancel_scope.cancel()
    finally:
        with trio.CancelScope(shield=True):
            for stream in chain.from_iterable(pairs):
                await trio.aclose_forcefully(stream)


async def join(carrier: Carrier) -> Carried:
    """Have a carrier carry one more pair, and close it in the end."""
    client, left = await UNIX.open_pair()
    right, server = await UNIX.open_pair()
    assert isinstance(left, trio.SocketStream)
    assert isinstance(right, trio.SocketStream)
    one = Carried(client, server)

    def end(ending: Ending | None) -> None:
        assert not one.ended.is_set()
        one.ending = ending
        left.socket.close()
        right.socket.close()
        one.ended.set()

    carrier.add(left.socket, right.socket, one.progress, end)
    return one


async def hang_up(*carried: Carried) -> None:
    """Close the ends of those who talk."""
    for one in carried:
        await trio.aclose_forcefully(one.client)
        await trio.aclose_forcefully(one.server)


def batched(pairs: list[StreamPair]) -> Iterator[tuple[StreamPair, StreamPair]]:
    """Give them two by two."""
    return zip(pairs[::2], pairs[1::2], strict=True)
