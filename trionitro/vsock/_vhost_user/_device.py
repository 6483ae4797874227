"""The device as the VMM sets it up: features, memory, and rings that start and stop.

Each message changes something, and afterwards :attr:`Device.rings` is what there is to
be served, or None. This knows no Trio; whoever does must be told before a file
descriptor is closed that a task may wait for.

"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final, final

import attrs

from trionitro._exceptions import ProtocolError
from trionitro.vsock._vhost_user._ancillary import (
    ReceivedFds,
    check_eventfd_untrusted,
)
from trionitro.vsock._vhost_user._memory import GuestMemory
from trionitro.vsock._vhost_user._messages import (
    Request,
    RingAddresses,
    decode_config_request_untrusted,
    decode_number_untrusted,
    decode_regions_untrusted,
    decode_ring_addresses_untrusted,
    decode_ring_fd_untrusted,
    decode_ring_state_untrusted,
    encode_config,
    encode_number,
    encode_ring_state,
)
from trionitro.vsock._vhost_user._rings import DeviceRings, interrupt
from trionitro.vsock._vhost_user._virtqueue import RingPlace, Virtqueue

__all__ = ["RECEIVE", "TRANSMIT", "Device"]

#: ``VIRTIO_F_EVENT_IDX``: each side says after how much it wants to be notified.
_EVENT_INDEX: Final = 1 << 29

#: ``VHOST_USER_F_PROTOCOL_FEATURES``: there are protocol features to negotiate.
_PROTOCOL_FEATURES: Final = 1 << 30

#: ``VIRTIO_F_VERSION_1``: little-endian, and no header of before 2016.
_VERSION_1: Final = 1 << 32

#: What is offered to the driver. Indirect descriptors are not, for that is less to
#: check. Nor is logging for a migration, so that QEMU knows that it can't.
_FEATURES: Final = _VERSION_1 | _PROTOCOL_FEATURES | _EVENT_INDEX

#: What is offered to the VMM: to tell how many queues there are (MQ, bit 0), to
#: confirm messages (REPLY_ACK, bit 3), and to have a configuration (CONFIG, bit 9).
_OFFERED_PROTOCOL_FEATURES: Final = 1 << 0 | 1 << 3 | 1 << 9

#: Ring numbers. The third, for events, QEMU keeps to itself, and others may not.
RECEIVE: Final = 0
TRANSMIT: Final = 1
_RING_COUNT: Final = 3

#: "Not there", for file descriptors.
_NONE: Final = -1


_Handler = Callable[[bytes, ReceivedFds], bytes | None]


@attrs.define(eq=False)
class _Ring:
    """One ring, as far as it was set up."""

    size: int = 0
    addresses: RingAddresses | None = None
    base: int = 0
    kick: int = _NONE
    call: int = _NONE
    is_enabled: bool = False


@final
class Device:
    """A vsock device.

    Attributes:
      rings: what is to be served now, or None. A new object stands for rings that are
          new, or elsewhere.

    """

    def __init__(self, guest_cid: int, close_fd: Callable[[int], None]) -> None:
        self._config = encode_number(guest_cid)
        self._close_fd = close_fd
        self._features = 0
        self._memory = GuestMemory()
        self._rings = [_Ring() for _ in range(_RING_COUNT)]
        self.rings: DeviceRings | None = None
        self._stopped_at: tuple[int, int] | None = None
        self._handlers: Final[Mapping[Request, _Handler]] = {
            Request.GET_FEATURES: self._get_features,
            Request.SET_FEATURES: self._set_features,
            Request.SET_OWNER: self._do_nothing,
            Request.RESET_OWNER: self._reset,
            Request.SET_MEM_TABLE: self._set_mem_table,
            Request.SET_VRING_NUM: self._set_vring_num,
            Request.SET_VRING_ADDR: self._set_vring_addr,
            Request.SET_VRING_BASE: self._set_vring_base,
            Request.GET_VRING_BASE: self._get_vring_base,
            Request.SET_VRING_KICK: self._set_vring_kick,
            Request.SET_VRING_CALL: self._set_vring_call,
            Request.SET_VRING_ERR: self._set_vring_err,
            Request.GET_PROTOCOL_FEATURES: self._get_protocol_features,
            Request.SET_PROTOCOL_FEATURES: self._set_protocol_features,
            Request.GET_QUEUE_NUM: self._get_queue_num,
            Request.SET_VRING_ENABLE: self._set_vring_enable,
            Request.GET_CONFIG: self._get_config,
            Request.SET_CONFIG: self._do_nothing,
        }

    def handle_untrusted(
        self, request: Request, body: bytes, fds: ReceivedFds
    ) -> bytes | None:
        """Do what a message says.

        Args:
          request: which one it is.
          body: its body.
          fds: what came with it; those that are needed are taken.

        Returns:
          The body of its reply, or None if it has none.

        Raises:
          ProtocolError: if it makes no sense.

        """
        reply = self._handlers[request](body, fds)
        self._settle_untrusted()
        return reply

    def goes_on(self) -> bool:
        """Whether the rings are served from where they were left.

        A VMM stops the rings of a guest that it pauses, and goes on with them. Those
        of one that starts again begin at 0.

        """
        return self._stopped_at == self._bases()

    def kick_of(self, ring: int) -> int:
        """The eventfd by which the driver says that a ring has something new."""
        return self._rings[ring].kick

    def close(self) -> None:
        """Let go of everything."""
        self._stop()
        for ring in self._rings:
            self._drop_fds(ring)
        self._memory.close()

    def _settle_untrusted(self) -> None:
        """Serve the rings if all is there, and only then."""
        running = all(
            ring.kick != _NONE and ring.is_enabled and ring.addresses is not None
            for ring in (self._rings[RECEIVE], self._rings[TRANSMIT])
        )
        if not running:
            self._stop()
        elif self.rings is None:
            self.rings = self._start_untrusted()

    def _start_untrusted(self) -> DeviceRings:
        receiving = self._open_queue_untrusted(self._rings[RECEIVE])
        try:
            transmitting = self._open_queue_untrusted(self._rings[TRANSMIT])
        except BaseException:
            receiving.close()
            raise
        return DeviceRings(
            receiving,
            transmitting,
            partial(self._interrupt, self._rings[RECEIVE]),
            partial(self._interrupt, self._rings[TRANSMIT]),
        )

    def _open_queue_untrusted(self, ring: _Ring) -> Virtqueue:
        assert ring.addresses is not None
        place = RingPlace(
            size=ring.size,
            descriptors=ring.addresses.descriptors,
            available=ring.addresses.available,
            used=ring.addresses.used,
        )
        event_index = bool(self._features & _EVENT_INDEX)
        return Virtqueue(self._memory, place, ring.base, event_index=event_index)

    def _interrupt(self, ring: _Ring) -> None:
        interrupt(ring.call)

    def _stop(self) -> None:
        if self.rings is not None:
            self._rings[RECEIVE].base = self.rings.receiving.next_available
            self._rings[TRANSMIT].base = self.rings.transmitting.next_available
            self._stopped_at = self._bases()
            self.rings.close()
            self.rings = None

    def _bases(self) -> tuple[int, int]:
        return self._rings[RECEIVE].base, self._rings[TRANSMIT].base

    def _drop_fds(self, ring: _Ring) -> None:
        for fd in (ring.kick, ring.call):
            if fd != _NONE:
                self._close_fd(fd)
        ring.kick = ring.call = _NONE

    def _ring_untrusted(self, number: int) -> _Ring:
        if number >= _RING_COUNT:
            raise ProtocolError(
                f"there is no ring {number}: a vsock device has {_RING_COUNT}"
            )
        return self._rings[number]

    def _do_nothing(self, body: bytes, fds: ReceivedFds) -> None:
        """Take note that a VMM owns the device, or that it may set what it can't."""

    def _get_features(self, body: bytes, fds: ReceivedFds) -> bytes:
        return encode_number(_FEATURES)

    def _set_features(self, body: bytes, fds: ReceivedFds) -> None:
        features = decode_number_untrusted(body)
        if features & ~_FEATURES or not features & _VERSION_1:
            raise ProtocolError(
                f"the features {features:#x} were chosen of {_FEATURES:#x}; virtio 1"
                f" ({_VERSION_1:#x}) must be among them"
            )
        if (features ^ self._features) & _EVENT_INDEX:
            self._stop()
        self._features = features
        if not features & _PROTOCOL_FEATURES:
            # "If VHOST_USER_F_PROTOCOL_FEATURES has not been negotiated, the ring
            # starts directly in the enabled state." QEMU before 7.2 relies on it.
            for ring in self._rings:
                ring.is_enabled = True

    def _get_protocol_features(self, body: bytes, fds: ReceivedFds) -> bytes:
        return encode_number(_OFFERED_PROTOCOL_FEATURES)

    def _set_protocol_features(self, body: bytes, fds: ReceivedFds) -> None:
        features = decode_number_untrusted(body)
        if features & ~_OFFERED_PROTOCOL_FEATURES:
            raise ProtocolError(
                f"the protocol features {features:#x} were chosen of"
                f" {_OFFERED_PROTOCOL_FEATURES:#x}"
            )

    def _get_queue_num(self, body: bytes, fds: ReceivedFds) -> bytes:
        return encode_number(_RING_COUNT)

    def _get_config(self, body: bytes, fds: ReceivedFds) -> bytes:
        offset, size, flags = decode_config_request_untrusted(body)
        # What is beyond the CID reads as nothing.
        part = self._config[offset : offset + size].ljust(size, b"\0")
        return encode_config(offset, flags, part)

    def _reset(self, body: bytes, fds: ReceivedFds) -> None:
        self._stop()
        for ring in self._rings:
            self._drop_fds(ring)
        self._rings = [_Ring() for _ in range(_RING_COUNT)]
        self._stopped_at = None

    def _set_mem_table(self, body: bytes, fds: ReceivedFds) -> None:
        regions = decode_regions_untrusted(body)
        if len(regions) != len(fds):
            raise ProtocolError(
                f"{len(fds)} file descriptors came for {len(regions)} memory regions"
            )
        memory = GuestMemory.map_untrusted(regions, fds.all())
        self._stop()
        self._memory.close()
        self._memory = memory

    def _set_vring_num(self, body: bytes, fds: ReceivedFds) -> None:
        number, size = decode_ring_state_untrusted(body)
        ring = self._ring_untrusted(number)
        self._stop()
        ring.size = size

    def _set_vring_addr(self, body: bytes, fds: ReceivedFds) -> None:
        addresses = decode_ring_addresses_untrusted(body)
        ring = self._ring_untrusted(addresses.ring)
        self._stop()
        ring.addresses = addresses

    def _set_vring_base(self, body: bytes, fds: ReceivedFds) -> None:
        number, base = decode_ring_state_untrusted(body)
        ring = self._ring_untrusted(number)
        if base >= 2**16:
            raise ProtocolError(f"a ring can't go on at {base}: its index has 16 bits")
        self._stop()
        ring.base = base

    def _get_vring_base(self, body: bytes, fds: ReceivedFds) -> bytes:
        """Stop a ring, and say where it would go on."""
        number, _ = decode_ring_state_untrusted(body)
        ring = self._ring_untrusted(number)
        self._stop()
        self._drop_fds(ring)
        return encode_ring_state(number, ring.base)

    def _set_vring_kick(self, body: bytes, fds: ReceivedFds) -> None:
        number, has_fd = decode_ring_fd_untrusted(body)
        ring = self._ring_untrusted(number)
        if not has_fd:
            raise ProtocolError("rings without an eventfd to kick are not supported")
        self._stop()
        kick = _take_eventfd_untrusted(fds)
        if ring.kick != _NONE:
            self._close_fd(ring.kick)
        ring.kick = kick

    def _set_vring_call(self, body: bytes, fds: ReceivedFds) -> None:
        number, has_fd = decode_ring_fd_untrusted(body)
        ring = self._ring_untrusted(number)
        call = _take_eventfd_untrusted(fds) if has_fd else _NONE
        if ring.call != _NONE:
            self._close_fd(ring.call)
        ring.call = call
        # It may be there too late for what was used meanwhile; one signal too many
        # does no harm.
        interrupt(call)

    def _set_vring_err(self, body: bytes, fds: ReceivedFds) -> None:
        """Take note of an eventfd for errors, which then end all anyway."""
        number, _ = decode_ring_fd_untrusted(body)
        self._ring_untrusted(number)

    def _set_vring_enable(self, body: bytes, fds: ReceivedFds) -> None:
        number, enable = decode_ring_state_untrusted(body)
        self._ring_untrusted(number).is_enabled = bool(enable)


def _take_eventfd_untrusted(fds: ReceivedFds) -> int:
    for fd in fds.all():
        check_eventfd_untrusted(fd)
    return fds.take_untrusted()
