"""Whatever bit of a document is flipped, it is refused.

The fast suite tries some; the session ``slow`` tries every single one of two real
documents, which takes minutes.

"""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.attestation.drafts import NOW, good_chain, good_draft
from tests.attestation.real import VERIFYING, RealDocument
from tests.vectors import needs_vectors
from trionitro.attestation import (
    At,
    AttestationError,
    AttestationPolicy,
    verify_attestation,
)

ANYTHING: Final = AttestationPolicy(allow_debug=True)

WHERE: Final = st.floats(0, 1, exclude_max=True)
BITS: Final = st.integers(0, 7)

#: A document whose payload says how many fields it has, and one where they end with
#: a break.
BOTH_FORMS: Final = [
    real for real in VERIFYING if real.name[-8:] in {"46591b92", "2668d61d"}
]

DOCUMENT: Final = good_draft().signed()

#: Small enough that all processes have something to do until the end.
_PIECE: Final = 64


def flipped(data: bytes, position: int, bit: int) -> bytes:
    changed = bytearray(data)
    changed[position] ^= 1 << bit
    return bytes(changed)


def is_refused(data: bytes) -> bool:
    """Tell whether a real document is; any other exception is a failure."""
    try:
        verify_attestation(data, at=At.DOCUMENT_TIMESTAMP, policy=ANYTHING)
    except AttestationError:
        return True
    return False


def accepted_flips(data: bytes, start: int) -> list[tuple[int, int]]:
    """Flip every bit from the byte ``start`` on, and return those nobody noticed."""
    return [
        (position, bit)
        for position in range(start, min(start + _PIECE, len(data)))
        for bit in range(8)
        if not is_refused(flipped(data, position, bit))
    ]


@given(where=WHERE, bit=BITS)
def test_a_flipped_bit_of_an_emulated_document_is_refused(
    where: float, bit: int
) -> None:
    with pytest.raises(AttestationError):
        verify_attestation(
            flipped(DOCUMENT, int(where * len(DOCUMENT)), bit),
            roots=[good_chain()[0].certificate],
            at=NOW,
        )


@needs_vectors
@given(choice=st.integers(0), where=WHERE, bit=BITS)
def test_a_flipped_bit_of_a_real_document_is_refused(
    choice: int, where: float, bit: int
) -> None:
    data = VERIFYING[choice % len(VERIFYING)].data

    assert is_refused(flipped(data, int(where * len(data)), bit))


@needs_vectors
@pytest.mark.parametrize("document", BOTH_FORMS, ids=lambda real: real.name)
def test_a_flipped_bit_of_a_real_envelope_is_refused(document: RealDocument) -> None:
    """What is around the payload, whose bits are few, and not all of them signed."""
    data = document.data
    around = [*range(12), *range(len(data) - 100, len(data) - 90)]

    accepted = [
        (position, bit)
        for position in around
        for bit in range(8)
        if not is_refused(flipped(data, position, bit))
    ]

    assert not accepted


@needs_vectors
@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "document",
    BOTH_FORMS,
    ids=lambda real: real.name,
)
def test_every_flipped_bit_of_a_real_document_is_refused(
    document: RealDocument,
) -> None:
    data = document.data
    assert not is_refused(data)

    # Forked, because a fresh process would not find the tests: they aren't installed.
    processes = ProcessPoolExecutor(
        len(os.sched_getaffinity(0)), mp_context=get_context("fork")
    )
    with processes:
        pieces = processes.map(
            partial(accepted_flips, data), range(0, len(data), _PIECE)
        )
        accepted = [flip for piece in pieces for flip in piece]

    assert not accepted
