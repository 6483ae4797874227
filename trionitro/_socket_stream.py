"""A stream on a socket that costs nothing but the socket until it is used."""

from __future__ import annotations

import attrs
import trio
import trio.abc

__all__ = ["LazySocketStream"]


@attrs.define(eq=False)
class LazySocketStream(trio.abc.HalfCloseableStream):
    """A :class:`trio.SocketStream` that is made when it is first needed.

    Making one takes a few system calls. A relay moves the bytes of thousands of
    sockets and never needs their streams.

    Attributes:
      socket: the socket itself, for what a stream can't do. TCP's options are its
          maker's business (``TCP_NODELAY`` may be inherited from a listener).

    """

    socket: trio.socket.SocketType
    _made: trio.SocketStream | None = attrs.field(init=False, default=None)

    @property
    def _stream(self) -> trio.SocketStream:
        if self._made is None:
            self._made = trio.SocketStream(self.socket)
        return self._made

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send ``data``, as :meth:`trio.abc.SendStream.send_all` says."""
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until there may be room for more bytes."""
        # AF_VSOCK, unlike TCP, never says "writable" again after our own
        # end-of-file: without this one would wait until the peer hangs up.
        if self.socket.did_shutdown_SHUT_WR:
            raise trio.ClosedResourceError("can't send data after sending EOF")
        await self._stream.wait_send_all_might_not_block()

    async def send_eof(self) -> None:
        """Send end-of-file, and go on receiving."""
        await self._stream.send_eof()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Receive what there is, or ``b""`` at end-of-file."""
        return await self._stream.receive_some(max_bytes)

    async def aclose(self) -> None:
        """Close the socket."""
        self.socket.close()
        await trio.lowlevel.checkpoint()
