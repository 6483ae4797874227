"""Virtqueues in a piece of memory, and a driver that writes there what it likes."""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager

import attrs

from trionitro.vsock._vhost_user._memory import GuestMemory, MemoryRegion
from trionitro.vsock._vhost_user._virtqueue import RingPlace, Virtqueue

__all__ = [
    "BUFFERS",
    "INDIRECT",
    "MEMORY_SIZE",
    "NEXT",
    "QUEUE_SIZE",
    "SECOND_QUEUE",
    "VMM",
    "WRITE",
    "Driver",
    "place",
    "queue_in",
    "shared_memory",
]

MEMORY_SIZE = 2**18
QUEUE_SIZE = 8

#: Where the VMM has the memory; for the guest it begins at 0.
VMM = 0x7F00_0000_0000

#: The parts of a queue, and of a second one, and where buffers may be.
DESCRIPTORS, AVAILABLE, USED = 0, 0x400, 0x800
SECOND_QUEUE = 0x1000
BUFFERS = 0x4000

NEXT, WRITE, INDIRECT = 1, 2, 4


@contextmanager
def shared_memory() -> Iterator[tuple[GuestMemory, mmap.mmap]]:
    """Make a guest's memory, as the device and as the guest see it."""
    fd = os.memfd_create("test", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, MEMORY_SIZE)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
    region = MemoryRegion(guest_address=0, size=MEMORY_SIZE, vmm_address=VMM, offset=0)
    memory = GuestMemory.map_untrusted([region], [fd])
    with mmap.mmap(fd, MEMORY_SIZE) as guest:
        os.close(fd)
        yield memory, guest
    memory.close()


def place(start: int = 0) -> RingPlace:
    """Say where the queue at ``start`` is."""
    return RingPlace(
        size=QUEUE_SIZE,
        descriptors=VMM + start + DESCRIPTORS,
        available=VMM + start + AVAILABLE,
        used=VMM + start + USED,
    )


@contextmanager
def queue_in(
    memory: GuestMemory, *, start: int = 0, base: int = 0, event_index: bool = False
) -> Iterator[Virtqueue]:
    """Open the device's side of the queue at ``start``."""
    queue = Virtqueue(memory, place(start), base, event_index=event_index)
    try:
        yield queue
    finally:
        queue.close()


@attrs.define
class Driver:
    """Writes anything anywhere."""

    memory: mmap.mmap
    start: int = 0
    index: int = 0

    def describe(
        self, index: int, address: int, size: int, flags: int = 0, following: int = 0
    ) -> None:
        """Write a descriptor."""
        struct.pack_into(
            "<QIHH",
            self.memory,
            self.start + DESCRIPTORS + 16 * index,
            address,
            size,
            flags,
            following,
        )

    def offer(self, *heads: int) -> None:
        """Make buffers available."""
        for head in heads:
            slot = self.start + AVAILABLE + 4 + 2 * (self.index % QUEUE_SIZE)
            struct.pack_into("<H", self.memory, slot, head)
            self.index = (self.index + 1) % 2**16
        self.set_available_index(self.index)

    def set_available_index(self, index: int) -> None:
        """Write how many buffers were made available."""
        struct.pack_into("<H", self.memory, self.start + AVAILABLE + 2, index)

    def set_flags(self, flags: int) -> None:
        """Write the flags of the available ring."""
        struct.pack_into("<H", self.memory, self.start + AVAILABLE, flags)

    def set_used_event(self, index: int) -> None:
        """Write after which used buffer to be interrupted."""
        end = self.start + AVAILABLE + 4 + 2 * QUEUE_SIZE
        struct.pack_into("<H", self.memory, end, index)

    def used(self) -> list[tuple[int, int]]:
        """Read the used ring, up to its index."""
        (index,) = struct.unpack_from("<H", self.memory, self.start + USED + 2)
        return [
            struct.unpack_from(
                "<II", self.memory, self.start + USED + 4 + 8 * (number % QUEUE_SIZE)
            )
            for number in range(max(0, index - QUEUE_SIZE), index)
        ]

    def used_flags(self) -> int:
        """Read the flags of the used ring."""
        flags: int = struct.unpack_from("<H", self.memory, self.start + USED)[0]
        return flags

    def available_event(self) -> int:
        """Read before which available buffer the device wants to be kicked."""
        end = self.start + USED + 4 + 8 * QUEUE_SIZE
        event: int = struct.unpack_from("<H", self.memory, end)[0]
        return event
