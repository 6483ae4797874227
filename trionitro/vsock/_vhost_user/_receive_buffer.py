"""Bytes that have arrived and that nobody has read yet."""

from __future__ import annotations

from collections import deque
from typing import Final

import attrs

__all__ = ["ReceiveBuffer"]

#: Smaller pieces than this are copied together: each has some hundred bytes of its
#: own, so that whoever sends single bytes would make us hold a hundred times as many.
_SMALL: Final = 2**12

#: How long a copied-together piece may get.
_LARGE: Final = 2**16


@attrs.define(eq=False)
class ReceiveBuffer:
    """A queue of bytes, which are copied as little as can be.

    Its memory is within a few per cent of what is in it, plus ``_LARGE``, however it
    was cut up.

    """

    _pieces: deque[bytes | bytearray] = attrs.field(factory=deque)
    _taken: int = 0  # from the first piece
    _size: int = 0

    def __len__(self) -> int:
        return self._size

    def append(self, data: bytes) -> None:
        """Put ``data`` at the end."""
        if not data:
            return
        self._size += len(data)
        if len(data) >= _SMALL:
            self._pieces.append(data)
            return
        last = self._pieces[-1] if self._pieces else b""
        if isinstance(last, bytearray) and len(last) < _LARGE:
            last += data
        else:
            self._pieces.append(bytearray(data))

    def take(self, max_bytes: int) -> bytes:
        """Take up to ``max_bytes`` from the beginning."""
        pieces: list[bytes | bytearray | memoryview] = []
        room = max_bytes
        while room and self._pieces:
            piece = self._next_piece(room)
            room -= len(piece)
            pieces.append(piece)
        self._size -= max_bytes - room
        only = pieces[0] if len(pieces) == 1 else b""
        return only if only and isinstance(only, bytes) else b"".join(pieces)

    def clear(self) -> None:
        """Forget all of it."""
        self._pieces.clear()
        self._taken = self._size = 0

    def _next_piece(self, room: int) -> bytes | bytearray | memoryview:
        first = self._pieces[0]
        start = self._taken
        left = len(first) - start
        if left > room:
            self._taken += room
            return memoryview(first)[start : start + room]
        self._pieces.popleft()
        self._taken = 0
        return memoryview(first)[start:] if start else first
