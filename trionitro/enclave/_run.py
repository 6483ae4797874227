"""A boot as a process, which signals end."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator

import trio

from trionitro.enclave._boot import Boot

__all__ = ["run_boot"]


async def run_boot(boot: Boot) -> int:
    """Run ``boot`` as :meth:`Boot.run` does, until it or a signal ends it.

    SIGTERM and SIGINT stop the application; a second one kills it.

    Returns:
      The exit code for this process.

    Raises:
      CannotStartError: if a step fails.

    """
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_obey, signals, boot)
            code = await boot.run()
            nursery.cancel_scope.cancel()
    return code


async def _obey(signals: AsyncIterator[int], boot: Boot) -> None:
    async for signum in signals:
        boot.stop(signal.Signals(signum).name)
