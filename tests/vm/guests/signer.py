"""Signs what the enclave's security module can't: QEMU's has no key."""

from __future__ import annotations

import sys
from pathlib import Path

import trio

from trionitro.nsm import KernelNsm
from trionitro.testing import AttestationIssuer, ResigningNsm, serve_nsm


async def main() -> None:
    """Answer on a unix socket, until killed."""
    issuer = AttestationIssuer.from_private_pem(Path("/job/issuer.pem").read_bytes())
    pcr0 = bytes.fromhex(Path("/job/pcr0").read_text())
    device = ResigningNsm(KernelNsm(), issuer=issuer, pcrs={0: pcr0})
    async with trio.open_nursery() as nursery:
        await nursery.start(serve_nsm, device, "/run/nsm.sock")
        sys.stdout.write("the signer is ready\n")


if __name__ == "__main__":
    trio.run(main)
