from __future__ import annotations

import fcntl
import os

import pytest

from tests.multiplexer.wires import open_descriptors
from trionitro._multiplexer._pipes import PIPE_SIZE, Pipe, PipePool


def test_a_pipe_is_large() -> None:
    pipe = Pipe.open()

    assert fcntl.fcntl(pipe.input, fcntl.F_GETPIPE_SZ) >= PIPE_SIZE
    pipe.close()


def test_a_pipe_that_was_given_back_is_used_again() -> None:
    pool = PipePool()
    pipe = pool.take()
    assert pipe is not None

    pool.give_back(pipe, held=0)

    assert pool.take() is pipe
    pipe.close()


def test_a_pipe_with_somebody_s_bytes_in_it_is_not_used_again() -> None:
    before = open_descriptors()
    pool = PipePool()
    pipe = pool.take()
    assert pipe is not None
    os.write(pipe.input, b"secret")

    pool.give_back(pipe, held=6)

    assert open_descriptors() == before
    other = pool.take()
    assert other is not None
    with pytest.raises(BlockingIOError):
        os.read(other.output, 6)
    other.close()


def test_a_pool_keeps_few_pipes_and_closes_them_all() -> None:
    before = open_descriptors()
    pool = PipePool()
    pipes = [pipe for _ in range(20) if (pipe := pool.take()) is not None]
    assert len(pipes) == 20

    for pipe in pipes:
        pool.give_back(pipe, held=0)

    assert open_descriptors() == before + 2 * 16
    pool.close()
    assert open_descriptors() == before


def test_a_pool_has_none_when_there_is_no_descriptor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(flags: int) -> tuple[int, int]:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(os, "pipe2", fail)

    assert PipePool().take() is None


def test_a_pool_has_none_when_pipes_would_be_tiny(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The system gives a user who has many pipes small ones only."""

    def fail(descriptor: int, command: int, size: int) -> int:
        raise PermissionError

    before = open_descriptors()
    monkeypatch.setattr(fcntl, "fcntl", fail)

    assert PipePool().take() is None
    assert open_descriptors() == before
