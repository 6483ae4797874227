"""What the application writes, on our own standard output and standard error too.

A console may be slow, and where nobody reads it may stop altogether. So a thread
writes, and what it can't keep up with is lost, instead of holding the application up.

"""

from __future__ import annotations

import os
from typing import Final

import attrs
import structlog
import trio

__all__ = ["Console"]

_log = structlog.get_logger("trionitro.enclave")

#: Pieces that wait to be written. Trio reads at most 64 KiB at once.
_MOST_PIECES: Final = 64

#: Seconds for a console to take the rest.
_PATIENCE: Final = 2.0


@attrs.define(eq=False)
class Console:
    """Writes to file descriptors, without ever making anybody wait.

    Attributes:
      stdout: where the application's standard output goes.
      stderr: where its standard error goes.

    """

    stdout: int = 1
    stderr: int = 2
    _lost: int = attrs.field(init=False, default=0)
    _pieces: trio.MemorySendChannel[tuple[int, bytes]] = attrs.field(init=False)
    _waiting: trio.MemoryReceiveChannel[tuple[int, bytes]] = attrs.field(init=False)
    _done: trio.Event = attrs.field(init=False, factory=trio.Event)

    def __attrs_post_init__(self) -> None:
        pair = trio.open_memory_channel[tuple[int, bytes]](_MOST_PIECES)
        self._pieces, self._waiting = pair

    def write(self, source: str, data: bytes) -> None:
        """Show what ``stdout`` or ``stderr`` has written. Never waits."""
        try:
            self._pieces.send_nowait((getattr(self, source), data))
        except trio.WouldBlock:
            self._lost += len(data)

    async def serve(self) -> None:
        """Write, until :meth:`finish` and the rest is written."""
        async for fd, data in self._waiting:
            await trio.to_thread.run_sync(_write, fd, data, abandon_on_cancel=True)
        self._done.set()

    async def finish(self) -> None:
        """Let :meth:`serve` return, when all is written; takes seconds at most."""
        self._pieces.close()
        with trio.move_on_after(_PATIENCE):
            await self._done.wait()
        if self._lost:
            _log.warning("the console was too slow", lost=f"{self._lost} bytes")


def _write(fd: int, data: bytes) -> None:
    try:
        while data:
            data = data[os.write(fd, data) :]
    except OSError:
        return  # nobody is there to see it
