"""Which CIDs and ports there are, and picking a port at random."""

from __future__ import annotations

import errno
import secrets
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from trionitro.abc import VMADDR_ANY

__all__ = ["check_address", "check_listening_port", "listen_on_port", "random_port"]

ListenerT = TypeVar("ListenerT")

#: Ports below are privileged on a kernel's vsock: nobody expects to be given one.
_FIRST_UNPRIVILEGED: Final = 1024


def random_port() -> int:
    """Pick a port like a kernel does for whoever doesn't care; it may be taken."""
    return _FIRST_UNPRIVILEGED + secrets.randbelow(VMADDR_ANY - _FIRST_UNPRIVILEGED)


def check_address(cid: int, port: int) -> None:
    """Check that ``cid`` and ``port`` can be connected to.

    CPython takes any number here, and dials its lowest 32 bits.

    Raises:
      ValueError: if they can't.

    """
    _check("CID", cid)
    _check("port", port)


def check_listening_port(port: int) -> None:
    """Check that ``port`` can be listened on; ``VMADDR_ANY`` is any free one.

    Raises:
      ValueError: if it can't.

    """
    if port != VMADDR_ANY:
        _check("port", port)


async def listen_on_port(
    port: int, listen: Callable[[int], Awaitable[ListenerT]]
) -> ListenerT:
    """Call ``listen`` with ``port``, or with random ones until one of them is free.

    Raises:
      ValueError: if ``port`` can't be listened on.
      OSError: what ``listen`` raises; for ``VMADDR_ANY``, only what is not
          "address in use".

    """
    check_listening_port(port)
    if port != VMADDR_ANY:
        return await listen(port)
    while True:
        try:
            return await listen(random_port())
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise


def _check(what: str, number: int) -> None:
    if not 0 <= number < VMADDR_ANY:
        raise ValueError(
            f"the {what} {number} is not a number from 0 to {VMADDR_ANY - 1}"
        )
