"""Vsock streams and listeners on top of sockets, whatever their family."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

import attrs
import trio
import trio.abc

from trionitro._socket_stream import LazySocketStream
from trionitro._unix import UnixListener
from trionitro.abc import VsockAddress, VsockListener, VsockStream

__all__ = ["SocketVsockListener", "SocketVsockStream"]


@final
@attrs.define(eq=False)
class SocketVsockStream(LazySocketStream, VsockStream):
    """A vsock connection that is a socket."""

    _peer: VsockAddress

    @property
    def peer(self) -> VsockAddress:
        """The other end's address."""
        return self._peer


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
