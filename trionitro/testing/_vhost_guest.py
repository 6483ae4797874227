"""An emulated virtual machine: the other end of a vhost-user vsock.

Its VMM, its memory and its driver are separate from the device's code. What is said
on the vsock is said by the same code as on the device's side, with the guest's
address: a connection has two ends, and the specification makes no difference.

"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final, NoReturn, final

import trio

from trionitro._exceptions import ProtocolError
from trionitro._unix import open_unix_stream
from trionitro.abc import VsockNetwork, VsockStream
from trionitro.testing._driver_rings import DriverQueue, DriverRings, new_memory
from trionitro.testing._vhost_vmm import VhostUserVmm
from trionitro.vsock._port_table import PortTable, QueueListener
from trionitro.vsock._ports import check_address
from trionitro.vsock._vhost_user._exchange import Exchange, Limits
from trionitro.vsock._vhost_user._packets import Packet
from trionitro.vsock._vhost_user._signals import wait_signalled

__all__ = ["VhostUserGuest"]

_LIMITS: Final = Limits(buffer_size=2**18, max_connections=2**16, linger=8.0)


@final
class VhostUserGuest:
    """A VMM that connects to ``socket_path``, and the guest in it.

    For example, a guest for a program under test::

        network = VhostUserVsock(path, guest_cid=16)
        await nursery.start(network.serve)
        guest = VhostUserGuest(path)
        await nursery.start(guest.serve)
        stream = await guest.network.open_stream(3, 8000)

    """

    def __init__(
        self, socket_path: str | os.PathLike[str], *, event_index: bool = True
    ) -> None:
        """Make a guest that does not run yet.

        Args:
          socket_path: where its vsock's device listens.
          event_index: whether its driver knows ``VIRTIO_F_EVENT_IDX``.

        """
        self._socket_path = os.fspath(socket_path)
        self._event_index = event_index
        self._network = _Network()

    @property
    def network(self) -> VsockNetwork:
        """The vsock as the guest sees it; its CID is what the device says."""
        return self._network

    async def serve(
        self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Run, until cancelled; ``task_status`` is told when the guest has booted.

        Raises:
          OSError: if there is no device.
          trio.BrokenResourceError: if the device hangs up before that.

        """
        async with await open_unix_stream(self._socket_path) as stream:
            self._vmm = vmm = VhostUserVmm(stream)
            cid = await vmm.negotiate(event_index=self._event_index)
            self._memory = new_memory()
            try:
                async with trio.open_nursery() as self._nursery:
                    self._network.boot(cid)
                    await self._boot()
                    task_status.started()
                    await trio.sleep_forever()
            finally:
                self._network.halt()
                os.close(self._memory)

    async def reboot(self) -> None:
        """Start the guest again, in the same VMM; its connections are forgotten."""
        await self._vmm.stop()
        self._network.reboot()
        await self._boot()

    async def pause(self) -> None:
        """Stop the device, as a VMM does before it stops the guest's processors."""
        self._bases = await self._vmm.stop()

    async def resume(self) -> None:
        """Go on after a :meth:`pause`."""
        assert self._network.rings is not None
        await self._vmm.start(self._network.rings, self._bases)

    async def _boot(self) -> None:
        rings = DriverRings(self._memory, event_index=self._event_index)
        network = self._network
        network.rings = rings
        receiving, sending = rings.queues
        self._nursery.start_soon(network.watch, receiving, network.take_packets)
        self._nursery.start_soon(network.watch, sending, network.flush)
        await self._vmm.share_memory(self._memory)
        await self._vmm.start(rings)


@final
class _Network(VsockNetwork):
    """The guest's side: an exchange with each machine that it talks to."""

    def __init__(self) -> None:
        self.rings: DriverRings | None = None
        self._cid: int | None = None
        self._exchanges: dict[int, Exchange] = {}

    @property
    def cid(self) -> int | None:
        return self._cid

    async def open_stream(self, cid: int, port: int) -> VsockStream:
        check_address(cid, port)
        await trio.lowlevel.checkpoint()
        assert self._cid is not None, "the guest has not booted"
        return await self._exchange_with(cid).connect(self._cid, port)

    async def open_listener(
        self, port: int, *, backlog: int | None = None
    ) -> QueueListener:
        return await self._ports.listen(port, backlog=backlog)

    def boot(self, cid: int) -> None:
        self._cid = cid
        self._ports = PortTable(cid)

    def reboot(self) -> None:
        assert self._cid is not None
        self.halt()
        self.boot(self._cid)

    def halt(self) -> None:
        for exchange in self._exchanges.values():
            exchange.break_off()
        self._exchanges.clear()
        if self.rings is not None:
            self.rings.close()
            self.rings = None

    async def watch(self, queue: DriverQueue, work: Callable[[], None]) -> None:
        rings = self.rings
        while self.rings is rings:
            work()
            await wait_signalled(queue.call, lambda: self.rings is rings)

    def take_packets(self) -> None:
        assert self.rings is not None
        self.rings.receive(self._take)
        self.flush()

    def flush(self) -> None:
        for exchange in [*self._exchanges.values()]:
            exchange.flush()

    def _take(self, packet: Packet) -> None:
        self._exchange_with(packet.src_cid).receive_untrusted(packet)

    def _exchange_with(self, cid: int) -> Exchange:
        exchange = self._exchanges.get(cid)
        if exchange is None:
            assert self._cid is not None
            exchange = Exchange(cid, {self._cid}, self._ports, _LIMITS, _complain)
            exchange.transport = self.rings
            self._exchanges[cid] = exchange
        return exchange


def _complain(problem: ProtocolError) -> NoReturn:
    raise AssertionError("the driver's own queues make no sense") from problem
