"""The one contract that every vsock network meets, be it a kernel or a fake.

A fake that production code is tested with is only as good as its likeness: this is
where the likeness is checked.

"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from types import MappingProxyType
from typing import Final

import attrs
import trio
import trio.testing

from trionitro.abc import VMADDR_ANY, VsockAddress, VsockListener, VsockNetwork
from trionitro.abc import VsockStream

__all__ = ["check_vsock_network"]

#: Seconds for each check. They take a few milliseconds; this is for a machine that
#: does much else.
_PATIENCE: Final = 20.0

#: The machine itself (``VMADDR_CID_LOCAL``), as which it sees itself.
_LOCAL: Final = 1

_CONNECTIONS: Final = 50

#: Many times what any network holds while nobody reads.
_LARGE: Final = bytes(range(256)) * 2**14


async def check_vsock_network(
    listening: VsockNetwork,
    dialling: VsockNetwork | None = None,
    *,
    cid: int | None = None,
) -> None:
    """Check that ``dialling`` can connect to ``listening`` as it should.

    Args:
      listening: one machine's network.
      dialling: another's, or None for the same.
      cid: what to dial, or None for ``listening.cid``.

    Raises:
      AssertionError: if something doesn't hold; the message says what must.

    """
    ends = _Ends(
        listening,
        listening if dialling is None else dialling,
        _known(listening.cid) if cid is None else cid,
    )
    for sentence, check in _CHECKS.items():
        try:
            with trio.fail_after(_PATIENCE):
                await check(ends)
        except Exception as problem:
            raise AssertionError(f"{sentence}; but: {problem!r}") from problem


def _known(cid: int | None) -> int:
    if cid is None:
        raise ValueError("this network doesn't know its CID: say which one to dial")
    return cid


@attrs.frozen
class _Ends:
    """Two machines, of which one connects to the other."""

    listening: VsockNetwork
    dialling: VsockNetwork
    cid: int

    async def listen(self, port: int = VMADDR_ANY) -> VsockListener:
        return await self.listening.open_listener(port)

    async def dial(self, port: int) -> VsockStream:
        return await self.dialling.open_stream(self.cid, port)

    async def connect(self, listener: VsockListener) -> tuple[VsockStream, VsockStream]:
        """Return both ends of a new connection, the dialling one first."""
        accepted = []

        async def accept() -> None:
            accepted.append(await listener.accept())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(accept)
            dialled = await self.dial(listener.port)
        return dialled, accepted[0]

    async def pair(self) -> tuple[VsockStream, VsockStream]:
        """Return both ends of a new connection, whose listener is closed already."""
        async with await self.listen() as listener:
            return await self.connect(listener)

    async def clogged_pair(self) -> tuple[VsockStream, VsockStream]:
        """Return a connection that takes no more bytes at its dialling end."""
        dialled, accepted = await self.pair()
        await _clog(dialled)
        return dialled, accepted
