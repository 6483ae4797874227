"""Talking and listening at the same time, until one of the two can't go on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import trio

from trionitro._exceptions import ProtocolError

__all__ = ["LOST", "converse", "explain"]

#: How a peer, or the way to it, goes away.
LOST: Final = (
    OSError,
    ProtocolError,
    trio.BrokenResourceError,
    trio.EndOfChannel,
    trio.TooSlowError,
)


async def converse(*parts: Callable[[], Awaitable[None]]) -> str | None:
    """Run ``parts`` at once, until all have returned or the peer is lost to one.

    Returns:
      Why the peer was lost, or None if all parts came to their end.

    """
    reasons: list[str] = []

    async def run(part: Callable[[], Awaitable[None]]) -> None:
        try:
            await part()
        except LOST as problem:
            reasons.append(explain(problem))
            nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        for part in parts:
            nursery.start_soon(run, part)
    return reasons[0] if reasons else None


def explain(problem: BaseException) -> str:
    """Say in a few words what one of ``LOST`` is."""
    match problem:
        case trio.EndOfChannel():
            return "it closed the connection"
        case trio.TooSlowError():
            return "it said nothing, or took nothing, for too long"
        case OSError():
            return problem.strerror or str(problem)
        case _:
            return str(problem) or "the connection broke"
