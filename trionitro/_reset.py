"""Closing a stream: calmly, or so that the peer can't take it for a whole one."""

from __future__ import annotations

import contextlib
import socket
import struct
from typing import Final

import trio

__all__ = ["close_calmly", "prepare_reset", "reset", "socket_of"]

#: ``struct linger``: on, for no time at all. Closing then sends RST.
_LINGER_NOT: Final = struct.pack("ii", 1, 0)


def socket_of(stream: trio.abc.AsyncResource | None) -> trio.socket.SocketType | None:
    """Return the socket under ``stream``, or None if it isn't a plain socket.

    Trio's :class:`~trio.SocketStream` and our vsock streams on sockets show theirs
    as ``.socket``; a stream that transforms its bytes must not.

    """
    found = getattr(stream, "socket", None)
    return found if isinstance(found, trio.socket.SocketType) else None


async def close_calmly(stream: trio.abc.AsyncResource) -> None:
    """Close ``stream`` when all has been said."""
    # Closing a socket is all that its stream's own aclose does, but for a checkpoint.
    if (sock := socket_of(stream)) is not None:
        sock.close()
    else:
        await stream.aclose()


async def reset(stream: trio.abc.AsyncResource) -> None:
    """Close ``stream`` at once, with a TCP reset (RST) where there is such a thing.

    AF_UNIX and AF_VSOCK have no reset: there the close is all there is. A stream that
    is closed already stays as it is.

    """
    sock = socket_of(stream)
    if sock is None:
        await trio.aclose_forcefully(stream)
        return
    prepare_reset(sock)
    sock.close()


def prepare_reset(sock: trio.socket.SocketType) -> None:
    """Have closing ``sock`` send a TCP reset, where there is such a thing."""
    if sock.fileno() != -1 and sock.family in (socket.AF_INET, socket.AF_INET6):
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
