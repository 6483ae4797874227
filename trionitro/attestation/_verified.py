"""The type that says: this document was verified."""

from __future__ import annotations

from typing import final

import attrs
from cryptography import x509

from trionitro.attestation._document import DocumentContents, UnverifiedDocument

__all__ = ["AttestationDocument", "vouch_for"]


@final
@attrs.frozen(kw_only=True, init=False)
class AttestationDocument(DocumentContents):
    """A document that was signed under a trusted root, and fits its policy.

    Only :func:`.verify_attestation` returns one; the class can't be called. So
    whoever is given one need not ask whether anybody has looked. That is a guard
    against mistakes: code in your own process that is out to forge one will.

    Attributes:
      module_id: whose it is: ``<instance id>-enc<number>``.
      timestamp: when it was made; to the millisecond, with the zone UTC.
      pcrs: by index; 48 bytes each. Only PCRs that were locked are listed.
      certificate: the signer's, as DER.
      cabundle: those from the root to the signer's issuer, as DER.
      public_key: up to 1024 bytes in whatever form, or None where it is null.
      user_data: up to 1024 bytes, or None where it is null.
      nonce: up to 1024 bytes, or None where it is null.
      chain: all certificates, from the root to the signer's.

    """

    chain: tuple[x509.Certificate, ...] = attrs.field(repr=False)

    def __init__(self, *_: object, **__: object) -> None:
        """Refuse: what this class says of a document is for its maker to check.

        Raises:
          TypeError: always.

        """
        raise TypeError(
            "an AttestationDocument can't be made by hand: verify_attestation() returns"
            " one"
        )


def vouch_for(
    document: UnverifiedDocument, chain: tuple[x509.Certificate, ...]
) -> AttestationDocument:
    """Return the document that was verified by following ``chain``.

    This is for :func:`.verify_attestation` alone.

    """
    fields = {
        field.name: getattr(document, field.name)
        for field in attrs.fields(DocumentContents)
    }
    # attrs writes this one because the class has an __init__ of its own, which says no.
    verified = object.__new__(AttestationDocument)
    verified.__attrs_init__(**fields, chain=chain)
    return verified
