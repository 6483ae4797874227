"""Virtqueue: what a driver writes is taken as far as it makes sense, and no further."""

from __future__ import annotations

import contextlib
import mmap
import struct
from collections.abc import Iterator

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.vsock.vhost_user.queues import (
    BUFFERS,
    INDIRECT,
    MEMORY_SIZE,
    NEXT,
    QUEUE_SIZE,
    VMM,
    WRITE,
    Driver,
    place,
    queue_in,
    shared_memory,
)
from trionitro import ProtocolError
from trionitro.vsock._vhost_user._memory import GuestMemory
from trionitro.vsock._vhost_user._virtqueue import (
    READABLE,
    WRITABLE,
    RingPlace,
    Virtqueue,
)


@pytest.fixture(name="world")
def _world() -> Iterator[tuple[GuestMemory, mmap.mmap]]:
    with shared_memory() as world:
        yield world


@pytest.fixture(name="queue")
def _queue(world: tuple[GuestMemory, mmap.mmap]) -> Iterator[Virtqueue]:
    with queue_in(world[0]) as queue:
        yield queue


@pytest.fixture(name="driver")
def _driver(world: tuple[GuestMemory, mmap.mmap]) -> Driver:
    return Driver(world[1])


def test_an_empty_queue_has_nothing(queue: Virtqueue) -> None:
    assert not queue.is_ready_untrusted()


def test_a_chain_is_followed_to_its_end(queue: Virtqueue, driver: Driver) -> None:
    driver.describe(5, BUFFERS, 44, NEXT, 2)
    driver.describe(2, BUFFERS + 100, 7)
    driver.offer(5)

    assert queue.is_ready_untrusted()
    head, segments = queue.next_untrusted(READABLE)

    assert head == 5
    assert [segment[1:] for segment in segments] == [(BUFFERS, 44), (BUFFERS + 100, 7)]


def test_a_chain_may_have_all_descriptors(queue: Virtqueue, driver: Driver) -> None:
    for index in range(QUEUE_SIZE - 1):
        driver.describe(index, BUFFERS, 1, NEXT, index + 1)
    driver.describe(QUEUE_SIZE - 1, BUFFERS, 1)
    driver.offer(0)

    assert len(queue.next_untrusted(READABLE)[1]) == QUEUE_SIZE


def test_a_chain_in_a_large_queue_may_not_have_all(
    world: tuple[GuestMemory, mmap.mmap],
) -> None:
    memory, guest = world
    for index in range(64):
        struct.pack_into("<QIHH", guest, 16 * index, BUFFERS, 1, NEXT, index + 1)
    parts = (VMM, VMM + 0x1000, VMM + 0x2000)
    large = RingPlace(size=128, descriptors=parts[0], available=parts[1], used=parts[2])
    queue = Virtqueue(memory, large, 0, event_index=False)

    with pytest.raises(ProtocolError, match="does not end after 64"):
        queue.next_untrusted(READABLE)

    queue.close()


def test_looking_takes_nothing(queue: Virtqueue, driver: Driver) -> None:
    driver.describe(0, BUFFERS, 10)
    driver.offer(0)

    assert queue.next_untrusted(READABLE) == queue.next_untrusted(READABLE)
    assert queue.next_available == 0


def test_what_was_used_is_seen_when_it_is_published(
    queue: Virtqueue, driver: Driver
) -> None:
    driver.offer(3, 4)
    assert queue.is_ready_untrusted()
    queue.use(3, 44)
    queue.use(4, 0)
    assert driver.used() == []

    queue.publish()

    assert driver.used() == [(3, 44), (4, 0)]
    assert queue.next_available == 2
    assert not queue.is_ready_untrusted()


def test_the_indexes_go_round(world: tuple[GuestMemory, mmap.mmap]) -> None:
    driver = Driver(world[1], index=2**16 - 2)
    with queue_in(world[0], base=2**16 - 2) as queue:
        for head in (1, 2, 3, 4):
            driver.describe(head, BUFFERS, 10)
            driver.offer(head)
            assert queue.is_ready_untrusted()
            assert queue.next_untrusted(READABLE)[0] == head
            queue.use(head, 0)

        assert queue.next_available == 2
        assert not queue.is_ready_untrusted()


@pytest.mark.parametrize(
    ("descriptor", "problem"),
    [
        ((MEMORY_SIZE, 1, 0, 0), "has no 1 bytes at address 0x40000"),
        ((MEMORY_SIZE - 1, 2, 0, 0), "has no 2 bytes"),
        ((2**64 - 1, 2, 0, 0), "has no 2 bytes"),
        ((BUFFERS, 2**32 - 1, 0, 0), "has no 4294967295 bytes"),
        ((BUFFERS, 16, INDIRECT, 0), "it is indirect"),
        ((BUFFERS, 16, INDIRECT | NEXT, 0), "it is indirect"),
        ((BUFFERS, 16, WRITE, 0), "or not for this queue"),
        ((BUFFERS, 16, NEXT, QUEUE_SIZE), "there is no descriptor 8"),
        ((BUFFERS, 16, NEXT, 2**16 - 1), "there is no descriptor 65535"),
        ((BUFFERS, 16, NEXT, 0), "does not end after 8"),
    ],
)
def test_a_chain_that_makes_no_sense_is_an_error(
    descriptor: tuple[int, int, int, int],
    problem: str,
    queue: Virtqueue,
    driver: Driver,
) -> None:
    driver.describe(0, *descriptor)
    driver.offer(0)

    with pytest.raises(ProtocolError, match=problem):
        queue.next_untrusted(READABLE)


