"""A virtio driver's side of a vsock's two virtqueues, in memory of its own.

It is written from the specification and not from the device's code, and is strict
with the device: a buffer that comes back must be one that is out, with no more in it
than fits.

"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
from collections.abc import Callable, Sequence
from typing import Final, final

from trionitro.vsock._vhost_user._barrier import barrier
from trionitro.vsock._vhost_user._memory import MemoryRegion
from trionitro.vsock._vhost_user._packets import (
    HEADER_SIZE,
    MAX_PAYLOAD,
    Packet,
    decode_packet_untrusted,
)
from trionitro.vsock._vhost_user._signals import close_watched

__all__ = [
    "GUEST_MEMORY",
    "QUEUE_SIZE",
    "REGIONS",
    "VMM_MEMORY",
    "DriverQueue",
    "DriverRings",
    "new_memory",
]

#: Where the memory begins, for the guest and for the VMM.
GUEST_MEMORY: Final = 0x1_0000_0000
VMM_MEMORY: Final = 0x7F00_0000_0000

#: As large as QEMU's.
QUEUE_SIZE: Final = 128

# What is where in the memory. The packets that are sent are in a region of their own.
_QUEUE_SPACE: Final = 0x4000
_AVAILABLE: Final = 0x1000
_USED: Final = 0x2000
_RECEIVE_BUFFERS: Final = 0x1_0000
_RECEIVE_BUFFER_SIZE: Final = 0x1000
_HEADERS: Final = 0x9_0000
_HEADER_SPACE: Final = 64
_PAYLOADS: Final = 0x10_0000
_SLOTS: Final = QUEUE_SIZE // 2

_SIZE: Final = _PAYLOADS + _SLOTS * MAX_PAYLOAD

#: How the VMM shares it.
REGIONS: Final = tuple(
    MemoryRegion(
        guest_address=GUEST_MEMORY + start,
        size=end - start,
        vmm_address=VMM_MEMORY + start,
        offset=start,
    )
    for start, end in ((0, _PAYLOADS), (_PAYLOADS, _SIZE))
)

_DESCRIPTOR: Final = struct.Struct("<QIHH")
_NEXT: Final = 1
_WRITE: Final = 2
_MODULO: Final = 0xFFFF


def new_memory() -> int:
    """Make a file for a guest's memory, which can't shrink, as QEMU does."""
    memory = os.memfd_create("guest", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(memory, _SIZE)
    fcntl.fcntl(memory, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
    return memory


@final
class DriverQueue:
    """One virtqueue.

    Attributes:
      size: how many descriptors it has.
      addresses: where the VMM has its three parts, in the protocol's order.
      kick: the eventfd that tells the device.
      call: the eventfd by which it tells us.

    """

    def __init__(self, memory: mmap.mmap, start: int, *, event_index: bool) -> None:
        view = memoryview(memory)[start : start + _QUEUE_SPACE]
        self.size = QUEUE_SIZE
        self.addresses = (
            VMM_MEMORY + start,
            VMM_MEMORY + start + _USED,
            VMM_MEMORY + start + _AVAILABLE,
        )
        self.kick = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self.call = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._event_index = event_index
        self._descriptors = view[: 16 * QUEUE_SIZE]
        self._available = view[_AVAILABLE : _AVAILABLE + 6 + 2 * QUEUE_SIZE].cast("H")
        used = view[_USED : _USED + 6 + 8 * QUEUE_SIZE]
        self._used = used.cast("H")
        self._elements = used[4 : 4 + 8 * QUEUE_SIZE].cast("I")
        self._next_available = self._published = self._next_used = 0

    def close(self) -> None:
        """Let go of the memory and of the eventfds."""
        for view in (self._descriptors, self._available, self._used, self._elements):
            view.release()
        close_watched(self.kick)
        close_watched(self.call)

    def describe(self, index: int, address: int, size: int, *, flags: int) -> None:
        """Write a descriptor, whose next one is the one after it."""
        self._descriptors[16 * index : 16 * index + 16] = _DESCRIPTOR.pack(
            GUEST_MEMORY + address, size, flags, index + 1 if flags & _NEXT else 0
        )

    def offer(self, head: int) -> None:
        """Give a buffer to the device; see :meth:`publish`."""
        self._available[2 + self._next_available % QUEUE_SIZE] = head
        self._next_available = (self._next_available + 1) & _MODULO

    def publish(self) -> None:
        """Let the device see what was given to it, and kick it if it wants that."""
        old, new = self._published, self._next_available
        if old == new:
            return
        barrier()
        self._available[1] = self._published = new
        barrier()
        if self._event_index:
            event = self._used[2 + 4 * QUEUE_SIZE]
            wanted = (new - event - 1) & _MODULO < (new - old) & _MODULO
        else:
            wanted = not self._used[0] & 1
        if wanted:
            os.eventfd_write(self.kick, 1)

    def take_used(self) -> tuple[int, int] | None:
        """Take back a buffer: its head, and how many bytes were written to it.

        If there is none, the device is asked to tell when there is.

        """
        if self._used[1] == self._next_used:
            if self._event_index:
                self._available[2 + QUEUE_SIZE] = self._next_used
            barrier()
            if self._used[1] == self._next_used:
                return None
        barrier()
        slot = 2 * (self._next_used % QUEUE_SIZE)
        self._next_used = (self._next_used + 1) & _MODULO
        return self._elements[slot], self._elements[slot + 1]


@final
class DriverRings:
    """Both queues of a vsock driver.

    Attributes:
      queues: the one that it receives in, and the one that it sends from.

    """

    def __init__(self, memory: int, *, event_index: bool) -> None:
        self._memory = mmap.mmap(memory, _SIZE)
        self._memory[: 2 * _QUEUE_SPACE] = bytes(2 * _QUEUE_SPACE)
        self._receiving = DriverQueue(self._memory, 0, event_index=event_index)
        self._sending = DriverQueue(self._memory, _QUEUE_SPACE, event_index=event_index)
        self.queues: Final[Sequence[DriverQueue]] = (self._receiving, self._sending)
        self._free = [*range(_SLOTS)]
        for index in range(QUEUE_SIZE):
            self._receiving.describe(
                index,
                _RECEIVE_BUFFERS + index * _RECEIVE_BUFFER_SIZE,
                _RECEIVE_BUFFER_SIZE,
                flags=_WRITE,
            )
            self._receiving.offer(index)
        self._receiving.publish()

    def close(self) -> None:
        """Let go of the memory and of the eventfds."""
        for queue in self.queues:
            queue.close()
        self._memory.close()

    def receive(self, take: Callable[[Packet], None]) -> None:
        """Pass on what has come, and give its buffers back to the device."""
        while (used := self._receiving.take_used()) is not None:
            head, size = used
            assert head < QUEUE_SIZE, head
            assert HEADER_SIZE <= size <= _RECEIVE_BUFFER_SIZE, size
            start = _RECEIVE_BUFFERS + head * _RECEIVE_BUFFER_SIZE
            packet = decode_packet_untrusted([self._memory[start : start + size]])
            assert packet.length == size - HEADER_SIZE, (packet, size)
            self._receiving.offer(head)
            take(packet)
        self._receiving.publish()

    def room_untrusted(self) -> int | None:
        """How much data the next packet may have, or None if there is no buffer."""
        if not self._free:
            while (used := self._sending.take_used()) is not None:
                head, _ = used
                assert not head % 2, head
                assert head // 2 not in self._free, head
                self._free.append(head // 2)
        return MAX_PAYLOAD if self._free else None

    def put(self, header: bytes, payload: memoryview | bytes) -> None:
        """Send a packet; there must be room for it."""
        slot = self._free.pop()
        start = _HEADERS + slot * _HEADER_SPACE
        self._memory[start : start + HEADER_SIZE] = header
        head = 2 * slot
        self._sending.describe(head, start, HEADER_SIZE, flags=_NEXT if payload else 0)
        if payload:
            start = _PAYLOADS + slot * MAX_PAYLOAD
            self._memory[start : start + len(payload)] = payload
            self._sending.describe(head + 1, start, len(payload), flags=0)
        self._sending.offer(head)

    def flush(self) -> None:
        """Let the device see what was sent."""
        self._sending.publish()
