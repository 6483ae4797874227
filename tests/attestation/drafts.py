"""Documents with one thing wrong: a draft is changed, and then really signed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from functools import cache
from typing import Any, Final, Self

import attrs

from trionitro.testing._attestation_issuer import (
    MapForm,
    encode_payload,
    sign_document,
)
from trionitro.testing._attestation_pki import (
    CertificateProfile,
    SigningCertificate,
    aws_profiles,
    issue_certificate,
    issue_chain,
    root_profile,
)

MODULE_ID: Final = "i-0123456789abcdef0-enc0123456789abcdef"

#: When every draft is made, unless it says otherwise.
NOW: Final = dt.datetime(2025, 8, 18, 12, 0, 0, 250_000, tzinfo=dt.UTC)

PCRS: Final = {index: bytes([index + 1]) * 48 for index in range(16)}

#: Positions in a chain.
ROOT, REGION, ZONE, INSTANCE, LEAF = range(5)

Chain = tuple[SigningCertificate, ...]


@cache
def good_chain() -> Chain:
    """Return certificates as AWS would issue them, at ``NOW``."""
    return chain_of(profiles())


def profiles() -> list[CertificateProfile]:
    """Describe a good chain, the root first."""
    return [root_profile(), *aws_profiles(MODULE_ID, "us-east-1", NOW)]


def chain_of(certificates: list[CertificateProfile]) -> Chain:
    """Issue the certificates that are described, the root first."""
    root = issue_certificate(certificates[0])
    return issue_chain(certificates[1:], root=root)


def chain_with(
    position: int, change: Callable[[CertificateProfile], CertificateProfile]
) -> Chain:
    """Issue a chain of which one certificate says something else."""
    described = profiles()
    described[position] = change(described[position])
    return chain_of(described)


@attrs.frozen
class Draft:
    """A document that is not signed yet."""

    fields: dict[str, Any]
    chain: Chain
    form: MapForm = MapForm.INDEFINITE

    @classmethod
    def under(cls, chain: Chain) -> Self:
        """Write a good document, to be signed by the last of ``chain``."""
        fields = {
            "module_id": MODULE_ID,
            "digest": "SHA384",
            "timestamp": round(NOW.timestamp() * 1000),
            "pcrs": PCRS,
            "certificate": chain[-1].der,
            "cabundle": [authority.der for authority in chain[:-1]],
            "public_key": None,
            "user_data": None,
            "nonce": None,
        }
        return cls(fields, chain)

    def with_(self, **fields: Any) -> Self:
        """Return a draft with other fields."""
        return attrs.evolve(self, fields=self.fields | fields)

    def without(self, name: str) -> Self:
        """Return a draft that lacks a field."""
        rest = {key: value for key, value in self.fields.items() if key != name}
        return attrs.evolve(self, fields=rest)

    def payload(self) -> bytes:
        """Return the draft, encoded."""
        return encode_payload(self.fields, self.form)

    def signed(self) -> bytes:
        """Return the document."""
        return sign_document(self.payload(), self.chain[-1].key)


def good_draft() -> Draft:
    """Return a draft that would pass."""
    return Draft.under(good_chain())
