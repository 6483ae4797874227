"""A virtual machine's vsock, with this process as the device."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import Final, NoReturn, final

import attrs
import structlog
import trio

from trionitro._exceptions import ProtocolError
from trionitro._unix import open_unix_listener
from trionitro.abc import VsockAddress, VsockNetwork
from trionitro.vsock._port_table import PortTable, QueueListener
from trionitro.vsock._ports import check_address
from trionitro.vsock._vhost_user._exchange import Exchange, Limits
from trionitro.vsock._vhost_user._session import Session
from trionitro.vsock._vhost_user._stream import PacketStream
from trionitro.vsock._vhost_user._switch import VhostUserSwitch

__all__ = ["VhostUserVsock"]

_log = structlog.get_logger("trionitro.vsock")

#: What a guest that knows no better takes the other side for.
_HOST: Final = 2

#: As much as Linux gives a vsock: ``VIRTIO_VSOCK_DEFAULT_BUF_SIZE``.
_BUFFER_SIZE: Final = 2**18

#: As many as Firecracker allows, near enough.
_MAX_CONNECTIONS: Final = 1024

#: As long as Linux waits for it: ``VSOCK_CLOSE_TIMEOUT``.
_LINGER: Final = 8.0

#: A VMM that takes another's place may connect before this has noticed that the
#: other one is gone. It has proved nothing, and others than it wait longer in vain.
_TAKEOVER_TIMEOUT: Final = 1.0


def _text_of(path: str | os.PathLike[str]) -> str:
    return os.fspath(path)


@final
@attrs.define(eq=False, kw_only=True)
class VhostUserVsock(VsockNetwork):
    """The vsock of a virtual machine that this process is the device of.

    The VMM connects to a unix socket and shares its guest's memory, and the guest's
    connections are streams here: no kernel module, no daemon and no root. This is the
    device for QEMU's ``vhost-user-vsock-pci``, whose chardev is a client::

        network = VhostUserVsock("/run/vm/v.sock", guest_cid=16)
        await nursery.start(network.serve)
        listener = await network.open_listener(8000)

    Only :meth:`serve` has tasks. Listeners are there before it is called, and stay
    when the guest starts again or another VMM takes its place; connections don't.

    The guest is not trusted. The VMM vouches for it: what comes through it is from
    ``guest_cid``. The guest's memory must be sealed against shrinking, as QEMU's
    memory-backend-memfd is. Whoever may connect to the socket is taken for the VMM:
    keep its directory closed.

    Attributes:
      socket_path: where the VMM connects.
      guest_cid: the guest's CID, from 3.
      cid: this side's, under which the guest is connected to: the parent's, 3, unless
          the guest has that. The guest reaches this side as 2, too, as it does a host.
      buffer_size: how many bytes each connection holds here while nobody reads.
      max_connections: how many connections there may be until they are closed here;
          those above are refused.
      switch: joins the guest with others; one that is its own leads nowhere.

    """

    socket_path: str = attrs.field(converter=_text_of, kw_only=False)
    guest_cid: int
    _cid: int = attrs.field(default=3, alias="cid")
    buffer_size: int = attrs.field(
        default=_BUFFER_SIZE,
        validator=[attrs.validators.ge(1), attrs.validators.lt(2**32)],
    )
    max_connections: int = attrs.field(
        default=_MAX_CONNECTIONS, validator=attrs.validators.ge(1)
    )
    switch: VhostUserSwitch = attrs.field(factory=VhostUserSwitch)
    _ports: PortTable = attrs.field(init=False)
    _exchange: Exchange | None = attrs.field(default=None, init=False)
    _started: trio.lowlevel.ParkingLot = attrs.field(
        factory=trio.lowlevel.ParkingLot, init=False
    )
    _place: trio.Lock = attrs.field(factory=trio.Lock, init=False)

    def __attrs_post_init__(self) -> None:
        check_address(self.guest_cid, 0)
        check_address(self._cid, 0)
        if self.guest_cid <= _HOST or self.guest_cid == self._cid:
            raise ValueError(
                f"the guest can't have the CID {self.guest_cid}: 0 to 2 have meanings"
                f" of their own, and this side is {self._cid}"
            )
        self._ports = PortTable(self._cid)

    @property
    def cid(self) -> int:
        """This side's CID."""
        return self._cid

    async def serve(
        self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> NoReturn:
        """Be the device of one VMM after the other, until cancelled.

        ``task_status`` is told when a VMM can connect. Of two at once the second is
        turned away. A VMM that makes no sense, or whose guest does, is hung up on,
        and logged.

        Raises:
          OSError: if nobody can listen on the socket's path, or the switch has a
              guest with one of the two CIDs.

        Cancellation:
          All connections are broken, and the socket is removed.

        """
        listener = await open_unix_listener(self.socket_path)
        async with listener:
            with self.switch.joined(self.guest_cid, self._cid):
                task_status.started()
                await trio.serve_listeners(self._take, [listener])

    async def wait_for_guest(self) -> None:
        """Wait until the guest has started its vsock driver; it may be so already."""
        await trio.lowlevel.checkpoint()
        while self._exchange is None:
            await self._started.park()

    async def open_stream(self, cid: int, port: int) -> PacketStream:
        """Connect to the guest, as :meth:`.VsockNetwork.open_stream` says.

        This waits for as long as the guest doesn't answer.

        """
        check_address(cid, port)
        await trio.lowlevel.checkpoint()
        peer = VsockAddress(cid, port)
        if cid != self.guest_cid:
            raise OSError(
                errno.ENETUNREACH,
                f"can't connect to {peer}: behind {self.socket_path} there is only the"
                f" guest with CID {self.guest_cid}",
            )
        if self._exchange is None:
            raise OSError(
                errno.ENODEV,
                f"can't connect to {peer}: no guest has started its vsock on"
                f" {self.socket_path}; it may still be booting",
            )
        return await self._exchange.connect(self._cid, port)

    async def open_listener(
        self, port: int, *, backlog: int | None = None
    ) -> QueueListener:
        """Listen for the guest, as :meth:`.VsockNetwork.open_listener` says.

        A connection that finds the backlog full is refused at once, as the kernel
        does it.

        """
        return await self._ports.listen(port, backlog=backlog)

    async def _take(self, stream: trio.SocketStream) -> None:
        with trio.move_on_after(_TAKEOVER_TIMEOUT) as scope:
            await self._place.acquire()
        if scope.cancelled_caught:
            _log.warning("a second VMM was turned away", path=self.socket_path)
            return
        try:
            await self._serve_vmm(stream.socket)
        finally:
            self._place.release()

    async def _serve_vmm(self, sock: trio.socket.SocketType) -> None:
        session = Session(
            sock, self.guest_cid, self._new_exchange, self._set_exchange, self.switch
        )
        try:
            await session.run()
        except ProtocolError as problem:
            _log.warning(
                "hung up on a VMM", path=self.socket_path, problem=str(problem)
            )

    def _new_exchange(self, on_nonsense: Callable[[ProtocolError], None]) -> Exchange:
        limits = Limits(
            buffer_size=self.buffer_size,
            max_connections=self.max_connections,
            linger=_LINGER,
        )
        own_cids = {self._cid, _HOST}
        return Exchange(self.guest_cid, own_cids, self._ports, limits, on_nonsense)

    def _set_exchange(self, exchange: Exchange | None) -> None:
        self._exchange = exchange
        self.switch.attach(self.guest_cid, exchange)
        if exchange is not None:
            self._started.unpark_all()
