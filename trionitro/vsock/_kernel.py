"""AF_VSOCK: the kernel's own vsock, which is what an enclave has."""

from __future__ import annotations

import fcntl
import os
import socket
import struct
from pathlib import Path
from typing import Final, final

import attrs
import trio

from trionitro.abc import VMADDR_ANY, VsockAddress, VsockNetwork
from trionitro.vsock._kernel_errors import connect_error, listen_error
from trionitro.vsock._ports import check_address, check_listening_port
from trionitro.vsock._stream import SocketVsockListener, SocketVsockStream

__all__ = ["KernelVsock"]

#: The number rather than ``socket.AF_VSOCK``: where Python was built without it, the
#: kernel's answer is still the one that can be explained.
_AF_VSOCK: Final = 40

#: ``SO_VM_SOCKETS_CONNECT_TIMEOUT``, which takes a ``struct timeval``.
_CONNECT_TIMEOUT: Final = 6
_TIMEVAL: Final = struct.Struct("@ll")

#: Seconds that the kernel gives a peer for its answer if nobody sets them, and the most
#: that we do. For as long the kernel keeps the socket, even after it was closed.
_KERNELS_OWN: Final = 2
_LONGEST: Final = 64

_DEVICE: Final = "/dev/vsock"

#: ``IOCTL_VM_SOCKETS_GET_LOCAL_CID``, which fills in an unsigned int.
_GET_LOCAL_CID: Final = 0x7B9
_CID: Final = struct.Struct("@I")

#: More than any system allows: the kernel lowers it to ``net.core.somaxconn``.
_LONGEST_BACKLOG: Final = 0xFFFF


@final
@attrs.frozen
class KernelVsock(VsockNetwork):
    """The kernel's vsock.

    A peer's CID is what the hypervisor says it is. Between two programs of one
    machine it takes the module ``vsock_loopback``, and CID 1.

    A task that waits for room to send isn't woken when its peer goes away while there
    is still something to read from it: whoever sends much must also read.

    """

    @property
    def cid(self) -> int | None:
        """This machine's CID, or None if ``/dev/vsock`` doesn't tell."""
        answer = bytearray(_CID.size)
        try:
            with Path(_DEVICE).open("rb", buffering=0) as device:
                fcntl.ioctl(device, _GET_LOCAL_CID, answer)
        except OSError:
            return None
        (cid,) = _CID.unpack(answer)
        return None if cid == VMADDR_ANY else int(cid)

    async def open_stream(self, cid: int, port: int) -> SocketVsockStream:
        """Connect, as :meth:`.VsockNetwork.open_stream` says.

        For as long as the peer is silent this waits, and tries again when the kernel
        gives up, which it does after two seconds: the deadline is the caller's.

        """
        check_address(cid, port)
        peer = VsockAddress(cid, port)
        try:
            sock = await _connected_socket(cid, port)
        except OSError as error:
            raise connect_error(error, peer) from error
        return SocketVsockStream(sock, peer)

    async def open_listener(
        self, port: int, *, backlog: int | None = None
    ) -> SocketVsockListener:
        """Listen, as :meth:`.VsockNetwork.open_listener` says.

        A connection that finds the backlog full is refused at once: unlike TCP, it
        doesn't try again.

        """
        check_listening_port(port)
        await trio.lowlevel.checkpoint()
        try:
            sock = _listening_socket(port, backlog)
        except OSError as error:
            raise listen_error(error, port) from error
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(sock))
        return SocketVsockListener(sock.getsockname()[1], listener, _peer_of)


async def _connected_socket(cid: int, port: int) -> trio.socket.SocketType:
    # One attempt with a timeout of a day would be simpler. But with that the kernel
    # would keep every socket that ever dialled for a day, well after it was closed.
    seconds = _KERNELS_OWN
    while True:
        try:
            return await _dial(cid, port, seconds)
        except TimeoutError:
            # The next attempt waits longer, for a peer that answers, but slowly.
            seconds = min(2 * seconds, _LONGEST)


async def _dial(cid: int, port: int, seconds: int) -> trio.socket.SocketType:
    # A socket is good for one attempt: after a failed one the kernel says EALREADY,
    # which Trio takes for a connection that is on its way, and then for a made one.
    sock = trio.socket.socket(_AF_VSOCK, socket.SOCK_STREAM)
    try:
        if seconds != _KERNELS_OWN:
            _set_connect_timeout(sock, seconds)
        await sock.connect((cid, port))
    except BaseException:
        sock.close()
        raise
    return sock


def _set_connect_timeout(sock: trio.socket.SocketType, seconds: int) -> None:
    # CPython's setsockopt() on an AF_VSOCK socket takes nothing but integers, and
    # this option is a struct: hence a second socket object for the same socket, that
    # believes to be of another family.
    fd = os.dup(sock.fileno())
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, fd) as double:
        double.setsockopt(_AF_VSOCK, _CONNECT_TIMEOUT, _TIMEVAL.pack(seconds, 0))


def _listening_socket(port: int, backlog: int | None) -> socket.socket:
    sock = socket.socket(_AF_VSOCK, socket.SOCK_STREAM)
    try:
        sock.bind((VMADDR_ANY, port))
        sock.listen(_LONGEST_BACKLOG if backlog is None else backlog)
    except BaseException:
        sock.close()
        raise
    return sock


def _peer_of(sock: trio.socket.SocketType) -> VsockAddress:
    try:
        return VsockAddress(*sock.getpeername())
    except OSError:
        # It went away before it could be asked; what it has sent can still be read.
        return VsockAddress(VMADDR_ANY, VMADDR_ANY)
