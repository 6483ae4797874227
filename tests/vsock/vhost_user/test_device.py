"""Device: what a VMM says is done, or refused; nothing is leaked either way."""

from __future__ import annotations

import array
import contextlib
import os
import socket
from collections.abc import Iterator

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.vsock.vhost_user.fds import open_fds
from trionitro import ProtocolError
from trionitro.testing._driver_rings import REGIONS, DriverRings, new_memory
from trionitro.vsock._vhost_user._ancillary import ReceivedFds
from trionitro.vsock._vhost_user._device import Device
from trionitro.vsock._vhost_user._messages import (
    Request,
    encode_config_request,
    encode_number,
    encode_regions,
    encode_ring_addresses,
    encode_ring_state,
)

#: VERSION_1, PROTOCOL_FEATURES and EVENT_IDX.
FEATURES = 1 << 32 | 1 << 30 | 1 << 29
VERSION_1 = 1 << 32


def received(*fds: int) -> ReceivedFds:
    """Copies of file descriptors, as if they had just come."""
    copies = array.array("i", [os.dup(fd) for fd in fds])
    result = ReceivedFds()
    result.add_untrusted([(socket.SOL_SOCKET, socket.SCM_RIGHTS, copies.tobytes())])
    return result


@attrs.define(eq=False)
class Vmm:
    """Says things to a device without a socket between, and has rings to speak of."""

    device: Device = attrs.field(factory=lambda: Device(16, os.close))
    memory: int = attrs.field(factory=new_memory)
    rings: DriverRings = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.rings = DriverRings(self.memory, event_index=True)

    def say(self, request: Request, body: bytes = b"", *fds: int) -> bytes | None:
        """Send a message; what comes with it and isn't taken is closed."""
        with contextlib.closing(received(*fds)) as came:
            return self.device.handle_untrusted(request, body, came)

    def share_memory(self) -> None:
        """Share all the memory."""
        self.say(Request.SET_MEM_TABLE, encode_regions(REGIONS), *[self.memory] * 2)

    def set_ring(self, number: int, base: int = 0) -> None:
        """Say all there is to say about a ring, but not that it may run."""
        ring = self.rings.queues[number]
        self.say(Request.SET_VRING_NUM, encode_ring_state(number, ring.size))
        self.say(Request.SET_VRING_BASE, encode_ring_state(number, base))
        self.say(Request.SET_VRING_ADDR, encode_ring_addresses(number, *ring.addresses))
        self.say(Request.SET_VRING_KICK, encode_number(number), ring.kick)
        self.say(Request.SET_VRING_CALL, encode_number(number), ring.call)

    def start(self) -> None:
        """Start everything, as QEMU does."""
        self.say(Request.SET_FEATURES, encode_number(FEATURES))
        self.share_memory()
        for number in (0, 1):
            self.set_ring(number)
        for number in (0, 1):
            self.enable(number)

    def enable(self, number: int, state: int = 1) -> None:
        """Let a ring run, or not."""
        self.say(Request.SET_VRING_ENABLE, encode_ring_state(number, state))

    def runs(self) -> bool:
        """Tell whether there are rings to be served."""
        return self.device.rings is not None

    def close(self) -> None:
        """Let go of everything."""
        self.device.close()
        for queue in self.rings.queues:
            for view in (queue._descriptors, queue._available, queue._used):
                view.release()
            queue._elements.release()
            os.close(queue.kick)
            os.close(queue.call)
        self.rings._memory.close()
        os.close(self.memory)


@pytest.fixture(name="vmm")
def _vmm() -> Iterator[Vmm]:
    before = open_fds()
    vmm = Vmm()
    yield vmm
    vmm.close()
    assert open_fds() == before


def test_it_offers_little(vmm: Vmm) -> None:
    """No indirect descriptors, no logging: what is not offered needs no checks."""
    assert vmm.say(Request.GET_FEATURES) == encode_number(FEATURES)
    assert vmm.say(Request.GET_PROTOCOL_FEATURES) == encode_number(0b10_0000_1001)
    assert vmm.say(Request.GET_QUEUE_NUM) == encode_number(3)


@pytest.mark.parametrize(
    ("offset", "size", "part"),
    [(0, 8, b"\x10" + bytes(7)), (0, 60, b"\x10" + bytes(59)), (8, 4, bytes(4))],
)
def test_its_configuration_is_the_cid(
    offset: int, size: int, part: bytes, vmm: Vmm
) -> None:
    reply = vmm.say(Request.GET_CONFIG, encode_config_request(offset, size))

    assert reply is not None
    assert reply[12:] == part


def test_its_configuration_stays_as_it_is(vmm: Vmm) -> None:
    vmm.say(Request.SET_CONFIG, encode_config_request(0, 8) + b"8" * 8)

    reply = vmm.say(Request.GET_CONFIG, encode_config_request(0, 8))

    assert reply == encode_config_request(0, 8)[:12] + encode_number(16)


def test_its_rings_run_when_all_is_there(vmm: Vmm) -> None:
    vmm.say(Request.SET_OWNER)
    vmm.say(Request.SET_FEATURES, encode_number(FEATURES))
    vmm.share_memory()
    vmm.set_ring(0)
    vmm.set_ring(1)
    vmm.enable(0)
    assert not vmm.runs()

    vmm.enable(1)

    assert vmm.runs()


def test_without_protocol_features_rings_need_not_be_enabled(vmm: Vmm) -> None:
    vmm.say(Request.SET_FEATURES, encode_number(VERSION_1))
    vmm.share_memory()
    vmm.set_ring(0)
    vmm.set_ring(1)

    assert vmm.runs()


