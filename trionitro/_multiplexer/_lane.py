"""The lane: one epoll, and the flows whose bytes it moves."""

from __future__ import annotations

import errno
import math
import os
import select
import socket
import time
from collections import deque
from typing import Final

import attrs
import trio

from trionitro._multiplexer._flow import Direction, Flow
from trionitro._multiplexer._linger import Habit
from trionitro._multiplexer._pipes import PIPE_SIZE, PipePool
from trionitro._transfer import Ending

__all__ = ["Lane"]

_IN: Final = select.EPOLLIN
_OUT: Final = select.EPOLLOUT

#: What one poll may report. The rest is reported by the next one.
_MAX_EVENTS: Final = 256

#: The most that a small direction reads at once, and its buffer.
_SMALL_READ: Final = 2**16

#: What bulk reads at once while no small message has been seen lately, and how often
#: in a row; and what it reads, once, while there has.
_BULK_READ: Final = 2**17
_BULK_ROUNDS: Final = 4
_BULK_READ_BESIDE_SMALL: Final = 2**15

#: For how many passes a small message counts as lately seen.
_LATELY: Final = 64

#: A read of less than this is a small message; so many bytes in larger ones, without
#: the other side speaking, are bulk; and so many small ones in bulk make it small.
_SMALL_MESSAGE: Final = 2**14
_BULK_STREAK: Final = 2**17
_BULK_SLACK: Final = 64

#: How long the leader goes on before Trio's other tasks get their turn, in seconds.
_SLICE: Final = 250e-6

_SPLICE_FLAGS: Final = 3  # SPLICE_F_MOVE | SPLICE_F_NONBLOCK, linux/splice.h


