"""An enclave that sends back what it is sent, and the parent that asks it.

Both are in one process here, on a vsock in memory. In production the enclave's half
runs ``serve(KernelVsock())`` and the parent's ``ask(KernelVsock(), ...)``, and nothing
else changes.
"""

from __future__ import annotations

import trio

from trionitro.abc import VsockNetwork, VsockStream
from trionitro.testing import MemoryVsock

ENCLAVE_CID = 16
PORT = 5000


async def echo(stream: VsockStream) -> None:
    """Answer one peer until it has no more to say."""
    async for data in stream:
        await stream.send_all(data)


async def serve(
    network: VsockNetwork,
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Be the enclave."""
    listener = await network.open_listener(PORT)
    task_status.started()
    await trio.serve_listeners(echo, [listener])


async def ask(network: VsockNetwork, question: bytes) -> bytes:
    """Be the parent: ask, say that this was all, and read the whole answer."""
    answer = b""
    async with await network.open_stream(ENCLAVE_CID, PORT) as stream:
        await stream.send_all(question)
        await stream.send_eof()
        async for data in stream:
            answer += data
    return answer


async def main() -> None:
    """Start the enclave, ask it something, stop it."""
    parent = MemoryVsock()
    enclave = parent.at(ENCLAVE_CID)
    async with trio.open_nursery() as nursery:
        await nursery.start(serve, enclave)
        print(await ask(parent, b"is anybody there?"))
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main)
