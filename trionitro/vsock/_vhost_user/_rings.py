"""The two virtqueues of a vsock device, as packets in and out."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from typing import Final, final

import attrs

from trionitro._exceptions import ProtocolError
from trionitro.vsock._vhost_user._packets import (
    HEADER_SIZE,
    MAX_PAYLOAD,
    Packet,
    decode_packet_untrusted,
)
from trionitro.vsock._vhost_user._virtqueue import (
    READABLE,
    WRITABLE,
    Segment,
    Virtqueue,
)

__all__ = ["DeviceRings"]

#: How many packets are taken before other tasks have their turn.
_BATCH: Final = 64


@final
@attrs.define(eq=False)
class DeviceRings:
    """The queue of buffers for the guest to receive in, and that of what it sends.

    Attributes:
      receiving: the guest's receive queue, which this side fills.
      transmitting: the guest's transmit queue, which this side empties.
      interrupt_receiving: tells the guest that something was received.
      interrupt_transmitting: tells it that something was sent.

    """

    receiving: Virtqueue
    transmitting: Virtqueue
    interrupt_receiving: Callable[[], None]
    interrupt_transmitting: Callable[[], None]
    _next: tuple[int, list[Segment]] | None = None
    _room: int = 0

    def room_untrusted(self) -> int | None:
        """How much data the next packet may have, or None if there is no buffer.

        In the latter case the driver is asked to kick when there is one.

        Raises:
          ProtocolError: if the buffer, or the queue, is not as it should be.

        """
        if self._next is None:
            queue = self.receiving
            if not queue.is_ready_untrusted() and not queue.ask_for_kick_untrusted():
                return None
            self._next = queue.next_untrusted(WRITABLE)
            size = _size_of(self._next[1])
            # Without room for a single byte of data, sending it would never end.
            if size <= HEADER_SIZE:
                raise ProtocolError(
                    f"a buffer to receive packets in has {size} bytes, and a header"
                    f" needs {HEADER_SIZE}"
                )
            self._room = size - HEADER_SIZE
        return self._room

    def put(self, header: bytes, payload: memoryview | bytes) -> None:
        """Write a packet into the buffer that :meth:`room_untrusted` found."""
        assert self._next is not None
        (head, segments), self._next = self._next, None
        _scatter(segments, header, payload)
        self.receiving.use(head, HEADER_SIZE + len(payload))

    def flush(self) -> None:
        """Give the driver the buffers that were written to."""
        if self.receiving.publish():
            self.interrupt_receiving()

    def take_packets_untrusted(self, receive: Callable[[Packet], None]) -> bool:
        """Pass on what the guest has sent, but only so much at once.

        Returns:
          Whether there is more; else the driver is asked to kick when there is.

        Raises:
          ProtocolError: if a packet, or the queue, is not as it should be.

        """
        queue = self.transmitting
        queue.decline_kicks()
        for _ in range(_BATCH):
            if not queue.is_ready_untrusted():
                break
            head, segments = queue.next_untrusted(READABLE)
            packet = decode_packet_untrusted(_gather_untrusted(segments))
            queue.use(head, 0)
            receive(packet)
        if queue.publish():
            self.interrupt_transmitting()
        return queue.ask_for_kick_untrusted()

    def close(self) -> None:
        """Let go of the guest's memory."""
        self._next = None
        self.receiving.close()
        self.transmitting.close()


def interrupt(fd: int) -> None:
    """Signal an eventfd; one that is full has been signalled."""
    if fd >= 0:
        with contextlib.suppress(BlockingIOError):
            os.eventfd_write(fd, 1)


def _size_of(segments: list[Segment]) -> int:
    # Nearly all have one, and this is done for every packet.
    if len(segments) == 1:
        return segments[0][2]
    return sum(size for _, _, size in segments)


def _gather_untrusted(segments: list[Segment]) -> list[bytes]:
    """Copy a packet out of the guest's memory, before it changes it."""
    size = _size_of(segments)
    if size > HEADER_SIZE + MAX_PAYLOAD:
        raise ProtocolError(
            f"a packet of {size} bytes exceeds the limit of {HEADER_SIZE + MAX_PAYLOAD}"
        )
    return [memory[start : start + size] for memory, start, size in segments]


def _scatter(
    segments: list[Segment], header: bytes, payload: memoryview | bytes
) -> None:
    memory, start, size = segments[0]
    end = start + HEADER_SIZE
    if size >= HEADER_SIZE + len(payload):  # as Linux has it since 6.2
        memory[start:end] = header
        if payload:
            memory[end : end + len(payload)] = payload
        return
    whole = memoryview(b"".join((header, payload)))
    for memory, start, size in segments:
        piece, whole = whole[:size], whole[size:]
        memory[start : start + len(piece)] = piece
