"""The demo's KMS: an emulated one, with a key that is for one image only.

It is a process of its own, which starts from files: whose attestation documents it
believes, its key, and two access keys, one of who may encrypt and the enclave's.

"""

from __future__ import annotations

import json
import secrets
import ssl
from pathlib import Path
from typing import Final

import attrs
import trio

from trionitro.kms import Credentials, enclave_key_policy
from trionitro.sandbox._processes import LoggedProcess, start_module
from trionitro.testing import AttestationIssuer, BootMeasurements

__all__ = ["KEY", "REGION", "DemoKms", "start_kms"]

REGION: Final = "us-east-1"

KEY: Final = "alias/demo"

_ACCOUNT: Final = "arn:aws:iam::111122223333"
_OPERATOR: Final = f"{_ACCOUNT}:role/operator"
_ENCLAVE: Final = f"{_ACCOUNT}:role/enclave"


def _some_image() -> BootMeasurements:
    return BootMeasurements(pcr0=secrets.token_bytes(48))


def _some_credentials() -> Credentials:
    return Credentials(
        access_key_id=f"AKIA{secrets.token_hex(8).upper()}",
        secret_access_key=secrets.token_urlsafe(30),
    )


@attrs.frozen(kw_only=True)
class DemoKms:
    """What the demo needs to know of its KMS.

    Attributes:
      issuer: whose attestation documents it believes.
      image: what the key is for.
      policy: the key's, as JSON.
      operator: credentials of who may encrypt.
      enclave: credentials of who may decrypt, in that image.
      ca_file: whose certificate it has.
      socket: where it listens.

    """

    issuer: AttestationIssuer = attrs.field(factory=AttestationIssuer)
    image: BootMeasurements = attrs.field(factory=_some_image)
    policy: str = attrs.field(init=False)
    operator: Credentials = attrs.field(factory=_some_credentials)
    enclave: Credentials = attrs.field(factory=_some_credentials)
    ca_file: Path
    socket: Path

    @policy.default
    def _make_policy(self) -> str:
        return str(
            enclave_key_policy(
                administrators=[_OPERATOR],
                policy_administrators=[_OPERATOR],
                encrypters=[_OPERATOR],
                principal=_ENCLAVE,
                image_sha384=self.image.pcr0,
            )
        )

    def tls(self) -> ssl.SSLContext:
        """Make a context that trusts it, and nobody else."""
        return ssl.create_default_context(cafile=self.ca_file)


async def start_kms(
    nursery: trio.Nursery, directory: Path
) -> tuple[DemoKms, LoggedProcess]:
    """Start the emulated KMS, and don't wait: it logs ``listening`` when it does."""
    kms = DemoKms(ca_file=directory / "kms-ca.pem", socket=directory / "kms.sock")
    root = directory / "attestation-root.pem"
    root.write_bytes(kms.issuer.root_pem)
    keys = directory / "keys.json"
    key = {"aliases": [KEY], "policy": json.loads(kms.policy)}
    keys.write_text(json.dumps({"keys": [key]}))
    access_keys = directory / "access-keys.json"
    access_keys.touch(mode=0o600)  # it has secrets in it
    entries = [_entry(_OPERATOR, kms.operator), _entry(_ENCLAVE, kms.enclave)]
    access_keys.write_text(json.dumps({"access_keys": entries}))
    process = await start_module(
        nursery,
        *("trionitro", "kms", "emulate", "--listen", f"unix://{kms.socket}"),
        *("--region", REGION, "--ca-out", str(kms.ca_file)),
        *("--attestation-root", str(root), "--keys", str(keys)),
        *("--access-keys", str(access_keys), "--log-format", "json"),
    )
    return kms, process


def _entry(principal: str, credentials: Credentials) -> dict[str, str]:
    return {
        "principal": principal,
        "access_key_id": credentials.access_key_id,
        "secret_access_key": credentials.secret_access_key,
    }
