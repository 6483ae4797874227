"""DeviceRings: packets in and out of a guest's memory."""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Iterator

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.vsock.vhost_user.queues import (
    BUFFERS,
    NEXT,
    QUEUE_SIZE,
    SECOND_QUEUE,
    WRITE,
    Driver,
    queue_in,
    shared_memory,
)
from trionitro import ProtocolError
from trionitro.vsock._vhost_user._packets import HEADER_SIZE, MAX_PAYLOAD, Packet
from trionitro.vsock._vhost_user._rings import DeviceRings, interrupt

HEADER = bytes(range(HEADER_SIZE))


@attrs.define
class World:
    """A device and a driver, without anything between."""

    rings: DeviceRings
    receiving: Driver
    transmitting: Driver
    interrupts: list[str]

    def sent(self, payload: bytes, *, length: int | None = None) -> bytes:
        """Make a packet."""
        size = len(payload) if length is None else length
        return struct.pack("<QQIIIHHIII", 16, 3, 1, 2, size, 1, 5, 0, 0, 0) + payload

    def put_in_memory(self, data: bytes, start: int = BUFFERS) -> None:
        """Write into a buffer."""
        self.transmitting.memory[start : start + len(data)] = data

    def in_memory(self, size: int, start: int = BUFFERS) -> bytes:
        """Read from a buffer."""
        return self.receiving.memory[start : start + size]


@contextlib.contextmanager
def open_world() -> Iterator[World]:
    """Make a device's rings."""
    with (
        shared_memory() as (memory, guest),
        queue_in(memory) as receiving,
        queue_in(memory, start=SECOND_QUEUE) as transmitting,
    ):
        interrupts: list[str] = []
        rings = DeviceRings(
            receiving,
            transmitting,
            lambda: interrupts.append("received"),
            lambda: interrupts.append("sent"),
        )
        yield World(rings, Driver(guest), Driver(guest, SECOND_QUEUE), interrupts)
        rings.close()


@pytest.fixture(name="world")
def _world() -> Iterator[World]:
    with open_world() as world:
        yield world


def test_without_a_buffer_there_is_no_room(world: World) -> None:
    assert world.rings.room_untrusted() is None


def test_a_packet_is_written_to_a_buffer(world: World) -> None:
    world.receiving.describe(2, BUFFERS, 100, WRITE)
    world.receiving.offer(2)

    assert world.rings.room_untrusted() == 100 - HEADER_SIZE
    world.rings.put(HEADER, memoryview(b"hello"))
    world.rings.flush()

    assert world.in_memory(49) == HEADER + b"hello"
    assert world.receiving.used() == [(2, 49)]
    assert world.interrupts == ["received"]


def test_a_packet_without_data_fits_as_well(world: World) -> None:
    world.receiving.describe(0, BUFFERS, 45, WRITE)
    world.receiving.offer(0)

    assert world.rings.room_untrusted() == 1
    world.rings.put(HEADER, b"")
    world.rings.flush()

    assert world.receiving.used() == [(0, 44)]


@pytest.mark.parametrize("first", [1, 43, 44, 46])
def test_a_packet_is_spread_over_a_chain(first: int, world: World) -> None:
    """Linux before 6.2 has a buffer for the header, and one for the data."""
    world.receiving.describe(0, BUFFERS, first, WRITE | NEXT, 1)
    world.receiving.describe(1, BUFFERS + first, 60 - first, WRITE)
    world.receiving.offer(0)

    assert world.rings.room_untrusted() == 16
    world.rings.put(HEADER, memoryview(b"hello"))
    world.rings.flush()

    assert world.in_memory(49) == HEADER + b"hello"


@pytest.mark.parametrize("size", [0, 43, 44])
def test_a_buffer_without_room_for_data_is_an_error(size: int, world: World) -> None:
    world.receiving.describe(0, BUFFERS, size, WRITE)
    world.receiving.offer(0)

    with pytest.raises(ProtocolError, match=f"has {size} bytes, and a header"):
        world.rings.room_untrusted()


