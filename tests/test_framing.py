from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trionitro import ProtocolError
from trionitro._framing import MAX_FRAME_SIZE, FrameDecoder, encode_frame

frames = st.lists(st.binary(max_size=40), max_size=8)


def chunked(data: bytes, cuts: list[int]) -> list[bytes]:
    """Cut ``data`` at these places, wherever they fall."""
    places = sorted({cut % (len(data) + 1) for cut in cuts} | {0, len(data)})
    return [data[start:end] for start, end in pairwise(places)]


def drain(decoder: FrameDecoder) -> list[bytes]:
    found = []
    while (frame := decoder.next_frame_untrusted()) is not None:
        found.append(frame)
    return found


def held(decoder: FrameDecoder) -> int:
    return len(decoder._buffer)


def test_a_frame_is_a_big_endian_length_and_the_payload() -> None:
    assert encode_frame(b"abc") == b"\x00\x00\x00\x03abc"
    assert encode_frame(b"x" * 258)[:4] == b"\x00\x00\x01\x02"


@given(frames, st.lists(st.integers(min_value=0)))
def test_any_chunking_gives_the_same_frames(
    payloads: list[bytes], cuts: list[int]
) -> None:
    data = b"".join(encode_frame(payload) for payload in payloads)
    decoder = FrameDecoder()
    received = []

    for chunk in chunked(data, cuts):
        decoder.receive_data(chunk)
        received += drain(decoder)
    decoder.receive_data(b"")

    assert received == payloads
    assert decoder.next_frame_untrusted() is None


@given(st.lists(st.binary(min_size=1)), st.integers(0, 64))
def test_arbitrary_bytes_raise_nothing_but_protocol_error(
    chunks: list[bytes], max_size: int
) -> None:
    decoder = FrameDecoder(max_size)
    try:
        for chunk in [*chunks, b""]:
            decoder.receive_data(chunk)
            drain(decoder)
    except ProtocolError:
        pass
    else:
        assert held(decoder) == 0


@given(st.lists(st.binary(min_size=1, max_size=50)), st.integers(0, 64))
def test_no_more_is_held_than_one_frame_and_one_chunk(
    chunks: list[bytes], max_size: int
) -> None:
    decoder = FrameDecoder(max_size)
    for chunk in chunks:
        decoder.receive_data(chunk)
        assert held(decoder) <= 4 + max_size + len(chunk)
        try:
            drain(decoder)
        except ProtocolError:
            assert held(decoder) == 0


@given(st.binary(min_size=1, max_size=40), st.data())
def test_an_end_of_file_inside_a_frame_says_how_much_of_it_came(
    payload: bytes, data: st.DataObject
) -> None:
    frame = encode_frame(payload)
    cut = data.draw(st.integers(1, len(frame) - 1))
    whole = len(frame) if cut >= 4 else 4
    decoder = FrameDecoder()
    decoder.receive_data(frame[:cut])
    assert decoder.next_frame_untrusted() is None

    decoder.receive_data(b"")

    with pytest.raises(ProtocolError, match=rf"\({cut} of {whole} bytes\)"):
        decoder.next_frame_untrusted()


def test_whole_frames_before_an_unclean_end_of_file_are_delivered() -> None:
    decoder = FrameDecoder()
    decoder.receive_data(encode_frame(b"whole") + b"\x00")
    decoder.receive_data(b"")

    assert decoder.next_frame_untrusted() == b"whole"
    with pytest.raises(ProtocolError, match=r"1 of 4 bytes"):
        decoder.next_frame_untrusted()


def test_too_long_a_frame_is_refused_as_soon_as_it_is_announced() -> None:
    decoder = FrameDecoder(max_size=10)
    decoder.receive_data(b"\x00\x00\x00\x0b")

    with pytest.raises(
        ProtocolError, match="frame of 11 bytes exceeds the limit of 10"
    ):
        decoder.next_frame_untrusted()


def test_an_error_is_for_ever() -> None:
    decoder = FrameDecoder(max_size=1)
    decoder.receive_data(b"\xff\xff\xff\xff")
    for _ in range(2):
        with pytest.raises(ProtocolError, match="4294967295"):
            decoder.next_frame_untrusted()

    decoder.receive_data(encode_frame(b"x"))
    decoder.receive_data(b"")

    with pytest.raises(ProtocolError, match="4294967295"):
        decoder.next_frame_untrusted()
    assert held(decoder) == 0


def test_the_limit_is_the_longest_payload_that_passes_both_ways() -> None:
    longest = b"x" * MAX_FRAME_SIZE
    decoder = FrameDecoder()
    decoder.receive_data(encode_frame(longest))

    assert decoder.next_frame_untrusted() == longest
    with pytest.raises(
        ValueError, match="frame of 65537 bytes exceeds the limit of 65536"
    ):
        encode_frame(longest + b"x")


def test_the_limit_can_be_set() -> None:
    assert encode_frame(b"x" * MAX_FRAME_SIZE + b"x", max_size=2**20)
    with pytest.raises(ValueError, match="exceeds the limit of 2"):
        encode_frame(b"xyz", max_size=2)


@pytest.mark.parametrize("size", [-1, 2**32])
def test_a_limit_that_no_header_can_announce_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match=f"max_size must be .*, was {size}"):
        FrameDecoder(size)


def test_bytes_after_end_of_file_are_a_bug_of_the_caller() -> None:
    decoder = FrameDecoder()
    decoder.receive_data(b"")
    decoder.receive_data(b"")

    with pytest.raises(RuntimeError, match="received end-of-file, then"):
        decoder.receive_data(b"x")


def test_a_repr_shows_no_payload() -> None:
    decoder = FrameDecoder()
    decoder.receive_data(encode_frame(b"secret!")[:-1])

    assert "secret" not in repr(decoder)
