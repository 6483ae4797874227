"""The host's side of a hybrid vsock: one guest behind a VMM's unix socket.

Connections to the guest go through the VMM's socket with a handshake (see
:mod:`trionitro.vsock._connect`). Those from the guest to the host's port 52 arrive
on the unix socket ``<uds_path>_52``, without any.

"""

from __future__ import annotations

import errno
import os
from functools import partial
from typing import Final, final

import attrs
import trio

from trionitro._exceptions import ProtocolError
from trionitro._unix import open_unix_listener, open_unix_stream
from trionitro.abc import VMADDR_ANY, VsockAddress, VsockNetwork
from trionitro.vsock._connect import encode_connect, is_answered_untrusted
from trionitro.vsock._ports import check_address, listen_on_port
from trionitro.vsock._stream import SocketVsockListener, SocketVsockStream

__all__ = ["FirecrackerVsock"]

#: The host is CID 2 to every guest.
_HOST: Final = 2

#: A VMM answers in microseconds, unless its guest is paused or starved.
_HANDSHAKE_TIMEOUT: Final = 10.0


@final
@attrs.frozen
class FirecrackerVsock(VsockNetwork):
    """The vsock of a Firecracker, cloud-hypervisor or vhost-device-vsock guest.

    The VMM doesn't say who connects: the unix sockets belong to one guest, and
    whoever may connect to them is taken for it.

    Attributes:
      uds_path: the unix socket that the VMM was given for its vsock.
      guest_cid: the guest's CID, or None if it doesn't matter; written ``cid`` when
          this is made. Connecting to any other is refused then.
      handshake_timeout: seconds for the VMM to accept a connection, or refuse it. It
          has proved nothing until then, and must not hold a caller without a
          deadline of its own.

    """

    uds_path: str = attrs.field(converter=os.fspath)
    guest_cid: int | None = attrs.field(default=None, alias="cid")
    handshake_timeout: float = attrs.field(default=_HANDSHAKE_TIMEOUT, kw_only=True)

    @property
    def cid(self) -> int:
        """The host's CID."""
        return _HOST

    async def open_stream(self, cid: int, port: int) -> SocketVsockStream:
        """Connect to the guest, as :meth:`.VsockNetwork.open_stream` says."""
        check_address(cid, port)
        peer = VsockAddress(cid, port)
        self._check_guest(peer)
        try:
            with trio.fail_after(self.handshake_timeout):
                stream = await self._dial(peer)
        except trio.TooSlowError:
            raise TimeoutError(
                errno.ETIMEDOUT,
                f"can't connect to {peer}: the VMM at {self.uds_path} has not answered"
                f" within {self.handshake_timeout:g} seconds; is its guest running?",
            ) from None
        return SocketVsockStream(stream.socket, peer)

    async def open_listener(
        self, port: int, *, backlog: int | None = None
    ) -> SocketVsockListener:
        """Listen for the guest, as :meth:`.VsockNetwork.open_listener` says."""
        return await listen_on_port(port, partial(self._listen, backlog=backlog))

    async def _listen(self, port: int, *, backlog: int | None) -> SocketVsockListener:
        path = f"{self.uds_path}_{port}"
        listener = await open_unix_listener(path, backlog=backlog)
        return SocketVsockListener(port, listener, self._peer_of)

    def _peer_of(self, sock: trio.socket.SocketType) -> VsockAddress:
        cid = VMADDR_ANY if self.guest_cid is None else self.guest_cid
        return VsockAddress(cid, VMADDR_ANY)

    def _check_guest(self, peer: VsockAddress) -> None:
        if self.guest_cid not in (None, peer.cid):
            raise OSError(
                errno.ENETUNREACH,
                f"can't connect to {peer}: behind {self.uds_path} there is only the"
                f" guest with CID {self.guest_cid}",
            )

    async def _dial(self, peer: VsockAddress) -> trio.SocketStream:
        stream = await open_unix_stream(self.uds_path)
        try:
            await _shake_hands(stream, peer)
        except BaseException:
            await trio.aclose_forcefully(stream)
            raise
        return stream


async def _shake_hands(stream: trio.SocketStream, peer: VsockAddress) -> None:
    try:
        answered = await _is_answered(stream, peer.port)
    except ProtocolError as problem:
        raise OSError(errno.EPROTO, f"can't connect to {peer}: {problem}") from problem
    except trio.BrokenResourceError:
        # A unix socket that is closed with our command still unread in it is reset.
        answered = False
    if not answered:
        raise ConnectionRefusedError(
            errno.ECONNREFUSED,
            f"can't connect to {peer}: nobody listens on that port of the guest",
        )


async def _is_answered(stream: trio.SocketStream, port: int) -> bool:
    await stream.send_all(encode_connect(port))
    answer = b""
    while not is_answered_untrusted(answer):
        # Byte by byte: what follows the line is the guest's already.
        byte = await stream.receive_some(1)
        if not byte:
            return False
        answer += byte
    return True
