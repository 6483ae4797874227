"""Requests and answers as messages: an enclave that signs, and a parent that asks.

The vsock is a directory of unix sockets, so the two could as well be two processes.
What this is about is ``FramedChannel``: each message comes whole or not at all.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import tempfile

import trio

from trionitro import FramedChannel
from trionitro.vsock import LocalVsock, VsockStream

ENCLAVE_CID = 16
PORT = 5001

#: Never leaves the enclave: that is the point of having one.
KEY = secrets.token_bytes(32)


async def sign(stream: VsockStream) -> None:
    """Answer each message with its signature."""
    async with FramedChannel(stream) as channel:
        async for message in channel:
            await channel.send(hmac.digest(KEY, message, hashlib.sha256))


async def main(directory: str) -> None:
    """Start the enclave, have three messages signed, stop it."""
    parent = LocalVsock(directory)
    enclave = LocalVsock(directory, cid=ENCLAVE_CID)
    async with trio.open_nursery() as nursery:
        listener = await enclave.open_listener(PORT)
        nursery.start_soon(trio.serve_listeners, sign, [listener])
        async with FramedChannel(
            await parent.open_stream(ENCLAVE_CID, PORT)
        ) as channel:
            for message in (b"pay 5 to Ann", b"pay 7 to Bob", b""):
                await channel.send(message)
                print(f"{message!r:16} {(await channel.receive()).hex()}")
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as directory:
        trio.run(main, directory)