def test_a_buffer_to_write_to_must_be_writable(
    queue: Virtqueue, driver: Driver
) -> None:
    driver.describe(0, BUFFERS, 16)
    driver.offer(0)

    with pytest.raises(ProtocolError, match="or not for this queue"):
        queue.next_untrusted(WRITABLE)


def test_a_head_must_be_a_descriptor(queue: Virtqueue, driver: Driver) -> None:
    driver.offer(QUEUE_SIZE)

    with pytest.raises(ProtocolError, match="there is no descriptor 8"):
        queue.next_untrusted(READABLE)


@pytest.mark.parametrize("index", [QUEUE_SIZE + 1, 2**15, 2**16 - 1])
def test_no_more_can_be_available_than_there_are(
    index: int, queue: Virtqueue, driver: Driver
) -> None:
    driver.set_available_index(index)

    with pytest.raises(ProtocolError, match="in a queue of 8"):
        queue.is_ready_untrusted()


def test_a_driver_is_interrupted_unless_it_declines(
    queue: Virtqueue, driver: Driver
) -> None:
    queue.use(0, 0)
    assert queue.publish()

    driver.set_flags(1)
    queue.use(0, 0)
    assert not queue.publish()


def test_a_driver_is_not_interrupted_for_nothing(queue: Virtqueue) -> None:
    assert not queue.publish()


def test_kicks_are_declined_and_asked_for(queue: Virtqueue, driver: Driver) -> None:
    queue.decline_kicks()
    assert driver.used_flags() == 1

    assert not queue.ask_for_kick_untrusted()
    assert driver.used_flags() == 0

    driver.offer(0)
    assert queue.ask_for_kick_untrusted()


@pytest.mark.parametrize(
    ("event", "used", "interrupted"),
    [(0, 1, True), (1, 1, False), (1, 2, True), (2, 2, False), (2**16 - 1, 3, False)],
)
def test_with_event_indexes_a_driver_says_when_to_interrupt_it(
    event: int,
    used: int,
    interrupted: bool,
    world: tuple[GuestMemory, mmap.mmap],
    driver: Driver,
) -> None:
    with queue_in(world[0], event_index=True) as queue:
        driver.set_flags(1)  # means nothing then
        driver.set_used_event(event)
        for _ in range(used):
            queue.use(0, 0)

        assert queue.publish() is interrupted


def test_with_event_indexes_the_device_says_when_to_kick_it(
    world: tuple[GuestMemory, mmap.mmap], driver: Driver
) -> None:
    with queue_in(world[0], event_index=True) as queue:
        driver.offer(0, 1, 2)
        assert queue.is_ready_untrusted()
        for head in (0, 1, 2):
            queue.use(head, 0)
        queue.decline_kicks()
        assert driver.used_flags() == 0

        assert not queue.ask_for_kick_untrusted()
        assert driver.available_event() == 3


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        (attrs.evolve(place(), size=0), "a size of 0"),
        (attrs.evolve(place(), size=3), "a size of 3"),
        (attrs.evolve(place(), size=2048), "a size of 2048"),
        (attrs.evolve(place(), descriptors=VMM + 8), "not a multiple of 16"),
        (attrs.evolve(place(), available=VMM + 1), "not a multiple of 2"),
        (attrs.evolve(place(), used=VMM + 2), "not a multiple of 4"),
        (attrs.evolve(place(), descriptors=0), "has no 128 shared bytes"),
        (attrs.evolve(place(), available=VMM + MEMORY_SIZE - 4), "shared bytes"),
        (attrs.evolve(place(), used=2**64 - 4), "shared bytes"),
    ],
)
def test_a_queue_must_be_in_the_memory(
    wrong: RingPlace, problem: str, world: tuple[GuestMemory, mmap.mmap]
) -> None:
    with pytest.raises(ProtocolError, match=problem):
        Virtqueue(world[0], wrong, 0, event_index=False)


@given(rings=st.binary(min_size=0x900, max_size=0x900), flags=st.sampled_from([0, 2]))
def test_nothing_but_a_protocol_error_comes_of_any_rings(
    rings: bytes, flags: int
) -> None:
    with shared_memory() as (memory, guest):
        guest[: len(rings)] = rings
        with queue_in(memory) as queue, contextlib.suppress(ProtocolError):
            for _ in range(2 * QUEUE_SIZE):
                if not queue.is_ready_untrusted():
                    break
                head, segments = queue.next_untrusted(flags)
                assert len(segments) <= QUEUE_SIZE
                assert all(start + size <= MEMORY_SIZE for _, start, size in segments)
                queue.use(head, 0)
                queue.publish()


@given(
    chain=st.lists(
        st.tuples(
            st.integers(0, MEMORY_SIZE + 8),
            st.integers(0, MEMORY_SIZE),
            st.integers(0, 7),
            st.integers(0, QUEUE_SIZE),
        ),
        min_size=QUEUE_SIZE,
        max_size=QUEUE_SIZE,
    ),
    heads=st.lists(st.integers(0, QUEUE_SIZE), min_size=1, max_size=QUEUE_SIZE),
)
def test_nothing_but_a_protocol_error_comes_of_likely_chains(
    chain: list[tuple[int, int, int, int]], heads: list[int]
) -> None:
    with shared_memory() as (memory, guest):
        driver = Driver(guest)
        for index, descriptor in enumerate(chain):
            driver.describe(index, *descriptor)
        driver.offer(*heads)
        with queue_in(memory) as queue:
            for head in heads:
                with contextlib.suppress(ProtocolError):
                    assert queue.is_ready_untrusted()
                    _, segments = queue.next_untrusted(READABLE)
                    assert all(s + size <= MEMORY_SIZE for _, s, size in segments)
                queue.use(head, 0)
