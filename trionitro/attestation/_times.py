"""When: the times in documents, and the time at which one is verified."""

from __future__ import annotations

import datetime as dt
import enum
from typing import Final

__all__ = ["At", "now", "show_time", "time_of"]

_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


class At(enum.Enum):
    """A time of verification that the document itself brings along."""

    #: When the document says that it was made. For documents from an archive, which
    #: are no longer valid three hours later.
    DOCUMENT_TIMESTAMP = "document"


def now() -> dt.datetime:
    """Return the present time, with its zone."""
    return dt.datetime.now(dt.UTC)


def time_of(milliseconds: int) -> dt.datetime | None:
    """Return the time so many milliseconds after 1970, or None if it has no name."""
    try:
        return _EPOCH + dt.timedelta(milliseconds=milliseconds)
    except OverflowError:
        return None


def show_time(time: dt.datetime) -> str:
    """Write a time as ISO 8601 does, in UTC and to the second."""
    return f"{time.astimezone(dt.UTC):%Y-%m-%dT%H:%M:%SZ}"
