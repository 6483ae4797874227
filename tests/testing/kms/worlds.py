"""An emulated KMS and who asks it: without a network, or on a vsock in memory."""

from __future__ import annotations

import base64
import datetime as dt
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import cache
from typing import Any, Final

import attrs
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from trionitro._http_server import HttpRequest, HttpResponse
from trionitro.kms import Credentials, KmsClient, VsockBackend
from trionitro.kms._envelope import open_envelope_untrusted
from trionitro.kms._sigv4 import AwsRequest, sign_request
from trionitro.nsm import Nsm
from trionitro.testing import (
    AttestationIssuer,
    BootMeasurements,
    KmsEmulator,
    MemoryVsock,
    NsmEmulator,
)
from trionitro.testing._kms._faults import KmsFault
from trionitro.testing._kms._service import Transport

ACCOUNT: Final = "111122223333"
ROLE: Final = f"arn:aws:iam::{ACCOUNT}:role/enclave"
ADMIN: Final = f"arn:aws:iam::{ACCOUNT}:role/admin"

#: When everything here happens, unless a test says otherwise.
NOW: Final = dt.datetime(2026, 3, 1, 12, 0, 0, tzinfo=dt.UTC)

GOOD: Final = BootMeasurements(pcr0=bytes(range(48)))
OTHER: Final = BootMeasurements(pcr0=bytes(range(48, 96)))
DEBUG: Final = attrs.evolve(GOOD, debug_mode=True)


@attrs.define
class Clock:
    """A clock that a test sets."""

    time: dt.datetime = NOW

    def __call__(self) -> dt.datetime:
        """Tell the time."""
        return self.time


@cache
def rsa_key(size: int = 2048) -> rsa.RSAPrivateKey:
    """Return a key, the same one for the whole run."""
    return rsa.generate_private_key(65537, size)


def spki(key: rsa.RSAPrivateKey) -> bytes:
    """Return its public half, as a document carries it."""
    return key.public_key().public_bytes(
        Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    )


def key_policy(boot: BootMeasurements = GOOD) -> dict[str, Any]:
    """Let the administrator manage a key, and one image decrypt with it."""
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "Administer",
                "Effect": "Allow",
                "Principal": {"AWS": ADMIN},
                "Action": "kms:*",
                "Resource": "*",
            },
            {
                "Sid": "Enclave",
                "Effect": "Allow",
                "Principal": {"AWS": ROLE},
                "Action": ["kms:Decrypt", "kms:GenerateDataKey*"],
                "Resource": "*",
                "Condition": {
                    "StringEqualsIgnoreCase": {
                        "kms:RecipientAttestation:ImageSha384": boot.pcr0.hex()
                    }
                },
            },
        ],
    }


