"""The guest's serial console: shown if wanted, its end kept in any case."""

from __future__ import annotations

from typing import Final

import attrs

from trionitro.enclave import Console

__all__ = ["Screen"]

#: Bytes that are kept of what was on it, and lines of those that are told: as many as
#: a kernel has to say about its end.
_KEPT: Final = 2**16
_TOLD: Final = 60


@attrs.define(eq=False)
class Screen:
    """Takes what the guest writes on its serial console, however much that is.

    Attributes:
      console: where it is shown; None if it isn't.

    """

    console: Console | None = None
    _end: bytes = attrs.field(init=False, default=b"")

    def write(self, data: bytes) -> None:
        """Take what was written. Never waits."""
        self._end = (self._end + data)[-_KEPT:]
        if self.console is not None:
            self.console.write("stderr", data)

    def last_lines(self) -> list[str]:
        """Return the last lines that were on it."""
        text = self._end.decode(errors="replace")
        return [line for line in text.splitlines() if line.strip()][-_TOLD:]
