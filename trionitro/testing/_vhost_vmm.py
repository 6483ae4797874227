"""The VMM's end of the vhost-user protocol, as far as a vsock needs it.

It does what QEMU does, in QEMU's order, and waits for what was begun to be confirmed.

"""

from __future__ import annotations

import array
import socket
from collections.abc import Sequence
from typing import Final, final

import attrs
import trio

from trionitro.testing._driver_rings import REGIONS, DriverRings
from trionitro.vsock._vhost_user._messages import (
    MESSAGE_HEADER_SIZE,
    Request,
    encode_config_request,
    encode_message,
    encode_number,
    encode_regions,
    encode_ring_addresses,
    encode_ring_state,
)

__all__ = ["VhostUserVmm"]

_VERSION_1: Final = 1 << 32
_PROTOCOL_FEATURES: Final = 1 << 30
_EVENT_INDEX: Final = 1 << 29

#: To have all messages confirmed, and to read the configuration.
_REPLY_ACK: Final = 1 << 3
_CONFIG: Final = 1 << 9

_CID_SIZE: Final = 8


@final
@attrs.define(eq=False)
class VhostUserVmm:
    """A connection to the device."""

    _stream: trio.SocketStream

    async def negotiate(self, *, event_index: bool) -> int:
        """Agree on what both can do, and return the guest's CID."""
        wanted = _VERSION_1 | _PROTOCOL_FEATURES | (_EVENT_INDEX if event_index else 0)
        offered = await self.ask(Request.GET_FEATURES)
        await self.ask(Request.GET_PROTOCOL_FEATURES)
        await self.send(
            Request.SET_PROTOCOL_FEATURES, encode_number(_REPLY_ACK | _CONFIG)
        )
        await self.send(Request.SET_OWNER)
        await self.tell(Request.SET_FEATURES, encode_number(offered & wanted))
        config = await self.converse(
            Request.GET_CONFIG, encode_config_request(0, _CID_SIZE)
        )
        return int.from_bytes(config[-_CID_SIZE:], "little")

    async def share_memory(self, memory: int) -> None:
        """Share the file that is the guest's memory."""
        await self.tell(
            Request.SET_MEM_TABLE, encode_regions(REGIONS), [memory] * len(REGIONS)
        )

    async def start(self, rings: DriverRings, bases: Sequence[int] = (0, 0)) -> None:
        """Start the rings, each at its base."""
        for number, ring in enumerate(rings.queues):
            size = encode_ring_state(number, ring.size)
            await self.send(Request.SET_VRING_NUM, size)
            base = encode_ring_state(number, bases[number])
            await self.send(Request.SET_VRING_BASE, base)
            addresses = encode_ring_addresses(number, *ring.addresses)
            await self.send(Request.SET_VRING_ADDR, addresses)
            await self.send(Request.SET_VRING_KICK, encode_number(number), [ring.kick])
            await self.send(Request.SET_VRING_CALL, encode_number(number), [ring.call])
        for number in range(len(rings.queues)):
            await self.tell(Request.SET_VRING_ENABLE, encode_ring_state(number, 1))

    async def stop(self) -> list[int]:
        """Stop the rings, and return where they are to go on."""
        return [
            await self.ask(Request.GET_VRING_BASE, encode_ring_state(number, 0)) >> 32
            for number in range(2)
        ]

    async def tell(
        self, request: Request, body: bytes = b"", fds: Sequence[int] = ()
    ) -> None:
        """Send a message, and wait until it is confirmed."""
        await self.send(request, body, fds, needs_reply=True)
        confirmation = await self._receive_reply(request)
        assert confirmation == encode_number(0), (request, confirmation)

    async def ask(self, request: Request, body: bytes = b"") -> int:
        """Send a message, and return the number in the reply."""
        return int.from_bytes(await self.converse(request, body), "little")

    async def converse(self, request: Request, body: bytes = b"") -> bytes:
        """Send a message, and return the reply."""
        await self.send(request, body)
        return await self._receive_reply(request)

    async def send(
        self,
        request: Request,
        body: bytes = b"",
        fds: Sequence[int] = (),
        *,
        needs_reply: bool = False,
    ) -> None:
        """Send a message."""
        message = encode_message(request, body, needs_reply=needs_reply)
        rights = array.array("i", fds)
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)] if fds else []
        sent = await self._stream.socket.sendmsg([message], ancillary)
        assert sent == len(message), sent

    async def wait_hung_up(self) -> None:
        """Wait until the device hangs up."""
        try:
            data = await self._stream.receive_some(1)
        except trio.BrokenResourceError:
            return
        assert not data, data

    async def _receive_reply(self, request: Request) -> bytes:
        header = await self._receive_exactly(MESSAGE_HEADER_SIZE)
        assert header[:4] == request.to_bytes(4, "little"), (request, header)
        return await self._receive_exactly(int.from_bytes(header[8:], "little"))

    async def _receive_exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            piece = await self._stream.receive_some(size - len(data))
            if not piece:
                raise trio.BrokenResourceError("the device hung up")
            data += piece
        return data
