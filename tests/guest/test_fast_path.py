"""The relay's fast path between TCP and a real AF_VSOCK."""

from __future__ import annotations

import os
import random
import stat
from collections import Counter
from collections.abc import Callable

import pytest
import trio

from tests.relay_world import TCP, VSOCK, Pair, receive_all, relayed, send_and_eof
from trionitro import Ending

BULK = random.Random(1).randbytes(8 * 2**20)


@pytest.fixture(name="spliced")
def _spliced(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count the bytes that are spliced into pipes, and out of them."""
    counts: Counter[str] = Counter()
    splice: Callable[..., int] = os.splice

    def counting(source: int, sink: int, size: int, *, flags: int) -> int:
        moved = splice(source, sink, size, flags=flags)
        into = stat.S_ISFIFO(os.fstat(sink).st_mode)
        counts["in" if into else "out"] += moved
        return moved

    monkeypatch.setattr(os, "splice", counting)
    return counts


async def converse(pair: Pair, question: bytes, answer: bytes) -> None:
    """Check that both arrive whole, one after the other."""
    async with relayed(pair) as world:
        for sender, receiver, said in (
            (world.client, world.server, question),
            (world.server, world.client, answer),
        ):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(send_and_eof, sender, said)
                assert await receive_all(receiver) == said
        assert await world.ending() is Ending.FINISHED


async def test_bulk_from_tcp_is_spliced_into_the_vsock(spliced: Counter[str]) -> None:
    await converse(Pair(TCP, VSOCK), BULK, b"")

    assert spliced["in"] == spliced["out"] > len(BULK) / 2


async def test_bulk_from_the_vsock_is_copied_to_tcp(spliced: Counter[str]) -> None:
    """The kernel has no splice_read for AF_VSOCK: splicing would copy, and ask more."""
    await converse(Pair(VSOCK, TCP), BULK, b"")

    assert not spliced


@pytest.mark.parametrize(
    "pair", [Pair(TCP, VSOCK), Pair(VSOCK, TCP), Pair(VSOCK, VSOCK)], ids=str
)
async def test_bulk_arrives_whole_each_way(pair: Pair) -> None:
    await converse(pair, BULK, BULK[::-1])
