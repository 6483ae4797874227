"""A mover and bulk: who has a turn, which flows are bulk, and what bulk holds."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import ExitStack

import pytest

from tests.multiplexer.wires import (
    PAIRS,
    Wire,
    make_bulk,
    make_mover,
    open_descriptors,
    read_all,
    reset,
    send_through,
    settle,
    wired,
)
from trionitro._multiplexer import _mover
from trionitro._multiplexer._flow import Flow
from trionitro._multiplexer._mover import Mover

every_kind = pytest.mark.parametrize("kind", PAIRS)


# --- turns ----------------------------------------------------------------------------


def test_bulk_waits_while_small_messages_pass() -> None:
    mover = make_mover()
    with wired() as loud, wired() as quiet:
        mover.attach(loud.flow)
        make_bulk(mover, loud)
        settle(mover)
        mover.attach(quiet.flow)
        loud.client.send(bytes(2**17))
        quiet.client.send(b"hello")

        mover.serve(mover.poll())

        assert read_all(quiet.server) == b"hello"
        assert len(read_all(loud.server)) == 2**15  # one read, of the smaller size


def test_a_pass_ends_when_its_time_is_over_and_the_next_goes_on_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However many flows are bulk: Trio's other tasks wait for the end of a pass."""
    mover = make_mover()
    with wired() as first, wired() as second:
        wires = (first, second)
        for wire in wires:
            mover.attach(wire.flow)
            make_bulk(mover, wire)
        settle(mover)
        monkeypatch.setattr(_mover, "_PASS", -1)
        for wire in wires:
            wire.client.send(bytes(2**17 + 2**15))

        mover.serve(mover.poll())
        assert sorted(len(read_all(wire.server)) for wire in wires) == [0, 2**17]
        assert mover.has_more()

        mover.serve(())
        assert sorted(len(read_all(wire.server)) for wire in wires) == [0, 2**17]


def test_a_pass_serves_so_many_flows_and_the_next_the_others() -> None:
    mover = make_mover()
    with ExitStack() as crowd:
        wires = [crowd.enter_context(wired()) for _ in range(40)]
        for wire in wires:
            mover.attach(wire.flow)
            wire.client.send(b"x")

        mover.serve(mover.poll())
        served = sum(bool(read_all(wire.server)) for wire in wires)
        assert 0 < served < 40

        settle(mover)
        assert served + sum(bool(read_all(wire.server)) for wire in wires) == 40


# --- bulk comes and goes --------------------------------------------------------------


def test_a_flow_becomes_bulk_and_is_called_so_once() -> None:
    bulk: list[Flow] = []
    mover = make_mover(on_bulk=bulk.append)
    with wired() as wire:
        mover.attach(wire.flow)
        send_through(mover, wire, bytes(2**20))

        assert bulk == [wire.flow]


def test_who_answers_is_no_bulk() -> None:
    """Large messages there and back are a conversation, however many there are."""
    mover = make_mover()
    with wired() as wire:
        mover.attach(wire.flow)
        for _ in range(20):
            send_through(mover, wire, bytes(2**16))
            wire.server.send(b"thanks")
            settle(mover)

        assert not wire.flow.directions[0].bulk


def half_close(end: socket.socket) -> None:
    end.shutdown(socket.SHUT_WR)


def quieten(mover: Mover, wire: Wire, messages: int) -> None:
    for _ in range(messages):
        wire.client.send(b"x")
        settle(mover)
    read_all(wire.server)


@every_kind
def test_bulk_that_has_become_quiet_is_called_so(kind: str) -> None:
    quiet: list[Flow] = []
    mover = make_mover(on_quiet=quiet.append)
    with wired(kind) as wire:
        mover.attach(wire.flow)
        make_bulk(mover, wire)
        settle(mover)
        wire.flow.directions[0].slack = 64

        quieten(mover, wire, 64)
        assert not quiet
        quieten(mover, wire, 1)
        assert quiet == [wire.flow]


@every_kind
@pytest.mark.parametrize("end", [half_close, reset])
def test_a_flow_that_has_ended_is_not_called_quiet(
    kind: str, end: Callable[[socket.socket], None]
) -> None:
    """It would be watched again elsewhere, and end a second time and otherwise."""
    quiet: list[Flow] = []
    mover = make_mover(on_quiet=quiet.append)
    with wired(kind) as wire:
        mover.attach(wire.flow)
        make_bulk(mover, wire)
        settle(mover)
        half_close(wire.server)
        settle(mover)
        wire.flow.directions[0].slack = 0

        end(wire.client)
        settle(mover)

        assert wire.flow.ending is not None
        assert not quiet


@every_kind
def test_a_blocked_flow_moves_to_another_mover_with_all_it_holds(kind: str) -> None:
    here, there = make_mover(), make_mover()
    with wired(kind) as wire:
        here.attach(wire.flow)
        make_bulk(here, wire)
        wire.clog()
        before = wire.flow.counts[0]
        wire.client.send(b"kept")
        settle(here)
        assert wire.flow.directions[0].is_blocked()

        here.detach(wire.flow)
        there.attach(wire.flow)
        received = bytearray()
        while wire.flow.counts[0] < before + 4:
            received += read_all(wire.server)
            settle(there)
        received += read_all(wire.server)

        assert received.endswith(b"kept")
        assert here.any_flow() is None
        there.remove(wire.flow)


# --- pipes ----------------------------------------------------------------------------


def test_an_idle_flow_holds_no_pipe() -> None:
    """However much it has moved: the system gives a user few pipes."""
    mover = make_mover()
    with wired("tcp") as first, wired("tcp") as second:
        mover.attach(first.flow)
        before = open_descriptors()
        make_bulk(mover, first)
        send_through(mover, first, bytes(2**20))
        assert open_descriptors() == before + 2
        assert first.flow.directions[0].pipe is None

        mover.attach(second.flow)
        make_bulk(mover, second)
        send_through(mover, second, bytes(2**20))
        assert open_descriptors() == before + 2

        mover.remove(first.flow)
        mover.remove(second.flow)
        assert open_descriptors() == before


def test_a_pipe_with_bytes_in_it_is_closed_with_its_flow() -> None:
    mover = make_mover()
    with wired("tcp") as wire:
        mover.attach(wire.flow)
        before = open_descriptors()
        make_bulk(mover, wire)
        wire.clog()
        wire.client.send(b"kept")
        settle(mover)
        assert wire.flow.directions[0].held

        mover.remove(wire.flow)

        assert open_descriptors() == before
