"""The clock of an emulator, which may be wrong on purpose."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Final

import click

__all__ = ["clock_ahead", "clock_option"]

#: Three years, in seconds: within the validity of an emulator's root.
_LONGEST_OFFSET: Final = 100_000_000

clock_option = click.option(
    "--clock-offset",
    type=click.IntRange(-_LONGEST_OFFSET, _LONGEST_OFFSET),
    default=0,
    metavar="S",
    help="Have its clock so many seconds ahead, or behind.",
)


def clock_ahead(seconds: int) -> Callable[[], dt.datetime]:
    """Return a clock that is so many seconds ahead."""
    ahead = dt.timedelta(seconds=seconds)
    return lambda: dt.datetime.now(dt.UTC) + ahead
