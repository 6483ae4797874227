"""Messages between two tasks that have a byte stream between them."""

from __future__ import annotations

from types import TracebackType
from typing import Final, final

import attrs
import trio
import trio.abc
import trio.lowlevel

from trionitro._framing import MAX_FRAME_SIZE, FrameDecoder, encode_frame

__all__ = ["FramedChannel"]

#: What is asked of the stream at once: with one frame, all that a peer can make a
#: channel hold.
_CHUNK: Final = 2**16


@final
@attrs.define(eq=False)
class FramedChannel(trio.abc.Channel[bytes]):
    """Frames (:mod:`trionitro._framing`) on a stream, as a Trio channel.

    One task may send while another receives. The channel owns the stream and closes
    it when it is closed itself.

    Attributes:
      stream: what the frames go over; nobody else may use it meanwhile.
      max_size: the longest payload to send, or to accept from the peer.

    Raises:
      ValueError: if no header could announce ``max_size`` bytes.

    """

    stream: trio.abc.HalfCloseableStream
    max_size: int = attrs.field(default=MAX_FRAME_SIZE, kw_only=True)
    _decoder: FrameDecoder = attrs.field(init=False)
    _sending: _OneTask = attrs.field(init=False)
    _receiving: _OneTask = attrs.field(init=False)
    _at_eof: bool = attrs.field(init=False, default=False)
    _torn: bool = attrs.field(init=False, default=False)
    _closed: bool = attrs.field(init=False, default=False)

    def __attrs_post_init__(self) -> None:
        self._decoder = FrameDecoder(self.max_size)
        self._sending = _OneTask("another task is sending on this channel")
        self._receiving = _OneTask("another task is receiving from this channel")

    async def send(self, value: bytes) -> None:
        """Send one message.

        Raises:
          ValueError: if it is longer than ``max_size``; nothing was sent.
          trio.BrokenResourceError: if the peer is gone, or an earlier send stopped
              in the middle of its frame.
          trio.ClosedResourceError: if the channel is closed, or was told to send
              end-of-file.
          trio.BusyResourceError: if another task is sending.

        Cancellation:
          May leave part of the frame sent. No other frame can follow it, so every
          later send raises ``BrokenResourceError``; receiving goes on.

        """
        frame = encode_frame(value, max_size=self.max_size)
        with self._sending:
            await self._check_can_send()
            try:
                await self.stream.send_all(frame)
            except trio.ClosedResourceError:
                raise  # which says enough, now and later
            except BaseException:
                self._torn = True
                raise

    async def send_eof(self) -> None:
        """Tell the peer that no message will follow; it may keep talking.

        Raises:
          trio.BrokenResourceError: if the peer is gone, or a send stopped in the
              middle of its frame.
          trio.ClosedResourceError: if the channel is closed.
          trio.BusyResourceError: if another task is sending.

        """
        with self._sending:
            await self._check_can_send()
            await self.stream.send_eof()

    async def receive(self) -> bytes:
        """Receive one message.

        Raises:
          trio.EndOfChannel: if the peer sent end-of-file after a whole frame.
          ProtocolError: if the peer announced too long a frame, or stopped in the
              middle of one; and from then on always.
          trio.BrokenResourceError: if the stream broke.
          trio.ClosedResourceError: if the channel is closed.
          trio.BusyResourceError: if another task is receiving.

        Cancellation:
          Loses nothing: the next call goes on where this one stopped.

        """
        with self._receiving:
            await trio.lowlevel.checkpoint()
            self._check_open()
            while (frame := self._decoder.next_frame_untrusted()) is None:
                if self._at_eof:
                    raise trio.EndOfChannel
                data = await self.stream.receive_some(_CHUNK)
                self._at_eof = not data
                self._decoder.receive_data(data)
            return frame

    async def aclose(self) -> None:
        """Close the channel and its stream."""
        self._closed = True
        await self.stream.aclose()

    async def _check_can_send(self) -> None:
        # Cancelled before it began, a send has torn nothing.
        await trio.lowlevel.checkpoint_if_cancelled()
        self._check_open()
        if self._torn:
            raise trio.BrokenResourceError(
                "an earlier send stopped in the middle of its frame"
            )

    def _check_open(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError("this channel was closed")


@attrs.define(eq=False)
class _OneTask:
    """A ``with`` block that one task at a time may be in, and nobody waits for."""

    _busy_message: str
    _busy: bool = attrs.field(init=False, default=False)

    def __enter__(self) -> None:
        if self._busy:
            raise trio.BusyResourceError(self._busy_message)
        self._busy = True

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._busy = False