def test_a_ring_that_is_disabled_stops_and_goes_on(vmm: Vmm) -> None:
    vmm.start()
    vmm.enable(1, 0)
    assert not vmm.runs()

    vmm.enable(1)

    assert vmm.runs()
    assert vmm.device.goes_on()


def test_asked_for_its_place_a_ring_stops(vmm: Vmm) -> None:
    vmm.start()
    assert vmm.device.rings is not None
    vmm.device.rings.receiving.next_available = 7

    reply = vmm.say(Request.GET_VRING_BASE, encode_ring_state(0, 0))

    assert reply == encode_ring_state(0, 7)
    assert not vmm.runs()


def test_rings_that_begin_elsewhere_are_another_guests(vmm: Vmm) -> None:
    vmm.start()
    assert vmm.device.rings is not None
    vmm.device.rings.receiving.next_available = 7
    vmm.say(Request.GET_VRING_BASE, encode_ring_state(0, 0))
    assert vmm.device.goes_on()

    vmm.set_ring(0, base=0)

    assert not vmm.device.goes_on()


def test_new_memory_moves_the_rings_without_a_break(vmm: Vmm) -> None:
    vmm.start()
    before = vmm.device.rings

    vmm.share_memory()

    assert vmm.device.rings not in (None, before)
    assert vmm.device.goes_on()


def test_another_eventfd_to_call_changes_nothing_else(vmm: Vmm) -> None:
    vmm.start()
    before = vmm.device.rings

    vmm.say(Request.SET_VRING_CALL, encode_number(0x100))
    assert before is not None
    before.interrupt_receiving()

    assert vmm.device.rings is before


def test_an_eventfd_to_call_that_comes_late_is_signalled(vmm: Vmm) -> None:
    """What was used before it came would never be noticed otherwise."""
    vmm.start()
    call = vmm.rings.queues[1].call
    os.eventfd_write(call, 1)
    os.eventfd_read(call)

    vmm.say(Request.SET_VRING_CALL, encode_number(1), call)

    assert os.eventfd_read(call) == 1


def test_a_device_that_is_taken_back_begins_anew(vmm: Vmm) -> None:
    vmm.start()

    vmm.say(Request.RESET_OWNER)

    assert not vmm.runs()
    assert not vmm.device.goes_on()


@pytest.mark.parametrize(
    ("request_", "body", "problem"),
    [
        (Request.SET_FEATURES, encode_number(VERSION_1 | 1 << 28), "0x110000000 were"),
        (Request.SET_FEATURES, encode_number(0), "virtio 1"),
        (Request.SET_PROTOCOL_FEATURES, encode_number(1 << 1), "0x2 were chosen"),
        (Request.SET_VRING_NUM, encode_ring_state(3, 8), "there is no ring 3"),
        (Request.SET_VRING_NUM, encode_ring_state(2**32 - 1, 8), "there is no ring"),
        (Request.SET_VRING_BASE, encode_ring_state(0, 2**16), "can't go on at 65536"),
        (Request.SET_VRING_KICK, encode_number(0), "0 file descriptors came"),
        (Request.SET_VRING_KICK, encode_number(0x100), "without an eventfd"),
        (Request.SET_VRING_KICK, encode_number(200), "there is no ring 200"),
        (Request.SET_MEM_TABLE, encode_regions(REGIONS), "0 file descriptors came for"),
        (Request.GET_VRING_BASE, b"", "0 bytes where there should be 8"),
    ],
)
def test_what_makes_no_sense_is_an_error(
    request_: Request, body: bytes, problem: str, vmm: Vmm
) -> None:
    with pytest.raises(ProtocolError, match=problem):
        vmm.say(request_, body)


def test_rings_that_are_not_in_the_memory_are_an_error(vmm: Vmm) -> None:
    vmm.say(Request.SET_FEATURES, encode_number(VERSION_1))
    vmm.set_ring(0)

    with pytest.raises(ProtocolError, match="the VMM's memory has no"):
        vmm.set_ring(1)


@pytest.mark.parametrize("part", [0, 1, 2])
def test_a_second_ring_that_is_wrong_lets_go_of_the_first(part: int, vmm: Vmm) -> None:
    """The memory can be closed, although the error and all that it saw are kept."""
    vmm.start()
    places = [*vmm.rings.queues[1].addresses]
    places[part] = 0

    with pytest.raises(ProtocolError, match="the VMM's memory has no") as error:
        vmm.say(Request.SET_VRING_ADDR, encode_ring_addresses(1, *places))

    assert not vmm.runs()
    vmm.device._memory.close()
    assert error.tb is not None


#: Bodies that are likely to be taken for something.
BODIES = (
    st.binary(max_size=40)
    | st.builds(encode_number, st.integers(0, 2**64 - 1) | st.integers(0, 0x103))
    | st.builds(encode_ring_state, st.integers(0, 3), st.integers(0, 300))
    | st.just(encode_regions(REGIONS))
    | st.just(encode_number(FEATURES))
    | st.just(encode_ring_addresses(0, *(0x7F00_0000_0000 + n for n in (0, 64, 128))))
)


@settings(max_examples=60)
@given(
    messages=st.lists(
        st.tuples(st.sampled_from([*Request]), BODIES, st.integers(0, 3)), max_size=25
    ),
    is_started=st.booleans(),
)
def test_nothing_but_a_protocol_error_comes_of_any_messages(
    messages: list[tuple[Request, bytes, int]], is_started: bool
) -> None:
    before = open_fds()
    vmm = Vmm()
    if is_started:
        vmm.start()
    likely = [vmm.rings.queues[0].kick, vmm.memory, vmm.memory]

    for request, body, count in messages:
        with contextlib.suppress(ProtocolError):
            vmm.say(request, body, *likely[:count])

    vmm.close()
    assert open_fds() == before
