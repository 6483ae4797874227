"""Who asks for an answer that only an enclave can open: the Recipient of a request."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any, Final, NoReturn

import attrs
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key

from trionitro.attestation import (
    AttestationDocument,
    AttestationError,
    AttestationPolicy,
    verify_attestation,
)
from trionitro.testing._kms._faults import validation

__all__ = ["RECIPIENT_ALGORITHMS", "Recipient", "admit_recipient"]

RECIPIENT_ALGORITHMS: Final = ("RSAES_OAEP_SHA_256",)

_RSA_SIZES: Final = (2048, 3072, 4096)


@attrs.frozen
class Recipient:
    """An enclave that KMS believes in.

    Attributes:
      document: verified.
      key: the public key in it.

    """

    document: AttestationDocument
    key: rsa.RSAPublicKey


def admit_recipient(
    member: dict[str, Any],
    *,
    roots: Iterable[x509.Certificate],
    now: dt.datetime,
    max_age: dt.timedelta,
) -> Recipient:
    """Verify the document of a request.

    An enclave in debug mode is admitted, as it is by KMS: its PCR0 is zero, and it is
    for the key policy to say what it thinks of that.

    Args:
      member: the ``Recipient``, within its limits.
      roots: whom to trust.
      now: the time.
      max_age: how old the document may be.

    Raises:
      KmsFault: if it can't be believed, or has no RSA key.

    """
    for name in ("KeyEncryptionAlgorithm", "AttestationDocument"):
        if name not in member:
            _refuse(f"the Recipient has no {name}")
    policy = AttestationPolicy(allow_debug=True, max_age=max_age)
    try:
        document = verify_attestation(
            member["AttestationDocument"], roots=roots, at=now, policy=policy
        )
    except AttestationError as problem:
        _refuse(f"the attestation document is refused: {problem}")
    return Recipient(document, _rsa_key(document.public_key))


def _rsa_key(spki: bytes | None) -> rsa.RSAPublicKey:
    if not spki:
        _refuse("the attestation document has no public_key")
    try:
        key = load_der_public_key(spki)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        _refuse(
            "the public_key of the attestation document is no SubjectPublicKeyInfo in"
            " DER"
        )
    if not isinstance(key, rsa.RSAPublicKey) or key.key_size not in _RSA_SIZES:
        _refuse(
            "the public_key of the attestation document is no RSA key of 2048, 3072 or"
            " 4096 bits"
        )
    return key


def _refuse(message: str) -> NoReturn:
    # What KMS answers here, nobody has published.
    raise validation(message[0].upper() + message[1:] + ".")
