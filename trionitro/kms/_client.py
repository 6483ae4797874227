"""The client of KMS: what comes back in the clear does so inside the enclave only."""

from __future__ import annotations

import base64
import ssl
from collections.abc import Mapping, Sequence
from typing import final

import trio.abc

from trionitro._exceptions import ConfigError, ProtocolError
from trionitro.kms._answers import Answer
from trionitro.kms._caller import KmsCaller
from trionitro.kms._credentials import Credentials
from trionitro.kms._endpoints import kms_host
from trionitro.kms._http import StreamBackend, TcpBackend
from trionitro.kms._providers import CredentialProvider, StaticCredentials
from trionitro.kms._recipient import Attester, Recipient
from trionitro.kms._records import (
    DataKey,
    DataKeyPair,
    Decrypted,
    Encrypted,
    KeyMetadata,
    SharedSecret,
)
from trionitro.kms._refreshing import default_credentials
from trionitro.kms._urls import parse_url

__all__ = ["KmsClient"]

#: The encryption context: what must be said again to decrypt.
Context = Mapping[str, str]


@final
class KmsClient(trio.abc.AsyncResource):
    """Calls KMS in one region, with the enclave's attestation where KMS takes it.

    ``decrypt``, ``generate_data_key``, ``generate_data_key_pair``,
    ``generate_random`` and ``derive_shared_secret`` attest: each sends a fresh
    attestation document with a key of this client's, and KMS encrypts what it
    returns to that key. An answer that isn't so encrypted is an error, and never
    taken. The other operations are as anybody calls them.

    Any number of tasks may use a client at once. Each operation may raise, beside
    what it says itself:

    - :exc:`KmsError` if KMS refuses; the PCRs that were attested are in it where
      access was denied;
    - :exc:`OSError` if there is no connection, or it broke, at each of three
      attempts;
    - :exc:`.ProtocolError` if an answer makes no sense;
    - :exc:`CredentialsUnavailableError` if there is nobody to sign;
    - what ``nsm`` raises, if the operation attests.

    A context manager: ``async with KmsClient(…) as kms``.

    Args:
      region: for example ``"eu-west-1"``.
      credentials: who signs; by default what the environment configures.
      nsm: makes the attestation documents: :class:`trionitro.nsm.Nsm`. Without it
          the operations that attest are refused.
      network_backend: where connections go: a :class:`VsockBackend`, usually.
      endpoint: URL of another endpoint than the region's own; ``http`` to loopback
          only.
      tls: whom to trust; by default the system's authorities, or else certifi's.
      max_connections: how many may be open at once. Ten carry hundreds of requests
          at a time: each takes one for a few milliseconds.
      recipient_key_size: of the RSA key that KMS encrypts to: 2048, 3072 or 4096.

    Raises:
      ConfigError: if one of them can't be.

    Cancellation:
      KMS may have done what was asked.

    """

    def __init__(
        self,
        *,
        region: str,
        credentials: Credentials | CredentialProvider | None = None,
        nsm: Attester | None = None,
        network_backend: StreamBackend | None = None,
        endpoint: str | None = None,
        tls: ssl.SSLContext | None = None,
        max_connections: int = 10,
        recipient_key_size: int = 2048,
    ) -> None:
        """Check what is given; nothing is connected yet."""
        if isinstance(credentials, Credentials):
            credentials = StaticCredentials(credentials)
        own_url = f"https://{kms_host(region)}"
        self._caller = KmsCaller(
            url=own_url if endpoint is None else _check_endpoint(endpoint),
            region=region,
            credentials=credentials or default_credentials(),
            recipient=None if nsm is None else Recipient(nsm, recipient_key_size),
            network_backend=network_backend or TcpBackend(),
            tls=tls,
            max_connections=max_connections,
        )

    @property
    def endpoint(self) -> str:
        """The URL of the endpoint."""
        return self._caller.url

    @property
    def region(self) -> str:
        """The region that is signed for."""
        return self._caller.region

    async def aclose(self) -> None:
        """Close all connections."""
        await self._caller.aclose()

    async def decrypt(
        self,
        ciphertext: bytes,
        *,
        key_id: str | None = None,
        encryption_context: Context | None = None,
        encryption_algorithm: str | None = None,
        grant_tokens: Sequence[str] = (),
    ) -> Decrypted:
        """Decrypt what KMS encrypted; attested.

        Args:
          ciphertext: 1 to 6144 bytes.
          key_id: under which key it must be; give it if you know it, or the parent
              may hand you what it encrypted under a key of its own.
          encryption_context: what was given when it was encrypted.
          encryption_algorithm: of an asymmetric key, for example
              ``"RSAES_OAEP_SHA_256"``.
          grant_tokens: of grants that are not yet known everywhere.

        """
        answer, plaintext = await self._caller.call_attested(
            "Decrypt",
            CiphertextBlob=_base64(ciphertext),
            KeyId=key_id,
            EncryptionContext=encryption_context,
            EncryptionAlgorithm=encryption_algorithm,
            GrantTokens=list(grant_tokens),
        )
        return Decrypted(plaintext=plaintext, key_id=answer.text("KeyId"))

    async def generate_data_key(
        self,
        key_id: str,
        *,
        number_of_bytes: int = 32,
        encryption_context: Context | None = None,
        grant_tokens: Sequence[str] = (),
    ) -> DataKey:
        """Have KMS make a key and encrypt it under another; attested.

        Args:
          key_id: a symmetric key of KMS.
          number_of_bytes: 1 to 1024.
          encryption_context: must be given again to decrypt it.
          grant_tokens: of grants that are not yet known everywhere.

        """
        answer, plaintext = await self._caller.call_attested(
            "GenerateDataKey",
            KeyId=key_id,
            NumberOfBytes=number_of_bytes,
            EncryptionContext=encryption_context,
            GrantTokens=list(grant_tokens),
        )
        return DataKey(
            plaintext=_of_size(plaintext, number_of_bytes),
            ciphertext=answer.blob("CiphertextBlob"),
            key_id=answer.text("KeyId"),
        )

    async def generate_data_key_pair(
        self,
        key_id: str,
        spec: str,
        *,
        encryption_context: Context | None = None,
        grant_tokens: Sequence[str] = (),
    ) -> DataKeyPair:
        """Have KMS make a key pair and encrypt its private half; attested.

        Args:
          key_id: a symmetric key of KMS.
          spec: for example ``"ECC_SECG_P256K1"``, ``"ECC_NIST_EDWARDS25519"`` or
              ``"RSA_3072"``.
          encryption_context: must be given again to decrypt the private key.
          grant_tokens: of grants that are not yet known everywhere.

        """
        answer, private_key = await self._caller.call_attested(
            "GenerateDataKeyPair",
            KeyId=key_id,
            KeyPairSpec=spec,
            EncryptionContext=encryption_context,
            GrantTokens=list(grant_tokens),
        )
        return DataKeyPair(
            private_key=private_key,
            private_key_ciphertext=answer.blob("PrivateKeyCiphertextBlob"),
            public_key=answer.blob("PublicKey"),
            spec=answer.text("KeyPairSpec"),
            key_id=answer.text("KeyId"),
        )

    async def generate_random(self, number_of_bytes: int) -> bytes:
        """Have KMS make 1 to 1024 random bytes; attested."""
        _, plaintext = await self._caller.call_attested(
            "GenerateRandom", NumberOfBytes=number_of_bytes
        )
        return _of_size(plaintext, number_of_bytes)

    async def derive_shared_secret(
        self, key_id: str, public_key: bytes, *, grant_tokens: Sequence[str] = ()
    ) -> SharedSecret:
        """Have KMS do its half of an ECDH key agreement; attested.

        Args:
          key_id: a key of KMS for key agreement.
          public_key: the other side's, as SubjectPublicKeyInfo in DER.
          grant_tokens: of grants that are not yet known everywhere.

        """
        answer, secret = await self._caller.call_attested(
            "DeriveSharedSecret",
            KeyId=key_id,
            KeyAgreementAlgorithm="ECDH",
            PublicKey=_base64(public_key),
            GrantTokens=list(grant_tokens),
        )
        return SharedSecret(secret=secret, key_id=answer.text("KeyId"))

    async def encrypt(
        self,
        key_id: str,
        plaintext: bytes,
        *,
        encryption_context: Context | None = None,
        encryption_algorithm: str | None = None,
        grant_tokens: Sequence[str] = (),
    ) -> Encrypted:
        """Encrypt 1 to 4096 bytes under a key of KMS, which sees them."""
        answer = await self._caller.call(
            "Encrypt",
            KeyId=key_id,
            Plaintext=_base64(plaintext),
            EncryptionContext=encryption_context,
            EncryptionAlgorithm=encryption_algorithm,
            GrantTokens=list(grant_tokens),
        )
        return Encrypted(
            ciphertext=answer.blob("CiphertextBlob"), key_id=answer.text("KeyId")
        )

    async def create_key(
        self,
        *,
        policy: str | None = None,
        description: str = "",
        spec: str = "SYMMETRIC_DEFAULT",
        usage: str = "ENCRYPT_DECRYPT",
        tags: Mapping[str, str] | None = None,
        bypass_policy_lockout_safety_check: bool = False,
    ) -> KeyMetadata:
        """Make a key in KMS.

        Args:
          policy: JSON, see :func:`enclave_key_policy`; None for KMS's own, under
              which the whole account may use the key.
          description: for people.
          spec: what kind of key.
          usage: what for.
          tags: names and values.
          bypass_policy_lockout_safety_check: have KMS take a policy under which
              nobody who calls this could ever change it again. Such a key can't be
              managed by anybody, AWS included.

        """
        answer = await self._caller.call(
            "CreateKey",
            Policy=policy,
            Description=description,
            KeySpec=spec,
            KeyUsage=usage,
            Tags=[
                {"TagKey": name, "TagValue": value}
                for name, value in (tags or {}).items()
            ],
            BypassPolicyLockoutSafetyCheck=bypass_policy_lockout_safety_check,
        )
        return _metadata(answer)

    async def describe_key(self, key_id: str) -> KeyMetadata:
        """Ask what a key is, and what state it is in."""
        return _metadata(await self._caller.call("DescribeKey", KeyId=key_id))

    async def get_key_policy(self, key_id: str) -> str:
        """Return a key's policy, as JSON."""
        answer = await self._caller.call(
            "GetKeyPolicy", KeyId=key_id, PolicyName="default"
        )
        return answer.text("Policy")

    async def put_key_policy(
        self,
        key_id: str,
        policy: str,
        *,
        bypass_policy_lockout_safety_check: bool = False,
    ) -> None:
        """Replace a key's policy; see :meth:`create_key` about the check."""
        await self._caller.call(
            "PutKeyPolicy",
            KeyId=key_id,
            PolicyName="default",
            Policy=policy,
            BypassPolicyLockoutSafetyCheck=bypass_policy_lockout_safety_check,
        )


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _of_size(plaintext: bytes, size: int) -> bytes:
    if len(plaintext) != size:
        raise ProtocolError(
            f"an answer with {len(plaintext)} bytes, where {size} were asked for"
        )
    return plaintext


def _metadata(answer: Answer) -> KeyMetadata:
    inner = answer.inner("KeyMetadata")
    return KeyMetadata(
        key_id=inner.text("KeyId"),
        arn=inner.text("Arn"),
        state=inner.text("KeyState"),
        spec=inner.text("KeySpec"),
        usage=inner.text("KeyUsage"),
        enabled=inner.flag("Enabled"),
        description=inner.text("Description") if inner.has("Description") else "",
    )


def _check_endpoint(url: str) -> str:
    parts = parse_url(url)
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise ConfigError(
            f"{url!r} says more than an endpoint; write for example"
            " https://kms.eu-west-1.amazonaws.com"
        )
    return f"{parts.scheme}://{parts.netloc}"
