"""A stream around another one, to hide something of it or to be given faults."""

from __future__ import annotations

import attrs
import trio.abc

from trionitro.abc import VsockAddress, VsockStream

__all__ = ["WrappedHalfCloseable", "WrappedStream"]


@attrs.define(eq=False)
class WrappedHalfCloseable(trio.abc.HalfCloseableStream):
    """A stream that does what its inner one does, and nothing else that one can."""

    inner: trio.abc.HalfCloseableStream

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send on the inner one."""
        await self.inner.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        """Wait for the inner one."""
        await self.inner.wait_send_all_might_not_block()

    async def send_eof(self) -> None:
        """Send end-of-file on the inner one."""
        await self.inner.send_eof()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """Receive from the inner one."""
        return await self.inner.receive_some(max_bytes)

    async def aclose(self) -> None:
        """Close the inner one."""
        await self.inner.aclose()


@attrs.define(eq=False)
class WrappedStream(WrappedHalfCloseable, VsockStream):
    """A vsock's stream that does what its inner one does."""

    inner: VsockStream

    @property
    def peer(self) -> VsockAddress:
        """The inner one's."""
        return self.inner.peer
