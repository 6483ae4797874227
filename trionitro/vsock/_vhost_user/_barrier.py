"""Making a processor do things in the order they were written.

A virtqueue is memory that a guest's processor looks at meanwhile. Two orders matter.
What is in a buffer must be there before the index that gives it away. And an index
must be there before one looks whether the other side waits for it: else each may miss
what the other has just written, and both sleep ("driver MUST perform a suitable
memory barrier", virtio 1.2, 2.7.13 and 2.7.14).

"""

from __future__ import annotations

import threading
from typing import Final

__all__ = ["barrier"]

_LOCK: Final = threading.Lock()


def barrier() -> None:
    """Let nothing written or read before mix with what is written or read after."""
    # Python has no such instruction, but taking a lock is one on x86 (a locked
    # compare-and-exchange), whether or not anybody else wants it. On ARM taking is an
    # acquire and giving back a release, which let things in from outside, but a later
    # acquire doesn't pass an earlier release: two rounds let nothing through.
    for _ in range(2):
        with _LOCK:
            pass
