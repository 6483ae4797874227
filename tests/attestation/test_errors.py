from __future__ import annotations

import datetime as dt
import pickle

import pytest

from tests.attestation.drafts import NOW
from trionitro import attestation
from trionitro.attestation import (
    AttestationError,
    BadSignature,
    CertificateExpired,
    CertificateNotYetValid,
    DebugEnclave,
    DocumentFromFuture,
    DocumentTooOld,
    LeafIsAuthority,
    MalformedCertificate,
    MalformedDocument,
    ModuleIdMismatch,
    NitroTpmDocument,
    NonceMismatch,
    NotAnAuthority,
    PathTooLong,
    PcrMismatch,
    PolicyMismatch,
    PublicKeyMismatch,
    UnknownCriticalExtension,
    UnsupportedAlgorithm,
    UntrustedChain,
    UntrustedRoot,
    UserDataMismatch,
    WrongKeyUsage,
    WrongOrder,
)

#: What an enclave might call itself.
NAME = "\x1b[2J\nfine\u202e" + 1000 * "x"
LATER = NOW + dt.timedelta(hours=4)
LONG = bytes(1024)

ERRORS = [
    BadSignature(),
    CertificateExpired(NAME, NOW, LATER),
    CertificateNotYetValid(NAME, LATER, NOW),
    DebugEnclave(),
    DocumentFromFuture(LATER, NOW, dt.timedelta(minutes=5)),
    DocumentTooOld(NOW, LATER, dt.timedelta(minutes=5)),
    LeafIsAuthority(NAME),
    MalformedCertificate(3, "it is empty"),
    MalformedDocument("it is empty"),
    ModuleIdMismatch(NAME, NAME),
    NitroTpmDocument(NAME),
    NonceMismatch(LONG, None),
    NotAnAuthority(NAME),
    PathTooLong(NAME, 0, 1),
    PcrMismatch(0, LONG[:48], None),
    PublicKeyMismatch(b"", LONG),
    UnknownCriticalExtension(NAME, "1.2.3"),
    UnsupportedAlgorithm(-1),
    UnsupportedAlgorithm(None),
    UntrustedChain("it doesn't hold"),
    UntrustedRoot(LONG[:32]),
    UserDataMismatch(LONG, b""),
    WrongKeyUsage(NAME, "keyCertSign"),
    WrongOrder(NAME, NAME),
]


def test_every_error_is_looked_at_here() -> None:
    exported = {
        value
        for value in vars(attestation).values()
        if isinstance(value, type) and issubclass(value, AttestationError)
    }

    assert exported == {*map(type, ERRORS), AttestationError, PolicyMismatch}


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_a_message_is_one_short_line_whatever_somebody_is_called(
    error: AttestationError,
) -> None:
    assert str(error).isprintable()
    assert len(str(error)) < 500


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_can_go_to_another_process(error: AttestationError) -> None:
    copy = pickle.loads(pickle.dumps(error))

    assert type(copy) is type(error)
    assert str(copy) == str(error)


def test_a_mismatch_has_its_facts() -> None:
    error = PcrMismatch(index=4, expected=b"a", actual=b"b")

    assert (error.index, error.expected, error.actual) == (4, b"a", b"b")
    assert str(error) == "PCR4 is 62, must be 61"
