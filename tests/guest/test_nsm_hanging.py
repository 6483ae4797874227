"""A security module that has stopped answering; nothing can be asked of it after this.

The files of this directory that ask it something come before this one.

"""

from __future__ import annotations

import os
import sys

import trio

#: An empty request is what QEMU's device breaks at. The driver then waits for two
#: minutes, and nothing, not even SIGKILL, takes the thread out of it.
PROGRAM = """
import trio
from trionitro.nsm import KernelNsm

async def main():
    with trio.move_on_after(1) as scope:
        await KernelNsm().process(b"")
    print("cancelled" if scope.cancelled_caught else "answered", flush=True)

trio.run(main)
"""


async def test_a_request_that_hangs_can_be_cancelled() -> None:
    said, heard = os.pipe()
    # In the background of a shell that ends at once: nobody waits for the driver.
    command = [
        "sh",
        "-c",
        '"$0" -c "$1" >/dev/fd/"$2" &',
        sys.executable,
        PROGRAM,
        str(heard),
    ]
    await trio.run_process(command, pass_fds=[heard])
    os.close(heard)

    async with trio.lowlevel.FdStream(said) as stream:
        with trio.fail_after(60):
            assert await stream.receive_some() == b"cancelled\n"
