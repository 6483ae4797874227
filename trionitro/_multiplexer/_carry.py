"""Carrying one flow, for as long as its task waits."""

from __future__ import annotations

import math
import os
from typing import Final

import trio

from trionitro._multiplexer._flow import Flow
from trionitro._multiplexer._lanes import Lanes
from trionitro._transfer import Ending, Progress

__all__ = ["carry"]

#: Each Trio run has lanes of its own, made when they are first needed.
_lanes: Final[trio.lowlevel.RunVar[Lanes]] = trio.lowlevel.RunVar("trionitro lanes")


# Control-C must not strike between the reading and the writing of somebody's bytes.
# Trio gives it to the main task instead, at its next checkpoint.
@trio.lowlevel.enable_ki_protection
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

    Raises:
      trio.ClosedResourceError: if one of them is closed already.

    Cancellation:
      The sockets are not touched again, and stay open for the caller to close.

    """
    lanes = _lanes_of_this_run()
    flow = Flow.between(left, right, progress)
    flow.moved_at = trio.current_time()
    lanes.add(flow)
    try:
        while flow.ending is None:
            if lanes.bulk is not None and lanes.is_stranded(flow):
                async with lanes.bulk.running():
                    try:
                        while flow.ending is None:
                            await lanes.wait(flow, idle_timeout)
                    finally:
                        # Before the thread comes to rest, not afterwards: the others
                        # may be without a leader meanwhile.
                        lanes.give_up(flow)
            else:
                await lanes.wait(flow, idle_timeout)
    finally:
        lanes.give_up(flow)
    return flow.ending


def _lanes_of_this_run() -> Lanes:
    try:
        return _lanes.get()
    except LookupError:
        # A second lane pays where there is a processor for it.
        many = len(os.sched_getaffinity(0)) > 1
        lanes = Lanes.double() if many else Lanes.single()
        _lanes.set(lanes)
        return lanes
