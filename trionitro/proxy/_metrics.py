"""What a proxy counts, and how Prometheus reads it."""

from __future__ import annotations

import enum
import functools
from collections import Counter
from collections.abc import Iterable
from typing import Final

import attrs
import trio.abc
from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client import Counter as CounterMetric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from trionitro._http_server import HttpRequest, HttpResponse, answer_http
from trionitro._transfer import Progress

__all__ = ["Metrics", "Outcome", "Refusal"]


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
class _Connections(Collector):
    """Connections and their bytes, by route, counted while they are still open.

    Attributes:
      routes: the routes there are.
      open: the route of each open connection, by how far it is.
      finished: bytes of those that have ended, by route and direction.

    """

    routes: set[str] = attrs.field(factory=set)
    open: dict[Progress, str] = attrs.field(factory=dict)
    finished: Counter[tuple[str, str]] = attrs.field(factory=Counter)

    def collect(self) -> Iterable[Metric]:
        number = GaugeMetricFamily(
            "trionitro_connections_open",
            "Connections open now, by route.",
            labels=["route"],
        )
        size = CounterMetricFamily(
            "trionitro_bytes",
            "Bytes passed on, by route and direction.",
            labels=["route", "direction"],
        )
        numbers = Counter(dict.fromkeys(self.routes, 0))
        numbers.update(self.open.values())
        sizes = self.finished.copy()
        for progress, route in self.open.items():
            for direction, passed_on in zip(_DIRECTIONS, progress.counts, strict=True):
                sizes[route, direction] += passed_on
        for route, count in sorted(numbers.items()):
            number.add_metric([route], count)
        for labels, total in sorted(sizes.items()):
            size.add_metric(labels, total)
        return number, size


#: What the two counts of a :class:`Progress` are called: the client is on the left.
_DIRECTIONS: Final = ("to target", "to client")


@attrs.define(eq=False)
class Metrics:
    """The counts of one proxy process, for all of its routes.

    Attributes:
      total: connections ended, by outcome (:class:`Outcome`).
      dial_seconds: how long each attempt to reach a target took, failed ones too.
      refusals: connections refused, by reason (:class:`Refusal`).

    """

    _registry: CollectorRegistry = attrs.field(factory=CollectorRegistry)
    _connections: _Connections = attrs.field(factory=_Connections)
    total: CounterMetric = attrs.field(init=False)
    dial_seconds: Histogram = attrs.field(init=False)
    refusals: CounterMetric = attrs.field(init=False)

    # Looking a label up takes longer than counting.
    _dial_seconds: dict[str, Histogram] = attrs.field(init=False, factory=dict)
    _totals: dict[tuple[str, Outcome], CounterMetric] = attrs.field(
        init=False, factory=dict
    )

    def __attrs_post_init__(self) -> None:
        self._registry.register(self._connections)
        self.total = CounterMetric(
            "trionitro_connections",
            "Connections ended, by route and outcome.",
            ["route", "outcome"],
            registry=self._registry,
        )
        self.dial_seconds = Histogram(
            "trionitro_dial_seconds",
            "Seconds that one attempt to reach a target took, by route.",
            ["route"],
            registry=self._registry,
        )
        self.refusals = CounterMetric(
            "trionitro_refusals",
            "Connections refused, by route and reason.",
            ["route", "reason"],
            registry=self._registry,
        )

    def add_route(self, route: str) -> None:
        """Show ``route`` with zeros before its first connection."""
        self._connections.routes.add(route)
        self._dial_seconds[route] = self.dial_seconds.labels(route)
        for outcome in Outcome:
            self._totals[route, outcome] = self.total.labels(route, outcome)
        for reason in Refusal:
            self.refusals.labels(route, reason)

    def dialled(self, route: str, seconds: float) -> None:
        """Count an attempt to reach a target, and how long it took."""
        self._dial_seconds[route].observe(seconds)

    def connection_opened(self, route: str, progress: Progress) -> None:
        """Count an open connection, and what its ``progress`` says from now on."""
        self._connections.open[progress] = route

    def connection_ended(self, progress: Progress, outcome: Outcome) -> None:
        """Count its end. What its ``progress`` says now stays counted."""
        route = self._connections.open.pop(progress)
        finished = self._connections.finished
        for direction, size in zip(_DIRECTIONS, progress.counts, strict=True):
            finished[route, direction] += size
        self._totals[route, outcome].inc()

    def render(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return generate_latest(self._registry)

    async def serve_client(self, stream: trio.abc.Stream) -> None:
        """Answer the requests of one HTTP client: ``GET /metrics``."""
        await answer_http(stream, functools.partial(_respond, self))


async def _respond(metrics: Metrics, request: HttpRequest) -> HttpResponse:
    if request.target.partition("?")[0] != "/metrics":
        return HttpResponse(status=404, body=b"metrics are at /metrics\n")
    if request.method not in ("GET", "HEAD"):
        return HttpResponse(status=405, body=b"only GET\n")
    return HttpResponse(content_type=CONTENT_TYPE_LATEST, body=metrics.render())
