"""The enclave's end: it connects, says what it has to say, and never waits for it."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Final

import attrs
import structlog
import trio

from trionitro._channel import FramedChannel
from trionitro._control._conversation import LOST, converse, explain
from trionitro._control._messages import (
    Exited,
    Heartbeat,
    Hello,
    Line,
    Lines,
    Purpose,
    State,
    Stop,
)
from trionitro._control._outbox import Outbox
from trionitro._control._pairing import (
    PairingError,
    make_channel,
    receive_message,
    say_hello,
    send_message,
)
from trionitro._exceptions import CannotStartError, ProtocolError
from trionitro.abc import VsockNetwork

__all__ = ["BEATS_TO_MISS", "EnclaveControl", "EnclaveLogs"]

_log = structlog.get_logger("trionitro.control")

#: So many heartbeats without one that came are a death.
BEATS_TO_MISS: Final = 3

#: Seconds between attempts to reach the parent. A connect that nobody answers takes
#: two seconds by itself.
_RETRY_DELAY: Final = 0.5

#: How often the enclave says that it still waits, in seconds.
_TELL_INTERVAL: Final = 5.0

#: States that wait for a parent that doesn't read: more than a boot has.
_MOST_STATES: Final = 64

#: Bytes of lines in one message; with their sources they stay below its limit.
_BATCH: Final = 2**14

#: What a line costs beside its text.
_LINE_OVERHEAD: Final = 64

#: Seconds for the parent to take the last of what there is to say.
_PATIENCE: Final = 5.0


def _do_nothing() -> None:
    """Be told something, and leave it at that."""


@attrs.frozen(kw_only=True)
class _Dialler:
    """How the parent is reached for one purpose.

    Attributes:
      network: the vsock.
      cid: the parent's.
      port: the parent's, for this purpose.
      hello: what this half says first.

    """

    network: VsockNetwork
    cid: int
    port: int
    hello: Hello

    async def open(self) -> FramedChannel:
        """Connect, and find out whether it is the right parent; one attempt.

        Raises:
          PairingError: if it isn't.
          OSError: if it can't be reached; also the rest of ``LOST``.

        """
        channel = make_channel(await self.network.open_stream(self.cid, self.port))
        try:
            await say_hello(channel, self.hello)
        except BaseException:
            await trio.aclose_forcefully(channel)
            raise
        return channel

    async def open_within(self, seconds: float) -> FramedChannel:
        """Connect, as soon as the parent is there.

        Raises:
          PairingError: if it is the wrong one.
          CannotStartError: if none was there in that time.

        """
        problem = "no attempt came to an end"
        told = trio.current_time()
        with trio.move_on_after(seconds):
            while True:
                try:
                    return await self.open()
                except LOST as exc:
                    problem = explain(exc)
                if trio.current_time() >= told:
                    _log.info("waiting for the parent", **self._names(), why=problem)
                    told = trio.current_time() + _TELL_INTERVAL
                await trio.sleep(_RETRY_DELAY)
        raise CannotStartError(
            f"no parent at vsock://{self.cid}:{self.port} in {seconds:g} s: {problem};"
            " start `trionitro parent` there with the same manifest, or give [control]"
            " a longer wait"
        )

    async def open_again(self) -> FramedChannel:
        """Connect, however long it takes; the log says what is in the way."""
        told = ""
        while True:
            try:
                return await self.open()
            except PairingError as exc:
                problem = str(exc)
            except LOST as exc:
                problem = explain(exc)
            if problem != told:
                _log.warning("no parent", **self._names(), problem=problem)
                told = problem
            await trio.sleep(_RETRY_DELAY)

    def _names(self) -> dict[str, str]:
        return {
            "purpose": str(self.hello.purpose),
            "parent": f"vsock://{self.cid}:{self.port}",
        }


@attrs.define(eq=False, kw_only=True)
class EnclaveControl:
    """The enclave's end of the control channel.

    Attributes:
      network: the vsock.
      parent_cid: where the parent is.
      port: its port for the control channel.
      digest: of the manifest, 32 bytes.
      heartbeat: seconds between signs of life.
      on_lost: called when the parent that was there isn't any more.
      stop_wanted: set when the parent asks for the application to be stopped.

    """

    network: VsockNetwork
    parent_cid: int
    port: int
    digest: bytes = attrs.field(repr=bytes.hex)
    heartbeat: float
    on_lost: Callable[[], None] = _do_nothing
    stop_wanted: trio.Event = attrs.field(init=False, factory=trio.Event)
    _outbox: Outbox[State | Exited] = attrs.field(init=False)
    _said_all: bool = attrs.field(init=False, default=False)
    _exited: Exited | None = attrs.field(init=False, default=None)
    _told_all: trio.Event = attrs.field(init=False, factory=trio.Event)

    def __attrs_post_init__(self) -> None:
        self._outbox = Outbox(_MOST_STATES, lambda _: 1)

    def tell(self, state: State) -> None:
        """Have the parent told how far this half is. Never waits."""
        self._outbox.put(state)

    async def finish(self, exited: Exited, *, patience: float = _PATIENCE) -> bool:
        """Tell the parent how the application ended, and let :meth:`serve` return.

        Returns:
          Whether the parent took it, in so many seconds of ``patience``.

        """
        self._exited = exited
        self._outbox.put(exited)
        self._outbox.finish()
        with trio.move_on_after(patience):
            await self._told_all.wait()
        return self._told_all.is_set()

    async def serve(
        self,
        *,
        wait: float = math.inf,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Keep in touch with the parent until :meth:`finish` has told it the end.

        Started when both halves have found that they have the same manifest. A parent
        that is lost after that is looked for until it is back: an application doesn't
        end because its parent's half is restarted.

        Args:
          wait: seconds for the parent to be there at the start.
          task_status: started at the first pairing.

        Raises:
          PairingError: if the first parent that was there is the wrong one.
          CannotStartError: if none was there in time.

        """
        dialler = _Dialler(
            network=self.network,
            cid=self.parent_cid,
            port=self.port,
            hello=Hello(purpose=Purpose.CONTROL, digest=self.digest),
        )
        channel = await dialler.open_within(wait)
        _log.info("paired", parent=f"vsock://{self.parent_cid}:{self.port}")
        task_status.started()
        while True:
            async with channel:
                lost = await converse(
                    functools.partial(self._talk, channel),
                    functools.partial(self._listen, channel),
                )
            if lost is None:
                self._told_all.set()
                return
            _log.warning("lost the parent", problem=lost)
            self.on_lost()
            if self._said_all and self._exited is not None:
                # Nobody has said that it came. Told twice, it is still told.
                self._said_all = False
                self._outbox.put(self._exited)
            channel = await dialler.open_again()
            _log.info("found the parent again")

    async def _talk(self, channel: FramedChannel) -> None:
        while True:
            messages: list[State | Exited] | None = None
            with trio.move_on_after(self.heartbeat):
                messages, _ = await self._outbox.take(1)
            if messages == []:
                self._said_all = True
                await channel.send_eof()
                return
            message = messages[0] if messages else Heartbeat()
            try:
                with trio.fail_after(BEATS_TO_MISS * self.heartbeat):
                    await send_message(channel, message)
            except BaseException:
                self._outbox.put_back(messages or [], 0)
                raise

    async def _listen(self, channel: FramedChannel) -> None:
        while True:
            with trio.fail_after(BEATS_TO_MISS * self.heartbeat):
                try:
                    message = await receive_message(channel)
                except trio.EndOfChannel:
                    if self._said_all:
                        return
                    raise
            match message:
                case Stop():
                    self.stop_wanted.set()
                case Heartbeat():
                    pass
                case _:
                    raise ProtocolError(f"the parent sent a {type(message).__name__}")


