"""Hundreds of conversations through carriers that come, go, and are cancelled."""

from __future__ import annotations

import gc
import hashlib
import itertools
import os
import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Final

import attrs
import pytest
import trio

from tests.multiplexer.runs import on_each, use
from tests.multiplexer.wires import open_descriptors
from trionitro import Ending, Progress
from trionitro._multiplexer import Carrier, _lanes
from trionitro._multiplexer._lanes import Lanes
from trionitro._multiplexer._share import Share
from trionitro._reset import prepare_reset

#: How many conversations there are, and how many seconds they may take in all.
COUNT: Final = int(os.environ.get("TRIONITRO_STORM", "120"))
SECONDS: Final = 20 + COUNT / 20

#: Nothing, small messages, and bulk.
SIZES: Final = [0, 1, 1000, 2**14, 2**16, 2**18, 2**20]
WEIGHTS: Final = [1, 8, 8, 6, 4, 4, 3]

FATES: Final = ["finish"] * 6 + ["left breaks", "right breaks", "falls silent"]

#: Which carriers there are at once, and after so many conversations another.
CARRIERS: Final = 3
GENERATION: Final = 10

#: Those that fall silent are given up after so many seconds, and a well-behaved one
#: that pauses for longer as well: it is not a failure.
IDLE: Final = 0.5


@attrs.define(eq=False)
class Conversation:
    """Two ends, what each says, and what the other hears of it."""

    chance: random.Random
    near: tuple[trio.SocketStream, trio.SocketStream]
    far: tuple[trio.SocketStream, trio.SocketStream]
    fate: str
    says: list[bytes]
    heard: tuple[bytearray, bytearray] = attrs.field(
        factory=lambda: (bytearray(), bytearray())
    )
    endings: list[Ending | None] = attrs.field(factory=list)
    ended: trio.Event = attrs.field(factory=trio.Event)

    def end(self, ending: Ending | None) -> None:
        """Close what was carried, as a proxy does."""
        self.endings.append(ending)
        for stream in self.near:
            if ending is not Ending.FINISHED:
                prepare_reset(stream.socket)
            os.close(stream.socket.detach())
        self.ended.set()

    async def have(self) -> Ending | None:
        """Talk and listen on both sides until all is over; check what arrived."""
        async with trio.open_nursery() as nursery:
            for side in (0, 1):
                nursery.start_soon(self._talk, side)
                nursery.start_soon(self._listen, side)
            await trio.sleep(self.chance.random() * 0.02)
            if self.fate.endswith("breaks"):
                stream = self.far[self.fate.startswith("right")]
                prepare_reset(stream.socket)
                stream.socket.close()
            await self.ended.wait()
        for stream in self.far:
            stream.socket.close()
        (ending,) = self.endings
        for said, heard in zip(self.says, reversed(self.heard), strict=True):
            if self.fate == "finish" and ending is Ending.FINISHED:
                assert digest(heard) == digest(said)
            assert said.startswith(heard)
        return ending

    async def _talk(self, side: int) -> None:
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            await self.far[side].send_all(self.says[side])
            if self.fate != "falls silent":
                await self.far[side].send_eof()

    async def _listen(self, side: int) -> None:
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            async for data in self.far[side]:
                self.heard[side].extend(data)


@attrs.define(eq=False)
class Storm:
    """Carriers, and the conversations that one of them carries each."""

    listener: trio.SocketListener
    running: trio.Nursery
    carriers: list[Carrier] = attrs.field(factory=list)
    endings: Counter[Ending | None] = attrs.field(factory=Counter)
    _connecting: trio.Lock = attrs.field(factory=trio.Lock)

    def start_carrier(self, chance: random.Random) -> None:
        """Have another carrier. Half of them are cancelled, at any time."""
        carrier, scope = Carrier(IDLE), trio.CancelScope()
        if self.carriers and chance.random() < 0.5:
            scope.deadline = trio.current_time() + chance.uniform(0.02, 0.2)

        async def run() -> None:
            with scope:
                await carrier.run()

        self.running.start_soon(run)
        self.carriers.append(carrier)
        if len(self.carriers) > CARRIERS:
            self.carriers.pop(0).close()

    async def open_pair(
        self, chance: random.Random
    ) -> tuple[trio.SocketStream, trio.SocketStream]:
        """Return a connection's two ends."""
        if chance.random() < 0.5:
            near, far = trio.socket.socketpair()
            return trio.SocketStream(near), trio.SocketStream(far)
        async with self._connecting:
            port = self.listener.socket.getsockname()[1]
            stream = await trio.open_tcp_stream("127.0.0.1", port)
            return await self.listener.accept(), stream

    async def converse(self, seed: int, places: trio.CapacityLimiter) -> None:
        """Have one conversation, all of whose chances depend on ``seed``."""
        async with places:
            chance = random.Random(seed)
            if seed % GENERATION == 0:
                self.start_carrier(chance)
            left, left_far = await self.open_pair(chance)
            right, right_far = await self.open_pair(chance)
            sizes = chance.choices(SIZES, WEIGHTS, k=2)
            one = Conversation(
                chance,
                (left, right),
                (left_far, right_far),
                chance.choice(FATES),
                [chance.randbytes(size) for size in sizes],
            )
            # It may have been cancelled already, just as in a proxy.
            carrier = chance.choice(self.carriers)
            carrier.add(left.socket, right.socket, Progress(), one.end)
            self.endings[await one.have()] += 1


def digest(data: bytes | bytearray) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.mark.timeout(SECONDS)
@on_each
def test_a_storm_through_carriers(make_lanes: Callable[[], Lanes]) -> None:
    """Each conversation ends once, whatever becomes of it, and nothing is left.

    What arrives is what was sent: whole where it finished, else a beginning.

    """
    gc.collect()
    before = open_descriptors()

    endings = trio.run(_storm, COUNT, make_lanes)

    gc.collect()
    assert open_descriptors() == before
    assert endings.total() == COUNT
    assert {Ending.FINISHED, Ending.IDLE, None} <= set(endings)


@pytest.mark.timeout(SECONDS)
def test_a_storm_while_bulk_comes_and_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bulk lane's thread starves, and is tried again, all the time."""
    monkeypatch.setattr(_lanes, "_BULK_REST", 1e-3)

    test_a_storm_through_carriers(_starving)


@attrs.define
class _Fickle(Share):
    """Finds every fifth pass one too many."""

    judged: Iterator[int] = attrs.field(factory=itertools.count)

    def is_too_small(self, taken: float, run: float) -> bool:
        return next(self.judged) % 5 == 4


def _starving() -> Lanes:
    lanes = Lanes.double()
    assert lanes.bulk is not None
    lanes.bulk.share = _Fickle()
    return lanes


async def _storm(count: int, make_lanes: Callable[[], Lanes]) -> Counter[Ending | None]:
    lanes = use(make_lanes)
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    places = trio.CapacityLimiter(30)
    with trio.fail_after(SECONDS - 5):
        async with listener, trio.open_nursery() as running:
            storm = Storm(listener, running)
            storm.start_carrier(random.Random(0))
            async with trio.open_nursery() as talking:
                for seed in range(count):
                    talking.start_soon(storm.converse, seed, places)
            for carrier in storm.carriers:
                carrier.close()
    assert lanes.leader is None
    assert not lanes._parked
    assert not lanes._bulky
    assert lanes.small.any_flow() is None
    return storm.endings
