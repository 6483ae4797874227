"""Joining two streams until both are done."""

from __future__ import annotations

import math
from collections.abc import Awaitable
from typing import Final

import attrs
import trio
import trio.abc
import trio.lowlevel

from trionitro._multiplexer import carry
from trionitro._reset import close_calmly, reset, socket_of
from trionitro._transfer import Ending, Progress, Transfer

__all__ = ["relay"]

#: One read's worth, and all that a relay holds of a direction. Linux gives a unix
#: socket 208 KiB and TCP rather more: 64 KiB is few wake-ups without much memory.
_CHUNK: Final = 2**16


async def relay(
    left: trio.abc.HalfCloseableStream,
    right: trio.abc.HalfCloseableStream,
    *,
    idle_timeout: float = math.inf,
    progress: Progress | None = None,
) -> Transfer:
    """Join ``left`` and ``right`` until both have sent end-of-file.

    Bytes that arrive on one stream are sent on the other, in order. A slow reader
    stops its own direction only, and holds one buffer. When one peer sends
    end-of-file, the other is told with
    :meth:`~trio.abc.HalfCloseableStream.send_eof`, and may keep talking.

    Args:
      left: one stream; nobody else may use it meanwhile, nor close it. (Between two
          sockets that would not even be noticed.)
      right: the other, likewise.
      idle_timeout: seconds after which both are given up, when nothing arrived and
          nothing was passed on in either direction.
      progress: counted up as bytes are passed on.

    Resource handling:
      Both streams are closed when this returns, raises, or is cancelled.

    Error handling:
      A peer that breaks ends the relay: there is nothing left to say to it. (If it
      had sent end-of-file before, this shows when something is sent to it.) The
      other side, and both after an idle timeout or a cancellation, must not take a
      truncated stream for a whole one, so TCP is reset, never given a clean
      end-of-file. AF_UNIX and AF_VSOCK have no reset to pass on: framing or TLS must
      detect truncation there.

    Cancellation:
      Ends at once. What a send had taken may or may not have left.

    """
    progress = progress or Progress()
    finished = False
    try:
        ending = await _join(left, right, progress, idle_timeout)
        finished = ending is Ending.FINISHED
    finally:
        close = close_calmly if finished else reset
        try:
            await close(left)
        finally:
            await close(right)
    return Transfer(progress.left_to_right, progress.right_to_left, ending)


def _join(
    left: trio.abc.HalfCloseableStream,
    right: trio.abc.HalfCloseableStream,
    progress: Progress,
    idle_timeout: float,
) -> Awaitable[Ending]:
    """Take the fast path between two sockets, and the portable one elsewhere."""
    left_socket, right_socket = socket_of(left), socket_of(right)
    if left_socket is None or right_socket is None:
        return _PortableFlow(left, right, progress, idle_timeout).run()
    return carry(left_socket, right_socket, progress, idle_timeout)


@attrs.define(eq=False)
class _PortableFlow:
    """Two pumps in a nursery, for streams of any kind."""

    left: trio.abc.HalfCloseableStream
    right: trio.abc.HalfCloseableStream
    progress: Progress
    idle_timeout: float
    _broke: Ending | None = None
    _scope: trio.CancelScope = attrs.field(init=False, factory=trio.CancelScope)

    async def run(self) -> Ending:
        """Carry bytes until both directions are done, or one of them can't go on."""
        self._put_off_idling()
        with self._scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._pump, self.left, self.right, *_RIGHTWARDS)
                nursery.start_soon(self._pump, self.right, self.left, *_LEFTWARDS)
        if self._broke is not None:
            return self._broke
        return Ending.IDLE if self._scope.cancelled_caught else Ending.FINISHED

    async def _pump(
        self,
        source: trio.abc.HalfCloseableStream,
        sink: trio.abc.HalfCloseableStream,
        index: int,
        source_broke: Ending,
        sink_broke: Ending,
    ) -> None:
        blame = source_broke
        try:
            while data := await source.receive_some(_CHUNK):
                self._put_off_idling()
                blame = sink_broke
                await sink.send_all(data)
                blame = source_broke
                self.progress.counts[index] += len(data)
                self._put_off_idling()
                del data  # an idle direction holds nothing
            blame = sink_broke
            # A socket tells of a reset once. When it told the other pump, this one
            # reads an end-of-file, which must not be passed on as if it were one.
            await trio.lowlevel.checkpoint_if_cancelled()
            await sink.send_eof()
        except trio.BrokenResourceError:
            self._broke = self._broke or blame
            self._scope.cancel()

    def _put_off_idling(self) -> None:
        self._scope.deadline = trio.current_time() + self.idle_timeout


#: Where a pump counts, and whom it blames when its source or its sink breaks.
_RIGHTWARDS: Final = (0, Ending.LEFT_BROKE, Ending.RIGHT_BROKE)
_LEFTWARDS: Final = (1, Ending.RIGHT_BROKE, Ending.LEFT_BROKE)
