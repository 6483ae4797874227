"""The demo's secret: encrypted by anybody who may, decrypted in one image only."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

import attrs

from trionitro.kms import (
    Credentials,
    EndpointBackend,
    KmsClient,
    KmsError,
    explain_denial,
)
from trionitro.nsm import Nsm
from trionitro.sandbox._demo_kms import KEY, REGION, DemoKms
from trionitro.sandbox._expect import DemoFailedError, expect
from trionitro.sandbox._world import World
from trionitro.testing import BootMeasurements, NsmEmulator
from trionitro.vsock import LocalVsock

__all__ = ["decrypt_in_debug_mode", "decrypt_in_its_image", "decrypt_in_other_image"]

_SECRET: Final = b"the demo's secret"

#: Which is what nobody else's image measures to.
_OTHER: Final = BootMeasurements()

#: A PCR: 96 digits, of which eight are enough for the eye.
_PCR: Final = re.compile(r"\b([0-9a-f]{8})[0-9a-f]{88}\b")


@attrs.frozen
class _Attested:
    """What was in a document, as far as a key policy looks at it."""

    pcrs: Mapping[int, bytes]


async def decrypt_in_its_image(world: World) -> str:
    """Decrypt where the key policy lets it."""
    ciphertext = await _encrypt(world)
    async with _client(world, world.kms.enclave, world.kms.image) as client:
        opened = await client.decrypt(ciphertext)
    expect(opened.plaintext == _SECRET, "the secret that was encrypted")
    return (
        "the secret, sealed by KMS to the enclave's key;"
        f" PCR0 {world.kms.image.pcr0.hex()[:8]}… is attested"
    )


async def decrypt_in_other_image(world: World) -> str:
    """Try to decrypt in an image that the key policy doesn't name."""
    return await _be_refused(world, _OTHER)


async def decrypt_in_debug_mode(world: World) -> str:
    """Try to decrypt in the right image, started so that the parent can look in."""
    return await _be_refused(world, attrs.evolve(world.kms.image, debug_mode=True))


async def _be_refused(world: World, image: BootMeasurements) -> str:
    ciphertext = await _encrypt(world)
    try:
        async with _client(world, world.kms.enclave, image) as client:
            await client.decrypt(ciphertext)
    except KmsError as refusal:
        expect(refusal.code == "AccessDeniedException", f"no access, not {refusal}")
        return f"{refusal.code}: {_explain(world.kms, refusal)}"
    raise DemoFailedError("a secret came out in an image that must not have it")


def _explain(kms: DemoKms, refusal: KmsError) -> str:
    (line,) = [
        line
        for line in explain_denial(kms.policy, _Attested(refusal.pcrs))
        if "ImageSha384" in line
    ]
    return _PCR.sub(r"\1…", line)


async def _encrypt(world: World) -> bytes:
    async with _client(world, world.kms.operator, _OTHER) as client:
        return (await client.encrypt(KEY, _SECRET)).ciphertext


@asynccontextmanager
async def _client(
    world: World, credentials: Credentials, image: BootMeasurements
) -> AsyncIterator[KmsClient]:
    """Open the client of an application in an enclave with this image."""
    async with KmsClient(
        region=REGION,
        credentials=credentials,
        nsm=Nsm(NsmEmulator(image, issuer=world.kms.issuer)),
        network_backend=EndpointBackend(
            world.kms_entrance, LocalVsock(world.directory / "vsock")
        ),
        tls=world.kms.tls(),
    ) as client:
        yield client
