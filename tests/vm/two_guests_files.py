"""What each of two guests has with it: a manifest, certificates, keys, a ciphertext.

The enclave's documents are signed by an issuer that the emulated KMS trusts, and the
secret was encrypted before either guest was booted.
"""

from __future__ import annotations

import base64
import json
import secrets
import uuid
from pathlib import Path
from typing import Final

import trio
import trustme

from tests.vm.two_guests import fill
from trionitro.kms import Credentials, KmsClient, enclave_key_policy
from trionitro.testing import AttestationIssuer, KmsEmulator, load_kms_keys

__all__ = ["REGION", "SECRET", "some_credentials", "write_files"]

#: Seconds between two signs of life, as the manifest has it.
HEARTBEAT: Final = 3

MANIFEST: Final = f"""
[enclave]
name = "signer"
cid = 16
command = ["python3", "/job/application.py"]
environment = {{ TRIONITRO_NSM = "unix:/run/nsm.sock" }}

[[egress]]
host = "server.test"
port = 8443

[[egress]]
host = "kms.eu-west-1.amazonaws.com"
port = 443

[[ingress]]
listen = "127.0.0.1:9443"
port = 9443

[credentials]
source = "environment"

[control]
heartbeat = {HEARTBEAT}
wait = 300
"""

#: The world outside is in the parent's guest, and 127.0.0.1 there.
HOSTS: Final = b"127.0.0.1 server.test kms.eu-west-1.amazonaws.com\n"

ACCOUNT: Final = "arn:aws:iam::111122223333"
OPERATOR: Final = f"{ACCOUNT}:role/operator"
ENCLAVE: Final = f"{ACCOUNT}:role/enclave"

REGION: Final = "eu-west-1"
SECRET: Final = b"what only the enclave may know"


async def write_files(directory: Path, role: Credentials) -> None:
    """Write what is in the guests, one directory for each."""
    authority, issuer = trustme.CA(), AttestationIssuer()
    server = authority.issue_cert("server.test").private_key_and_cert_chain_pem
    image = secrets.token_bytes(48)
    keys = keys_for(signer=image, other=secrets.token_bytes(48))
    (directory / "keys.json").write_bytes(keys)
    fill(
        directory / "parent",
        {
            "name": b"parent",
            "hosts": HOSTS,
            "modules": b"vsock vmw_vsock_virtio_transport",
            "nitro.toml": MANIFEST.encode(),
            "server.pem": server.bytes(),
            "root.pem": issuer.root_pem,
            "keys.json": keys,
            "access.json": access_keys(role),
            **await encrypted(directory / "keys.json"),
        },
    )
    fill(
        directory / "enclave",
        {
            "name": b"enclave",
            "hosts": b"",
            "modules": b"vsock vmw_vsock_virtio_transport nsm",
            "nitro.toml": MANIFEST.encode(),
            "other.toml": MANIFEST.replace("8443", "8444").encode(),
            "ca.pem": authority.cert_pem.bytes(),
            "issuer.pem": issuer.private_pem(),
            "pcr0": image.hex().encode(),
        },
    )


def some_credentials() -> Credentials:
    """Make up credentials."""
    return Credentials(
        access_key_id=f"AKIA{secrets.token_hex(8).upper()}",
        secret_access_key=secrets.token_urlsafe(30),
    )


def keys_for(**images: bytes) -> bytes:
    """Return the emulated KMS's keys, each for enclaves of one image only."""
    entries = []
    for name, image in images.items():
        policy = enclave_key_policy(
            administrators=[OPERATOR],
            policy_administrators=[OPERATOR],
            encrypters=[OPERATOR],
            principal=ENCLAVE,
            image_sha384=image,
        )
        key = {
            "id": str(uuid.uuid4()),
            "aliases": [f"alias/{name}"],
            "policy": json.loads(str(policy)),
            "key": base64.b64encode(secrets.token_bytes(32)).decode(),
        }
        entries.append(key)
    return json.dumps({"keys": entries}).encode()


def access_keys(role: Credentials) -> bytes:
    """Return who may ask the emulated KMS: the enclave's role, with an attestation."""
    entry = {
        "principal": ENCLAVE,
        "access_key_id": role.access_key_id,
        "secret_access_key": role.secret_access_key,
    }
    return json.dumps({"access_keys": [entry]}).encode()


async def encrypted(keys: Path) -> dict[str, bytes]:
    """Encrypt the secret under each key, as the operator does at home."""
    emulator = KmsEmulator(region=REGION)
    load_kms_keys(emulator, str(keys))
    credentials = emulator.issue_credentials(OPERATOR)
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    host, port = listeners[0].socket.getsockname()
    async with trio.open_nursery() as nursery:
        await nursery.start(emulator.serve_http, listeners)
        async with KmsClient(
            region=REGION, credentials=credentials, endpoint=f"http://{host}:{port}"
        ) as kms:
            files = {
                f"{name}.bin": (await kms.encrypt(f"alias/{name}", SECRET)).ciphertext
                for name in ("signer", "other")
            }
        nursery.cancel_scope.cancel()
    return files
