"""What becomes of bulk where it can't be spliced: it is copied."""

from __future__ import annotations

import errno
import os
import random
import stat
from collections.abc import Callable

import pytest

from tests.multiplexer.wires import (
    make_bulk,
    make_mover,
    open_descriptors,
    send_through,
    settle,
    wired,
)
from trionitro import Ending
from trionitro._multiplexer._pipes import Pipe

Splice = Callable[..., int]

unusable = pytest.mark.parametrize(
    "code", [errno.EINVAL, errno.ENOSYS, errno.EPERM, errno.EOPNOTSUPP]
)


def fail_after(splices: int, code: int, *, into_pipe: bool) -> Splice:
    """Return a splice that fails from then on where the pipe is the sink, or isn't."""
    splice, done = os.splice, 0

    def failing(source: int, sink: int, size: int, *, flags: int) -> int:
        nonlocal done
        wanted = stat.S_ISFIFO(os.fstat(sink).st_mode) is into_pipe
        done += wanted
        if wanted and done > splices:
            raise OSError(code, os.strerror(code))
        return splice(source, sink, size, flags=flags)

    return failing


@unusable
@pytest.mark.parametrize("into_pipe", [True, False])
@pytest.mark.parametrize("splices", [0, 3])
def test_what_can_not_be_spliced_is_copied(
    code: int, into_pipe: bool, splices: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Including what is in the pipe when that turns out."""
    monkeypatch.setattr(os, "splice", fail_after(splices, code, into_pipe=into_pipe))
    data = random.Random(0).randbytes(3 * 2**20)
    mover = make_mover()
    with wired("tcp") as wire:
        mover.attach(wire.flow)
        make_bulk(mover, wire)
        assert send_through(mover, wire, data) == data
        assert wire.flow.directions[0].spliceable is False
        before = open_descriptors()
        mover.remove(wire.flow)
        assert open_descriptors() <= before


def test_a_pipe_whose_sink_can_not_be_spliced_to_any_more_is_emptied_in_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mover = make_mover()
    with wired("tcp") as wire:
        mover.attach(wire.flow)
        make_bulk(mover, wire)
        wire.clog()
        wire.client.send(b"in the pipe")
        settle(mover)
        assert wire.flow.directions[0].held == 11
        monkeypatch.setattr(os, "splice", fail_after(0, errno.EINVAL, into_pipe=False))

        received = send_through(mover, wire, bytes(2**21))
        settle(mover)

        assert b"in the pipe" in received
        assert wire.flow.directions[0].pipe is None


def test_a_mover_whose_last_flow_has_gone_to_another_keeps_no_pipe() -> None:
    """Nobody might come again to close it."""
    mover = make_mover()
    with wired("tcp") as wire:
        mover.attach(wire.flow)
        make_bulk(mover, wire)
        assert send_through(mover, wire, bytes(2**20)) == bytes(2**20)
        before = open_descriptors()

        mover.detach(wire.flow)

        assert open_descriptors() == before - 2


def test_without_a_pipe_it_is_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> Pipe:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(Pipe, "open", refuse)
    data = random.Random(0).randbytes(3 * 2**20)
    mover = make_mover()
    with wired("tcp") as wire:
        mover.attach(wire.flow)
        make_bulk(mover, wire)

        assert send_through(mover, wire, data) == data
        assert wire.flow.ending is None
        mover.remove(wire.flow)


@pytest.mark.parametrize(
    ("into_pipe", "ending"), [(True, Ending.LEFT_BROKE), (False, Ending.RIGHT_BROKE)]
)
def test_another_error_is_the_end(
    into_pipe: bool, ending: Ending, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = fail_after(0, errno.ECONNRESET, into_pipe=into_pipe)
    mover = make_mover()
    with wired("tcp") as wire:
        mover.attach(wire.flow)
        make_bulk(mover, wire)
        monkeypatch.setattr(os, "splice", broken)
        send_through(mover, wire, bytes(2**20))

        assert wire.flow.ending is ending
