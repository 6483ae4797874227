"""How far a relay is, and how it ended."""

from __future__ import annotations

import enum

import attrs

__all__ = ["Ending", "Progress", "Transfer"]


class Ending(enum.StrEnum):
    """How a relay ended."""

    #: Both sides sent end-of-file, and each was passed on.
    FINISHED = "finished"
    #: The left peer was reset, or went away while we were sending to it.
    LEFT_BROKE = "left broke"
    #: The right peer, likewise.
    RIGHT_BROKE = "right broke"
    #: Nothing moved in either direction for the idle timeout.
    IDLE = "idle"


@attrs.define(eq=False)
class Progress:
    """How many bytes a relay has passed on so far.

    Give one to :func:`~trionitro.relay` to look at while it runs, or after it was
    cancelled.

    Attributes:
      counts: from left to right, and from right to left; what moves the bytes counts
          here.

    """

    counts: list[int] = attrs.field(factory=lambda: [0, 0])

    @property
    def left_to_right(self) -> int:
        """Bytes passed on from the left stream to the right one."""
        return self.counts[0]

    @property
    def right_to_left(self) -> int:
        """Bytes passed on the other way."""
        return self.counts[1]


@attrs.frozen
class Transfer:
    """What a relay did.

    Attributes:
      left_to_right: bytes passed on from the left stream to the right one.
      right_to_left: bytes passed on the other way.
      ending: how it ended.

    """

    left_to_right: int
    right_to_left: int
    ending: Ending
