"""The recipient of what KMS encrypts: a key pair that never leaves the enclave."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, Final, Protocol

import attrs
import trio
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from trionitro._exceptions import ConfigError, ProtocolError
from trionitro.attestation import AttestationError, decode_attestation_untrusted
from trionitro.kms._answers import Answer
from trionitro.kms._envelope import open_envelope_untrusted

__all__ = ["Attester", "Recipient", "attested_pcrs", "recipient_members"]

#: The only one that KMS knows.
_ALGORITHM: Final = "RSAES_OAEP_SHA_256"

#: What the NSM's SDK has; KMS was seen to take 4096.
_KEY_SIZES: Final = (2048, 3072, 4096)


class Attester(Protocol):
    """Who makes attestation documents: :class:`trionitro.nsm.Nsm`."""

    async def attest(
        self,
        *,
        user_data: bytes | None = None,
        nonce: bytes | None = None,
        public_key: bytes | None = None,
    ) -> bytes:
        """Return a document with these in it."""


def _a_key_size(
    instance: object, attribute: attrs.Attribute[Any], value: object
) -> None:
    if value not in _KEY_SIZES:
        raise ConfigError(
            f"{attribute.name} must be one of {', '.join(map(str, _KEY_SIZES))}, was"
            f" {value!r}"
        )


@attrs.define(eq=False)
class Recipient:
    """Attests a key of its own, and opens what was encrypted to it.

    Attributes:
      attester: makes a document for each request.
      key_size: of the RSA key, in bits: 2048, 3072 or 4096.

    """

    attester: Attester = attrs.field(repr=False)
    key_size: int = attrs.field(default=2048, validator=_a_key_size)
    _key: rsa.RSAPrivateKey | None = attrs.field(default=None, init=False, repr=False)
    _making: trio.Lock = attrs.field(factory=trio.Lock, init=False, repr=False)

    async def attest(self) -> bytes:
        """Return a fresh document with the public key in it.

        Raises:
          Exception: what the attester raises.

        """
        key = await self._the_key()
        spki = key.public_key().public_bytes(
            Encoding.DER, PublicFormat.SubjectPublicKeyInfo
        )
        return await self.attester.attest(public_key=spki)

    async def open_untrusted(self, answer: Answer) -> bytes:
        """Decrypt the CiphertextForRecipient of an answer.

        Raises:
          ProtocolError: if there is none, whatever plaintext there is instead, or
              it doesn't open.

        """
        if not answer.has("CiphertextForRecipient"):
            raise ProtocolError(
                "an answer without CiphertextForRecipient, though the request attested"
                " a recipient: what it says instead is not taken"
            )
        envelope = answer.blob("CiphertextForRecipient")
        return await trio.to_thread.run_sync(
            open_envelope_untrusted, envelope, await self._the_key()
        )

    async def _the_key(self) -> rsa.RSAPrivateKey:
        async with self._making:
            if self._key is None:
                self._key = await trio.to_thread.run_sync(
                    rsa.generate_private_key, 65537, self.key_size
                )
            return self._key


def recipient_members(document: bytes) -> Mapping[str, Any]:
    """Return the input member that makes KMS encrypt to the document's key."""
    return {
        "Recipient": {
            "KeyEncryptionAlgorithm": _ALGORITHM,
            "AttestationDocument": base64.b64encode(document).decode(),
        }
    }


def attested_pcrs(document: bytes) -> Mapping[int, bytes]:
    """Read the PCRs of a document of one's own; empty if it is no document."""
    try:
        return decode_attestation_untrusted(document).pcrs
    except AttestationError:
        return {}
