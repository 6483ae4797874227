"""The mover: one epoll, and the flows whose bytes it moves."""

from __future__ import annotations

import errno
import math
import os
import select
import socket
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

import attrs

from trionitro._multiplexer._flow import Direction, Flow
from trionitro._multiplexer._pipes import PIPE_SIZE, PipePool
from trionitro._multiplexer._watches import Watches
from trionitro._transfer import Ending

__all__ = ["Mover"]

_IN: Final = select.EPOLLIN
_OUT: Final = select.EPOLLOUT

#: What one poll may report, since all of it is served before anybody else has a turn.
_EVENTS: Final = 32

#: The most that a small direction reads at once, and its buffer.
_SMALL_READ: Final = 2**16

#: What bulk reads at once while no small message has been seen lately, and how often
#: in a row.
_BULK_READ: Final = 2**17
_BULK_ROUNDS: Final = 4

#: For how long bulk is served in one pass, in seconds, but for the last read.
_PASS: Final = 250e-6

#: For how many passes a small message counts as lately seen.
_LATELY: Final = 64

#: A read of less than this is a small message; so many bytes in larger ones, without
#: the other side speaking, are bulk; and so many small ones in bulk make it small.
_SMALL_MESSAGE: Final = 2**14
_BULK_STREAK: Final = 2**17
_BULK_SLACK: Final = 64

_SPLICE_FLAGS: Final = 3  # SPLICE_F_MOVE | SPLICE_F_NONBLOCK, linux/splice.h

#: It can't be spliced: not this kind of socket on this kernel, or not in this sandbox.
_NOT_SPLICED: Final = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM)


