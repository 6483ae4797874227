# ruff: noqa: D102, N802  the methods are named after KMS's operations
"""A KMS that believes whatever it is told: just enough for a client to talk to.

It checks no signature, no policy and no document. What it encrypts for a recipient
it does encrypt.

"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import attrs
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_public_key,
)

from tests.kms.envelopes import envelope_for, rsa_key
from tests.kms.servers import Served, serving, trusting_tls
from trionitro._http_server import HttpRequest, HttpResponse
from trionitro.attestation import decode_attestation_untrusted
from trionitro.kms._client import KmsClient
from trionitro.kms._credentials import Credentials
from trionitro.nsm import Nsm
from trionitro.testing import NsmEmulator

HOST: Final = "kms.eu-west-1.amazonaws.com"
KEY_ARN: Final = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd"
SECRET: Final = "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY"
TOKEN: Final = "FwoGZXIvYXdzSESSIONTOKENMARKER"

CREDENTIALS: Final = Credentials(
    access_key_id="ASIAEXAMPLE", secret_access_key=SECRET, session_token=TOKEN
)


def encode(data: bytes) -> str:
    return base64.b64encode(data).decode()


def error(
    code: str, message: str, *, status: int = 400, **headers: str
) -> HttpResponse:
    return HttpResponse(
        status=status,
        content_type="application/x-amz-json-1.1",
        headers={"x-amzn-requestid": "request-17", **headers},
        body=json.dumps(
            {"__type": f"com.amazonaws.kms#{code}", "message": message}
        ).encode(),
    )


@attrs.define
class FakeKms:
    """Answers the operations of :class:`KmsClient`.

    Attributes:
      answers: put here what is to be answered first, or a function that makes it.
      lengthen: by how many bytes what is for a recipient is too long.
      stored: what each ciphertext decrypts to, and under which context.

    """

    answers: list[HttpResponse | Callable[[], HttpResponse]] = attrs.field(factory=list)
    stored: dict[bytes, tuple[bytes, dict[str, str]]] = attrs.field(factory=dict)
    policy: str = "{}"
    lengthen: int = 0

    async def respond(self, request: HttpRequest) -> HttpResponse:
        if self.answers:
            answer = self.answers.pop(0)
            return answer if isinstance(answer, HttpResponse) else answer()
        members = json.loads(request.body)
        operation = request.headers["x-amz-target"].removeprefix("TrentService.")
        try:
            answered = getattr(self, f"do_{operation}")(members)
        except KeyError:
            return error("InvalidCiphertextException", "")
        return HttpResponse(body=json.dumps(answered).encode())

    def keep(self, plaintext: bytes, members: dict[str, Any]) -> str:
        ciphertext = b"ciphertext" + os.urandom(16)
        self.stored[ciphertext] = (plaintext, members.get("EncryptionContext", {}))
        return encode(ciphertext)

    def for_recipient(
        self, plaintext: bytes, members: dict[str, Any]
    ) -> dict[str, Any]:
        document = base64.b64decode(members["Recipient"]["AttestationDocument"])
        public_key = decode_attestation_untrusted(document).public_key
        assert public_key is not None
        key = load_der_public_key(public_key)
        assert isinstance(key, rsa.RSAPublicKey)
        sealed = envelope_for(key, plaintext + bytes(self.lengthen))
        return {"CiphertextForRecipient": encode(sealed), "KeyId": KEY_ARN}

    def do_Decrypt(self, members: dict[str, Any]) -> dict[str, Any]:
        plaintext, context = self.stored[base64.b64decode(members["CiphertextBlob"])]
        if context != members.get("EncryptionContext", {}):
            raise KeyError
        return self.for_recipient(plaintext, members)

    def do_GenerateDataKey(self, members: dict[str, Any]) -> dict[str, Any]:
        plaintext = os.urandom(members["NumberOfBytes"])
        return {
            **self.for_recipient(plaintext, members),
            "CiphertextBlob": self.keep(plaintext, members),
        }

    def do_GenerateDataKeyPair(self, members: dict[str, Any]) -> dict[str, Any]:
        spec = members["KeyPairSpec"]
        private = make_key(spec)
        plaintext = private.private_bytes(
            Encoding.DER, PrivateFormat.PKCS8, NoEncryption()
        )
        public = private.public_key().public_bytes(
            Encoding.DER, PublicFormat.SubjectPublicKeyInfo
        )
        return {
            **self.for_recipient(plaintext, members),
            "PrivateKeyCiphertextBlob": self.keep(plaintext, members),
            "PublicKey": encode(public),
            "KeyPairSpec": spec,
        }

    def do_GenerateRandom(self, members: dict[str, Any]) -> dict[str, Any]:
        return self.for_recipient(os.urandom(members["NumberOfBytes"]), members)

    def do_DeriveSharedSecret(self, members: dict[str, Any]) -> dict[str, Any]:
        return self.for_recipient(b"shared secret", members)

    def do_Encrypt(self, members: dict[str, Any]) -> dict[str, Any]:
        plaintext = base64.b64decode(members["Plaintext"])
        return {"CiphertextBlob": self.keep(plaintext, members), "KeyId": KEY_ARN}

    def do_CreateKey(self, members: dict[str, Any]) -> dict[str, Any]:
        self.policy = members.get("Policy", self.policy)
        return {
            "KeyMetadata": {
                "KeyId": "1234abcd",
                "Arn": KEY_ARN,
                "KeyState": "Enabled",
                "KeySpec": members.get("KeySpec", "SYMMETRIC_DEFAULT"),
                "KeyUsage": "ENCRYPT_DECRYPT",
                "Enabled": True,
                "Description": members.get("Description"),
            }
        }

    def do_DescribeKey(self, members: dict[str, Any]) -> dict[str, Any]:
        """Describe the one key."""
        return self.do_CreateKey(members)

    def do_GetKeyPolicy(self, members: dict[str, Any]) -> dict[str, Any]:
        return {"Policy": self.policy, "PolicyName": "default"}

    def do_PutKeyPolicy(self, members: dict[str, Any]) -> dict[str, Any]:
        self.policy = members["Policy"]
        return {}


def make_key(
    spec: str,
) -> rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey:
    if spec.startswith("RSA_"):
        return rsa_key(int(spec.removeprefix("RSA_")))
    if spec == "ECC_NIST_EDWARDS25519":
        return ed25519.Ed25519PrivateKey.generate()
    curves: dict[str, ec.EllipticCurve] = {
        "ECC_SECG_P256K1": ec.SECP256K1(),
        "ECC_NIST_P256": ec.SECP256R1(),
        "ECC_NIST_P384": ec.SECP384R1(),
        "ECC_NIST_P521": ec.SECP521R1(),
    }
    return ec.generate_private_key(curves[spec])


@attrs.define
class World:
    """A client and the KMS that it talks to."""

    client: KmsClient
    kms: FakeKms
    served: Served
    device: NsmEmulator


@asynccontextmanager
async def fake_world(**settings: Any) -> AsyncIterator[World]:
    """Run a fake KMS behind TLS on a vsock, and open a client of it."""
    kms, device = FakeKms(), NsmEmulator()
    async with serving(kms.respond, tls=HOST) as served:
        client = KmsClient(
            **{
                "region": "eu-west-1",
                "credentials": CREDENTIALS,
                "nsm": Nsm(device),
                "network_backend": served.backend,
                "tls": trusting_tls(),
                **settings,
            }
        )
        async with client:
            yield World(client, kms, served, device)
