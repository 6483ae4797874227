"""The demo's KMS: an emulated one, with a key that is for one image only.

It is in a process of its own, outside, which starts from files: whose attestation
documents it believes, its key, and two access keys, one of who may encrypt and the
enclave's.

"""

from __future__ import annotations

import json
import secrets
import ssl
from pathlib import Path
from typing import Final

import attrs

from trionitro.attestation import parse_roots
from trionitro.kms import Credentials, enclave_key_policy
from trionitro.testing import (
    AttestationIssuer,
    BootMeasurements,
    KmsEmulator,
    load_kms_access_keys,
    load_kms_keys,
)

__all__ = ["KEY", "REGION", "DemoKms", "emulator_from"]

REGION: Final = "us-east-1"

KEY: Final = "alias/demo"

_ACCOUNT: Final = "arn:aws:iam::111122223333"
_OPERATOR: Final = f"{_ACCOUNT}:role/operator"
_ENCLAVE: Final = f"{_ACCOUNT}:role/enclave"

#: What is in the directory.
_ROOT, _KEYS, _ACCESS_KEYS, _CA = "root.pem", "keys.json", "access.json", "kms-ca.pem"


def _some_image() -> BootMeasurements:
    return BootMeasurements(pcr0=secrets.token_bytes(48))


def _some_credentials() -> Credentials:
    return Credentials(
        access_key_id=f"AKIA{secrets.token_hex(8).upper()}",
        secret_access_key=secrets.token_urlsafe(30),
    )


@attrs.frozen(kw_only=True)
class DemoKms:
    """What the demo knows of its KMS.

    Attributes:
      directory: for the files.
      issuer: whose attestation documents it believes.
      image: what the key is for.
      policy: the key's, as JSON.
      operator: credentials of who may encrypt.
      enclave: credentials of who may decrypt, in that image.

    """

    directory: Path
    issuer: AttestationIssuer = attrs.field(factory=AttestationIssuer)
    image: BootMeasurements = attrs.field(factory=_some_image)
    policy: str = attrs.field(init=False)
    operator: Credentials = attrs.field(factory=_some_credentials)
    enclave: Credentials = attrs.field(factory=_some_credentials)

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
        """Make a context that trusts it, and nobody else; once it runs."""
        return ssl.create_default_context(cafile=self.directory / _CA)

    def write_files(self) -> None:
        """Write what it starts from."""
        (self.directory / _ROOT).write_bytes(self.issuer.root_pem)
        key = {"aliases": [KEY], "policy": json.loads(self.policy)}
        (self.directory / _KEYS).write_text(json.dumps({"keys": [key]}))
        access_keys = self.directory / _ACCESS_KEYS
        access_keys.touch(mode=0o600)  # it has secrets in it
        entries = [_entry(_OPERATOR, self.operator), _entry(_ENCLAVE, self.enclave)]
        access_keys.write_text(json.dumps({"access_keys": entries}))


def emulator_from(directory: Path) -> KmsEmulator:
    """Make the emulator of these files, and write the certificate to trust."""
    emulator = KmsEmulator(
        region=REGION, attestation_roots=parse_roots((directory / _ROOT).read_bytes())
    )
    load_kms_keys(emulator, str(directory / _KEYS))
    load_kms_access_keys(emulator, str(directory / _ACCESS_KEYS))
    (directory / _CA).write_bytes(emulator.ca_pem)
    return emulator


def _entry(principal: str, credentials: Credentials) -> dict[str, str]:
    return {
        "principal": principal,
        "access_key_id": credentials.access_key_id,
        "secret_access_key": credentials.secret_access_key,
    }
