"""What a lane knows of connections: their directions, and who waits for them."""

from __future__ import annotations

import math
import select
import socket
from collections.abc import Callable
from typing import Self

import attrs
import trio

from trionitro._multiplexer._pipes import Pipe
from trionitro._transfer import Ending, Progress

__all__ = ["Direction", "Flow", "Group"]


@attrs.define(eq=False)
class Direction:
    """One direction of a flow: from a source socket to a sink socket.

    Attributes:
      flow: what it is a direction of.
      index: 0 from left to right, 1 from right to left.
      source: the descriptor read from.
      sink: the descriptor written to.
      source_broke: the ending when the source breaks.
      sink_broke: the ending when the sink breaks.
      opposite: the other direction.
      ended: whether the source's end-of-file was passed on.
      rest: bytes that were read, but not taken by the sink yet; empty if none.
      pipe: the pipe in use, or None while bytes are copied.
      held: how many bytes are in the pipe.
      spliceable: whether bulk may be spliced; None while nobody has asked.
      bulk: whether it counts as bulk, and is served after small messages.
      watch: what its source is watched for, while no mover has the flow.
      queued: whether it waits in the lane's queue of bulk.
      streak: bytes that came in large reads without the other side speaking.
      slack: how many more small reads it remains bulk for.

    """

    flow: Flow
    index: int
    source: int
    sink: int
    source_broke: Ending
    sink_broke: Ending
    spliceable: bool | None = None
    opposite: Direction = attrs.field(init=False)
    ended: bool = False
    rest: bytes = b""
    pipe: Pipe | None = None
    held: int = 0
    watch: int = select.EPOLLIN
    bulk: bool = False
    queued: bool = False
    streak: int = 0
    slack: int = 0

    def may_be_spliced(self) -> bool:
        """Whether splicing gains anything, and is possible as far as is known.

        AF_UNIX and AF_VSOCK have no ``splice_read`` of their own: there the kernel
        copies as we would.

        """
        if self.spliceable is None:
            source = self.flow.sockets[self.index]
            self.spliceable = source.family in (socket.AF_INET, socket.AF_INET6)
        return self.spliceable

    def is_blocked(self) -> bool:
        """Whether the sink has not taken all that was read."""
        return bool(self.rest or self.held)


@attrs.define(eq=False)
class Flow:
    """Two sockets that a lane joins.

    Attributes:
      sockets: the left one and the right one. Their streams own them.
      directions: to the right, and to the left.
      counts: bytes passed on in each direction.
      moved_at: when a byte last arrived or was passed on, by Trio's clock.
      seen: how many bytes had been passed on when somebody looked for idle flows.
      seen_at: when that was.
      ending: how it ended, or None while it goes on.
      group: those it belongs to.
      on_end: called with ``ending`` when no mover has it any more.

    """

    sockets: tuple[trio.socket.SocketType, trio.socket.SocketType]
    counts: list[int]
    moved_at: float = -math.inf
    seen: int = 0
    seen_at: float = -math.inf
    ending: Ending | None = None
    group: Group = attrs.field(init=False)
    on_end: Callable[[Ending | None], object] = lambda ending: None
    directions: tuple[Direction, Direction] = attrs.field(init=False)

    @classmethod
    def between(
        cls,
        left: trio.socket.SocketType,
        right: trio.socket.SocketType,
        progress: Progress,
    ) -> Self:
        """Describe the flow between two connected sockets.

        Raises:
          trio.ClosedResourceError: if one of them is closed already.

        """
        if -1 in (left.fileno(), right.fileno()):
            raise trio.ClosedResourceError("a stream to be relayed is closed already")
        flow = cls((left, right), progress.counts)
        broke = (Ending.LEFT_BROKE, Ending.RIGHT_BROKE)
        rightwards = Direction(flow, 0, left.fileno(), right.fileno(), *broke)
        leftwards = Direction(flow, 1, right.fileno(), left.fileno(), *broke[::-1])
        rightwards.opposite, leftwards.opposite = leftwards, rightwards
        flow.directions = (rightwards, leftwards)
        return flow


@attrs.define(eq=False)
class Group:
    """The flows that one task waits for.

    Attributes:
      flows: those that have not ended.
      bulky: those of them that are in the bulk lane, or on their way home from it.
      is_open: whether there may be more.
      has_thread: whether its task runs the bulk lane's thread.

    """

    flows: set[Flow] = attrs.field(factory=set)
    bulky: set[Flow] = attrs.field(factory=set)
    is_open: bool = True
    has_thread: bool = False

    def is_done(self) -> bool:
        """Whether there is nothing to wait for any more."""
        return not self.is_open and not self.flows
