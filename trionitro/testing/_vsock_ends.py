"""Two ends of a vsock network under test, and connections between them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import attrs
import trio
import trio.testing

from trionitro.abc import VMADDR_ANY, VsockListener, VsockNetwork, VsockStream

__all__ = ["VsockEnds", "clogged"]

Pair = tuple[VsockStream, VsockStream]

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

    async def connect(self, listener: VsockListener) -> Pair:
        """Make a connection, and return its dialling and its listening end."""
        accepted = []

        async def accept() -> None:
            accepted.append(await listener.accept())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(accept)
            dialled = await self.dial(listener.port)
        return dialled, accepted[0]

    async def pair(self) -> Pair:
        """Make a connection like :meth:`connect`, whose listener is closed again."""
        async with await self.listen() as listener:
            return await self.connect(listener)

    async def flipped_pair(self) -> Pair:
        """Make a connection like :meth:`pair`, but return its listening end first."""
        dialled, accepted = await self.pair()
        return accepted, dialled


async def clogged(make_pair: Callable[[], Awaitable[Pair]]) -> Pair:
    """Make a connection whose first end can't send until its second one reads."""
    sender, receiver = await make_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_send_for_ever, sender)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    return sender, receiver


async def _send_for_ever(stream: VsockStream) -> None:
    while True:
        await stream.send_all(_MEBIBYTE)
