"""Forwarder: what a guest sends on its way to another, with no guest at either end."""

from __future__ import annotations

from typing import Any

import attrs
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import wait_all_tasks_blocked

from trionitro.testing import (
    cancel_at_every_step,
)
from trionitro.vsock import VhostUserSwitch
from trionitro.vsock._port_table import PortTable
from trionitro.vsock._vhost_user._exchange import Exchange, Limits
from trionitro.vsock._vhost_user._packets import (
    STREAM,
    Operation,
    Packet,
    decode_packet_untrusted,
)
from trionitro.vsock._vhost_user._switch import Forwarder

PARENT, ENCLAVE, OTHER, NOBODY = 3, 16, 17, 18


@attrs.define
class Buffers:
    """A guest's receive queue: so many buffers of some sizes, then no more."""

    sizes: list[int]
    packets: list[Packet] = attrs.field(factory=list)

    def room_untrusted(self) -> int | None:
        """Say how much fits into the next one."""
        return self.sizes[0] if self.sizes else None

    def put(self, header: bytes, payload: memoryview | bytes) -> None:
        """Take a packet, which must be whole and fit."""
        assert len(payload) <= self.sizes.pop(0)
        self.packets.append(decode_packet_untrusted([header, bytes(payload)]))

    def flush(self) -> None:
        """Notice nothing; this is a list."""


def complain(problem: Exception) -> None:
    """Fail, because nothing here makes no sense."""
    raise AssertionError from problem


def exchange_of(cid: int, buffers: Buffers | None = None) -> Exchange:
    """Make an exchange with a guest."""
    limits = Limits(buffer_size=2**12, max_connections=3, linger=8)
    exchange = Exchange(cid, {2}, PortTable(2), limits, complain)
    exchange.transport = buffers
    return exchange


CIDS = st.sampled_from([2, PARENT, ENCLAVE, OTHER, NOBODY]) | st.integers(0, 2**64 - 1)


U32 = st.integers(0, 2**32 - 1)


PACKETS = st.builds(
    Packet,
    src_cid=st.just(ENCLAVE) | CIDS,
    dst_cid=CIDS,
    src_port=U32,
    dst_port=U32,
    length=st.just(0),
    kind=st.just(STREAM) | st.integers(0, 2**16 - 1),
    operation=st.integers(0, 2**16 - 1),
    flags=U32,
    buf_alloc=U32,
    fwd_cnt=U32,
    payload=st.binary(max_size=20),
).map(lambda packet: packet._replace(length=len(packet.payload)))


@given(
    packets=st.lists(PACKETS, max_size=20),
    sizes=st.lists(st.integers(1, 10), min_size=1, max_size=5),
)
def test_whatever_is_sent_the_others_get_what_is_theirs_and_no_more(
    packets: list[Packet], sizes: list[int]
) -> None:
    buffers = {cid: Buffers(sizes * 400) for cid in (PARENT, OTHER)}
    switch = VhostUserSwitch()
    own = exchange_of(ENCLAVE)
    forwarder = Forwarder(own, switch)

    async def forward() -> None:
        with (
            switch.joined(ENCLAVE, 2),
            switch.joined(PARENT, 2),
            switch.joined(OTHER, 2),
        ):
            for cid, queue in buffers.items():
                switch.attach(cid, exchange_of(cid, queue))
            for packet in packets:
                forwarder.receive_untrusted(packet)
            await forwarder.forward()

    trio.run(forward)

    for cid, queue in buffers.items():
        theirs = [
            packet
            for packet in packets
            if (packet.src_cid, packet.dst_cid, packet.kind) == (ENCLAVE, cid, STREAM)
        ]
        assert joined(queue.packets) == joined(theirs)


def joined(packets: list[Packet]) -> list[tuple[Any, bytes]]:
    """Put data that was cut together again, under the header that it has."""
    whole: list[tuple[Any, bytes]] = []
    for packet in packets:
        header = packet._replace(length=0, payload=b"")
        if whole and whole[-1][0] == header and packet.payload:
            whole[-1] = header, whole[-1][1] + packet.payload
        else:
            whole.append((header, packet.payload))
    return whole


def test_cancelled_anywhere_nothing_is_lost_and_nothing_comes_twice() -> None:
    sent = [packet_from(16, bytes([number]) * 50) for number in range(5)]

    async def scenario() -> None:
        buffers = Buffers([])
        switch = VhostUserSwitch()
        with switch.joined(3, 2), switch.joined(16, 2):
            parent = exchange_of(3, buffers)
            switch.attach(3, parent)
            forwarder = Forwarder(exchange_of(16), switch)
            for packet in sent:
                forwarder.receive_untrusted(packet)
            try:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(forwarder.forward)
                    for _ in range(20):
                        buffers.sizes += [17, 9]
                        parent.flush()
                        await trio.lowlevel.checkpoint()
            finally:
                buffers.sizes += [1000] * 10
                with trio.CancelScope(shield=True):
                    await forwarder.forward()
                data = b"".join(packet.payload for packet in buffers.packets)
                assert data == b"".join(packet.payload for packet in sent)

    cancel_at_every_step(scenario)


async def test_who_has_sent_all_lets_the_next_one_send() -> None:
    """Both are woken by the same buffers, of which there are enough."""
    buffers = Buffers([])
    parent = exchange_of(3, buffers)
    switch = VhostUserSwitch()
    with switch.joined(3, 2), switch.joined(16, 2), switch.joined(17, 2):
        switch.attach(3, parent)
        async with trio.open_nursery() as nursery:
            for cid in (16, 17):
                forwarder = Forwarder(exchange_of(cid), switch)
                forwarder.receive_untrusted(packet_from(cid, b"hello"))
                nursery.start_soon(forwarder.forward)
            await wait_all_tasks_blocked()
            buffers.sizes += [100] * 10
            parent.flush()

    assert {packet.src_cid for packet in buffers.packets} == {16, 17}


def packet_from(cid: int, data: bytes) -> Packet:
    """Make a packet with data for the parent."""
    return Packet(cid, 3, 1, 2, len(data), STREAM, Operation.RW, 0, 7, 8, data)


def test_a_guest_is_given_a_header_for_each_piece() -> None:
    """As long as the piece, and otherwise the sender's."""
    buffers = Buffers([4, 4, 4])
    packet = packet_from(16, b"0123456789")
    parent = exchange_of(3, buffers)

    async def forward() -> None:
        switch = VhostUserSwitch()
        with switch.joined(3, 2), switch.joined(16, 2):
            switch.attach(3, parent)
            forwarder = Forwarder(exchange_of(16), switch)
            forwarder.receive_untrusted(packet)
            await forwarder.forward()

    trio.run(forward)

    assert buffers.packets == [
        packet._replace(length=len(data), payload=data)
        for data in (b"0123", b"4567", b"89")
    ]
