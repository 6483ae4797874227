"""Things that signals stop, and that leave nothing behind."""

from __future__ import annotations

import signal
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Protocol

import structlog
import trio

__all__ = ["Stoppable", "run_obeying_signals"]

_log = structlog.get_logger("trionitro.sandbox")


class Stoppable(Protocol):
    """What can be run, and asked to stop."""

    async def run(self) -> int:
        """Run to its end, and return the exit code."""

    def stop(self) -> bool:
        """Have it end soon, and in order; tell whether there is anybody who will."""


async def run_obeying_signals(
    prefix: str, make: Callable[[Path], Awaitable[Stoppable]]
) -> int:
    """Make something in a temporary directory, run it, and have signals stop it.

    SIGINT, SIGTERM and SIGHUP stop it; a second one, or one that nobody obeys, cancels
    it. The directory is removed in any case.

    Args:
      prefix: of the directory's name.
      make: makes it, in that directory.

    Returns:
      Its exit code.

    Raises:
      KeyboardInterrupt: if a signal cancelled it.

    """
    code = None
    # From here on a signal is a cancellation at most: it can't come between making a
    # thing and remembering to remove it.
    with trio.open_signal_receiver(
        signal.SIGINT, signal.SIGTERM, signal.SIGHUP
    ) as signals:
        async with trio.open_nursery() as nursery:
            with tempfile.TemporaryDirectory(prefix=prefix) as directory:
                made = await make(Path(directory))
                nursery.start_soon(_obey, signals, made, nursery.cancel_scope)
                code = await made.run()
            nursery.cancel_scope.cancel()
    if code is None:
        raise KeyboardInterrupt
    return code


async def _obey(
    signals: AsyncIterator[int], made: Stoppable, everything: trio.CancelScope
) -> None:
    name = signal.Signals(await anext(signals)).name
    if made.stop():
        _log.info("stopping", signal=name)
        name = signal.Signals(await anext(signals)).name
    _log.warning("stopping at once", signal=name)
    everything.cancel()
