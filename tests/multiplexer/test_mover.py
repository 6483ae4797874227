"""A mover by itself: what passes, when it keeps quiet, and whom it blames."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest

from tests.multiplexer.wires import (
    PAIRS,
    Wire,
    fill,
    make_bulk,
    make_mover,
    read_all,
    reset,
    settle,
    wired,
)
from trionitro import Ending
from trionitro._multiplexer._flow import Flow

every_pair = pytest.mark.parametrize(
    ("left", "right"),
    [
        (left, right)
        for left in PAIRS
        for right in PAIRS
        if "vsock" not in (left, right) or "tcp" in (left, right)
    ],
)


@every_pair
def test_messages_pass_both_ways(left: str, right: str) -> None:
    mover = make_mover()
    with wired(left, right) as wire:
        mover.attach(wire.flow)
        wire.client.send(b"question")
        wire.server.send(b"answer")
        settle(mover)

        assert read_all(wire.server) == b"question"
        assert read_all(wire.client) == b"answer"
        assert wire.flow.counts == [8, 6]


@every_pair
def test_end_of_file_passes_both_ways(left: str, right: str) -> None:
    ended: list[Flow] = []
    mover = make_mover(on_end=ended.append)
    with wired(left, right) as wire:
        mover.attach(wire.flow)
        wire.client.shutdown(socket.SHUT_WR)
        settle(mover)
        assert wire.server.recv(1) == b""
        assert not ended

        wire.server.shutdown(socket.SHUT_WR)
        settle(mover)
        assert wire.client.recv(1) == b""
        assert ended == [wire.flow]
        assert wire.flow.ending is Ending.FINISHED


# --- nothing keeps reporting ----------------------------------------------------------


def half_close_left(wire: Wire) -> None:
    wire.client.shutdown(socket.SHUT_WR)


def half_close_right(wire: Wire) -> None:
    wire.server.shutdown(socket.SHUT_WR)


def refuse_answers(wire: Wire) -> None:
    wire.client.shutdown(socket.SHUT_RD)


def close_left(wire: Wire) -> None:
    wire.client.close()


def reset_left(wire: Wire) -> None:
    reset(wire.client)


def block_rightwards(wire: Wire) -> None:
    wire.clog()
    wire.client.send(b"more")


def block_leftwards(wire: Wire) -> None:
    fill(wire.left.dup())
    wire.server.send(b"more")


@every_pair
@pytest.mark.parametrize(
    "steps",
    [
        [half_close_left],
        [half_close_left, half_close_right],
        [half_close_right, close_left],
        [half_close_right, reset_left],
        [half_close_left, reset_left],
        [close_left],
        [refuse_answers],
        [refuse_answers, close_left],
        [block_rightwards],
        [block_rightwards, half_close_left],
        [block_rightwards, close_left],
        [block_rightwards, reset_left],
        [block_rightwards, half_close_right, reset_left],
        [block_leftwards, half_close_left],
        [block_leftwards, half_close_left, refuse_answers],
        [block_leftwards, close_left],
        [block_leftwards, block_rightwards],
        [block_leftwards, block_rightwards, reset_left],
        [half_close_left, half_close_right, reset_left],
    ],
    ids=lambda steps: ", ".join(step.__name__ for step in steps),
)
@pytest.mark.parametrize("bulk", [False, True], ids=["small", "bulk"])
def test_it_keeps_quiet_whatever_happened(
    left: str, right: str, steps: list[Callable[[Wire], None]], bulk: bool
) -> None:
    """A socket that reports for ever what nobody acts on would make a relay spin."""
    mover = make_mover()
    with wired(left, right) as wire:
        mover.attach(wire.flow)
        if bulk:
            make_bulk(mover, wire)
        for step in steps:
            step(wire)
            settle(mover)


def test_a_blocked_direction_reads_no_more_though_the_other_one_goes_on() -> None:
    mover = make_mover()
    with wired() as wire:
        mover.attach(wire.flow)
        block_rightwards(wire)
        block_leftwards(wire)
        settle(mover)
        wire.client.send(b" and more")

        assert read_all(wire.client)
        settle(mover)
        assert read_all(wire.client).endswith(b"more")

        received = read_all(wire.server)
        settle(mover)
        received += read_all(wire.server)
        assert received.endswith(b"\0more and more")


# --- blame ----------------------------------------------------------------------------


@every_pair
def test_who_goes_away_while_blocked_is_blamed(left: str, right: str) -> None:
    mover = make_mover()
    with wired(left, right) as wire:
        mover.attach(wire.flow)
        block_rightwards(wire)
        settle(mover)
        reset(wire.server)
        settle(mover)

        assert wire.flow.ending is Ending.RIGHT_BROKE


@pytest.mark.parametrize("bulk", [False, True], ids=["small", "bulk"])
def test_who_is_reset_is_blamed(bulk: bool) -> None:
    mover = make_mover()
    with wired("tcp", "tcp") as wire:
        mover.attach(wire.flow)
        if bulk:
            make_bulk(mover, wire)
        reset(wire.client)
        settle(mover)

        assert wire.flow.ending is Ending.LEFT_BROKE


# --- what others do to it -------------------------------------------------------------


def test_a_flow_that_can_not_be_watched_has_ended() -> None:
    ended: list[Flow] = []
    mover = make_mover(on_end=ended.append)
    with wired() as wire:
        wire.right.close()
        mover.attach(wire.flow)

        assert ended == [wire.flow]
        assert wire.flow.ending is Ending.RIGHT_BROKE
        assert mover.any_flow() is None


def test_a_socket_that_is_closed_while_its_sink_is_blocked_ends_its_flow_only() -> None:
    """Nobody may do that, but the leader drives for others too: it must not raise."""
    mover = make_mover()
    with wired() as wire:
        mover.attach(wire.flow)
        block_rightwards(wire)
        settle(mover)
        wire.left.close()
        while wire.flow.directions[0].is_blocked():
            read_all(wire.server)
            settle(mover)

        assert wire.flow.ending is Ending.LEFT_BROKE


def test_who_gets_the_descriptor_of_a_socket_that_was_closed_is_innocent() -> None:
    mover = make_mover()
    with wired() as old:
        mover.attach(old.flow)
        old.client.close()
        old.left.close()
        with wired() as new:
            assert new.left.fileno() == old.flow.directions[0].source
            mover.attach(new.flow)
            new.client.send(b"hello")
            old.server.send(b"private")
            settle(mover)

            assert read_all(new.server) == b"hello"
            assert read_all(new.client) == b""
