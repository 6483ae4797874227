"""COSE_Sign1 (RFC 9052 §4.2) with ES384: the envelope around a document.

What is signed is made of the very bytes that came. Nothing is ever decoded and
encoded again to check a signature: the encoder might not make the same bytes of it.

"""

from __future__ import annotations

from typing import Final

import attrs
import cbor2
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from trionitro._cbor import decode_cbor_untrusted, expect_kind
from trionitro._exceptions import ProtocolError
from trionitro.attestation._errors import BadSignature, MalformedDocument

__all__ = ["ES384", "MAX_DOCUMENT_SIZE", "CoseSign1", "decode_cose_untrusted"]

#: What AWS's specification allows. The security module's answers are shorter: 12 KiB
#: at the most, and 5 KB in practice.
MAX_DOCUMENT_SIZE: Final = 2**14

#: ECDSA with SHA-384, in the registry of COSE algorithms.
ES384: Final = -35

#: CBOR tag 18 says that a COSE_Sign1 follows. AWS leaves it out.
_TAG: Final = b"\xd2"

#: Labels of header parameters, RFC 9052 §3.1.
_ALGORITHM: Final = 1
_CRITICAL: Final = 2

#: Of r and of s in a signature by a key on P-384, RFC 9053 §2.1.
_HALF: Final = 48


@attrs.frozen
class CoseSign1:
    """An envelope, as it came. Nobody has checked its signature.

    Attributes:
      protected: the header that is signed, encoded.
      algorithm: that the header names, or None.
      payload: what is signed.
      signature: if it is one, r and s, 48 bytes each.

    """

    protected: bytes
    algorithm: int | None
    payload: bytes
    signature: bytes

    def check_signature(self, key: ec.EllipticCurvePublicKey) -> None:
        """Return if ``key``, which is on P-384, has signed this.

        Raises:
          BadSignature: if not.

        """
        if len(self.signature) != 2 * _HALF:
            raise BadSignature
        signed = cbor2.dumps(["Signature1", self.protected, b"", self.payload])
        r, s = self.signature[:_HALF], self.signature[_HALF:]
        signature = encode_dss_signature(
            int.from_bytes(r, "big"), int.from_bytes(s, "big")
        )
        try:
            key.verify(signature, signed, ec.ECDSA(hashes.SHA384()))
        except InvalidSignature:
            raise BadSignature from None


def decode_cose_untrusted(data: bytes) -> CoseSign1:
    """Decode a COSE_Sign1, with tag 18 or without.

    Raises:
      MalformedDocument: if ``data`` is anything else.

    """
    try:
        return _decode(data)
    except ProtocolError as problem:
        raise MalformedDocument(str(problem)) from None


def _decode(data: bytes) -> CoseSign1:
    item = decode_cbor_untrusted(data.removeprefix(_TAG), max_size=MAX_DOCUMENT_SIZE)
    parts = expect_kind(item, list, "the COSE_Sign1")
    if len(parts) != 4:
        raise ProtocolError(f"a COSE_Sign1 has 4 parts, and this has {len(parts)}")
    # Nothing in this header is used, because nobody has signed it.
    expect_kind(parts[1], dict, "the unprotected header")
    protected = expect_kind(parts[0], bytes, "the protected header")
    return CoseSign1(
        protected=protected,
        algorithm=_algorithm(protected),
        payload=expect_kind(parts[2], bytes, "the payload"),
        signature=expect_kind(parts[3], bytes, "the signature"),
    )


def _algorithm(protected: bytes) -> int | None:
    header = expect_kind(
        decode_cbor_untrusted(protected), dict, "the protected header's content"
    )
    # "crit": what a verifier must understand, or else refuse (RFC 9052 §3.1).
    if _CRITICAL in header:
        raise ProtocolError("its header has critical parameters, and none is known")
    algorithm = header.get(_ALGORITHM)
    return algorithm if isinstance(algorithm, int) else None
