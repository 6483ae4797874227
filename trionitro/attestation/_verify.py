"""From bytes that anybody may have sent to a document that proves something."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Final

from cryptography import x509

from trionitro.attestation._chain import check_chain_untrusted, signing_key_of
from trionitro.attestation._cose import ES384, decode_cose_untrusted
from trionitro.attestation._document import read_document_untrusted
from trionitro.attestation._errors import UnsupportedAlgorithm
from trionitro.attestation._policy import AttestationPolicy
from trionitro.attestation._roots import AWS_NITRO_ROOTS
from trionitro.attestation._times import At, now
from trionitro.attestation._verified import AttestationDocument, vouch_for

__all__ = ["verify_attestation"]

#: Any enclave, but for those in debug mode.
_ANY_ENCLAVE: Final = AttestationPolicy()


def verify_attestation(
    data: bytes,
    *,
    roots: Iterable[x509.Certificate] = AWS_NITRO_ROOTS,
    at: dt.datetime | At | None = None,
    policy: AttestationPolicy = _ANY_ENCLAVE,
) -> AttestationDocument:
    """Verify a document, whoever it comes from.

    It computes for some milliseconds. Where a Trio program's other tasks can't wait
    for that, call it with :func:`trio.to_thread.run_sync`.

    Args:
      data: a COSE_Sign1 of up to 16 KiB, as the security module returns it.
      roots: whom to trust. An emulator's root has to be given here.
      at: when the certificates have to be valid: None for now, or a time with a zone.
          ``At.DOCUMENT_TIMESTAMP`` is for documents from an archive. It takes the
          time from the document, and so proves that it was genuine then, but not how
          long ago that is.
      policy: what else the document has to be.

    Returns:
      What it says. No other function returns this type.

    Raises:
      AttestationError: whatever ``data`` is, if it isn't a document that fits; the
          subclass says why.
      ValueError: if ``at`` has no zone.

    """
    if isinstance(at, dt.datetime) and at.tzinfo is None:
        raise ValueError(f"the time {at} has no zone: write for example {now()!r}")
    envelope = decode_cose_untrusted(data)
    if envelope.algorithm != ES384:
        raise UnsupportedAlgorithm(envelope.algorithm)
    document = read_document_untrusted(envelope)
    certificates = (*document.cabundle, document.certificate)
    moment = document.timestamp if at is At.DOCUMENT_TIMESTAMP else at or now()
    chain = check_chain_untrusted(certificates, roots, moment)
    envelope.check_signature(signing_key_of(chain[-1]))
    verified = vouch_for(document, chain)
    policy.check(verified, at=at)
    return verified
