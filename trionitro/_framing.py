"""Messages on a byte stream: four bytes of length, then that many bytes.

The length is unsigned and big-endian. This module does no I/O: give
:class:`FrameDecoder` whatever arrived, and ask it for the next frame.

"""

from __future__ import annotations

import struct
from typing import Any, Final, NoReturn

import attrs

from trionitro._exceptions import ProtocolError

__all__ = ["MAX_FRAME_SIZE", "FrameDecoder", "encode_frame"]

_HEADER: Final = struct.Struct("!I")

#: The longest payload whose length fits in the header.
_LONGEST: Final = 2**32 - 1

#: Long enough for any attestation document, short enough to hold in memory for
#: every connection a hostile peer cares to open.
MAX_FRAME_SIZE: Final = 2**16


def encode_frame(payload: bytes, *, max_size: int = MAX_FRAME_SIZE) -> bytes:
    """Put a length in front of ``payload``.

    Raises:
      ValueError: if ``payload`` is longer than ``max_size``.

    """
    limit = min(max_size, _LONGEST)
    if len(payload) > limit:
        raise ValueError(f"frame of {len(payload)} bytes exceeds the limit of {limit}")
    return _HEADER.pack(len(payload)) + payload


def _a_length(instance: object, attribute: attrs.Attribute[Any], value: int) -> None:
    if not 0 <= value <= _LONGEST:
        raise ValueError(f"{attribute.name} must be from 0 to {_LONGEST}, was {value}")


@attrs.define(eq=False)
class FrameDecoder:
    """Cuts received bytes into frames, however they were chunked.

    Whoever takes out all the frames that are complete before putting more bytes in
    never has it hold more than one frame and one chunk, whatever the peer sends.

    Attributes:
      max_size: the longest payload that a frame may announce.

    Raises:
      ValueError: if no header could announce ``max_size`` bytes.

    """

    max_size: int = attrs.field(default=MAX_FRAME_SIZE, validator=_a_length)
    _buffer: bytearray = attrs.field(init=False, factory=bytearray, repr=False)
    _at_eof: bool = attrs.field(init=False, default=False)
    _error: str | None = attrs.field(init=False, default=None)

    def receive_data(self, data: bytes | bytearray) -> None:
        """Take in some bytes; ``b""`` means that the peer sent end-of-file.

        What comes after an error is dropped: nobody can tell any more where a frame
        begins.

        """
        if self._at_eof and data:
            raise RuntimeError("received end-of-file, then received more data?")
        self._at_eof = not data
        if self._error is None:
            self._buffer += data

    def next_frame_untrusted(self) -> bytes | None:
        """Return the next frame, or None if more bytes are needed, or none will come.

        Raises:
          ProtocolError: if the peer announced too long a frame, or stopped in
              the middle of one; and from then on always.

        """
        if self._error is not None:
            raise ProtocolError(self._error)
        if len(self._buffer) < _HEADER.size:
            self._check_clean_eof(needed=_HEADER.size)
            return None
        (size,) = _HEADER.unpack_from(self._buffer)
        if size > self.max_size:
            self._fail(f"frame of {size} bytes exceeds the limit of {self.max_size}")
        end = _HEADER.size + size
        if len(self._buffer) < end:
            self._check_clean_eof(needed=end)
            return None
        frame = bytes(self._buffer[_HEADER.size : end])
        del self._buffer[:end]
        return frame

    def _check_clean_eof(self, *, needed: int) -> None:
        if self._at_eof and self._buffer:
            self._fail(f"unclean end-of-file ({len(self._buffer)} of {needed} bytes)")

    def _fail(self, message: str) -> NoReturn:
        self._error = message
        self._buffer.clear()
        raise ProtocolError(message)
