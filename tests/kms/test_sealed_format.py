from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trionitro.kms import SealedError
from trionitro.kms._sealed_format import (
    MAX_FILE_SIZE,
    open_sealed_untrusted,
    parse_sealed_untrusted,
    seal,
)

KEY = os.urandom(32)
CONTEXT = {"trionitro:name": "a", "trionitro:identity": "signer"}


def example(secret: bytes = b"secret", counter: int = 7) -> bytes:
    return seal(secret, key=KEY, data_key=b"data key", context=CONTEXT, counter=counter)


def open_it(data: bytes, key: bytes = KEY, context: dict[str, str] = CONTEXT) -> bytes:
    return open_sealed_untrusted(parse_sealed_untrusted(data), key=key, context=context)


@given(st.binary(max_size=100), st.integers(0, 2**64 - 1))
def test_what_was_sealed_opens(secret: bytes, counter: int) -> None:
    data = example(secret, counter)

    file = parse_sealed_untrusted(data)

    assert (file.counter, file.data_key) == (counter, b"data key")
    assert open_it(data) == secret


def test_the_format_is_as_documented() -> None:
    data = example()

    assert data.startswith(b"TRIOSEAL\x01" + (7).to_bytes(8) + b"\x00\x08data key")
    assert len(data) == 8 + 1 + 8 + 2 + 8 + 12 + len(b"secret") + 16
    assert b"secret" not in data


@given(st.integers(0, len(example()) - 1), st.integers(1, 255))
def test_any_changed_byte_is_noticed(place: int, flip: int) -> None:
    data = bytearray(example())
    data[place] ^= flip

    with pytest.raises(SealedError):
        open_it(bytes(data))


@given(st.integers(0, len(example()) - 1))
def test_what_is_cut_off_is_noticed(size: int) -> None:
    with pytest.raises(SealedError):
        open_it(example()[:size])


@pytest.mark.parametrize(
    "context",
    [{}, {**CONTEXT, "trionitro:name": "b"}, {**CONTEXT, "trionitro:identity": "x"}],
)
def test_another_name_or_identity_does_not_open_it(context: dict[str, str]) -> None:
    with pytest.raises(SealedError, match="something else"):
        open_it(example(), context=context)


def test_another_key_does_not_open_it() -> None:
    for key in (os.urandom(32), b"short"):
        with pytest.raises(SealedError):
            open_it(example(), key=key)


@given(st.binary() | st.binary().map(b"TRIOSEAL\x01".__add__))
def test_any_bytes_are_a_sealed_error(data: bytes) -> None:
    with pytest.raises(SealedError):
        open_it(data)


def test_a_later_version_and_too_long_a_file_are_named() -> None:
    with pytest.raises(SealedError, match="version 2"):
        parse_sealed_untrusted(b"TRIOSEAL\x02" + bytes(100))
    with pytest.raises(SealedError, match="longer"):
        parse_sealed_untrusted(bytes(MAX_FILE_SIZE + 1))


def test_nothing_of_the_content_is_in_the_repr() -> None:
    assert repr(parse_sealed_untrusted(example())) == "SealedFile(counter=7)"
