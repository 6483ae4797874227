"""One VMM's connection: its messages, and the kicks of its guest."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import closing, suppress
from typing import final

import attrs
import trio

from trionitro._exceptions import ProtocolError
from trionitro.vsock._vhost_user._ancillary import ANCILLARY_SIZE, ReceivedFds
from trionitro.vsock._vhost_user._device import RECEIVE, TRANSMIT, Device
from trionitro.vsock._vhost_user._exchange import Exchange
from trionitro.vsock._vhost_user._messages import (
    MESSAGE_HEADER_SIZE,
    MessageHeader,
    decode_message_header_untrusted,
    encode_number,
    encode_reply,
)
from trionitro.vsock._vhost_user._rings import DeviceRings
from trionitro.vsock._vhost_user._signals import close_watched, wait_signalled
from trionitro.vsock._vhost_user._switch import Forwarder, VhostUserSwitch

__all__ = ["Session"]

NewExchange = Callable[[Callable[[ProtocolError], None]], Exchange]


@final
@attrs.define(eq=False)
class Session:
    """Serves a VMM, until it hangs up or says something that makes no sense.

    Attributes:
      socket: connected to the VMM; closed by whoever has opened it.
      guest_cid: the guest's CID.
      new_exchange: makes an exchange for a guest that starts, given what to call when
          its guest makes no sense.
      on_guest: called with the exchange of each guest that starts, and with None when
          there is none any more.
      switch: leads to other guests.

    """

    _socket: trio.socket.SocketType
    _guest_cid: int
    _new_exchange: NewExchange
    _on_guest: Callable[[Exchange | None], None]
    _switch: VhostUserSwitch
    _device: Device = attrs.field(init=False)
    _nursery: trio.Nursery = attrs.field(init=False)
    _rings: DeviceRings | None = None
    _serving: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    _forwarder: Forwarder | None = None
    _problem: ProtocolError | None = None

    def __attrs_post_init__(self) -> None:
        self._device = Device(self._guest_cid, close_watched)

    async def run(self) -> None:
        """Serve the VMM.

        Raises:
          ProtocolError: if it, or its guest, makes no sense.

        """
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            try:
                await self._converse()
            except ProtocolError as problem:
                self._fail(problem)
            finally:
                self._end_guest()
                self._rings = None
                self._device.close()
            nursery.cancel_scope.cancel()
        if self._problem is not None:
            raise self._problem

    async def _converse(self) -> None:
        while True:
            with closing(ReceivedFds()) as fds:
                data = await self._receive(MESSAGE_HEADER_SIZE, fds)
                if not data:
                    return
                header = decode_message_header_untrusted(data)
                body = await self._receive(header.size, fds)
                reply = self._device.handle_untrusted(header.request, body, fds)
            self._follow_device()
            await self._reply(header, reply)

    async def _receive(self, size: int, fds: ReceivedFds) -> bytes:
        """Receive ``size`` bytes, or nothing if the VMM has hung up."""
        data = b""
        while len(data) < size:
            try:
                piece, ancillary, flags, _ = await self._socket.recvmsg(
                    size - len(data), ANCILLARY_SIZE, socket.MSG_CMSG_CLOEXEC
                )
            except ConnectionResetError:
                piece, ancillary, flags = b"", [], 0
            fds.add_untrusted(ancillary)
            if flags & socket.MSG_CTRUNC:
                raise ProtocolError("too many file descriptors came with a message")
            if not piece:
                if data:
                    raise ProtocolError("the VMM hung up in the middle of a message")
                return b""
            data += piece
        return data

    async def _reply(self, header: MessageHeader, reply: bytes | None) -> None:
        if reply is None:
            if not header.needs_reply:
                return
            reply = encode_number(0)  # it was done
        message = memoryview(encode_reply(header.request, reply))
        with suppress(ConnectionResetError, BrokenPipeError):
            while message:
                message = message[await self._socket.send(message) :]

    def _follow_device(self) -> None:
        """Serve other rings than before, if the device has others now."""
        if self._rings is self._device.rings:
            return
        # This frees the eventfds at once: the next to wait for one may be there before
        # those who do so now have ended.
        self._serving.cancel()
        if self._forwarder is not None:
            self._forwarder.exchange.transport = None
        self._rings = rings = self._device.rings
        if rings is not None:
            forwarder = self._forwarder_for_guest()
            forwarder.exchange.transport = rings
            self._serving = trio.CancelScope()
            self._nursery.start_soon(self._serve_rings, rings, forwarder, self._serving)

    def _forwarder_for_guest(self) -> Forwarder:
        if self._forwarder is None or not self._device.goes_on():
            self._end_guest()
            exchange = self._new_exchange(self._fail)
            self._forwarder = Forwarder(exchange, self._switch)
            self._nursery.start_soon(exchange.reset_what_lingers)
            self._on_guest(exchange)
        return self._forwarder

    def _end_guest(self) -> None:
        if self._forwarder is not None:
            self._on_guest(None)
            self._forwarder.exchange.break_off()
            self._forwarder = None

    async def _serve_rings(
        self, rings: DeviceRings, forwarder: Forwarder, scope: trio.CancelScope
    ) -> None:
        with scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._take_what_is_sent, rings, forwarder)
                nursery.start_soon(self._watch_for_buffers, rings, forwarder.exchange)

    async def _take_what_is_sent(
        self, rings: DeviceRings, forwarder: Forwarder
    ) -> None:
        kick = self._device.kick_of(TRANSMIT)
        await forwarder.forward()  # what rings that were stopped have left
        while self._rings is rings:
            try:
                has_more = rings.take_packets_untrusted(forwarder.receive_untrusted)
            except ProtocolError as problem:
                self._fail(problem)
                return
            forwarder.exchange.flush()
            await forwarder.forward()
            if has_more:
                await trio.lowlevel.checkpoint()
            else:
                await wait_signalled(kick, lambda: self._rings is rings)

    async def _watch_for_buffers(self, rings: DeviceRings, exchange: Exchange) -> None:
        kick = self._device.kick_of(RECEIVE)
        while self._rings is rings:
            exchange.flush()
            await wait_signalled(kick, lambda: self._rings is rings)

    def _fail(self, problem: ProtocolError) -> None:
        if self._problem is None:
            self._problem = problem
        self._nursery.cancel_scope.cancel()
