"""A program in the place of QEMU: no machine, but the guest's half of everything.

It takes QEMU's arguments, finds the job in the archive, connects to the vsock's device
as a VMM does, and runs the enclave's half on the vsock that results.

"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import trio

from tests.enclave.world import FakeLoopback
from trionitro.enclave import Boot, Machine, NoEntropyPool, ParentLink, run_boot
from trionitro.manifest import parse_plan
from trionitro.testing import NsmEmulator, VhostUserGuest

#: A header of cpio's "newc" has this size, and twelve numbers of eight digits.
_HEADER = 110


def read_archive(data: bytes) -> Iterator[tuple[str, int, bytes]]:
    """Yield name, mode and content of what is in archives that follow each other."""
    offset = 0
    while data[offset : offset + 6] == b"070701":
        numbers = [
            int(data[at : at + 8], 16) for at in range(offset + 6, offset + _HEADER, 8)
        ]
        mode, size, name_size = numbers[1], numbers[6], numbers[11]
        start = offset + _HEADER
        name = data[start : start + name_size - 1].decode()
        content = _aligned(start + name_size)
        if name != "TRAILER!!!":
            yield name, mode, data[content : content + size]
            offset = _aligned(content + size)
            continue
        offset = content
        while data[offset : offset + 1] == b"\0":  # cpio fills up its last block
            offset += 1


def _aligned(offset: int) -> int:
    return -(-offset // 4) * 4


def option(prefix: str) -> str:
    """Return what follows ``prefix`` in the argument that begins with it."""
    (found,) = (word for word in sys.argv if word.startswith(prefix))
    return found.removeprefix(prefix)


async def boot(manifest: str) -> None:
    """Be the enclave's half."""
    plan = parse_plan(manifest, source="nitro.toml")
    guest = VhostUserGuest(option("socket,id=vsock,path="))
    with tempfile.NamedTemporaryFile() as hosts:
        async with trio.open_nursery() as nursery:
            await nursery.start(guest.serve)
            machine = Machine(
                network=guest.network,
                nsm=NsmEmulator(),
                pool=NoEntropyPool(),
                loopback=FakeLoopback([]),
                hosts=Path(hosts.name),
            )
            parent = ParentLink(plan, guest.network)
            await run_boot(Boot(plan=plan, machine=machine, parent=parent))
            nursery.cancel_scope.cancel()


def main() -> None:
    """Be QEMU."""
    sys.stdout.write("SeaBIOS says hello\n")
    archive = Path(sys.argv[sys.argv.index("-initrd") + 1]).read_bytes()
    files = {name: content for name, _, content in read_archive(archive)}
    trio.run(boot, files["job/nitro.toml"].decode())


if __name__ == "__main__":
    main()
