"""What a proxy counts."""

from __future__ import annotations

import enum
from bisect import bisect_left
from collections import Counter
from typing import Final

import attrs
import trio.abc

from trionitro._transfer import Progress

__all__ = ["DIAL_BOUNDS", "DIRECTIONS", "Dials", "Metrics", "Outcome", "Refusal"]

#: What the two counts of a :class:`Progress` are called: the client is on the left.
DIRECTIONS: Final = ("to target", "to client")

#: Seconds; those that Prometheus' own libraries have where nobody says otherwise.
DIAL_BOUNDS: Final = (
    *(0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75),
    *(1.0, 2.5, 5.0, 7.5, 10.0),
)


class Outcome(enum.StrEnum):
    """How a connection ended."""

    FINISHED = "finished"
    CLIENT_BROKE = "client broke"
    TARGET_BROKE = "target broke"
    IDLE = "idle"
    DIAL_FAILED = "dial failed"
    REFUSED = "refused"
    CANCELLED = "cancelled"
    CRASHED = "crashed"


class Refusal(enum.StrEnum):
    """Why a connection was refused."""

    CID = "cid"
    ALLOWLIST = "allowlist"


@attrs.define(eq=False)
class Dials:
    """How long attempts to reach a target took.

    Attributes:
      counts: how many took no longer than each of :data:`DIAL_BOUNDS`, but longer than
        the one before; the last is of those that took longer than all.
      seconds: of all of them together.

    """

    counts: list[int] = attrs.field(factory=lambda: [0] * (len(DIAL_BOUNDS) + 1))
    seconds: float = 0.0

    def observe(self, seconds: float) -> None:
        """Count one attempt."""
        self.counts[bisect_left(DIAL_BOUNDS, seconds)] += 1
        self.seconds += seconds


@attrs.define(eq=False)
class Metrics:
    """The counts of one proxy process, for all of its routes.

    Attributes:
      dials: how long each attempt to reach a target took, failed ones too, by route.
      open: the route of each open connection, by how far it is.
      ended: connections ended, by route and outcome (:class:`Outcome`).
      passed_on: bytes of those, by route and direction.
      refused: connections refused, by route and reason (:class:`Refusal`).

    """

    dials: dict[str, Dials] = attrs.field(factory=dict)
    open: dict[Progress, str] = attrs.field(factory=dict)
    ended: Counter[tuple[str, Outcome]] = attrs.field(factory=Counter)
    passed_on: Counter[tuple[str, str]] = attrs.field(factory=Counter)
    refused: Counter[tuple[str, Refusal]] = attrs.field(factory=Counter)

    def add_route(self, route: str) -> None:
        """Show ``route`` with zeros before its first connection."""
        self.dials.setdefault(route, Dials())
        for outcome in Outcome:
            self.ended[route, outcome] += 0
        for direction in DIRECTIONS:
            self.passed_on[route, direction] += 0
        for reason in Refusal:
            self.refused[route, reason] += 0

    def dialled(self, route: str, seconds: float) -> None:
        """Count an attempt to reach a target, and how long it took."""
        self.dials[route].observe(seconds)

    def connection_refused(self, route: str, reason: Refusal) -> None:
        """Count a connection that was refused; it ends as any other."""
        self.refused[route, reason] += 1

    def connection_opened(self, route: str, progress: Progress) -> None:
        """Count an open connection, and what its ``progress`` says from now on."""
        self.open[progress] = route

    def connection_ended(self, progress: Progress, outcome: Outcome) -> None:
        """Count its end. What its ``progress`` says now stays counted."""
        route = self.open.pop(progress)
        for direction, size in zip(DIRECTIONS, progress.counts, strict=True):
            self.passed_on[route, direction] += size
        self.ended[route, outcome] += 1

    def render(self) -> bytes:
        """Return everything in Prometheus' text format."""
        # Most proxies never show them, and need not load what does at their start.
        from trionitro.proxy import _exposition  # noqa: PLC0415

        return _exposition.render(self)

    async def serve_client(self, stream: trio.abc.Stream) -> None:
        """Answer the requests of one HTTP client: ``GET /metrics``."""
        from trionitro.proxy import _exposition  # noqa: PLC0415

        await _exposition.serve_client(self, stream)
