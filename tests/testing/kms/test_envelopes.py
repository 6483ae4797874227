"""Envelopes of the emulator: the client opens them, and they look like KMS's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.testing.kms.worlds import rsa_key
from tests.vectors import needs_vectors, vectors
from trionitro.kms._envelope import MAX_ENVELOPE_SIZE, open_envelope_untrusted
from trionitro.testing import EnvelopeShape
from trionitro.testing._kms._envelopes import seal_envelope

PUBLIC = rsa_key().public_key()


@given(st.binary(max_size=4096), st.sampled_from(EnvelopeShape))
def test_the_recipient_opens_it(plaintext: bytes, shape: EnvelopeShape) -> None:
    sealed = seal_envelope(plaintext, PUBLIC, shape)

    assert len(sealed) <= MAX_ENVELOPE_SIZE
    assert open_envelope_untrusted(sealed, rsa_key()) == plaintext


def test_the_shapes_differ() -> None:
    sizes = {len(seal_envelope(bytes(3000), PUBLIC, shape)) for shape in EnvelopeShape}

    assert len(sizes) == 3


def tags(data: bytes, depth: int = 0) -> list[str]:
    """List the tags and lengths of BER, without the values, as the vectors' JSON."""
    found, position = [], 0
    while position < len(data) and data[position : position + 2] != b"\0\0":
        tag, length, start = data[position], data[position + 1], position + 2
        if length == 0x80:
            inner = tags(data[start:], depth + 1)
            end = start + consumed(data[start:])
            found += [f"{' ' * depth}{tag:02x} indefinite", *inner]
            position = end
            continue
        if length > 0x80:
            size = length & 0x7F
            length = int.from_bytes(data[start : start + size])
            start += size
        found.append(f"{' ' * depth}{tag:02x} {length}")
        if tag & 0x20:
            found += tags(data[start : start + length], depth + 1)
        position = start + length
    return found


def consumed(data: bytes) -> int:
    """Return how many bytes there are up to the end-of-contents, and with it."""
    position = 0
    while data[position : position + 2] != b"\0\0":
        length, start = data[position + 1], position + 2
        if length == 0x80:
            position = start + consumed(data[start:])
            continue
        if length > 0x80:
            size = length & 0x7F
            length = int.from_bytes(data[start : start + size])
            start += size
        position = start + length
    return position + 2


@needs_vectors
@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("aws_sdk_c_constructed", EnvelopeShape.CONSTRUCTED),
        ("aws_sdk_c_primitive_ctx", EnvelopeShape.PRIMITIVE),
    ],
)
def test_it_has_the_shape_of_a_real_answer(name: str, shape: EnvelopeShape) -> None:
    (file,) = vectors(f"cms/{name}.ber")
    told: dict[str, Any] = json.loads(Path(file).with_suffix(".json").read_text())
    # Its plaintext is not known, but how many blocks it took is.
    size = len(bytes.fromhex(told["structure"]["content"])) - 1

    sealed = seal_envelope(bytes(size), PUBLIC, shape)

    assert tags(sealed) == tags(file.read_bytes())
