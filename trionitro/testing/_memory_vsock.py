"""MemoryVsock: machines that are objects, and a wire that can be broken."""

from __future__ import annotations

import errno
from typing import Self, final

import attrs
import trio

from trionitro.abc import VsockAddress, VsockNetwork
from trionitro.testing._memory_stream import Faults, MemoryVsockStream, connected_pair
from trionitro.vsock._port_table import PortTable, QueueListener
from trionitro.vsock._ports import check_address, random_port

__all__ = ["MemoryVsock"]


@attrs.define(eq=False)
class _Wire:
    """What all machines share: the faults, and where to find each other."""

    faults: Faults = attrs.field(factory=Faults)
    _machines: dict[int, PortTable] = attrs.field(factory=dict)

    def ports_of(self, cid: int) -> PortTable:
        return self._machines.setdefault(cid, PortTable(cid))


@final
@attrs.frozen(eq=False)
class MemoryVsock(VsockNetwork):
    """One machine's view of a vsock that exists in memory only.

    For example, an enclave and its parent::

        parent = MemoryVsock()
        enclave = parent.at(16)

    A connection holds 64 KiB in each direction while nobody reads.

    Attributes:
      cid: this machine's own CID.

    """

    _cid: int = 3
    _wire: _Wire = attrs.field(factory=_Wire, kw_only=True)

    def __attrs_post_init__(self) -> None:
        check_address(self._cid, 0)

    @property
    def cid(self) -> int:
        """This machine's own CID."""
        return self._cid

    @property
    def faults(self) -> Faults:
        """What goes wrong on this wire, for all machines."""
        return self._wire.faults

    def at(self, cid: int) -> Self:
        """Return the view of another machine on the same wire."""
        return attrs.evolve(self, cid=cid)

    async def open_stream(self, cid: int, port: int) -> MemoryVsockStream:
        """Connect, as :meth:`.VsockNetwork.open_stream` says."""
        check_address(cid, port)
        await trio.sleep(self.faults.delay)
        own, peer = VsockAddress(self._cid, random_port()), VsockAddress(cid, port)
        if self.faults.refuse:
            raise ConnectionRefusedError(
                errno.ECONNREFUSED, f"{peer} refuses, because faults.refuse says so"
            )
        ours, theirs = connected_pair(own, peer, self.faults)
        self._wire.ports_of(cid).offer(port, theirs)
        return ours

    async def open_listener(
        self, port: int, *, backlog: int | None = None
    ) -> QueueListener:
        """Listen, as :meth:`.VsockNetwork.open_listener` says.

        A connection that finds the backlog full is refused at once, as the kernel
        does it.

        """
        return await self._wire.ports_of(self._cid).listen(port, backlog=backlog)
