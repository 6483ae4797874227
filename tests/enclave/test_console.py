from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import trio
from structlog.testing import capture_logs

from trionitro.enclave import Console


@pytest.fixture(name="pipe")
def _pipe() -> Iterator[tuple[int, int]]:
    read, write = os.pipe()
    yield read, write
    os.close(read)
    os.close(write)


async def test_both_streams_are_written(pipe: tuple[int, int]) -> None:
    console = Console(stdout=pipe[1], stderr=pipe[1])

    async with trio.open_nursery() as nursery:
        nursery.start_soon(console.serve)
        console.write("stdout", b"out\n")
        console.write("stderr", b"err\n")
        await console.finish()

    assert os.read(pipe[0], 100) == b"out\nerr\n"


async def test_a_console_that_nobody_reads_makes_nobody_wait(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trionitro.enclave._console._PATIENCE", 0.05)
    console = Console(stdout=pipe[1])

    with capture_logs() as log:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(console.serve)
            for _ in range(100):
                console.write("stdout", bytes(2**16))
            await console.finish()
            nursery.cancel_scope.cancel()

    assert "the console was too slow" in [line["event"] for line in log]


async def test_a_console_that_is_gone_is_no_error(pipe: tuple[int, int]) -> None:
    console = Console(stdout=2**20)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(console.serve)
        console.write("stdout", b"out\n")
        await console.finish()
