"""What it looks like when the other side is killed in the middle of a sentence.

On a vsock it looks like a clean end-of-file: there is no reset. Here the wire breaks
after a hundred bytes, and a client that reads until end-of-file takes half an answer
for a whole one. With frames it notices.
"""

from __future__ import annotations

import trio

from trionitro import FramedChannel, ProtocolError
from trionitro.abc import VsockStream
from trionitro.testing import MemoryVsock

ENCLAVE_CID = 16
PLAIN, FRAMED = 5002, 5003

ANSWER = b"all is well " * 20


async def answer_plainly(stream: VsockStream) -> None:
    """Send the answer, and close: the end of the stream is the end of the answer."""
    try:
        await stream.send_all(ANSWER)
    except trio.BrokenResourceError:
        print("enclave: the connection broke")


async def answer_in_a_frame(stream: VsockStream) -> None:
    """Send the answer with its length before it."""
    try:
        await FramedChannel(stream).send(ANSWER)
    except trio.BrokenResourceError:
        print("enclave: the connection broke")


async def main() -> None:
    """Break both kinds of answer, and see who notices."""
    parent = MemoryVsock()
    enclave = parent.at(ENCLAVE_CID)
    parent.faults.reset_after = 100
    async with trio.open_nursery() as nursery:
        for port, answer in ((PLAIN, answer_plainly), (FRAMED, answer_in_a_frame)):
            listener = await enclave.open_listener(port)
            nursery.start_soon(trio.serve_listeners, answer, [listener])

        received = b""
        async with await parent.open_stream(ENCLAVE_CID, PLAIN) as stream:
            async for data in stream:
                received += data
        print(f"parent: a whole answer, it seems, of {len(received)} bytes")

        async with FramedChannel(
            await parent.open_stream(ENCLAVE_CID, FRAMED)
        ) as channel:
            try:
                await channel.receive()
            except ProtocolError as problem:
                print(f"parent: {problem}")
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main)
