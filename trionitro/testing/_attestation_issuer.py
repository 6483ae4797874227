"""Attestation documents that are really signed, by somebody who is not AWS.

The bytes are AWS's to the letter: the order of the fields, the length forms, the
COSE_Sign1 around them, a leaf certificate that serves for three hours. The root is
one's own, and nothing trusts it unless it is told to.

"""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Callable, Mapping
from typing import Final, Self, final

import attrs
import cbor2
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from trionitro.testing._attestation_pki import (
    LEAF_LIFETIME,
    SigningCertificate,
    aws_profiles,
    issue_certificate,
    issue_chain,
    root_profile,
)

__all__ = [
    "ES384_HEADER",
    "AttestationIssuer",
    "MapForm",
    "encode_payload",
    "sign_document",
]

#: The protected header of every document: ``{1: -35}``, ECDSA with SHA-384.
ES384_HEADER: Final = bytes.fromhex("a1013822")

#: Of r and of s in a signature on P-384: 48 bytes each, RFC 9053 §2.1.
_HALF: Final = 48


class MapForm(enum.Enum):
    """How the map of the payload says where it ends."""

    #: ``a9``: nine entries. All of AWS's documents until May 2025.
    DEFINITE = "definite"

    #: ``bf … ff``: until a break. AWS's documents since August 2025.
    INDEFINITE = "indefinite"


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def _make_root() -> SigningCertificate:
    return issue_certificate(root_profile())


@final
@attrs.define(eq=False)
class AttestationIssuer:
    """Signs attestation documents as AWS's hypervisors do, under a root of its own.

    Attributes:
      root: who vouches for all certificates; made anew if not given.
      region: that the certificates name.
      clock: tells the time, with its zone. Set back or forward, certificates that
          are not valid at the new time are replaced.
      map_form: how the payload's map says where it ends.

    """

    root: SigningCertificate = attrs.field(factory=_make_root)
    region: str = attrs.field(default="us-east-1", kw_only=True)
    clock: Callable[[], dt.datetime] = attrs.field(default=_now, kw_only=True)
    map_form: MapForm = attrs.field(default=MapForm.INDEFINITE, kw_only=True)
    _chains: dict[str, tuple[SigningCertificate, ...]] = attrs.field(
        init=False, factory=dict, repr=False
    )

    @property
    def root_pem(self) -> bytes:
        """The root's certificate: what a verifier must be told to trust."""
        return self.root.certificate.public_bytes(serialization.Encoding.PEM)

    @classmethod
    def from_private_pem(cls, pem: bytes) -> Self:
        """Return the issuer that :meth:`private_pem` was called on, or its twin.

        Raises:
          ValueError: if ``pem`` has no private key and certificate in it.

        """
        key = serialization.load_pem_private_key(pem, password=None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ValueError("the key is of no curve")  # noqa: TRY004  wrong text
        certificate = x509.load_pem_x509_certificate(pem)
        return cls(SigningCertificate(certificate, key, root_profile()))

    def private_pem(self) -> bytes:
        """Return the root with its private key: whoever has these can be the issuer.

        An emulator's in another process, for example, whose documents are then
        trusted by whoever trusts this root.

        """
        return (
            self.root.key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            + self.root_pem
        )

    def issue(
        self,
        module_id: str,
        pcrs: Mapping[int, bytes],
        *,
        public_key: bytes | None = None,
        user_data: bytes | None = None,
        nonce: bytes | None = None,
    ) -> bytes:
        """Make and sign a document; its timestamp is now.

        Nothing is checked here: limits are the device's.

        Args:
          module_id: of the enclave.
          pcrs: those that the document lists, 48 bytes each.
          public_key: null in the document where None, which an empty one is not.
          user_data: likewise.
          nonce: likewise.

        Returns:
          A COSE_Sign1, without a tag.

        """
        now = self.clock()
        *authorities, leaf = self.chain_for(module_id, now)
        fields = {
            "module_id": module_id,
            "digest": "SHA384",
            "timestamp": round(now.timestamp() * 1000),
            "pcrs": dict(sorted(pcrs.items())),
            "certificate": leaf.der,
            "cabundle": [authority.der for authority in authorities],
            "public_key": public_key,
            "user_data": user_data,
            "nonce": nonce,
        }
        return sign_document(encode_payload(fields, self.map_form), leaf.key)

    def chain_for(
        self, module_id: str, now: dt.datetime
    ) -> tuple[SigningCertificate, ...]:
        """Return an enclave's certificates from the root to the leaf, valid ``now``.

        A leaf stays until it has expired. A new one gets a new issuer where the old
        one would not outlive it, and so on upwards.

        """
        chain = self._chains.get(module_id)
        if chain is None or not chain[-1].profile.covers(now, now):
            chain = self._chains[module_id] = self._renewed(module_id, now)
        return chain

    def _renewed(
        self, module_id: str, now: dt.datetime
    ) -> tuple[SigningCertificate, ...]:
        kept = [self.root]
        for authority in self._chains.get(module_id, ())[1:-1]:
            if not authority.profile.covers(now, now + LEAF_LIFETIME):
                break
            kept.append(authority)
        profiles = aws_profiles(module_id, self.region, now)[len(kept) - 1 :]
        return (*kept[:-1], *issue_chain(profiles, root=kept[-1]))


def encode_payload(fields: Mapping[str, object], form: MapForm) -> bytes:
    """Encode the fields of a document, in the order in which they are given."""
    if form is MapForm.DEFINITE:
        return cbor2.dumps(dict(fields))
    pairs = (part for pair in fields.items() for part in pair)
    return b"\xbf" + b"".join(map(cbor2.dumps, pairs)) + b"\xff"


def sign_document(
    payload: bytes,
    key: ec.EllipticCurvePrivateKey,
    *,
    protected: bytes = ES384_HEADER,
) -> bytes:
    """Make a COSE_Sign1 of ``payload`` (RFC 9052 §4.2), as AWS does without a tag."""
    signed = cbor2.dumps(["Signature1", protected, b"", payload])
    r, s = decode_dss_signature(key.sign(signed, ec.ECDSA(hashes.SHA384())))
    signature = r.to_bytes(_HALF, "big") + s.to_bytes(_HALF, "big")
    return cbor2.dumps([protected, {}, payload, signature])
