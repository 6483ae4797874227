"""What is watched for, and the epoll that tells."""

from __future__ import annotations

import contextlib
import select

import attrs

__all__ = ["Watches"]


@attrs.define(eq=False)
class Watches:
    """Descriptors, and what each is watched for: input, output, both or nothing.

    Attributes:
      epoll: level-triggered. What is watched for nothing is not registered there.
      masks: what each descriptor is watched for.

    """

    epoll: select.epoll = attrs.field(factory=select.epoll)
    masks: dict[int, int] = attrs.field(factory=dict)

    def add(self, descriptor: int, mask: int) -> None:
        """Take in a descriptor.

        Raises:
          OSError: if it is closed, or there are too many.

        """
        self.masks[descriptor] = 0
        self._set(descriptor, mask)

    def discard(self, descriptor: int) -> int:
        """Let go of a descriptor; return what it was watched for."""
        mask = self.masks[descriptor]
        # A socket that was closed under us has left the epoll by itself.
        with contextlib.suppress(OSError):
            self._set(descriptor, 0)
        del self.masks[descriptor]
        return mask

    def start(self, descriptor: int, mask: int) -> None:
        """Watch for ``mask`` as well."""
        self._set(descriptor, self.masks[descriptor] | mask)

    def stop(self, descriptor: int, mask: int) -> None:
        """Watch for ``mask`` no more."""
        self._set(descriptor, self.masks[descriptor] & ~mask)

    def _set(self, descriptor: int, mask: int) -> None:
        before = self.masks[descriptor]
        self.masks[descriptor] = mask
        if mask == before:
            return
        if not mask:
            # Hang-ups can't be masked: only what is not registered keeps quiet.
            self.epoll.unregister(descriptor)
        elif before:
            self.epoll.modify(descriptor, mask)
        else:
            self.epoll.register(descriptor, mask)
