"""Telling two tasks that they do what only one of them may."""

from __future__ import annotations

import attrs
import trio

__all__ = ["OneAtATime"]


@attrs.define(eq=False)
class OneAtATime:
    """Notices when two tasks do what only one may.

    Attributes:
      activity: what it is, as in "another task is sending already".

    """

    activity: str
    _busy: bool = False

    def __enter__(self) -> None:
        if self._busy:
            raise trio.BusyResourceError(f"another task is {self.activity} already")
        self._busy = True

    def __exit__(self, *exc_info: object) -> None:
        self._busy = False
