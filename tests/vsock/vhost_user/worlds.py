"""A device on a real socket, with a guest that may be as rude as a test likes."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import trio

from trionitro._unix import open_unix_stream
from trionitro.abc import VsockNetwork, VsockStream
from trionitro.testing import VhostUserGuest
from trionitro.testing._driver_rings import DriverRings, new_memory
from trionitro.testing._vhost_vmm import VhostUserVmm
from trionitro.vsock import VhostUserVsock
from trionitro.vsock._vhost_user._packets import (
    STREAM,
    Operation,
    Packet,
    encode_addresses,
    encode_header,
)

__all__ = ["RudeGuest", "connect", "hear_all", "open_world", "rude_guest", "serving"]


async def connect(
    dialling: VsockNetwork, listening: VsockNetwork, cid: int
) -> tuple[VsockStream, VsockStream]:
    """Make a connection, and return its dialling and its listening end."""
    async with await listening.open_listener(8000) as listener:
        stream = await dialling.open_stream(cid, 8000)
        return stream, await listener.accept()


async def hear_all(
    pairs: Sequence[tuple[VsockStream, VsockStream]], size: int
) -> list[int]:
    """Have all senders talk, until receivers have heard ``size`` bytes together.

    Returns:
      How many bytes each has heard.

    """
    heard = [0] * len(pairs)

    async def say(stream: VsockStream) -> None:
        while True:
            await stream.send_all(bytes(2**16))

    async def hear(number: int, stream: VsockStream) -> None:
        while True:
            heard[number] += len(await stream.receive_some())

    async with trio.open_nursery() as nursery:
        for number, (sender, receiver) in enumerate(pairs):
            nursery.start_soon(say, sender)
            nursery.start_soon(hear, number, receiver)
        while sum(heard) < size:
            await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()
    return heard


@asynccontextmanager
async def serving(path: Path, **options: Any) -> AsyncIterator[VhostUserVsock]:
    """Serve a VMM on the socket ``path``."""
    network = VhostUserVsock(path, guest_cid=16, **options)
    async with trio.open_nursery() as nursery:
        await nursery.start(network.serve)
        yield network
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def open_world(
    path: Path, *, event_index: bool = True, **options: Any
) -> AsyncIterator[tuple[VhostUserVsock, VhostUserGuest]]:
    """Make a device and a guest that has booted."""
    async with serving(path, **options) as network, trio.open_nursery() as nursery:
        guest = VhostUserGuest(path, event_index=event_index)
        await nursery.start(guest.serve)
        await network.wait_for_guest()
        yield network, guest
        nursery.cancel_scope.cancel()


@attrs.define(eq=False)
class RudeGuest:
    """A guest whose driver sends what a test says, and no more."""

    vmm: VhostUserVmm
    rings: DriverRings
    received: list[Packet] = attrs.field(factory=list)

    def say(self, packet: bytes, payload: bytes = b"") -> None:
        """Send any bytes as a packet."""
        assert self.rings.room_untrusted() is not None
        self.rings.put(packet.ljust(44, b"\0"), payload)
        self.rings.flush()

    def send(
        self,
        operation: int,
        payload: bytes = b"",
        *,
        port: int = 8000,
        own_port: int = 1025,
        cid: int = 3,
        own_cid: int = 16,
        flags: int = 0,
        credit: tuple[int, int] = (2**18, 0),
    ) -> None:
        """Send a packet with a header that makes sense by itself."""
        addresses = encode_addresses((own_cid, own_port), (cid, port))
        header = encode_header(addresses, operation, len(payload), flags, credit)
        self.say(header, payload)

    async def wait_for_room(self) -> None:
        """Wait until the device has taken some of what was sent."""
        while self.rings.room_untrusted() is None:
            await trio.lowlevel.checkpoint()

    async def next_packet(self) -> Packet:
        """Wait for a packet from the device."""
        while not self.received:
            self.rings.receive(self.received.append)
            await trio.lowlevel.checkpoint()
        return self.received.pop(0)

    async def connect(self, port: int = 8000, own_port: int = 1025) -> None:
        """Connect, and expect to be welcome."""
        self.send(Operation.REQUEST, port=port, own_port=own_port)
        answer = await self.next_packet()
        assert answer.operation == Operation.RESPONSE, answer
        assert answer.kind == STREAM

    async def expect(self, operation: Operation) -> Packet:
        """Expect a packet of this kind."""
        packet = await self.next_packet()
        assert packet.operation == operation, packet
        return packet


@asynccontextmanager
async def rude_guest(path: Path) -> AsyncIterator[RudeGuest]:
    """Boot a guest on the device at ``path``."""
    memory = new_memory()
    rings = DriverRings(memory, event_index=True)
    async with await open_unix_stream(path) as stream:
        vmm = VhostUserVmm(stream)
        await vmm.negotiate(event_index=True)
        await vmm.share_memory(memory)
        await vmm.start(rings)
        try:
            yield RudeGuest(vmm, rings)
        finally:
            rings.close()
            os.close(memory)
