"""The parent's end: it waits for its enclave, and hears what that has to say."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

import attrs
import structlog
import trio

from trionitro._channel import FramedChannel
from trionitro._control._conversation import LOST, converse, explain
from trionitro._control._enclave import BEATS_TO_MISS
from trionitro._control._messages import (
    Exited,
    Heartbeat,
    Hello,
    Lines,
    Purpose,
    State,
    Stop,
)
from trionitro._control._outbox import Outbox
from trionitro._control._pairing import (
    PairingError,
    answer_hello,
    make_channel,
    receive_message,
    send_message,
)
from trionitro._exceptions import CannotStartError, ProtocolError
from trionitro.abc import VsockNetwork, VsockStream

__all__ = ["Listener", "ParentControl", "ParentLogs"]

_log = structlog.get_logger("trionitro.control")

#: An enclave has one connection for each purpose, and a dead one beside it for the
#: moment in which it connects again.
_MOST_CONNECTIONS: Final = 4

#: Seconds in which the lines that an earlier connection has brought must be read. One
#: whose enclave has gone without a word would never end by itself.
_REST: Final = 5.0


class Listener(Protocol):
    """Who is told what an enclave says. Its methods return at once."""

    def paired(self) -> None:
        """An enclave with the same manifest is there."""

    def state(self, state: State) -> None:
        """It has come so far."""

    def exited(self, exited: Exited) -> None:
        """Its application ended; no more comes after that."""

    def lost(self, reason: str) -> None:
        """The connection ended without such a word."""


@attrs.frozen(kw_only=True)
class _Door:
    """A vsock port of the parent that one enclave may connect to.

    Attributes:
      network: the vsock.
      port: where to listen.
      cid: the enclave's; nobody else gets a word.
      purpose: what the connections are for.
      digest: tells which manifest the enclave must have, as of now.

    """

    network: VsockNetwork
    port: int
    cid: int
    purpose: Purpose
    digest: Callable[[], bytes]

    async def serve(
        self,
        talk: Callable[[FramedChannel], Awaitable[None]],
        task_status: trio.TaskStatus[None],
    ) -> None:
        """Accept the enclave, and ``talk`` once it has proved that it belongs here.

        Raises:
          CannotStartError: if the port can't be listened on.

        """
        try:
            listener = await self.network.open_listener(self.port)
        except OSError as exc:
            raise CannotStartError(
                f"vsock://:{self.port} ({self.purpose}): {exc.strerror or exc}"
            ) from exc
        task_status.started()
        places = trio.Semaphore(_MOST_CONNECTIONS)
        admit = functools.partial(self._admit, talk=talk, places=places)
        await trio.serve_listeners(admit, [listener])

    async def _admit(
        self,
        stream: VsockStream,
        *,
        talk: Callable[[FramedChannel], Awaitable[None]],
        places: trio.Semaphore,
    ) -> None:
        channel = make_channel(stream)
        try:
            self._check_peer(stream)
            places.acquire_nowait()
        except (PairingError, trio.WouldBlock) as problem:
            reason = str(problem) or "it has too many connections open"
            self._warn("refused", stream, reason)
            await trio.aclose_forcefully(channel)
            return
        try:
            async with channel:
                own = Hello(purpose=self.purpose, digest=self.digest())
                await answer_hello(channel, own)
                await talk(channel)
        except (PairingError, *LOST) as problem:
            reason = str(problem) if isinstance(problem, PairingError) else ""
            self._warn("not paired", stream, reason or explain(problem))
        finally:
            places.release()

    def _check_peer(self, stream: VsockStream) -> None:
        if stream.peer.cid != self.cid:
            raise PairingError(
                f"CID {stream.peer.cid} is not the manifest's enclave, which is"
                f" {self.cid}"
            )

    def _warn(self, event: str, stream: VsockStream, problem: str) -> None:
        _log.warning(
            event,
            purpose=str(self.purpose),
            peer=str(stream.peer),
            problem=problem,
        )


@attrs.define(eq=False, kw_only=True)
class ParentControl:
    """The parent's end of the control channel.

    Attributes:
      network: the vsock.
      port: where to listen.
      cid: the enclave's.
      digest: of the manifest, 32 bytes. Another may take its place at any time; it
          counts from the next connection on.
      heartbeat: seconds between signs of life.
      listener: who is told what the enclave says.

    """

    network: VsockNetwork
    port: int
    cid: int
    digest: bytes = attrs.field(repr=bytes.hex)
    heartbeat: float
    listener: Listener
    _outbox: Outbox[Stop] | None = attrs.field(init=False, default=None)
    _session: trio.CancelScope = attrs.field(init=False, factory=trio.CancelScope)

    async def serve(
        self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Wait for the enclave, and pass on what it says, until cancelled.

        Started when the port is listened on. An enclave that connects once more, as
        it does when it has started again, takes the place of what was there before.

        Raises:
          CannotStartError: if the port can't be listened on.

        """
        door = _Door(
            network=self.network,
            port=self.port,
            cid=self.cid,
            purpose=Purpose.CONTROL,
            digest=lambda: self.digest,
        )
        await door.serve(self._talk_with, task_status)

    def request_stop(self) -> bool:
        """Ask the enclave to stop its application.

        Returns:
          Whether there is an enclave to ask.

        """
        if self._outbox is None:
            return False
        self._outbox.put(Stop())
        return True

    async def _talk_with(self, channel: FramedChannel) -> None:
        self._session.cancel()
        with trio.CancelScope() as session:
            self._session = session
            self._outbox = outbox = Outbox[Stop](1, lambda _: 1)
            self.listener.paired()
            lost = await converse(
                functools.partial(self._say, channel, outbox),
                functools.partial(self._hear, channel, outbox),
            )
            self._outbox = None
            if lost is not None:
                self.listener.lost(lost)

    async def _say(self, channel: FramedChannel, outbox: Outbox[Stop]) -> None:
        while True:
            message: Stop | Heartbeat = Heartbeat()
            with trio.move_on_after(self.heartbeat):
                messages, _ = await outbox.take(1)
                if not messages:
                    return
                message = messages[0]
            with trio.fail_after(BEATS_TO_MISS * self.heartbeat):
                await send_message(channel, message)

    async def _hear(self, channel: FramedChannel, outbox: Outbox[Stop]) -> None:
        has_exited = False
        while True:
            with trio.fail_after(BEATS_TO_MISS * self.heartbeat):
                try:
                    message = await receive_message(channel)
                except trio.EndOfChannel:
                    if has_exited:
                        outbox.finish()
                        return
                    raise
            match message:
                case State():
                    self.listener.state(message)
                case Exited():
                    has_exited = True
                    self.listener.exited(message)
                case Heartbeat():
                    pass
                case _:
                    raise ProtocolError(f"the enclave sent a {type(message).__name__}")


