"""How Prometheus reads what a proxy counts."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import accumulate
from typing import Final, TypeVar

import attrs
import trio.abc
from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from trionitro._http_server import HttpRequest, HttpResponse, answer_http
from trionitro.proxy._metrics import DIAL_BOUNDS, DIRECTIONS, Metrics

__all__ = ["render", "serve_client"]

#: Of a connection: its direction, how it ended, or why it was refused.
LabelT = TypeVar("LabelT", bound=str)


def render(metrics: Metrics) -> bytes:
    """Return ``metrics`` in Prometheus' text format."""
    return generate_latest(_Collector(metrics))


async def serve_client(metrics: Metrics, stream: trio.abc.Stream) -> None:
    """Answer the requests of one HTTP client: ``GET /metrics``."""
    await answer_http(stream, functools.partial(_respond, metrics))


async def _respond(metrics: Metrics, request: HttpRequest) -> HttpResponse:
    if request.target.partition("?")[0] != "/metrics":
        return HttpResponse(status=404, body=b"metrics are at /metrics\n")
    if request.method not in ("GET", "HEAD"):
        return HttpResponse(status=405, body=b"only GET\n")
    return HttpResponse(content_type=CONTENT_TYPE_LATEST, body=render(metrics))


@attrs.frozen(eq=False)
class _Collector(Collector):
    """What is counted now, as Prometheus' library wants it."""

    _metrics: Metrics

    def collect(self) -> Iterator[Metric]:
        metrics = self._metrics
        yield self._open()
        yield self._passed_on()
        yield _counter(
            "trionitro_connections",
            "Connections ended, by route and outcome.",
            ["route", "outcome"],
            metrics.ended,
        )
        yield self._dials()
        yield _counter(
            "trionitro_refusals",
            "Connections refused, by route and reason.",
            ["route", "reason"],
            metrics.refused,
        )

    def _open(self) -> Metric:
        family = GaugeMetricFamily(
            "trionitro_connections_open",
            "Connections open now, by route.",
            labels=["route"],
        )
        numbers = Counter(dict.fromkeys(self._metrics.dials, 0))
        numbers.update(self._metrics.open.values())
        for route, number in sorted(numbers.items()):
            family.add_metric([route], number)
        return family

    def _passed_on(self) -> Metric:
        sizes = self._metrics.passed_on.copy()
        for progress, route in self._metrics.open.items():
            for direction, size in zip(DIRECTIONS, progress.counts, strict=True):
                sizes[route, direction] += size
        return _counter(
            "trionitro_bytes",
            "Bytes passed on, by route and direction.",
            ["route", "direction"],
            sizes,
        )

    def _dials(self) -> Metric:
        family = HistogramMetricFamily(
            "trionitro_dial_seconds",
            "Seconds that one attempt to reach a target took, by route.",
            labels=["route"],
        )
        for route, dials in sorted(self._metrics.dials.items()):
            buckets = zip(_BUCKETS, accumulate(dials.counts), strict=True)
            family.add_metric([route], [*buckets], dials.seconds)
        return family


#: The names of a histogram's buckets.
_BUCKETS: Final = [*map(str, DIAL_BOUNDS), "+Inf"]


def _counter(
    name: str,
    documentation: str,
    labels: list[str],
    counts: Mapping[tuple[str, LabelT], int],
) -> Metric:
    family = CounterMetricFamily(name, documentation, labels=labels)
    for values, count in sorted(counts.items()):
        family.add_metric(values, count)
    return family