@attrs.frozen
class World:
    """An emulated KMS with an administrator and an enclave's role.

    Attributes:
      clock: of all.
      issuer: whose documents are believed.
      kms: the emulator.
      admin: the administrator's credentials.
      enclave: the role's.

    """

    clock: Clock
    issuer: AttestationIssuer
    kms: KmsEmulator
    admin: Credentials
    enclave: Credentials

    def nsm(self, boot: BootMeasurements = GOOD) -> NsmEmulator:
        """Make the security module of an enclave that was measured so."""
        return NsmEmulator(boot, issuer=self.issuer)

    async def attest(
        self, public_key: bytes | None, boot: BootMeasurements = GOOD
    ) -> bytes:
        """Make a document."""
        return await Nsm(self.nsm(boot)).attest(public_key=public_key)

    async def ask(
        self,
        operation: str,
        *,
        by: Credentials | None = None,
        at: dt.datetime | None = None,
        **members: Any,
    ) -> dict[str, Any]:
        """Have an operation done, signed by the administrator unless told otherwise.

        Raises:
          KmsFault: if it is refused.

        """
        request = signed(operation, members, by or self.admin, at or self.clock())
        return read_answer(await self.respond(request))

    async def respond(self, request: HttpRequest) -> HttpResponse:
        """Answer a request as it came."""
        service = self.kms._service
        return await service.respond(request, transport=Transport.HTTPS)

    async def ask_attested(
        self,
        operation: str,
        *,
        boot: BootMeasurements = GOOD,
        by: Credentials | None = None,
        **members: Any,
    ) -> tuple[dict[str, Any], bytes]:
        """Have an operation done for an enclave; return also what only that opens."""
        document = await self.attest(spki(rsa_key()), boot)
        answer = await self.ask(
            operation, by=by or self.enclave, Recipient=recipient(document), **members
        )
        sealed = base64.b64decode(answer["CiphertextForRecipient"])
        return answer, open_envelope_untrusted(sealed, rsa_key())

    @asynccontextmanager
    async def client(
        self,
        boot: BootMeasurements = GOOD,
        *,
        credentials: Credentials | None = None,
        **settings: Any,
    ) -> AsyncIterator[KmsClient]:
        """Open a client in an enclave, with TLS over a vsock in memory."""
        parent = MemoryVsock()
        import trio  # noqa: PLC0415  the rest of this module needs none

        async with trio.open_nursery() as nursery:
            listener = await parent.open_listener(8000)
            await nursery.start(self.kms.serve_https, [listener])
            async with KmsClient(
                region=self.kms.region,
                credentials=credentials or self.enclave,
                nsm=Nsm(self.nsm(boot)),
                network_backend=VsockBackend(parent.at(16), 3, 8000),
                tls=self.kms.client_tls(),
                **settings,
            ) as client:
                yield client
            nursery.cancel_scope.cancel()


def make_world(clock: Clock | None = None, **settings: Any) -> World:
    """Make a world; ``settings`` are the emulator's."""
    clock = clock or Clock()
    issuer = AttestationIssuer(clock=clock)
    kms = KmsEmulator(
        clock=clock,
        **{
            "attestation_roots": [x509.load_pem_x509_certificate(issuer.root_pem)],
            **settings,
        },
    )
    admin, enclave = kms.issue_credentials(ADMIN), kms.issue_credentials(ROLE)
    return World(clock, issuer, kms, admin, enclave)


@pytest.fixture(name="world")
def world_fixture() -> World:
    """Make a world for a test."""
    return make_world()


def recipient(document: bytes) -> dict[str, str]:
    """Make the Recipient of a request."""
    return {
        "KeyEncryptionAlgorithm": "RSAES_OAEP_SHA_256",
        "AttestationDocument": base64.b64encode(document).decode(),
    }


def signed(
    operation: str,
    members: Mapping[str, Any] | bytes,
    credentials: Credentials,
    at: dt.datetime,
    *,
    region: str = "us-east-1",
    service: str = "kms",
) -> HttpRequest:
    """Make and sign a request."""
    body = (
        members
        if isinstance(members, bytes)
        else json.dumps(members, default=_base64).encode()
    )
    unsigned = AwsRequest(
        method="POST",
        target="/",
        headers=(
            ("Host", "kms.us-east-1.amazonaws.com"),
            ("Content-Type", "application/x-amz-json-1.1"),
            ("X-Amz-Target", f"TrentService.{operation}"),
        ),
        body=body,
    )
    request = sign_request(unsigned, credentials, region=region, service=service, at=at)
    headers = {name.lower(): value for name, value in request.headers}
    return HttpRequest(method="POST", target="/", headers=headers, body=body)


def read_answer(response: HttpResponse) -> dict[str, Any]:
    """Return what an answer says.

    Raises:
      KmsFault: if that is an error.

    """
    answer: dict[str, Any] = json.loads(response.body)
    if "__type" in answer:
        message = answer.get("message") or answer.get("Message") or ""
        raise KmsFault(answer["__type"], message, response.status)
    return answer


def _base64(value: object) -> str:
    assert isinstance(value, bytes)
    return base64.b64encode(value).decode()
