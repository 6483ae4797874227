"""Pipes that bulk passes through without being copied, and a pool of them."""

from __future__ import annotations

import fcntl
import os
from typing import Final

import attrs

__all__ = ["Pipe", "PipePool"]

#: How much a pipe should hold: the most that Linux gives an unprivileged user
#: (``/proc/sys/fs/pipe-max-size``), as long as all of the user's stay below 64 MiB.
PIPE_SIZE: Final = 2**20

#: How many unused pipes are kept for the next bulk flow.
_SPARE: Final = 16


@attrs.frozen(eq=False)
class Pipe:
    """An open pipe.

    Attributes:
      output: the descriptor to read from.
      input: the descriptor to write to.

    """

    output: int
    input: int

    @classmethod
    def open(cls) -> Pipe:
        """Open a large pipe.

        Raises:
          OSError: if there is no descriptor for one, or not so much memory.

        """
        pipe = cls(*os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC))
        # A user who has too much in pipes gets two pages a pipe: copying is quicker.
        try:
            fcntl.fcntl(pipe.input, fcntl.F_SETPIPE_SZ, PIPE_SIZE)
        except OSError:
            pipe.close()
            raise
        return pipe

    def close(self) -> None:
        """Close both ends."""
        os.close(self.output)
        os.close(self.input)


@attrs.define(eq=False)
class PipePool:
    """Pipes that are open and empty, to be used again.

    A direction has one for a turn, and keeps it only while bytes are stuck in it: idle
    flows hold none, however much they have moved.

    """

    _spare: list[Pipe] = attrs.field(factory=list)

    def take(self) -> Pipe | None:
        """Return an empty pipe, or None if the system has none for us."""
        if self._spare:
            return self._spare.pop()
        try:
            return Pipe.open()
        except OSError:
            return None

    def give_back(self, pipe: Pipe, *, held: int) -> None:
        """Keep ``pipe`` for the next one, unless it still holds ``held`` bytes."""
        if held or len(self._spare) >= _SPARE:
            pipe.close()
        else:
            self._spare.append(pipe)

    def close(self) -> None:
        """Close those that nobody uses."""
        while self._spare:
            self._spare.pop().close()
