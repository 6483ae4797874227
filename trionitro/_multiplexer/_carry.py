"""Waiting for a flow, and driving the lane while waiting."""

from __future__ import annotations

import math
from typing import Final

import trio

from trionitro._multiplexer._flow import Flow
from trionitro._multiplexer._lane import Lane
from trionitro._transfer import Ending, Progress

__all__ = ["carry"]

#: Each Trio run has a lane of its own, made when it is first needed.
_lane: Final[trio.lowlevel.RunVar[Lane]] = trio.lowlevel.RunVar("trionitro lane")


async def carry(
    left: trio.socket.SocketType,
    right: trio.socket.SocketType,
    progress: Progress,
    idle_timeout: float = math.inf,
) -> Ending:
    """Pass bytes and end-of-file between two connected sockets until both are done.

    Args:
      left: one socket; nobody else may use it meanwhile.
      right: the other, likewise.
      progress: counted up as bytes are passed on.
      idle_timeout: seconds after which both are given up, when nothing arrived and
          nothing was passed on.

    Cancellation:
      The sockets are not touched again, and stay open for the caller to close.

    """
    try:
        lane = _lane.get()
    except LookupError:
        lane = Lane()
        _lane.set(lane)
    flow = Flow.between(left, right, progress)
    flow.moved_at = trio.current_time()
    lane.add(flow)
    try:
        while flow.ending is None:
            await _wait_or_lead(lane, flow, idle_timeout)
    finally:
        lane.remove(flow)
        lane.appoint_leader()
    return flow.ending


async def _wait_or_lead(lane: Lane, flow: Flow, idle_timeout: float) -> None:
    """Wait for ``flow`` to end or to have been idle, leading if nobody else does."""
    with trio.CancelScope(deadline=flow.moved_at + idle_timeout):
        if lane.leader is None:
            await lane.lead(flow)
        else:
            await lane.park(flow)
    # It may have moved since the deadline was set: then that was no idleness.
    if flow.ending is None and trio.current_time() >= flow.moved_at + idle_timeout:
        flow.ending = Ending.IDLE
