r"""An emulated VMM with one guest: the other end of a hybrid vsock.

It is as strict as Firecracker is. The command must have arrived in one piece: the
ten bytes of ``CONNECT 0\n`` at least, and not more than 32 up to its end. Whoever
asks for anything else is not told so, but let go.

"""

from __future__ import annotations

import errno
import os
import secrets
import socket
from typing import Final, NoReturn, final

import attrs
import trio

from trionitro._exceptions import ProtocolError
from trionitro._unix import open_unix_listener, open_unix_stream
from trionitro.abc import VsockAddress, VsockNetwork, VsockStream
from trionitro.vsock._port_table import PortTable, QueueListener
from trionitro.vsock._ports import check_address
from trionitro.vsock._stream import SocketVsockStream

__all__ = ["FirecrackerMachine", "decode_command_untrusted"]

_HOST: Final = 2

_SHORTEST_COMMAND: Final = len(b"CONNECT 0\n")
_LONGEST_COMMAND: Final = 32

#: Firecracker numbers the host's side of a connection from here, for as many.
_FIRST_HOST_PORT: Final = 2**30
_HOST_PORTS: Final = 2**30


@final
class FirecrackerMachine:
    """A VMM that serves ``uds_path``, and the guest in it.

    For example, a guest that a program under test can connect to::

        machine = FirecrackerMachine(path, cid=16)
        await nursery.start(machine.serve)
        listener = await machine.guest.open_listener(52)

    """

    def __init__(self, uds_path: str | os.PathLike[str], cid: int = 3) -> None:
        self._uds_path = os.fspath(uds_path)
        self._ports = PortTable(cid)
        self._guest = _Guest(self._uds_path, self._ports)

    @property
    def guest(self) -> VsockNetwork:
        """The vsock as the guest sees it; the only other machine is the host, 2."""
        return self._guest

    async def serve(
        self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> NoReturn:
        """Take the host's connections to the guest, until cancelled.

        The guest's own connections to the host don't need this.

        """
        async with (
            await open_unix_listener(self._uds_path) as listener,
            trio.open_nursery() as nursery,
        ):
            task_status.started()
            # Not serve_listeners(), which would close a stream as soon as the guest
            # has got it.
            while True:
                nursery.start_soon(self._connect, await listener.accept())

    async def _connect(self, stream: trio.SocketStream) -> None:
        try:
            await self._shake_hands(stream)
        except (ProtocolError, OSError, trio.BrokenResourceError):
            await trio.aclose_forcefully(stream)
        except BaseException:
            await trio.aclose_forcefully(stream)
            raise

    async def _shake_hands(self, stream: trio.SocketStream) -> None:
        port, size = decode_command_untrusted(
            await stream.socket.recv(_LONGEST_COMMAND, socket.MSG_PEEK)
        )
        await stream.receive_some(size)
        self._ports.check(port)
        host_port = _FIRST_HOST_PORT + secrets.randbelow(_HOST_PORTS)
        await stream.send_all(b"OK %d\n" % host_port)
        peer = VsockAddress(_HOST, host_port)
        self._ports.offer(port, SocketVsockStream(stream.socket, peer))


def decode_command_untrusted(arrived: bytes) -> tuple[int, int]:
    """Read the port, and how many bytes the command has.

    Args:
      arrived: the first 32 bytes, or as many as there were at the first look.

    Raises:
      ProtocolError: if they are no command, or not the whole one.

    """
    end = arrived.find(b"\n", _SHORTEST_COMMAND - 1) + 1
    if not end and len(arrived) < _LONGEST_COMMAND:
        raise ProtocolError(f"only {arrived!r} arrived, which is no whole command")
    size = end or _LONGEST_COMMAND
    word, port, *_ = [*arrived[:size].split(), b"", b""]
    if word.lower() != b"connect" or not port.isdigit() or int(port) >= 2**32:
        raise ProtocolError(f"{arrived[:size]!r} is no command")
    return int(port), size


@attrs.frozen(eq=False)
class _Guest(VsockNetwork):
    """The guest's side: what the host listens on are unix sockets beside the VMM's."""

    _uds_path: str
    _ports: PortTable

    @property
    def cid(self) -> int:
        return self._ports.cid

    async def open_stream(self, cid: int, port: int) -> VsockStream:
        check_address(cid, port)
        peer = VsockAddress(cid, port)
        if cid != _HOST:
            raise OSError(errno.ETIMEDOUT, f"no answer: a guest can't reach {peer}")
        try:
            stream = await open_unix_stream(f"{self._uds_path}_{port}")
        except (FileNotFoundError, ConnectionRefusedError):
            raise ConnectionResetError(
                errno.ECONNRESET, f"nobody on the host listens for {peer}"
            ) from None
        return SocketVsockStream(stream.socket, peer)

    async def open_listener(
        self, port: int, *, backlog: int | None = None
    ) -> QueueListener:
        return await self._ports.listen(port, backlog=backlog)
