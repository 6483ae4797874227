"""The rows of the tables: what is measured, in which units, and with which goals."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Final

import attrs

from benchmarks.work import Beside, Bulk, Calls, Idle, Work, pinned

__all__ = ["ROWS", "Goals", "Quantity", "Row", "find"]

#: By peer: the ratio of ours to the peer's that is to be reached.
Goals = dict[str, float]


@attrs.frozen
class Quantity:
    """Something that a row measures.

    Attributes:
      key: its name among the values.
      title: its name in the tables.
      unit: what it is counted in.
      better: ``max`` if more is better, ``min`` if less is.
      goals: ratios to reach: at least where more is better, and else at most.
      limit: what ours may be at most by itself, where a ratio has no meaning.

    """

    key: str
    title: str
    unit: str
    better: Callable[[float, float], float]
    goals: Goals = attrs.field(factory=dict)
    limit: float | None = None

    def is_reached(self, value: float, goal: float) -> bool:
        """Tell whether ``value`` is as good as ``goal``, or better."""
        return self.better(value, goal) == value


@attrs.frozen
class Row:
    """One kind of work, and what is to be known of it.

    Attributes:
      name: its name on the command line.
      title: its name in the tables.
      work: what is done.
      quantities: what is shown of it.
      place: where all of it runs: a context manager.

    """

    name: str
    title: str
    work: Work
    quantities: tuple[Quantity, ...]
    place: Callable[[], contextlib.AbstractContextManager[None]] = (
        contextlib.nullcontext
    )


def find(names: tuple[str, ...]) -> list[Row]:
    """Return the rows of these names, or all of them.

    Raises:
      ValueError: if there is none of a name.

    """
    known = [row.name for row in ROWS]
    for name in names:
        if name not in known:
            raise ValueError(f"no row {name!r}: there are {', '.join(known)}")
    return [row for row in ROWS if not names or row.name in names]


def _counted(speed: Goals, cpu: Goals | None = None) -> tuple[Quantity, ...]:
    """Describe what is known of things that are counted."""
    return (
        Quantity("speed", "speed", "/s", max, speed),
        Quantity("cpu", "CPU", "µs", min, cpu or {}),
    )


def _bulk(speed: Goals, cpu: Goals) -> tuple[Quantity, ...]:
    return (
        Quantity("speed", "speed", "GB/s", max, speed),
        Quantity("cpu", "CPU", "s/GB", min, cpu),
    )


_ONE_TRIP: Final = _counted({"socat": 1.05, "go": 1.05, "rust": 0.95, "c": 1.0})
_MANY_TRIPS: Final = _counted(
    {"socat": 1.7, "go": 1.0, "rust": 1.2, "c": 0.95},
    {"socat": 0.45, "go": 0.9, "rust": 0.7},
)
_UP: Final = _bulk(
    {"socat": 3.0, "go": 1.6, "rust": 2.3, "c": 1.5}, {"socat": 0.15, "go": 0.35}
)
_DOWN: Final = _bulk(
    {"socat": 2.0, "go": 1.0, "rust": 1.15, "c": 0.9}, {"socat": 0.3, "go": 0.9}
)
_BESIDE: Final = (
    Quantity("p50", "p50", "µs", min, {"socat": 1.4, "go": 1.0, "rust": 1.5}),
    Quantity("p99", "p99", "µs", min),
    Quantity("bulk", "bulk", "GB/s", max, {"socat": 2.5, "go": 0.95, "rust": 1.5}),
)
_IDLE: Final = (
    Quantity("memory", "memory", "KB", min, {"socat": 1 / 15, "go": 1 / 8}),
    # A thousandth of a processor is what the measurement itself may wake.
    Quantity("idle cpu", "CPU", "%", min, limit=0.1),
)

ROWS: Final = (
    Row("trips-1", "round trips × 1", Calls("trips", 1, (64,)), _ONE_TRIP),
    Row(
        "trips-1-pinned",
        "round trips × 1, one CPU",
        Calls("trips", 1, (64,)),
        _ONE_TRIP,
        pinned,
    ),
    Row("trips-32", "round trips × 32", Calls("trips", 32, (64,)), _MANY_TRIPS),
    Row("trips-256", "round trips × 256", Calls("trips", 256, (64,)), _MANY_TRIPS),
    Row(
        "connects-1",
        "new connections, one by one",
        Calls("connects", 1),
        _counted({"socat": 3.5, "go": 1.2, "rust": 0.8, "c": 0.7}),
    ),
    Row(
        "connects-16",
        "new connections, 16 at once",
        Calls("connects", 16),
        _counted({"socat": 4.0, "go": 1.2, "rust": 1.0, "c": 0.75}),
    ),
    Row("up-1", "bulk TCP→unix, 1 stream", Bulk("up", 1), _UP),
    Row("up-8", "bulk TCP→unix, 8 streams", Bulk("up", 8), _UP),
    Row("down-1", "bulk unix→TCP, 1 stream", Bulk("down", 1), _DOWN),
    Row("down-8", "bulk unix→TCP, 8 streams", Bulk("down", 8), _DOWN),
    Row("beside-up", "round trips beside 1 up", Beside(1, 0), _BESIDE),
    Row("beside-down", "round trips beside 1 down", Beside(0, 1), _BESIDE),
    Row("beside-both", "round trips beside 2 up, 2 down", Beside(2, 2), _BESIDE),
    Row("idle", "2,000 idle connections", Idle(2000), _IDLE),
)
