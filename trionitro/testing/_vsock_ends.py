"""Two ends of a vsock network under test, and connections between them."""

from __future__ import annotations

from typing import Final

import attrs
import trio
import trio.testing

from trionitro.abc import VMADDR_ANY, VsockListener, VsockNetwork, VsockStream

__all__ = ["VsockEnds", "clog"]

#: More than any socket takes at once.
_MEBIBYTE: Final = bytes(2**20)


@attrs.frozen
class VsockEnds:
    """Two machines, of which one connects to the other.

    Attributes:
      listening: the network of the one that is connected to.
      dialling: the network of the one that connects.
      cid: what it dials.

    """

    listening: VsockNetwork
    dialling: VsockNetwork
    cid: int

    async def listen(self, port: int = VMADDR_ANY) -> VsockListener:
        """Listen on ``port``, or a free one."""
        return await self.listening.open_listener(port)

    async def dial(self, port: int) -> VsockStream:
        """Connect to ``port``."""
        return await self.dialling.open_stream(self.cid, port)

    async def connect(self, listener: VsockListener) -> tuple[VsockStream, VsockStream]:
        """Make a connection, and return its dialling and its listening end."""
        accepted = []

        async def accept() -> None:
            accepted.append(await listener.accept())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(accept)
            dialled = await self.dial(listener.port)
        return dialled, accepted[0]

    async def pair(self) -> tuple[VsockStream, VsockStream]:
        """Make a connection like :meth:`connect`, whose listener is closed again."""
        async with await self.listen() as listener:
            return await self.connect(listener)

    async def clogged_pair(self) -> tuple[VsockStream, VsockStream]:
        """Make a connection neither end of which can send until the other reads."""
        pair = await self.pair()
        for end in pair:
            await clog(end)
        return pair


async def clog(stream: VsockStream) -> None:
    """Send until nothing more can be sent."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_send_for_ever, stream)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()


async def _send_for_ever(stream: VsockStream) -> None:
    while True:
        await stream.send_all(_MEBIBYTE)
