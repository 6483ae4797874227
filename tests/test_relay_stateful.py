"""The relay against a model: whatever both peers do, in whatever order.

A scenario is a list of what the peers do. It is played in a Trio run of its own, beside
a model that knows what was said, and so what may be heard.

"""

from __future__ import annotations

import random
from typing import Final, Literal

import attrs
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import wait_all_tasks_blocked

from tests.relay_world import (
    MEMORY,
    TCP,
    UNIX,
    Pair,
    Stream,
    World,
    break_off,
    open_world,
)
from trionitro import Ending

Side = Literal["left", "right"]

PAIRS: Final = (Pair(TCP, TCP), Pair(TCP, UNIX), Pair(UNIX, TCP), Pair(MEMORY, MEMORY))

#: What is said. A byte that is lost, doubled or misplaced makes a difference.
SPEECH: Final = random.Random(1).randbytes(2**16)


@attrs.frozen
class Send:
    """Send some bytes, few enough not to wait for anybody."""

    side: Side
    size: int


@attrs.frozen
class SendEof:
    """Send end-of-file."""

    side: Side


@attrs.frozen
class Receive:
    """Receive some of what must arrive, if anything must."""

    side: Side
    size: int


@attrs.frozen
class Settle:
    """Let the relay do what it can."""


@attrs.frozen
class Break:
    """Go away without a word."""

    side: Side


@attrs.frozen
class CancelRelay:
    """Cancel the relay."""


Action = Send | SendEof | Receive | Settle | Break | CancelRelay

sides: st.SearchStrategy[Side] = st.sampled_from(["left", "right"])
sizes = st.integers(1, 2000)
talk: st.SearchStrategy[list[Action]] = st.lists(
    st.builds(Send, sides, sizes)
    | st.builds(Receive, sides, sizes)
    | st.builds(SendEof, sides)
    | st.builds(Settle),
    max_size=25,
)
cuts: st.SearchStrategy[list[Action]] = st.lists(
    st.builds(Break, sides) | st.builds(CancelRelay), max_size=2
)
scenarios = st.tuples(talk, cuts, talk).map(lambda parts: sum(parts, []))


@attrs.define(eq=False)
class Peer:
    """A client or a server, with what it said and heard.

    Attributes:
      stream: its end of the connection.
      resets: whether a break of it shows as an error, rather than as end-of-file.
      said: how many bytes of ``SPEECH`` it sent, or tried to.
      heard: what it received.
      said_all: whether it sent end-of-file, or tried to.
      broken: whether it went away.

    """

    stream: Stream
    resets: bool
    said: int = 0
    heard: bytearray = attrs.field(factory=bytearray)
    said_all: bool = False
    heard_all: bool = False
    broken: bool = False

    @property
    def may_end_cleanly(self) -> bool:
        """Whether the other one may hear an end-of-file."""
        return self.said_all or (self.broken and not self.resets)


@attrs.define(eq=False)
class Scene:
    """A relay, its peers, and the model.

    Attributes:
      cut: whether a peer went away or the relay was cancelled. From then on anything
          may fail, and the model says what must not happen.

    """

    world: World
    left: Peer
    right: Peer
    cut: bool = False

    def peers(self, side: Side) -> tuple[Peer, Peer]:
        """Return this side's peer, and the one it talks to."""
        both = (self.left, self.right)
        return both if side == "left" else both[::-1]

    async def play(self, action: Action) -> None:
        """Do it, unless a peer in its place would not, or would wait for ever."""
        match action:
            case Send(side, size):
                await self.send(self.peers(side)[0], size)
            case SendEof(side):
                await self.send_eof(self.peers(side)[0])
            case Receive(side, size):
                await self.receive(*self.peers(side), size)
            case Settle():
                await wait_all_tasks_blocked()
            case Break(side):
                await self.break_off(self.peers(side)[0])
            case CancelRelay():
                self.cut = True
                self.world.scope.cancel()
                await self.world.ended.wait()

    async def send(self, peer: Peer, size: int) -> None:
        if peer.said_all or peer.broken:
            return
        start, peer.said = peer.said, peer.said + size
        with self.breaking_if_cut():
            await peer.stream.send_all(SPEECH[start : peer.said])