@attrs.define(eq=False)
class Lane:
    """Moves the bytes of any number of flows, when it is driven.

    Attributes:
      leader: the flow whose task drives, or None.

    """

    leader: Flow | None = None
    _epoll: select.epoll = attrs.field(factory=select.epoll)
    _watched: dict[int, int] = attrs.field(factory=dict)
    _by_source: dict[int, Direction] = attrs.field(factory=dict)
    _parked: dict[Flow, trio.lowlevel.Task] = attrs.field(factory=dict)
    _queue: deque[Direction] = attrs.field(factory=deque)
    _pipes: PipePool = attrs.field(factory=PipePool)
    _view: memoryview = attrs.field(factory=lambda: memoryview(bytearray(_BULK_READ)))
    _small_buffer: list[memoryview] = attrs.field(init=False)
    _habit: Habit = attrs.field(factory=Habit)
    _now: float = -math.inf
    _passes_since_small: int = _LATELY

    def __attrs_post_init__(self) -> None:
        self._small_buffer = [self._view[:_SMALL_READ]]

    # --- flows come and go --------------------------------------------------------

    def add(self, flow: Flow) -> None:
        """Take in a flow. Its bytes move whenever the lane is driven."""
        for direction in flow.directions:
            self._by_source[direction.source] = direction
            self._watched[direction.source] = 0
            self._watch(direction.source, _IN)

    def remove(self, flow: Flow) -> None:
        """Let go of a flow, wherever it is; does nothing if it is gone already."""
        for direction in flow.directions:
            if self._by_source.get(direction.source) is direction:
                del self._by_source[direction.source]
                self._set_watched(direction.source, 0)
                del self._watched[direction.source]
            self._drop_pipe(direction)
        if not self._by_source:
            self._pipes.close()

    def _end(self, flow: Flow, ending: Ending) -> None:
        flow.ending = ending
        self.remove(flow)
        self.wake(flow)

    # --- tasks wait and lead ------------------------------------------------------

    async def park(self, flow: Flow) -> None:
        """Wait until ``flow`` has ended, or is to lead."""

        def abort(_: object) -> trio.lowlevel.Abort:
            self._parked.pop(flow, None)
            return trio.lowlevel.Abort.SUCCEEDED

        self._parked[flow] = trio.lowlevel.current_task()
        await trio.lowlevel.wait_task_rescheduled(abort)

    def wake(self, flow: Flow) -> None:
        """Wake the task of ``flow``, if it is parked."""
        if (task := self._parked.pop(flow, None)) is not None:
            trio.lowlevel.reschedule(task)

    def appoint_leader(self) -> None:
        """See to it that somebody leads, if anybody waits."""
        if self.leader is None and self._parked:
            self.wake(next(iter(self._parked)))

    async def lead(self, flow: Flow) -> None:
        """Drive the lane until ``flow`` has ended."""
        self.leader = flow
        try:
            while flow.ending is None:
                await trio.lowlevel.wait_readable(self._epoll.fileno())
                await self._drive(flow)
        finally:
            self.leader = None

    async def _drive(self, flow: Flow) -> None:
        """Go on for as long as there is something to do."""
        pause_at = time.perf_counter() + _SLICE
        self._serve(self._epoll.poll(0, _MAX_EVENTS))
        while flow.ending is None and (self._queue or self._linger()):
            if self._queue:
                self._serve(self._epoll.poll(0, _MAX_EVENTS))
            if time.perf_counter() > pause_at:
                await trio.lowlevel.checkpoint()
                pause_at = time.perf_counter() + _SLICE

    def _linger(self) -> bool:
        """Look again, and again where that has paid lately; True if it did now."""
        poll = self._epoll.poll
        events = poll(0, _MAX_EVENTS)
        if not events and self._habit.is_worth_it():
            give_up_at = time.perf_counter() + self._habit.patience
            while not events and time.perf_counter() < give_up_at:
                os.sched_yield()  # whoever is to answer may need this processor
                events = poll(0, _MAX_EVENTS)
            self._habit.learn(paid=bool(events))
        self._serve(events)
        return bool(events)

    # --- one pass -----------------------------------------------------------------

    def _serve(self, events: list[tuple[int, int]]) -> None:
        self._now = trio.current_time()
        for descriptor, event in events:
            # An earlier event of this pass may have ended the flow.
            if (direction := self._by_source.get(descriptor)) is None:
                continue
            if event != _IN:
                self._flush(direction.opposite)
                if direction.flow.ending is not None:
                    continue
                if not self._watched[descriptor] & _IN or event == _OUT:
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
        self._drop_pipe(direction)
        if direction.opposite.ended:
            self._end(flow, Ending.FINISHED)
        else:
            self._unwatch(direction.source, _IN)

    # --- bulk ---------------------------------------------------------------------

    def _serve_bulk(self) -> None:
        """Give every queued direction its turn, or one of them if small ones wait."""
        turns, reads, size = len(self._queue), _BULK_ROUNDS, _BULK_READ
        if self._passes_since_small < _LATELY:
            self._passes_since_small += 1
            turns, reads, size = 1, 1, _BULK_READ_BESIDE_SMALL
        for _ in range(turns):
            direction = self._queue.popleft()
            direction.queued = False
            if direction.flow.ending is None and not direction.ended:
                self._pass_bulk(direction, reads, size)

    def _pass_bulk(self, direction: Direction, reads: int, size: int) -> None:
        if direction.spliceable and direction.pipe is None:
            direction.pipe = self._pipes.take()
        for _ in range(reads):
            if direction.is_blocked():
                return
            if direction.pipe is None:
                passed = self._copy(direction, size)
            else:
                passed = self._splice(direction)
            if passed < _SMALL_MESSAGE:
                if not direction.is_blocked():
                    self._doubt_bulk(direction)
                return
            direction.slack = _BULK_SLACK

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
            if exc.errno == errno.EINVAL:  # not this kind of socket, on this kernel
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
            if exc.errno != errno.EINVAL:
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
            self._drop_pipe(direction)

    # --- blocked sinks ------------------------------------------------------------

    def _block(self, direction: Direction) -> None:
        self._unwatch(direction.source, _IN)
        self._watch(direction.sink, _OUT)

    def _flush(self, direction: Direction) -> None:
        """Write what the sink would not take before, if there is any."""
        if not direction.is_blocked():
            return
        direction.flow.moved_at = self._now
        empty = self._write_rest if direction.rest else self._empty_pipe
        if empty(direction) and not direction.is_blocked():
            self._unwatch(direction.sink, _OUT)
            self._watch(direction.source, _IN)

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

    # --- what is watched ----------------------------------------------------------

    def _watch(self, descriptor: int, mask: int) -> None:
        self._set_watched(descriptor, self._watched[descriptor] | mask)

    def _unwatch(self, descriptor: int, mask: int) -> None:
        self._set_watched(descriptor, self._watched[descriptor] & ~mask)

    def _set_watched(self, descriptor: int, mask: int) -> None:
        before = self._watched[descriptor]
        self._watched[descriptor] = mask
        if mask == before:
            return
        if not mask:
            # Hang-ups can't be masked: only what is not registered keeps quiet.
            self._epoll.unregister(descriptor)
        elif before:
            self._epoll.modify(descriptor, mask)
        else:
            self._epoll.register(descriptor, mask)
