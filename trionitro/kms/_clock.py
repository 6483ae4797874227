"""The time that is signed, and how far off this machine's clock is."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Final

import attrs

__all__ = ["SigningClock", "utc_now"]

#: KMS takes a signature that is up to five minutes off. A clock that is off by less
#: than this is not what was wrong with one.
_TOLERATED: Final = dt.timedelta(minutes=4)


def utc_now() -> dt.datetime:
    """Return this machine's time, in UTC."""
    return dt.datetime.now(dt.UTC)


@attrs.define(eq=False)
class SigningClock:
    """Tells the time as the service sees it.

    An enclave's clock may be wrong, and nobody inside can know. What can is the
    service's ``Date`` header, which comes over TLS.

    Attributes:
      now: this machine's time, in UTC.

    """

    now: Callable[[], dt.datetime] = utc_now
    _offset: dt.timedelta = dt.timedelta()

    def read(self) -> dt.datetime:
        """Return the time to sign."""
        return self.now() + self._offset

    def correct_untrusted(self, date: str | None, *, signed: dt.datetime) -> bool:
        """Learn the service's time from the ``Date`` of an answer.

        Args:
          date: the header, or None without one.
          signed: the time that was signed and refused.

        Returns:
          Whether the clock was off by so much that this was the reason.

        """
        try:
            theirs = parsedate_to_datetime(date or "")
            theirs = theirs.replace(tzinfo=theirs.tzinfo or dt.UTC)
            if abs(theirs - signed) < _TOLERATED:
                return False
            self._offset = theirs.astimezone(dt.UTC) - self.now()
        except (ValueError, OverflowError):
            return False
        return True
