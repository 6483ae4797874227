"""Envelopes of KMS open, and nothing else does; all that fails, fails alike."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from hypothesis import example, given
from hypothesis import strategies as st

from tests.kms.envelopes import END, OAEP_SHA256, endless, envelope, pad, rsa_key, tlv
from tests.vectors import needs_vectors, vectors
from trionitro import ProtocolError
from trionitro.kms._envelope import (
    MAX_ENVELOPE_SIZE,
    open_envelope_untrusted,
    parse_envelope_untrusted,
)

FILES = vectors("cms/*.json")
KEYED = [file for file in FILES if "private_key" in json.loads(file.read_text())]
GOOD = [file for file in FILES if file.stem != "old_empty_oaep_params"]


@needs_vectors
@pytest.mark.parametrize("file", GOOD, ids=lambda file: file.stem)
def test_answers_of_kms_are_read_as_they_are(file: Path) -> None:
    structure = json.loads(file.read_text())["structure"]

    parsed = parse_envelope_untrusted(file.with_suffix(".ber").read_bytes())

    assert parsed.recipient.hex() == structure["rid"]
    assert parsed.encrypted_key.hex() == structure["enc_key"]
    assert parsed.iv.hex() == structure["iv"]
    assert parsed.content.hex() == structure["content"]


@needs_vectors
@pytest.mark.parametrize("file", KEYED, ids=lambda file: file.stem)
def test_answers_of_kms_open_with_their_keys(file: Path) -> None:
    vector = json.loads(file.read_text())
    key = load_pem_private_key((file.parent / vector["private_key"]).read_bytes(), None)
    assert isinstance(key, rsa.RSAPrivateKey)

    plaintext = open_envelope_untrusted(file.with_suffix(".ber").read_bytes(), key)

    assert plaintext.hex() == vector["plaintext"]


@needs_vectors
def test_answers_of_the_days_of_sha_1_are_refused() -> None:
    (file,) = vectors("cms/old_empty_oaep_params.ber")

    with pytest.raises(ProtocolError, match="SHA-256"):
        parse_envelope_untrusted(file.read_bytes())


@pytest.mark.parametrize("chunks", [1, 2, 5])
@pytest.mark.parametrize("plaintext", [b"", b"x" * 15, b"y" * 16, b"z" * 3000])
def test_chunks_are_joined(plaintext: bytes, chunks: int) -> None:
    data = envelope(plaintext, chunks=chunks)

    assert open_envelope_untrusted(data, rsa_key()) == plaintext


def test_larger_keys_open_too() -> None:
    data = envelope(b"secret", key=rsa_key(3072))

    assert open_envelope_untrusted(data, rsa_key(3072)) == b"secret"


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (envelope(recipients=2), "one recipient"),
        (envelope(recipients=0), "one recipient"),
        (envelope(version=0), "versions"),
        (envelope(iv_size=15), "IV"),
        (envelope(padded=b""), "whole blocks"),
        (envelope() + b"x", "after"),
        (envelope(oaep=tlv(0x30, OAEP_SHA256[2:13] + b"\x30\x00")), "SHA-256"),
        (envelope(oaep=tlv(0x30, OAEP_SHA256[2:13])), "EnvelopedData"),
        (envelope(oaep=OAEP_SHA256.replace(b"\x01\x07", b"\x01\x01", 1)), "types"),
        (envelope()[: -len(END)], "without an element"),
        (b"x" * (MAX_ENVELOPE_SIZE + 1), "limit"),
        (endless(0x30, tlv(0x06, b"\x2a")), "EnvelopedData"),
        (tlv(0x04, b"x"), "EnvelopedData"),
        (tlv(0x30, tlv(0x06, b"\xff" * 5000)), "EnvelopedData"),
        (b"\x30\x80" * 3000, "depth"),
        (b"\x24\x80" * 15 + END * 15, "EnvelopedData"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_envelope_of_kms_is_refused(data: bytes, word: str) -> None:
    with pytest.raises(ProtocolError, match=word):
        open_envelope_untrusted(data, rsa_key())


def with_a_broken_content_key() -> bytes:
    data = bytearray(envelope())
    data[data.index(b"\x04\x82\x01\x00") + 20] ^= 1
    return bytes(data)


def test_whatever_fails_after_parsing_fails_alike() -> None:
    good = pad(b"plaintext")
    failing = [
        envelope(key=rsa_key(3072)),
        envelope(rid=b"x" * 32),
        envelope(cek=b"a key of AES-128"),
        envelope(padded=good[:-1] + b"\0"),
        envelope(padded=good[:-1] + b"\x11"),
        envelope(padded=good[:-2] + b"\x06\x07"),
        with_a_broken_content_key(),
    ]

    errors = set()
    for data in failing:
        with pytest.raises(ProtocolError) as caught:
            open_envelope_untrusted(data, rsa_key())
        errors.add((str(caught.value), caught.value.__cause__))

    assert errors == {("an envelope that this key doesn't open", None)}


def test_an_envelope_shows_no_bytes_of_the_content() -> None:
    assert "content" not in repr(parse_envelope_untrusted(envelope()))


EXAMPLE = envelope(b"a secret that is never in an error", chunks=2)


@given(place=st.integers(0, len(EXAMPLE) - 1), flip=st.integers(1, 255))
def test_any_changed_byte_opens_or_is_a_protocol_error(place: int, flip: int) -> None:
    data = bytearray(EXAMPLE)
    data[place] ^= flip

    with contextlib.suppress(ProtocolError):
        assert isinstance(open_envelope_untrusted(bytes(data), rsa_key()), bytes)


elements = st.recursive(
    st.tuples(
        st.sampled_from([0x02, 0x03, 0x04, 0x05, 0x06, 0x09, 0x0A, 0x0C, 0x17, 0x80]),
        st.binary(max_size=12),
    ).map(lambda pair: tlv(*pair)),
    lambda inner: st.tuples(
        st.sampled_from([0x30, 0x31, 0xA0, 0xA1, 0x24, 0x23]),
        st.lists(inner, max_size=3),
    ).flatmap(
        lambda pair: st.sampled_from(
            [tlv(pair[0], b"".join(pair[1])), endless(pair[0], *pair[1])]
        )
    ),
    max_leaves=15,
)


@given(st.binary(max_size=200) | elements)
@example(b"")
def test_any_bytes_are_an_envelope_or_a_protocol_error(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        parse_envelope_untrusted(data)


@given(st.integers(0, len(EXAMPLE) - 1), elements)
def test_an_element_put_anywhere_is_an_envelope_or_a_protocol_error(
    place: int, element: bytes
) -> None:
    with contextlib.suppress(ProtocolError):
        parse_envelope_untrusted(EXAMPLE[:place] + element + EXAMPLE[place:])
