from __future__ import annotations

import math
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import attrs
import pytest
import trio
import trio.abc
from trio.testing import wait_all_tasks_blocked

from trionitro.proxy._accept import Places, accept_connections
from trionitro.testing import MemoryVsock
from trionitro.vsock import LocalVsock


@attrs.define(eq=False)
class Reception:
    """Takes connections, and remembers what they were and in which turn they came."""

    turns: list[int] = attrs.field(factory=list)
    streams: list[trio.abc.Stream] = attrs.field(factory=list)
    _turn: int = 0

    def receive(
        self, stream: trio.abc.Stream, place: Places, nursery: trio.Nursery
    ) -> None:
        """Take one."""
        self.turns.append(self._turn)
        self.streams.append(stream)

    async def count_turns(self) -> None:
        """Count how often other tasks have their turn."""
        while True:
            await trio.lowlevel.checkpoint()
            self._turn += 1


@pytest.fixture(name="stack")
def _stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def connect(stack: ExitStack, port: int, count: int) -> None:
    for _ in range(count):
        stack.enter_context(socket.create_connection(("127.0.0.1", port)))


async def test_those_who_come_together_are_accepted_in_one_turn(
    stack: ExitStack,
) -> None:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    reception = Reception()
    connect(stack, listener.socket.getsockname()[1], 20)

    async with listener, trio.open_nursery() as nursery:
        nursery.start_soon(reception.count_turns)
        nursery.start_soon(
            accept_connections,
            *(listener, reception.receive, Places(math.inf), nursery),
        )
        while len(reception.streams) < 20:
            await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()

    assert len(set(reception.turns)) <= 10  # one, but for a machine that is busy
    for stream in reception.streams:
        await trio.aclose_forcefully(stream)


async def test_a_crowd_gets_no_more_places_than_there_are(stack: ExitStack) -> None:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    reception, places = Reception(), Places(3)
    connect(stack, listener.socket.getsockname()[1], 8)

    async with listener, trio.open_nursery() as nursery:
        nursery.start_soon(
            accept_connections, *(listener, reception.receive, places, nursery)
        )
        for expected in (3, 4, 6):
            await wait_all_tasks_blocked()
            assert len(reception.streams) == expected
            for _ in range({3: 1, 4: 2}.get(expected, 0)):
                places.give_back()
        nursery.cancel_scope.cancel()

    for stream in reception.streams:
        await trio.aclose_forcefully(stream)


async def test_a_crowd_s_streams_know_who_they_are(tmp_path: Path) -> None:
    """They are of the listener's kind, however many of them come together."""
    parent, enclave = LocalVsock(tmp_path, 3), LocalVsock(tmp_path, 16)
    reception = Reception()
    listener = await parent.open_listener(8000)
    dialled = [await enclave.open_stream(3, 8000) for _ in range(4)]

    async with listener, trio.open_nursery() as nursery:
        nursery.start_soon(
            accept_connections,
            *(listener, reception.receive, Places(math.inf), nursery),
        )
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()

    assert [stream.peer.cid for stream in reception.streams] == [16] * 4  # type: ignore[attr-defined]
    for stream in (*dialled, *reception.streams):
        await trio.aclose_forcefully(stream)


async def test_a_listener_that_is_no_socket_is_accepted_from_as_well() -> None:
    parent = MemoryVsock()
    reception = Reception()
    listener = await parent.open_listener(8000)

    async with listener, trio.open_nursery() as nursery:
        nursery.start_soon(
            accept_connections,
            *(listener, reception.receive, Places(math.inf), nursery),
        )
        dialled = [await parent.at(16).open_stream(3, 8000) for _ in range(4)]
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()

    assert len(reception.streams) == 4
    for stream in (*dialled, *reception.streams):
        await trio.aclose_forcefully(stream)
