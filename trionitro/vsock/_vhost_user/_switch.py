"""Between virtual machines: what one guest sends to another, through this process.

Packets go from the one's transmit queue into the other's receive queue as they are.
Credit, half-closes and resets are between the two kernels; nothing is known here of
connections. Nor is anything queued: what was taken from a guest, one batch at most,
waits for the other's buffers, and meanwhile no more is taken from it.

"""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import final

import attrs
import trio

from trionitro.vsock._vhost_user._exchange import Exchange
from trionitro.vsock._vhost_user._packets import STREAM, Packet

__all__ = ["Forwarder", "VhostUserSwitch"]


@attrs.define(eq=False)
class _Member:
    """A machine on a switch, and the exchange with its guest if that runs."""

    host_cid: int
    exchange: Exchange | None = None


@final
@attrs.define(eq=False)
class VhostUserSwitch:
    """Joins virtual machines, so that their guests reach each other by CID.

    Each machine has a :class:`VhostUserVsock` of its own, and all of them this. A
    parent and its enclave, for example, with this process as the host of both::

        switch = VhostUserSwitch()
        parent = VhostUserVsock(one, guest_cid=3, cid=2, switch=switch)
        enclave = VhostUserVsock(other, guest_cid=16, cid=2, switch=switch)

    A machine is on the switch while its network's ``serve`` runs. If its guest
    doesn't, or doesn't any more, it is silent, like one that was switched off: the
    others aren't told. A guest that is slow to take what it is sent holds up those
    who send to it, with all that they send.

    """

    _members: dict[int, _Member] = attrs.field(factory=dict, init=False)

    @contextmanager
    def joined(self, guest_cid: int, host_cid: int) -> Iterator[None]:
        """Have a machine on the switch; a network's ``serve`` does this.

        Args:
          guest_cid: the machine's.
          host_cid: this process's, to the machine.

        Raises:
          OSError: if a guest would have to tell two of the same CID apart.

        """
        hosts = {member.host_cid for member in self._members.values()}
        for cid, others in (
            (guest_cid, hosts | self._members.keys()),
            (host_cid, self._members.keys()),
        ):
            if cid in others:
                raise OSError(
                    errno.EADDRINUSE,
                    f"there is a CID {cid} on the switch already; give each machine"
                    " another guest_cid, and as the cid of this side one that no guest"
                    " has",
                )
        self._members[guest_cid] = _Member(host_cid)
        try:
            yield
        finally:
            del self._members[guest_cid]

    def attach(self, guest_cid: int, exchange: Exchange | None) -> None:
        """Note the exchange with a machine's guest, or that it doesn't run."""
        self._members[guest_cid].exchange = exchange

    def has(self, cid: int) -> bool:
        """Whether a machine on the switch has this CID."""
        return cid in self._members

    def exchange_with(self, cid: int) -> Exchange | None:
        """Return the exchange with a machine's guest, if it runs."""
        member = self._members.get(cid)
        return None if member is None else member.exchange


@final
@attrs.define(eq=False)
class Forwarder:
    """Sorts what one guest sends, from its start to its end.

    Attributes:
      exchange: the exchange with it.
      switch: how it reaches others.

    """

    exchange: Exchange
    switch: VhostUserSwitch
    _packets: deque[Packet] = attrs.field(factory=deque, init=False)

    def receive_untrusted(self, packet: Packet) -> None:
        """Take in a packet; if it is for another guest, it waits for :meth:`forward`.

        Never raises, whatever the packet is.

        """
        if (
            packet.src_cid == self.exchange.peer_cid != packet.dst_cid
            and packet.kind == STREAM
            and self.switch.has(packet.dst_cid)
        ):
            self._packets.append(packet)
        else:
            self.exchange.receive_untrusted(packet)

    async def forward(self) -> None:
        """Hand on what waits for it, as the other guests take it.

        Cancellation:
          What was not handed on yet is kept for the next time.

        """
        packets = self._packets
        while packets:
            await trio.lowlevel.checkpoint()
            other = self.switch.exchange_with(packets[0].dst_cid)
            if other is None:
                packets.popleft()
                continue
            try:
                await _Turn().wait(other)
                other.carry(packets)
            finally:
                other.pass_on()


@attrs.define(eq=False)
class _Turn:
    """A place in the queue of those who want to send to a guest."""

    _noticed: trio.lowlevel.ParkingLot = attrs.field(factory=trio.lowlevel.ParkingLot)

    async def wait(self, exchange: Exchange) -> None:
        """Wait for a buffer, or for the end of the exchange."""
        try:
            while not (exchange.is_over or exchange.may_send(self)):
                exchange.join_queue(self)
                await self._noticed.park()
        finally:
            exchange.leave_queue(self)

    def notice(self) -> None:
        """Have it look again."""
        self._noticed.unpark_all()
