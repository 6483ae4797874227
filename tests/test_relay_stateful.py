"""The relay against a model: whatever both peers do, in whatever order.

A scenario is a list of what the peers do. It is played in a Trio run of its own, beside
a model that knows what was said, and so what may be heard.

"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Literal

import attrs
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.kernel_vsock import HAS_LOOPBACK
from tests.relay_world import (
    MEMORY,
    TCP,
    UNIX,
    VSOCK,
    Pair,
    Stream,
    World,
    break_off,
    open_world,
)
from trionitro import Ending

Side = Literal["left", "right"]

PAIRS: Final = (
    Pair(TCP, TCP),
    Pair(TCP, UNIX),
    Pair(UNIX, TCP),
    Pair(TCP, MEMORY),
    Pair(MEMORY, MEMORY),
    *([Pair(TCP, VSOCK), Pair(VSOCK, TCP)] if HAS_LOOPBACK else []),
)

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
scenarios = st.tuples(talk, cuts, talk).map(
    lambda parts: [*parts[0], *parts[1], *parts[2]]
)


@attrs.define(eq=False)
class Peer:
    """A client or a server, with what it said and heard.

    Attributes:
      stream: its end of the connection.
      resets: whether a break of it shows as an error, rather than as end-of-file.
      said: how many bytes of ``SPEECH`` it sent, or tried to.
      heard: what it received.
      said_all: whether it sent end-of-file, or tried to.
      heard_all: whether it received end-of-file.
      broken: whether it went away.
      told: whether an error told it that its connection broke. A socket tells once, so
          that it doesn't listen any more.

    """

    stream: Stream
    resets: bool
    said: int = 0
    heard: bytearray = attrs.field(factory=bytearray)
    said_all: bool = False
    heard_all: bool = False
    broken: bool = False
    told: bool = False

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


async def play(scene: Scene, action: Action) -> None:
    match action:
        case Send(side, size):
            await send(scene, scene.peers(side)[0], size)
        case SendEof(side):
            await send_eof(scene, scene.peers(side)[0])
        case Receive(side, size):
            await receive(scene, *scene.peers(side), size)
        case Settle():
            await wait_all_tasks_blocked()
        case Break(side):
            await go_away(scene, scene.peers(side)[0])
        case CancelRelay():
            scene.cut = True
            scene.world.scope.cancel()
            await scene.world.ended.wait()


async def send(scene: Scene, peer: Peer, size: int) -> None:
    if peer.said_all or peer.broken or peer.told:
        return
    start, peer.said = peer.said, peer.said + size
    with broken_only_if_cut(scene, peer):
        await peer.stream.send_all(SPEECH[start : peer.said])


async def send_eof(scene: Scene, peer: Peer) -> None:
    if peer.said_all or peer.broken or peer.told:
        return
    peer.said_all = True
    with broken_only_if_cut(scene, peer):
        await peer.stream.send_eof()


async def go_away(scene: Scene, peer: Peer) -> None:
    if not peer.broken:
        scene.cut = peer.broken = True
        await break_off(peer.stream)


async def receive(scene: Scene, peer: Peer, other: Peer, size: int) -> None:
    if scene.cut or peer.heard_all:
        return  # nothing must arrive any more
    if len(peer.heard) < other.said:
        data = await peer.stream.receive_some(size)
        assert data, "end-of-file in the middle of what was said"
        peer.heard += data
    elif other.said_all:
        assert await peer.stream.receive_some(size) == b""
        peer.heard_all = True


async def listen_to_the_end(scene: Scene, peer: Peer, other: Peer) -> None:
    await send_eof(scene, peer)
    if peer.broken or peer.told:
        return
    with broken_only_if_cut(scene, peer):
        async for data in peer.stream:
            peer.heard += data
        if peer.resets or not scene.cut:
            assert other.may_end_cleanly, "end-of-file that nobody sent"
            assert len(peer.heard) == other.said


@contextmanager
def broken_only_if_cut(scene: Scene, peer: Peer) -> Iterator[None]:
    try:
        yield
    except trio.BrokenResourceError:
        assert scene.cut
        peer.told = True


def check(scene: Scene) -> None:
    for peer, other in (scene.peers("left"), scene.peers("right")):
        assert SPEECH[: other.said].startswith(peer.heard)
    transfer = scene.world.transfer
    if transfer is None:
        assert scene.world.scope.cancelled_caught
        return
    assert transfer.ending in possible_endings(scene)
    assert len(scene.right.heard) <= transfer.left_to_right <= scene.left.said
    assert len(scene.left.heard) <= transfer.right_to_left <= scene.right.said


def possible_endings(scene: Scene) -> set[Ending]:
    endings = set()
    if scene.left.broken:
        endings.add(Ending.LEFT_BROKE)
    if scene.right.broken:
        endings.add(Ending.RIGHT_BROKE)
    if scene.left.may_end_cleanly and scene.right.may_end_cleanly:
        endings.add(Ending.FINISHED)
    return endings


async def play_all(pair: Pair, actions: list[Action]) -> None:
    world = await open_world(pair)
    scene = Scene(
        world,
        Peer(world.client, resets=pair.left.resets),
        Peer(world.server, resets=pair.right.resets),
    )
    try:
        # A relay that hangs is given up after a minute that lasts a moment.
        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(world.run_relay)
                for action in actions:
                    await play(scene, action)
                nursery.start_soon(listen_to_the_end, scene, *scene.peers("left"))
                nursery.start_soon(listen_to_the_end, scene, *scene.peers("right"))
    finally:
        await world.aclose()
    check(scene)
    await world.assert_relay_closed_its_streams()


@pytest.mark.parametrize("pair", PAIRS, ids=str)
@given(actions=scenarios)
def test_a_relay_does_what_the_model_says(pair: Pair, actions: list[Action]) -> None:
    trio.run(play_all, pair, actions, clock=MockClock(autojump_threshold=0.5))
