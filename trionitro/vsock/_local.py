"""Vsock addresses as unix sockets in a directory: many machines on one.

The address (c, p) is the socket ``DIR/c/p.sock``. Nothing but the program's own
bytes goes over it, so that ``socat`` or ``curl --unix-socket`` can be either end.

Who connects is told by the name of its own socket: before connecting, a client
binds the abstract name ``trionitro/<its CID>/<its port>``, and the listener reads
it back. Unlike the right to use such a name, the name itself crosses network
namespaces.

"""

from __future__ import annotations

import errno
import os
import re
import socket
from functools import partial
from pathlib import Path
from typing import Final, final

import attrs
import trio

from trionitro._unix import connect_unix, connect_unix_nowait, open_unix_listener
from trionitro.abc import VMADDR_ANY, VsockAddress, VsockNetwork
from trionitro.vsock._ports import check_address, listen_on_port, random_port
from trionitro.vsock._stream import SocketVsockListener, SocketVsockStream

__all__ = ["LocalVsock", "peer_untrusted"]

_NUMBER: Final = rb"(0|[1-9][0-9]{0,9})"
_PEER_NAME: Final = re.compile(rb"\0trionitro/" + _NUMBER + rb"/" + _NUMBER)

#: A client that has no name, or not one of ours: ``socat``, for instance.
_UNKNOWN: Final = VsockAddress(VMADDR_ANY, VMADDR_ANY)


@final
@attrs.frozen
class LocalVsock(VsockNetwork):
    """Machines that are processes, and a vsock that is a directory.

    There is no hypervisor to vouch for a peer's CID: whoever may write to the
    directory may listen in anybody's place and connect under any CID. Trust in it
    goes as far as the directory's permissions, which are 0700 where this creates it.

    Attributes:
      directory: where the sockets are; the same for all machines.
      cid: this machine's own CID.

    """

    directory: Path = attrs.field(converter=Path)
    cid: int = 3

    def __attrs_post_init__(self) -> None:
        check_address(self.cid, 0)

    async def open_stream(self, cid: int, port: int) -> SocketVsockStream:
        """Connect, as :meth:`.VsockNetwork.open_stream` says."""
        check_address(cid, port)
        peer = VsockAddress(cid, port)
        try:
            sock = await connect_unix(_named_socket(self.cid), self._path(cid, port))
        except (FileNotFoundError, ConnectionRefusedError):
            raise self._nobody_at(peer) from None
        return SocketVsockStream(sock, peer)

    def open_stream_nowait(self, cid: int, port: int) -> SocketVsockStream:
        """Connect, as :meth:`.VsockNetwork.open_stream_nowait` says."""
        check_address(cid, port)
        peer = VsockAddress(cid, port)
        try:
            sock = connect_unix_nowait(_named_socket(self.cid), self._path(cid, port))
        except (FileNotFoundError, ConnectionRefusedError):
            raise self._nobody_at(peer) from None
        return SocketVsockStream(sock, peer)

    async def open_listener(
        self, port: int, *, backlog: int | None = None
    ) -> SocketVsockListener:
        """Listen, as :meth:`.VsockNetwork.open_listener` says.

        The socket is removed when the listener is closed. One that was left behind,
        and that nobody listens on, is replaced.

        """
        await trio.to_thread.run_sync(_make_directory, self.directory / str(self.cid))
        return await listen_on_port(port, partial(self._listen, backlog=backlog))

    async def _listen(self, port: int, *, backlog: int | None) -> SocketVsockListener:
        path = self._path(self.cid, port)
        listener = await open_unix_listener(path, backlog=backlog)
        return SocketVsockListener(port, listener, _peer_of)

    def _path(self, cid: int, port: int) -> str:
        return f"{self.directory}/{cid}/{port}.sock"

    def _nobody_at(self, peer: VsockAddress) -> OSError:
        return ConnectionRefusedError(
            errno.ECONNREFUSED,
            f"nobody listens on {peer} in the directory {self.directory}; is the"
            " other side started, with that CID and the same directory?",
        )


def peer_untrusted(name: str | bytes) -> VsockAddress:
    """Read a peer's address from the name of its socket, which anybody may choose.

    Never raises: whatever is not a name of ours belongs to nobody we know.

    """
    match = _PEER_NAME.fullmatch(os.fsencode(name))
    if match is None:
        return _UNKNOWN
    cid, port = int(match[1]), int(match[2])
    return VsockAddress(cid, port) if max(cid, port) < VMADDR_ANY else _UNKNOWN


def _peer_of(sock: trio.socket.SocketType) -> VsockAddress:
    return peer_untrusted(sock.getpeername())


def _named_socket(cid: int) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    while True:
        try:
            sock.bind(b"\0trionitro/%d/%d" % (cid, random_port()))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                sock.close()
                raise
        else:
            return sock


def _make_directory(path: Path) -> None:
    """Create ``path`` and what is missing above it, for the owner's eyes only."""
    try:
        if path.is_dir():
            return
        _make_directory(path.parent)
        path.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        if error.filename is None:  # it has been explained already
            raise
        raise OSError(
            error.errno,
            f"can't create the directory {error.filename}: {error.strerror}; choose"
            " one that can be written to",
        ) from error
