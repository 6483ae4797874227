from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trionitro.testing._kms._ciphertexts import (
    Ciphertext,
    decrypt,
    encrypt,
    parse_ciphertext_untrusted,
)
from trionitro.testing._kms._faults import KmsFault
from trionitro.testing._kms._keys import Key

KEY = Key(
    arn="arn:aws:kms:us-east-1:111122223333:key/1",
    spec="SYMMETRIC_DEFAULT",
    usage="ENCRYPT_DECRYPT",
    material=bytes(32),
    policy_text="{}",
    created=dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
)

contexts = st.dictionaries(st.text(max_size=4), st.text(max_size=4), max_size=3)


def opened(blob: bytes, context: dict[str, str]) -> bytes:
    return decrypt(KEY, parse_ciphertext_untrusted(blob), context)


@given(st.binary(min_size=1, max_size=100), contexts)
def test_what_was_encrypted_is_decrypted_under_the_same_context(
    plaintext: bytes, context: dict[str, str]
) -> None:
    blob = encrypt(KEY, plaintext, context)

    assert parse_ciphertext_untrusted(blob).key_arn == KEY.arn
    assert opened(blob, dict(reversed(context.items()))) == plaintext


@given(contexts, contexts)
def test_no_other_context_opens_it(ours: dict[str, str], other: dict[str, str]) -> None:
    if ours == other:
        return
    blob = encrypt(KEY, b"secret", ours)

    with pytest.raises(KmsFault, match="InvalidCiphertextException"):
        opened(blob, other)


def test_every_flipped_byte_is_refused() -> None:
    blob = encrypt(KEY, b"secret", {})

    for index in range(len(blob)):
        wrong = bytearray(blob)
        wrong[index] ^= 1
        with pytest.raises(KmsFault, match="InvalidCiphertextException"):
            opened(bytes(wrong), {})


@given(
    st.binary(max_size=100)
    | st.binary(max_size=60).map(lambda x: b"trionitro-kms\1" + x)
)
def test_arbitrary_bytes_are_refused(blob: bytes) -> None:
    try:
        found = parse_ciphertext_untrusted(blob)
    except KmsFault as fault:
        assert fault.to_json() == {"__type": "InvalidCiphertextException"}  # noqa: PT017
        return
    assert isinstance(found, Ciphertext)
    with pytest.raises(KmsFault, match="InvalidCiphertextException"):
        decrypt(KEY, found, {})


def test_nothing_is_encrypted_the_same_way_twice() -> None:
    assert encrypt(KEY, b"x", {}) != encrypt(KEY, b"x", {})