@attrs.define(eq=False, kw_only=True)
class EnclaveLogs:
    """The enclave's end of the logs.

    A line that was on its way when the parent went may be lost, or come twice.

    Attributes:
      network: the vsock.
      parent_cid: where the parent is.
      port: its port for logs.
      digest: of the manifest, 32 bytes.
      buffer: bytes of lines that are kept while the parent takes none.

    """

    network: VsockNetwork
    parent_cid: int
    port: int
    digest: bytes = attrs.field(repr=bytes.hex)
    buffer: int
    _outbox: Outbox[Line] = attrs.field(init=False)
    _said_all: bool = attrs.field(init=False, default=False)
    _told_all: trio.Event = attrs.field(init=False, factory=trio.Event)
    _connection: trio.CancelScope = attrs.field(init=False, factory=trio.CancelScope)

    def __attrs_post_init__(self) -> None:
        self._outbox = Outbox(self.buffer, _weigh)

    def put(self, source: str, text: bytes) -> None:
        """Have the parent told a line. Never waits: the oldest go when it is full.

        Args:
          source: who said it, such as ``application``.
          text: without its end; what is longer than ``MAX_LINE`` bytes is cut off.

        """
        self._outbox.put(Line(source, text))

    def hang_up(self) -> None:
        """Leave the parent that is there, and look for one.

        Lines can be sent to a machine that has gone for a long time, and then there is
        only silence: it takes the heartbeat of the control channel to notice.

        """
        self._connection.cancel()

    async def finish(self, *, patience: float = _PATIENCE) -> bool:
        """Let the rest be told, and :meth:`serve` return.

        Returns:
          Whether the parent took all, in so many seconds of ``patience``.

        """
        self._outbox.finish()
        with trio.move_on_after(patience):
            await self._told_all.wait()
        return self._told_all.is_set()

    async def serve(
        self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Send lines, to whichever parent is there, until :meth:`finish`.

        ``task_status`` is started at once: there need be no parent for it.

        """
        task_status.started()
        dialler = _Dialler(
            network=self.network,
            cid=self.parent_cid,
            port=self.port,
            hello=Hello(purpose=Purpose.LOGS, digest=self.digest),
        )
        while True:
            lost: str | None = "it has gone without a word"
            async with await dialler.open_again() as channel:
                with trio.CancelScope() as self._connection:
                    lost = await converse(
                        functools.partial(self._talk, channel),
                        functools.partial(self._listen, channel),
                    )
            if lost is None:
                self._told_all.set()
                return
            self._said_all = False
            _log.warning("lost the parent's logs", problem=lost)

    async def _talk(self, channel: FramedChannel) -> None:
        while True:
            lines, dropped = await self._outbox.take(_BATCH)
            if not lines:
                self._said_all = True
                await channel.send_eof()
                return
            try:
                await send_message(channel, Lines(dropped=dropped, lines=tuple(lines)))
            except BaseException:
                self._outbox.put_back(lines, dropped)
                raise

    async def _listen(self, channel: FramedChannel) -> None:
        try:
            await receive_message(channel)
        except trio.EndOfChannel:
            if self._said_all:
                return
            raise
        raise ProtocolError("the parent spoke on the port for logs")


def _weigh(line: Line) -> int:
    return len(line.text) + _LINE_OVERHEAD
