from __future__ import annotations

import copy

import attrs
import pytest

from tests.attestation.drafts import NOW, good_draft
from trionitro.attestation import (
    AttestationDocument,
    UnverifiedDocument,
    decode_attestation_untrusted,
    verify_attestation,
)


def verified() -> AttestationDocument:
    draft = good_draft()
    return verify_attestation(
        draft.signed(), roots=[draft.chain[0].certificate], at=NOW
    )


def test_nobody_else_can_make_one() -> None:
    fields = attrs.asdict(verified(), recurse=False)

    with pytest.raises(TypeError, match="verify_attestation"):
        AttestationDocument(**fields)
    with pytest.raises(TypeError, match="verify_attestation"):
        attrs.evolve(verified(), nonce=b"another")  # type: ignore[call-arg]


def test_nobody_can_change_one() -> None:
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        verified().nonce = b"another"  # type: ignore[misc]
    with pytest.raises(TypeError):
        verified().pcrs[0] = bytes(48)  # type: ignore[index]


def test_an_unverified_document_is_not_one() -> None:
    unverified: object = decode_attestation_untrusted(good_draft().signed())

    assert not isinstance(unverified, AttestationDocument)
    assert not issubclass(AttestationDocument, UnverifiedDocument)


def test_a_copy_is_as_good() -> None:
    document = verified()

    assert copy.copy(document) == document


def test_it_prints_its_pcrs_as_everybody_does() -> None:
    assert "{0: '010101" in repr(verified())
