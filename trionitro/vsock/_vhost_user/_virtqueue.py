"""A split virtqueue, from the device's side (virtio 1.2, 2.7).

Its three parts are in the guest's memory: descriptors say where buffers are, the
available ring which of them the driver gives away, and the used ring which it gets
back. All that is read there was written by the guest, and may be changed by it
meanwhile: each number is read once, and checked before it is used.

"""

from __future__ import annotations

import mmap
import struct
from contextlib import ExitStack
from typing import Final, Literal, final

import attrs

from trionitro._exceptions import ProtocolError
from trionitro.vsock._vhost_user._barrier import barrier
from trionitro.vsock._vhost_user._memory import GuestMemory

__all__ = [
    "MAX_QUEUE_SIZE",
    "READABLE",
    "WRITABLE",
    "RingPlace",
    "Segment",
    "Virtqueue",
]

#: Where a buffer's piece is: the mapping, its place in that, and its size.
Segment = tuple[mmap.mmap, int, int]

#: QEMU gives a vsock queues of 128; the specification allows 32768.
MAX_QUEUE_SIZE: Final = 1024

#: Linux cuts a packet into its header and its pages, of which it has 18 at most. More
#: would only make us work, up to a thousand times as long as for one.
_LONGEST_CHAIN: Final = 64

#: Address, size, flags, and the index of the next.
_DESCRIPTOR: Final = struct.Struct("<QIHH")

_NEXT: Final = 1
_WRITE: Final = 2
_INDIRECT: Final = 4

#: What a descriptor's flags must be, but for there being a next one. Indirect ones
#: are not offered, and so they are an error.
READABLE: Final = 0
WRITABLE: Final = _WRITE

#: The flag by which each side says that it needs no notification.
_DO_NOT_NOTIFY: Final = 1

# Where the 16-bit fields of both rings are.
_FLAGS: Final = 0
_INDEX: Final = 1
_RING: Final = 2

_MODULO: Final = 0xFFFF


@attrs.frozen(kw_only=True)
class RingPlace:
    """Where a virtqueue is: its size, and the VMM's addresses of its three parts."""

    size: int
    descriptors: int
    available: int
    used: int


