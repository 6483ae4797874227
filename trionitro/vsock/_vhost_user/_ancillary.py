"""File descriptors that come with messages, and belong to whoever takes them."""

from __future__ import annotations

import array
import os
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import Final, final

import attrs

from trionitro._exceptions import ProtocolError

__all__ = ["ANCILLARY_SIZE", "MAX_FDS", "ReceivedFds", "check_eventfd_untrusted"]

#: A memory table comes with one for each of its regions; nothing has more.
MAX_FDS: Final = 8

_INT_SIZE: Final = array.array("i").itemsize

#: How much room recvmsg(2) needs for them.
ANCILLARY_SIZE: Final = socket.CMSG_SPACE(MAX_FDS * _INT_SIZE)


@final
@attrs.define(eq=False)
class ReceivedFds:
    """File descriptors that nobody has taken yet."""

    _fds: list[int] = attrs.field(factory=list)

    def __len__(self) -> int:
        return len(self._fds)

    def add_untrusted(self, ancillary: Iterable[tuple[int, int, bytes]]) -> None:
        """Keep what has come, as recvmsg(2) gives it.

        Raises:
          ProtocolError: if these are more than any message has.

        """
        for level, kind, data in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                whole = len(data) - len(data) % _INT_SIZE
                self._fds += array.array("i", data[:whole])
        if len(self._fds) > MAX_FDS:
            raise ProtocolError(
                f"{len(self._fds)} file descriptors came with a message; at most"
                f" {MAX_FDS} may"
            )

    def all(self) -> list[int]:
        """Look at them, without taking them."""
        return [*self._fds]

    def take_untrusted(self) -> int:
        """Take the only one, which is the caller's to close from then on.

        Raises:
          ProtocolError: if there isn't exactly one.

        """
        if len(self._fds) != 1:
            raise ProtocolError(
                f"{len(self._fds)} file descriptors came where there should be one"
            )
        return self._fds.pop()

    def close(self) -> None:
        """Close those that nobody has taken."""
        while self._fds:
            os.close(self._fds.pop())


def check_eventfd_untrusted(fd: int) -> None:
    """Check that ``fd`` is an eventfd, and make it one that never blocks.

    Raises:
      ProtocolError: if it is something else, which might block us, or never be ready.

    """
    kind = str(Path("/proc/self/fd", str(fd)).readlink())
    if kind != "anon_inode:[eventfd]":
        raise ProtocolError(f"{kind} came where there should be an eventfd")
    os.set_blocking(fd, False)
