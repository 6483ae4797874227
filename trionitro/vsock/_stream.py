"""Vsock streams and listeners on top of sockets, whatever their family."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

import attrs
import trio
import trio.abc

from trionitro._unix import UnixListener
from trionitro.abc import VsockAddress, VsockListener, VsockStream

__all__ = ["SocketVsockListener", "SocketVsockStream"]


@final
@attrs.define(eq=False)
class SocketVsockStream(VsockStream):
    """A vsock connection that is a socket.

    Attributes:
      socket: the socket itself, for what a stream can't do.

    """

    socket: trio.socket.SocketType
    _peer: VsockAddress
    _made: trio.SocketStream | None = attrs.field(init=False, default=None)

    @property
    def peer(self) -> VsockAddress:
        """The other end's address."""
        return self._peer

    @property
    def _stream(self) -> trio.SocketStream:
        # A relay moves the bytes of many sockets and never needs their streams, which
        # take a few system calls to make: hence only when somebody does.
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


@final
@attrs.define(eq=False)
class SocketVsockListener(VsockListener):
    """Listens on a socket, whose connections ``peer_of`` can tell apart."""

    _port: int
    _listener: trio.SocketListener | UnixListener
    _peer_of: Callable[[trio.socket.SocketType], VsockAddress]

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return self._port

    @property
    def socket(self) -> trio.socket.SocketType:
        """The listening socket."""
        return self._listener.socket

    async def accept(self) -> SocketVsockStream:
        """Accept a connection, as :meth:`trio.SocketListener.accept` does."""
        return self.stream_of((await self._listener.accept()).socket)

    def stream_of(self, sock: trio.socket.SocketType) -> SocketVsockStream:
        """Make a stream of a socket that was accepted."""
        return SocketVsockStream(sock, self._peer_of(sock))

    async def aclose(self) -> None:
        """Stop listening; connections that were accepted live on."""
        await self._listener.aclose()