@final
class Virtqueue:
    """One virtqueue.

    Attributes:
      next_available: the index of the next entry to take, modulo 2**16.

    """

    # The rings are looked at through casts, because assigning to one's item is a
    # single store. struct.pack_into() zeroes the place first, and writes '<H' byte by
    # byte: a guest that looks at that moment sees an index that never was. The order
    # of the bytes is then the machine's, which is little on all that run Nitro.

    def __init__(
        self,
        memory: GuestMemory,
        place: RingPlace,
        next_available: int,
        *,
        event_index: bool,
    ) -> None:
        """Begin, or go on, at the index ``next_available``.

        Args:
          memory: where the queue is.
          place: where in it.
          next_available: the index to go on with.
          event_index: whether ``VIRTIO_F_EVENT_IDX`` was negotiated.

        Raises:
          ProtocolError: if there is no such memory.

        """
        _check_place(place)
        self._memory = memory
        self._size = size = place.size
        self._longest = min(size, _LONGEST_CHAIN)
        self._event_index = event_index
        self.next_available = self._seen_available = next_available
        with ExitStack() as undo:

            def view(
                address: int, length: int, form: Literal["B", "H", "I"]
            ) -> memoryview[int]:
                with memory.view_untrusted(address, length) as plain:
                    return undo.enter_context(plain.cast(form))

            self._descriptors = view(place.descriptors, 16 * size, "B")
            self._available = view(place.available, 6 + 2 * size, "H")
            self._used = view(place.used, 6 + 8 * size, "H")
            self._elements = view(place.used + 4, 8 * size, "I")
            undo.pop_all()
        self._next_used = self._published = self._used[_INDEX]

    def close(self) -> None:
        """Let go of the memory."""
        for view in (self._descriptors, self._available, self._used, self._elements):
            view.release()

    def is_ready_untrusted(self) -> bool:
        """Whether there is a buffer to take.

        Raises:
          ProtocolError: if the driver claims to have given away more than there are.

        """
        if self._seen_available != self.next_available:
            return True
        self._seen_available = self._available[_INDEX]
        given = (self._seen_available - self.next_available) & _MODULO
        if given > self._size:
            raise ProtocolError(
                f"{given} buffers were made available at once in a queue of"
                f" {self._size}"
            )
        if given:
            barrier()
        return given > 0

    def next_untrusted(self, flags: int) -> tuple[int, list[Segment]]:
        """Look at the next buffer, without taking it.

        Args:
          flags: ``READABLE`` or ``WRITABLE``, as all of it must be.

        Returns:
          Its head, for :meth:`use`, and its pieces.

        Raises:
          ProtocolError: if there is anything wrong with it.

        """
        index = head = self._available[_RING + self.next_available % self._size]
        segments: list[Segment] = []
        for _ in range(self._longest):
            if index >= self._size:
                raise ProtocolError(
                    f"there is no descriptor {index} in a queue of {self._size}"
                )
            address, size, found, index = _DESCRIPTOR.unpack_from(
                self._descriptors, 16 * index
            )
            if found & (_WRITE | _INDIRECT) != flags:
                raise ProtocolError(
                    f"a descriptor has the flags {found:#x}: it is indirect, or not"
                    " for this queue"
                )
            segments.append((*self._memory.find_untrusted(address, size), size))
            if not found & _NEXT:
                return head, segments
        raise ProtocolError(
            f"a chain of descriptors does not end after {self._longest}"
        )

    def use(self, head: int, written: int) -> None:
        """Take the next buffer, and give it back; see :meth:`publish`.

        Args:
          head: as :meth:`next_untrusted` said.
          written: how many bytes were written to it.

        """
        slot = 2 * (self._next_used % self._size)
        self._elements[slot] = head
        self._elements[slot + 1] = written
        self._next_used = (self._next_used + 1) & _MODULO
        self.next_available = (self.next_available + 1) & _MODULO

    def publish(self) -> bool:
        """Let the driver see what was given back.

        Returns:
          Whether it wants to be interrupted for that.

        """
        old, new = self._published, self._next_used
        if old == new:
            return False
        barrier()
        self._used[_INDEX] = self._published = new
        barrier()
        if self._event_index:
            event = self._available[_RING + self._size]
            return (new - event - 1) & _MODULO < (new - old) & _MODULO
        return not self._available[_FLAGS] & _DO_NOT_NOTIFY

    def ask_for_kick_untrusted(self) -> bool:
        """Have the driver tell when there is a buffer to take.

        Returns:
          Whether there is one already; then it might not tell.

        Raises:
          ProtocolError: as :meth:`is_ready_untrusted` does.

        """
        if self._event_index:
            self._used[_RING + 4 * self._size] = self.next_available
        else:
            self._used[_FLAGS] = 0
        barrier()
        return self.is_ready_untrusted()

    def decline_kicks(self) -> None:
        """Have the driver not tell, because this looks by itself."""
        # With event indexes there is nothing to do: the one that was asked for last
        # has gone by.
        if not self._event_index:
            self._used[_FLAGS] = _DO_NOT_NOTIFY


def _check_place(place: RingPlace) -> None:
    if not 0 < place.size <= MAX_QUEUE_SIZE or place.size & (place.size - 1):
        raise ProtocolError(
            f"a queue has a size of {place.size}, not a power of two up to"
            f" {MAX_QUEUE_SIZE}"
        )
    # Where a field isn't aligned, storing it isn't one step.
    for address, alignment in (
        (place.descriptors, 16),
        (place.available, 2),
        (place.used, 4),
    ):
        if address % alignment:
            raise ProtocolError(
                f"a part of a queue is at {address:#x}, not a multiple of {alignment}"
            )