def test_what_the_guest_sends_is_passed_on_in_order(world: World) -> None:
    received: list[Packet] = []
    for number in range(3):
        data = world.sent(b"%d" % number)
        world.put_in_memory(data, BUFFERS + 100 * number)
        world.transmitting.describe(number, BUFFERS + 100 * number, len(data))
    world.transmitting.offer(0, 1, 2)

    assert not world.rings.take_packets_untrusted(received.append)

    assert [packet.payload for packet in received] == [b"0", b"1", b"2"]
    assert world.transmitting.used() == [(0, 0), (1, 0), (2, 0)]
    assert world.interrupts == ["sent"]


def test_a_packet_is_the_devices_own_when_its_buffer_goes_back(world: World) -> None:
    received: list[Packet] = []
    world.put_in_memory(world.sent(b"hello"))
    world.transmitting.describe(0, BUFFERS, 44, NEXT, 1)
    world.transmitting.describe(1, BUFFERS + 44, 5)
    world.transmitting.offer(0)

    world.rings.take_packets_untrusted(received.append)
    world.put_in_memory(bytes(100))

    assert received[0].payload == b"hello"


def test_a_guest_that_goes_on_sending_does_not_stop_everything_else(
    world: World,
) -> None:
    """While packets are taken, the guest may send more: not all are taken at once."""
    data = world.sent(b"again")
    world.put_in_memory(data)
    world.transmitting.describe(0, BUFFERS, len(data))
    world.transmitting.offer(0)

    def send_another(packet: Packet) -> None:
        world.transmitting.offer(0)

    assert world.rings.take_packets_untrusted(send_another)


def test_a_packet_that_is_too_long_is_an_error_before_it_is_copied(
    world: World,
) -> None:
    for index in range(QUEUE_SIZE):
        world.transmitting.describe(index, BUFFERS, 2**17, NEXT, index + 1)
    world.transmitting.describe(QUEUE_SIZE - 1, BUFFERS, 2**17)
    world.transmitting.offer(0)

    with pytest.raises(ProtocolError, match="a packet of 1048576 bytes exceeds"):
        world.rings.take_packets_untrusted(lambda _: None)


def test_the_longest_packet_is_taken(world: World) -> None:
    received: list[Packet] = []
    data = world.sent(bytes(MAX_PAYLOAD))
    world.put_in_memory(data)
    world.transmitting.describe(0, BUFFERS, len(data))
    world.transmitting.offer(0)

    world.rings.take_packets_untrusted(received.append)

    assert received[0].length == MAX_PAYLOAD


@settings(max_examples=50)
@given(
    rings=st.binary(min_size=0x900, max_size=0x900),
    sizes=st.lists(st.integers(0, 200), min_size=QUEUE_SIZE, max_size=QUEUE_SIZE),
    header=st.binary(min_size=44, max_size=44),
    is_likely=st.booleans(),
)
def test_nothing_but_a_protocol_error_comes_of_what_a_guest_writes(
    rings: bytes, sizes: list[int], header: bytes, is_likely: bool
) -> None:
    with open_world() as world:
        guest = world.transmitting.memory
        if not is_likely:
            guest[: len(rings)] = guest[SECOND_QUEUE : SECOND_QUEUE + 0x900] = rings
        for index, size in enumerate(sizes):
            if is_likely:
                world.transmitting.describe(index, BUFFERS + index, size)
                world.receiving.describe(index, BUFFERS, size, WRITE)
                world.transmitting.offer(index)
                world.receiving.offer(index)
        guest[BUFFERS : BUFFERS + 44] = header
        with contextlib.suppress(ProtocolError):
            world.rings.take_packets_untrusted(lambda _: None)
        with contextlib.suppress(ProtocolError):
            while (room := world.rings.room_untrusted()) is not None:
                world.rings.put(HEADER, bytes(min(room, 100)))
        world.rings.flush()


def test_an_eventfd_that_is_full_has_been_signalled() -> None:
    fd = os.eventfd(2**64 - 2 >> 32, os.EFD_NONBLOCK)
    os.eventfd_write(fd, 2**64 - 2 - (2**64 - 2 >> 32))

    interrupt(fd)
    interrupt(-1)  # and one that isn't there needs nothing

    os.close(fd)
