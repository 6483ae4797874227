"""What the boot and the application say, cut into lines for whoever collects them.

This module does no I/O, and nothing in it waits: an application must never be held up
by those who read what it writes.

"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import attrs

__all__ = ["Journal"]

#: Bytes that are kept of the end of what the application says: some lines of it, or
#: the better part of a traceback.
_LAST_WORDS: Final = 2**11


@attrs.define(eq=False)
class Journal:
    """Cuts what is written by several sources into lines.

    Attributes:
      put: takes a source and a line of its, without the line's end.
      max_line: bytes after which a line is cut, and goes on as another.

    """

    put: Callable[[str, bytes], None]
    max_line: int
    _unfinished: dict[str, bytearray] = attrs.field(init=False, factory=dict)
    _last_words: dict[str, bytearray] = attrs.field(init=False, factory=dict)

    def write(self, source: str, data: bytes) -> None:
        """Take what a source has written, in pieces of whatever size.

        An empty one is its end: a last line that has none is given away.

        """
        if not data:
            if rest := self._unfinished.pop(source, None):
                self._put(source, rest)
            return
        end = self._last_words.setdefault(source, bytearray())
        end += data
        del end[:-_LAST_WORDS]
        buffer = self._unfinished.setdefault(source, bytearray())
        buffer += data
        *lines, rest = buffer.split(b"\n")
        for line in lines:
            self._put(source, line)
        whole = len(rest) - len(rest) % self.max_line
        if whole:
            self._put(source, rest[:whole])
        self._unfinished[source] = rest[whole:]

    def last_words(self, source: str) -> str:
        """Return the end of what a source has written."""
        return self._last_words.get(source, b"").decode(errors="replace")

    def _put(self, source: str, line: bytearray) -> None:
        for start in range(0, len(line) or 1, self.max_line):
            self.put(source, bytes(line[start : start + self.max_line]))
