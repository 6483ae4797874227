"""Hundreds of relayed conversations, many at once, of which many end badly."""

from __future__ import annotations

import hashlib
import os
import random
import socket
import struct
from collections import Counter
from collections.abc import Awaitable, Callable

import attrs
import pytest
import trio

from tests.kernel_vsock import HAS_LOOPBACK, vsock_pair
from tests.multiplexer.wires import open_descriptors
from trionitro import Ending, relay

StreamPair = tuple[trio.SocketStream, trio.SocketStream]

#: Small messages, messages that just fit a buffer, and bulk.
SIZES = [0, 1, 63, 1000, 2**14, 2**16 - 1, 2**16, 2**18, 2**20, 5 * 2**20]
WEIGHTS = [1, 8, 8, 8, 6, 4, 4, 4, 2, 1]

#: How many conversations there are, and how many seconds they may take in all. A few
#: hundred see every path; thousands, where ``TRIONITRO_STORM`` says so, see rare ones.
COUNT = int(os.environ.get("TRIONITRO_STORM", "600"))
SECONDS = 20 + COUNT / 20
if "TRIONITRO_GUEST" in os.environ:  # where the processor is emulated
    SECONDS *= 8

#: How conversations end, and how often: mostly well, so that digests are compared.
FATES = ["finish"] * 5 + ["left resets", "right resets", "cancelled"]

_RESET = struct.pack("ii", 1, 0)


@attrs.frozen
class Maker:
    """Makes connected pairs: what the relay holds, and who talks at the other end."""

    listener: trio.SocketListener
    lock: trio.Lock = attrs.field(factory=trio.Lock)

    async def tcp(self) -> StreamPair:
        """Return the two ends of a TCP connection."""
        async with self.lock:
            port = self.listener.socket.getsockname()[1]
            far = await trio.open_tcp_stream("127.0.0.1", port)
            return await self.listener.accept(), far

    async def unix(self) -> StreamPair:
        """Return the two ends of a unix connection."""
        near, far = trio.socket.socketpair()
        return trio.SocketStream(near), trio.SocketStream(far)

    async def vsock(self) -> StreamPair:
        """Return the two ends of a vsock connection."""
        near, far = map(trio.socket.from_stdlib_socket, vsock_pair())
        return trio.SocketStream(near), trio.SocketStream(far)

    def kinds(self) -> list[Callable[[], Awaitable[StreamPair]]]:
        """Return those that there are on this machine."""
        return [self.tcp, self.unix, *([self.vsock] if HAS_LOOPBACK else [])]


@attrs.define(eq=False)
class Talker:
    """One end of a conversation: sends its part, and receives the other's.

    Attributes:
      stream: its socket.
      says: all that it sends, if it is let.
      random: its chances.
      heard: what has arrived so far.

    """

    stream: trio.SocketStream
    says: bytes
    random: random.Random
    heard: bytearray = attrs.field(factory=bytearray)

    async def talk(self) -> None:
        """Send in pieces of any size, then end-of-file."""
        rest = memoryview(self.says)
        while rest:
            # Not too many small ones: a megabyte in single bytes shows nothing more.
            size = self.random.choice([len(rest) // 40 + 1, 2**14, 2**16, 2**20])
            await self.stream.send_all(rest[:size])
            rest = rest[size:]
        await self.stream.send_eof()

    async def listen(self) -> None:
        """Receive in pieces of any size until end-of-file, now and then hesitating."""
        size = self.random.choice([100, 2**12, 2**16, 2**20])
        while chunk := await self.stream.receive_some(size):
            self.heard += chunk
            if self.random.random() < 0.05:
                await trio.sleep(0.001)
                size = self.random.choice([2**12, 2**16, 2**20])

    async def converse(self) -> None:
        """Do both; a peer that is reset or cancelled is not this one's failure."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.talk)
                nursery.start_soon(self.listen)
        except* (trio.BrokenResourceError, trio.ClosedResourceError):
            pass

    def break_off(self) -> None:
        """Be killed."""
        if self.stream.socket.family == socket.AF_INET:
            self.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.stream.socket.close()


@attrs.define(eq=False)
class Storm:
    """Conversations by the number, and what became of them."""

    maker: Maker
    endings: Counter[str] = attrs.field(factory=Counter)

    async def converse(self, seed: int, places: trio.CapacityLimiter) -> None:
        """Have one conversation, all of whose chances depend on ``seed``."""
        async with places:
            chance = random.Random(seed)
            make = self.maker.kinds()
            left, left_far = await chance.choice(make)()
            right, right_far = await chance.choice(make)()
            talkers = [
                Talker(far, chance.randbytes(size), random.Random(seed + side))
                for side, far, size in zip(
                    (1, 2),
                    (left_far, right_far),
                    chance.choices(SIZES, WEIGHTS, k=2),
                    strict=True,
                )
            ]
            fate = chance.choice(FATES)
            async with trio.open_nursery() as nursery:
                for talker in talkers:
                    nursery.start_soon(talker.converse)
                with trio.CancelScope() as scope:
                    nursery.start_soon(self._intervene, fate, talkers, scope, chance)
                    transfer = await relay(left, right)
                    self.endings[transfer.ending] += 1
                self.endings["cancelled"] += scope.cancelled_caught
            for talker in talkers:
                await talker.stream.aclose()
            self._check(fate, *talkers)

    async def _intervene(
        self,
        fate: str,
        talkers: list[Talker],
        scope: trio.CancelScope,
        chance: random.Random,
    ) -> None:
        await trio.sleep(chance.random() * 0.02)
        if fate == "cancelled":
            scope.cancel()
        elif fate == "left resets":
            talkers[0].break_off()
        elif fate == "right resets":
            talkers[1].break_off()

    def _check(self, fate: str, left: Talker, right: Talker) -> None:
        for hearer, sayer in ((left, right), (right, left)):
            heard, said = bytes(hearer.heard), sayer.says
            if fate == "finish":
                assert sha256(heard) == sha256(said)
            assert said.startswith(heard)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.mark.timeout(SECONDS)
@pytest.mark.parametrize("processors", [1, 2], ids=["one lane", "two lanes"])
def test_a_storm_of_conversations(
    processors: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever becomes of a conversation, what arrives is what was sent.

    Whole where it finished, a beginning where it didn't; and no descriptor is left.

    """
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(processors)))
    before = open_descriptors()

    endings = trio.run(_storm, COUNT)

    assert open_descriptors() == before
    assert set(endings) == {
        *(Ending.FINISHED, Ending.LEFT_BROKE, Ending.RIGHT_BROKE),
        "cancelled",
    }


async def _storm(count: int) -> Counter[str]:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        storm = Storm(Maker(listener))
        places = trio.CapacityLimiter(60)
        with trio.fail_after(SECONDS - 5):
            async with trio.open_nursery() as nursery:
                for seed in range(count):
                    nursery.start_soon(storm.converse, seed, places)
    return storm.endings