@attrs.define(eq=False, kw_only=True)
class ParentLogs:
    """The parent's end of the logs.

    Attributes:
      network: the vsock.
      port: where to listen.
      cid: the enclave's.
      digest: of the manifest, 32 bytes; as :class:`ParentControl` has it.
      hear: called with what came; returns at once.

    """

    network: VsockNetwork
    port: int
    cid: int
    digest: bytes = attrs.field(repr=bytes.hex)
    hear: Callable[[Lines], None]
    _session: trio.CancelScope = attrs.field(init=False, factory=trio.CancelScope)

    async def serve(
        self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Wait for the enclave, and pass on its lines, until cancelled.

        Started when the port is listened on. An enclave that connects once more takes
        the place of what was there before.

        Raises:
          CannotStartError: if the port can't be listened on.

        """
        door = _Door(
            network=self.network,
            port=self.port,
            cid=self.cid,
            purpose=Purpose.LOGS,
            digest=lambda: self.digest,
        )
        await door.serve(self._hear_all, task_status)

    async def _hear_all(self, channel: FramedChannel) -> None:
        self._session.deadline = trio.current_time() + _REST
        with trio.CancelScope() as self._session:
            await self._hear_one(channel)

    async def _hear_one(self, channel: FramedChannel) -> None:
        while True:
            try:
                message = await receive_message(channel)
            except trio.EndOfChannel:
                return  # it has told everything, and waits for us to close
            if not isinstance(message, Lines):
                raise ProtocolError(
                    f"the enclave sent a {type(message).__name__} on the port for logs"
                )
            self.hear(message)