@attrs.define(eq=False)
class Mover:
    """Moves the bytes of any number of flows, when it is driven.

    One thread at a time may use it. It knows nothing of tasks: what it finds out, it
    says by calling.

    Attributes:
      clock: the time by which a flow was last moved.
      on_end: called with a flow that has ended, and is let go of already.
      on_bulk: called with a flow that has become bulk; None to serve bulk here.
      on_quiet: called with a flow that isn't bulk any more; None to keep it.
      turns_beside_small: how many bulk directions get a turn in a pass, while small
          messages are about.
      read_beside_small: how many bytes each of them reads then.

    """

    clock: Callable[[], float]
    on_end: Callable[[Flow], None]
    on_bulk: Callable[[Flow], None] | None = None
    on_quiet: Callable[[Flow], None] | None = None
    turns_beside_small: int = 1
    read_beside_small: int = 2**15
    _watches: Watches = attrs.field(factory=Watches)
    _by_source: dict[int, Direction] = attrs.field(factory=dict)
    _queue: deque[Direction] = attrs.field(factory=deque)
    _pipes: PipePool = attrs.field(factory=PipePool)
    _view: memoryview = attrs.field(factory=lambda: memoryview(bytearray(_BULK_READ)))
    _small_buffer: list[memoryview] = attrs.field(init=False)
    _now: float = -math.inf
    _passes_since_small: int = _LATELY

    def __attrs_post_init__(self) -> None:
        self._small_buffer = [self._view[:_SMALL_READ]]

    # --- flows come and go --------------------------------------------------------

    def attach(self, flow: Flow) -> None:
        """Take in a flow, new or from another mover.

        One whose sockets can't be watched, because there are too many or somebody has
        closed them, has ended.

        """
        for direction in flow.directions:
            stale = self._by_source.get(direction.source)
            if stale is not None:
                # Its stream was closed while we used it, and its number given to
                # another socket. Nobody may do that; but the new one is innocent.
                self.remove(stale.flow)
            self._by_source[direction.source] = direction
            try:
                self._watches.add(direction.source, direction.watch)
            except OSError:
                self._end(flow, direction.source_broke)
                return

    def detach(self, flow: Flow) -> None:
        """Let go of a flow with all of its state, for another mover."""
        for direction in flow.directions:
            if self._by_source.get(direction.source) is direction:
                del self._by_source[direction.source]
                direction.watch = self._watches.discard(direction.source)
            direction.queued = False
        if not self._by_source:
            self._pipes.close()

    def remove(self, flow: Flow) -> None:
        """Let go of a flow for good."""
        for direction in flow.directions:
            self._drop_pipe(direction)
        self.detach(flow)

    def _end(self, flow: Flow, ending: Ending) -> None:
        flow.ending = ending
        self.remove(flow)
        self.on_end(flow)

    # --- driving ------------------------------------------------------------------

    def any_flow(self) -> Flow | None:
        """Return one of the flows that are here, or None."""
        direction = next(iter(self._by_source.values()), None)
        return None if direction is None else direction.flow

    def fileno(self) -> int:
        """Return the epoll's descriptor: readable when there is something to do."""
        return self._watches.epoll.fileno()

    def has_more(self) -> bool:
        """Say whether there is something to do that polling doesn't show."""
        return bool(self._queue)

    def poll(self, timeout: float = 0, most: int = _EVENTS) -> list[tuple[int, int]]:
        """Return what has happened, for :meth:`serve`."""
        return self._watches.epoll.poll(timeout, most)

    def watch_also(self, descriptor: int) -> None:
        """Have :meth:`poll` return, and tell, when ``descriptor`` is readable."""
        self._watches.epoll.register(descriptor, _IN)

    def unwatch_also(self, descriptor: int) -> None:
        """Undo :meth:`watch_also`."""
        self._watches.epoll.unregister(descriptor)

    def serve(self, events: Iterable[tuple[int, int]]) -> None:
        """Move what there is to move."""
        self._now = self.clock()
        for descriptor, event in events:
            # An earlier event of this pass may have ended the flow.
            if (direction := self._by_source.get(descriptor)) is None:
                continue
            if event != _IN:
                self._flush(direction.opposite)
                if direction.flow.ending is not None:
                    continue
                if not self._watches.masks[descriptor] & _IN or event == _OUT:
                    continue
            if not direction.bulk:
                self._pass_message(direction)
            elif not direction.queued:
                direction.queued = True
                self._queue.append(direction)
        if self._queue:
            self._serve_bulk()

    def _pass_message(self, direction: Direction) -> None:
        """Read once, and write what was read."""
        try:
            size = os.readv(direction.source, self._small_buffer)
        except BlockingIOError:
            return
        except OSError:
            self._end(direction.flow, direction.source_broke)
            return
        if not size:
            self._pass_end_of_file(direction)
            return
        if not self._write(direction, size):
            return
        direction.opposite.streak = 0  # it has had to wait for this: no stream
        if size < _SMALL_MESSAGE:
            direction.streak = 0
            self._passes_since_small = 0
            return
        direction.streak += size
        if direction.streak >= _BULK_STREAK:
            direction.bulk = True
            direction.slack = _BULK_SLACK
            if self.on_bulk is not None:
                self.on_bulk(direction.flow)

    def _write(self, direction: Direction, size: int) -> bool:
        """Write ``size`` bytes of the buffer; False if that has ended the flow."""
        flow = direction.flow
        flow.moved_at = self._now
        try:
            sent = os.write(direction.sink, self._view[:size])
        except BlockingIOError:
            sent = 0
        except OSError:
            self._end(flow, direction.sink_broke)
            return False
        flow.counts[direction.index] += sent
        if sent != size:
            direction.rest = bytes(self._view[sent:size])
            self._block(direction)
        return True

    def _pass_end_of_file(self, direction: Direction) -> None:
        flow = direction.flow
        try:
            flow.sockets[1 - direction.index].shutdown(socket.SHUT_WR)
        except OSError:
            self._end(flow, direction.sink_broke)
            return
        flow.moved_at = self._now
        direction.ended = True
        if direction.opposite.ended:
            self._end(flow, Ending.FINISHED)
        else:
            self._watches.stop(direction.source, _IN)

    # --- bulk ---------------------------------------------------------------------

    def _serve_bulk(self) -> None:
        """Give every queued direction its turn, or few of them if small ones wait."""
        turns, reads, size = len(self._queue), _BULK_ROUNDS, _BULK_READ
        if self._passes_since_small < _LATELY:
            self._passes_since_small += 1
            turns, reads = min(turns, self.turns_beside_small), 1
            size = self.read_beside_small
        pause_at = time.perf_counter() + _PASS
        for _ in range(turns):
            direction = self._queue.popleft()
            direction.queued = False
            # It may have been let go of, or have been blocked, since it was queued.
            here = self._by_source.get(direction.source) is direction
            if here and self._watches.masks[direction.source] & _IN:
                self._pass_bulk(direction, reads, size, pause_at)
                if time.perf_counter() > pause_at:
                    return

    def _pass_bulk(
        self, direction: Direction, reads: int, size: int, pause_at: float
    ) -> None:
        if direction.may_be_spliced():
            direction.pipe = self._pipes.take()
            # Where there is none now, asking again each time would cost too much.
            direction.spliceable = direction.pipe is not None
        for _ in range(reads):
            if direction.pipe is None:
                passed = self._copy(direction, size)
            else:
                passed = self._splice(direction)
            if passed < _SMALL_MESSAGE or direction.is_blocked():
                break
            if direction.flow.ending is not None:
                break  # its descriptors may be somebody else's already
            direction.slack = _BULK_SLACK
            if time.perf_counter() > pause_at:
                break
        if not direction.held:
            self._drop_pipe(direction)
        goes_on = direction.flow.ending is None and not direction.ended
        if goes_on and passed < _SMALL_MESSAGE and not direction.is_blocked():
            # The last thing to do: it may be another mover's now.
            self._doubt_bulk(direction)

    def _copy(self, direction: Direction, size: int) -> int:
        """Read up to ``size`` bytes and write them; return how many were read."""
        try:
            size = os.readv(direction.source, [self._view[:size]])
        except BlockingIOError:
            return 0
        except OSError:
            self._end(direction.flow, direction.source_broke)
            return 0
        if size:
            self._write(direction, size)
        else:
            self._pass_end_of_file(direction)
        return size

    def _splice(self, direction: Direction) -> int:
        """Move what is there through the pipe; return how much came in."""
        pipe = direction.pipe
        assert pipe is not None
        try:
            size = os.splice(
                direction.source, pipe.input, PIPE_SIZE, flags=_SPLICE_FLAGS
            )
        except BlockingIOError:
            return 0
        except OSError as exc:
            if exc.errno in _NOT_SPLICED:
                self._give_up_splicing(direction)
            else:
                self._end(direction.flow, direction.source_broke)
            return 0
        if not size:
            self._pass_end_of_file(direction)
            return 0
        direction.flow.moved_at = self._now
        direction.held = size
        if self._empty_pipe(direction) and direction.is_blocked():
            self._block(direction)
        return size

    def _empty_pipe(self, direction: Direction) -> bool:
        """Move what the pipe holds to the sink; False if that has ended the flow."""
        pipe = direction.pipe
        assert pipe is not None
        try:
            sent = os.splice(
                pipe.output, direction.sink, direction.held, flags=_SPLICE_FLAGS
            )
        except BlockingIOError:
            return True
        except OSError as exc:
            if exc.errno not in _NOT_SPLICED:
                self._end(direction.flow, direction.sink_broke)
                return False
            self._give_up_splicing(direction)
            return True
        direction.held -= sent
        direction.flow.counts[direction.index] += sent
        return True

    def _give_up_splicing(self, direction: Direction) -> None:
        """Go over to copying, with whatever the pipe holds."""
        assert direction.pipe is not None
        if direction.held:
            direction.rest = os.read(direction.pipe.output, direction.held)
            direction.held = 0
        direction.spliceable = False
        self._drop_pipe(direction)

    def _drop_pipe(self, direction: Direction) -> None:
        if (pipe := direction.pipe) is not None:
            direction.pipe = None
            self._pipes.give_back(pipe, held=direction.held)

    def _doubt_bulk(self, direction: Direction) -> None:
        """Count a small read against a bulk direction, which makes it small at last."""
        direction.slack -= 1
        if direction.slack < 0:
            direction.bulk = False
            direction.streak = 0
            if self.on_quiet is not None and not direction.opposite.bulk:
                self.on_quiet(direction.flow)

    # --- blocked sinks ------------------------------------------------------------

    def _block(self, direction: Direction) -> None:
        self._watches.stop(direction.source, _IN)
        self._watches.start(direction.sink, _OUT)

    def _flush(self, direction: Direction) -> None:
        """Write what the sink would not take before, if there is any."""
        if not direction.is_blocked():
            return
        direction.flow.moved_at = self._now
        empty = self._write_rest if direction.rest else self._empty_pipe
        if empty(direction) and not direction.is_blocked():
            self._drop_pipe(direction)
            self._watches.stop(direction.sink, _OUT)
            try:
                self._watches.start(direction.source, _IN)
            except OSError:  # somebody has closed it meanwhile
                self._end(direction.flow, direction.source_broke)

    def _write_rest(self, direction: Direction) -> bool:
        """Write what was kept; False if that has ended the flow."""
        try:
            sent = os.write(direction.sink, direction.rest)
        except BlockingIOError:
            return True
        except OSError:
            self._end(direction.flow, direction.sink_broke)
            return False
        direction.rest = direction.rest[sent:]
        direction.flow.counts[direction.index] += sent
        return True
