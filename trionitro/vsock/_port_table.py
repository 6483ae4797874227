"""Who listens on which port of a machine in memory, and who waits to be accepted."""

from __future__ import annotations

import contextlib
import errno
from typing import Final, final

import attrs
import trio

from trionitro.abc import VsockAddress, VsockListener, VsockStream
from trionitro.vsock._ports import listen_on_port

__all__ = ["PortTable", "QueueListener"]

#: What Linux makes of a backlog that doesn't matter (``net.core.somaxconn``).
_BACKLOG: Final = 4096


@final
@attrs.define(eq=False)
class PortTable:
    """The ports of one machine.

    Attributes:
      cid: the machine's CID.

    """

    cid: int
    _listeners: dict[int, QueueListener] = attrs.field(factory=dict)

    async def listen(self, port: int, *, backlog: int | None) -> QueueListener:
        """Listen, as :meth:`trionitro.abc.VsockNetwork.open_listener` says."""
        await trio.lowlevel.checkpoint()

        async def take(port: int) -> QueueListener:
            return self._take(port, _BACKLOG if backlog is None else backlog)

        return await listen_on_port(port, take)

    def check(self, port: int) -> None:
        """Check that a stream could be passed to whoever listens on ``port``.

        Raises:
          OSError: if nobody does, or its backlog is full.

        """
        if port not in self._listeners:
            raise ConnectionRefusedError(
                errno.ECONNREFUSED,
                f"nobody listens on {VsockAddress(self.cid, port)}",
            )
        if self._listeners[port].is_full():
            raise ConnectionResetError(
                errno.ECONNRESET,
                f"the backlog of {VsockAddress(self.cid, port)} is full",
            )

    def has_place(self, port: int) -> bool:
        """Whether :meth:`check` would find nothing wrong."""
        return port in self._listeners and not self._listeners[port].is_full()

    def offer(self, port: int, stream: VsockStream) -> None:
        """Pass ``stream`` to whoever listens on ``port``; see :meth:`check`."""
        self.check(port)
        self._listeners[port].offer(stream)

    def _take(self, port: int, backlog: int) -> QueueListener:
        if port in self._listeners:
            raise OSError(
                errno.EADDRINUSE,
                f"somebody listens on {VsockAddress(self.cid, port)} already",
            )
        listener = QueueListener(port, self._listeners, backlog)
        self._listeners[port] = listener
        return listener


@final
class QueueListener(VsockListener):
    """Accepts the streams that were offered to it."""

    def __init__(
        self, port: int, listeners: dict[int, QueueListener], backlog: int
    ) -> None:
        self._port = port
        self._listeners = listeners
        self._offers, self._waiting = trio.open_memory_channel[VsockStream](backlog)

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return self._port

    def is_full(self) -> bool:
        """Whether an offer would find no place to wait."""
        statistics = self._offers.statistics()
        return (
            statistics.current_buffer_used >= statistics.max_buffer_size
            and not statistics.tasks_waiting_receive
        )

    def offer(self, stream: VsockStream) -> None:
        """Let ``stream`` wait to be accepted."""
        self._offers.send_nowait(stream)

    async def accept(self) -> VsockStream:
        """Accept a connection, or wait for one."""
        return await self._waiting.receive()

    async def aclose(self) -> None:
        """Stop listening; who still waits to be accepted reads end-of-file."""
        if self._listeners.get(self._port) is self:
            del self._listeners[self._port]
        waiting = self._take_waiting()
        # This order: who waits in accept() is told that the listener was closed, not
        # that there will be no more offers.
        self._waiting.close()
        self._offers.close()
        # Closing forcefully doesn't wait for anything, and all of them must be.
        with trio.CancelScope(shield=True):
            for stream in waiting:
                await trio.aclose_forcefully(stream)
        await trio.lowlevel.checkpoint()

    def _take_waiting(self) -> list[VsockStream]:
        waiting = []
        with contextlib.suppress(trio.WouldBlock, trio.ClosedResourceError):
            while True:
                waiting.append(self._waiting.receive_nowait())
        return waiting
