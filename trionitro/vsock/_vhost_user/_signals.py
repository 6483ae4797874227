"""Waiting for eventfds, which may be closed meanwhile."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress

import trio

__all__ = ["close_watched", "wait_signalled"]


async def wait_signalled(fd: int, is_open: Callable[[], bool]) -> None:
    """Wait until the eventfd ``fd`` is signalled, and take the signal off it.

    Args:
      fd: the eventfd, which doesn't block.
      is_open: whether it is still the same one; if it isn't, this returns.

    """
    with suppress(trio.ClosedResourceError):
        await trio.lowlevel.wait_readable(fd)
    # Between becoming readable and this step it may have been closed, and the number
    # may belong to something else by now.
    if is_open():
        with suppress(BlockingIOError):
            os.eventfd_read(fd)


def close_watched(fd: int) -> None:
    """Close ``fd``, and wake whoever waits for it."""
    trio.lowlevel.notify_closing(fd)
    os.close(fd)
