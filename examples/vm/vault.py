"""Signs each line that comes in, with a key that is nowhere but in this enclave.

KMS makes the key, and gives it to this very command with these very files: the key's
policy names their measurement, and KMS sees it in an attestation document.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import os
import signal

import trio

from trionitro.kms import KmsClient, default_credentials
from trionitro.nsm import Nsm, nsm_device_from

REGION = "us-west-1"
PORT = 8443


async def get_key() -> bytes:
    """Have KMS make a key, attested: it arrives encrypted for this enclave."""
    async with KmsClient(
        region=REGION,
        credentials=default_credentials(),
        nsm=Nsm(nsm_device_from(None, os.environ)),
    ) as kms:
        return (await kms.generate_data_key("alias/vault")).plaintext


async def answer(key: bytes, stream: trio.SocketStream) -> None:
    """Sign one line, of 1000 bytes at the most."""
    line = b""
    with trio.move_on_after(10):
        while not line.endswith(b"\n") and len(line) < 1000:
            received = await stream.receive_some(1000)
            if not received:
                break
            line += received
        signature = hmac.digest(key, line.rstrip(b"\n"), hashlib.sha256)
        await stream.send_all(signature.hex().encode() + b"\n")


async def main() -> None:
    """Sign until told to stop."""
    key = await get_key()
    serve = functools.partial(answer, key)
    with trio.open_signal_receiver(signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:
            await nursery.start(
                functools.partial(trio.serve_tcp, serve, PORT, host="127.0.0.1")
            )
            print("signing", flush=True)
            await anext(signals)
            nursery.cancel_scope.cancel()
    print("done", flush=True)


trio.run(main)
