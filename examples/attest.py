"""An enclave proves who it is, to somebody who sent it a nonce.

Here the enclave's security module is emulated, and the verifier is told to trust the
emulator's root. With a real one it would be told nothing: AWS's root is built in.
"""

from __future__ import annotations

import secrets

import trio

from trionitro.attestation import (
    AttestationPolicy,
    PcrMismatch,
    parse_roots,
    verify_attestation,
)
from trionitro.nsm import ZERO_PCR, Nsm, extend
from trionitro.testing import NsmEmulator

CONFIGURATION = b"listen = 'vsock://:8000'"


async def be_the_enclave(nsm: Nsm, nonce: bytes) -> bytes:
    """Measure what the image doesn't say, and have all of it signed."""
    await nsm.extend_pcr(16, CONFIGURATION)
    await nsm.lock_pcr(16)
    return await nsm.attest(nonce=nonce)


async def main() -> None:
    """Attest, and verify: once with what was expected, once with something else."""
    emulator = NsmEmulator()
    roots = parse_roots(emulator.root_pem)
    nonce = secrets.token_bytes(16)

    document = await be_the_enclave(Nsm(emulator), nonce)

    expected = {16: extend(ZERO_PCR, CONFIGURATION)}
    verified = verify_attestation(
        document, roots=roots, policy=AttestationPolicy(nonce=nonce, pcrs=expected)
    )
    print(f"verifier: this is {verified.module_id}, with its configuration in PCR16")

    other = {16: extend(ZERO_PCR, b"listen = 'tcp://0.0.0.0:8000'")}
    try:
        verify_attestation(document, roots=roots, policy=AttestationPolicy(pcrs=other))
    except PcrMismatch as problem:
        print(f"verifier: {problem}")


if __name__ == "__main__":
    trio.run(main)
