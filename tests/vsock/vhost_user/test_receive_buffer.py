"""ReceiveBuffer: a queue of bytes that copies little, and holds little more."""

from __future__ import annotations

import sys

from hypothesis import given
from hypothesis import strategies as st

from trionitro.vsock._vhost_user._receive_buffer import ReceiveBuffer

#: Both sides of what is copied together, and of what one of these gets to be.
SIZES = st.sampled_from([0, 1, 7, 4095, 4096, 4097, 30_000, 65_536])


def sized(buffer: ReceiveBuffer) -> int:
    """How many bytes of memory the pieces take up."""
    return sys.getsizeof(buffer._pieces) + sum(map(sys.getsizeof, buffer._pieces))


@given(
    steps=st.lists(st.tuples(st.booleans(), SIZES.filter(bool)), max_size=40),
)
def test_what_is_put_in_comes_out(steps: list[tuple[bool, int]]) -> None:
    buffer, expected, number = ReceiveBuffer(), b"", 0

    for putting, size in steps:
        if putting:
            number += 1
            piece = bytes([number]) * size
            buffer.append(piece)
            expected += piece
        else:
            taken = buffer.take(size)
            assert isinstance(taken, bytes)
            assert taken == expected[:size]
            expected = expected[size:]
        assert len(buffer) == len(expected)


def test_nothing_is_no_piece() -> None:
    buffer = ReceiveBuffer()

    buffer.append(b"")

    assert not buffer
    assert buffer.take(5) == b""


def test_a_large_piece_that_is_taken_whole_is_not_copied() -> None:
    buffer, piece = ReceiveBuffer(), bytes(10_000)

    buffer.append(piece)

    assert buffer.take(10_000) is piece


def test_single_bytes_take_up_no_more_memory_than_large_pieces() -> None:
    buffer = ReceiveBuffer()

    for _ in range(2**18):
        buffer.append(b"x")

    assert sized(buffer) < 1.2 * 2**18


def test_what_is_cleared_is_gone() -> None:
    buffer = ReceiveBuffer()
    buffer.append(b"hello")
    buffer.take(2)

    buffer.clear()
    buffer.append(b"again")

    assert buffer.take(9) == b"again"
