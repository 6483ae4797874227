"""A vsock with a bug in it, which strikes when it is told to."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import attrs
import trio

from tests.wrapped import WrappedStream
from trionitro.abc import VsockListener, VsockNetwork, VsockStream

__all__ = ["BuggyVsock"]

T = TypeVar("T")


@attrs.frozen(eq=False)
class Bug:
    """Ends what it is in with an exception that nobody expects."""

    strikes: trio.Event = attrs.field(factory=trio.Event)

    async def threaten(self, fn: Callable[[], Awaitable[T]]) -> T:
        """Run ``fn``, unless the bug strikes before that is done."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._strike)
            result = await fn()
            nursery.cancel_scope.cancel()
        return result

    async def _strike(self) -> None:
        await self.strikes.wait()
        raise KeyError("a bug")


@attrs.frozen(eq=False)
class BuggyVsock(VsockNetwork):
    """Another network, but for one port: who accepts or reads there has a bug.

    Attributes:
      inner: the other network.
      port: where the bug is.
      bug: set its ``strikes`` to have it.

    """

    inner: VsockNetwork
    port: int
    bug: Bug = attrs.field(factory=Bug)

    @property
    def cid(self) -> int | None:
        """The other network's."""
        return self.inner.cid

    async def open_stream(self, cid: int, port: int) -> VsockStream:
        """Connect to where the bug is, or elsewhere."""
        stream = await self.inner.open_stream(cid, port)
        return _BuggyStream(stream, self.bug) if port == self.port else stream

    async def open_listener(
        self, port: int, *, backlog: int | None = None
    ) -> VsockListener:
        """Listen where the bug is, or elsewhere."""
        listener = await self.inner.open_listener(port, backlog=backlog)
        return _BuggyListener(listener, self.bug) if port == self.port else listener


@attrs.frozen(eq=False)
class _BuggyListener(VsockListener):
    inner: VsockListener
    bug: Bug

    @property
    def port(self) -> int:
        return self.inner.port

    async def accept(self) -> VsockStream:
        return await self.bug.threaten(self.inner.accept)

    async def aclose(self) -> None:
        await self.inner.aclose()


@attrs.define(eq=False)
class _BuggyStream(WrappedStream):
    bug: Bug

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        return await self.bug.threaten(lambda: self.inner.receive_some(max_bytes))
