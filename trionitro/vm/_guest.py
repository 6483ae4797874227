"""A guest from its start to its end, and what it brings back."""

from __future__ import annotations

import shutil
import tarfile
import tempfile
from pathlib import Path
from typing import IO, Final, final

import attrs
import trio

from trionitro.vm._archive import pack
from trionitro.vm._machine import Machine

__all__ = ["GuestRun", "run_guest"]

_INIT: Final = Path(__file__).with_name("init")

#: Kernel modules that are loaded where ``work`` doesn't say which.
_MODULES: Final = "vsock vsock_loopback nsm\n"


@final
@attrs.frozen
class GuestRun:
    """How a guest ended.

    Attributes:
      status: the exit code of its ``run``, or None if none came out of it: it
        crashed, or it was stopped.
      qemu: QEMU's exit code; negative if a signal ended it.

    """

    status: int | None
    qemu: int


async def run_guest(
    machine: Machine,
    work: Path,
    out: Path,
    *,
    console: int | IO[bytes] | None = None,
) -> GuestRun:
    """Boot a guest and have it run a program; return when it is switched off.

    Args:
      machine: what to boot.
      work: a directory whose content is at ``/job`` in the guest. Its program ``run``
        is run there, as root. A file ``modules`` in it says which kernel modules are
        loaded before; the vsock's loopback and the NSM's are otherwise. Python
        packages in ``site`` can be imported.
      out: an empty directory; what the guest left in ``/job/out`` comes here.
      console: where the guest's console goes; this program's standard output, if
        it is None.

    Cancellation:
      Stops the guest.

    """
    with tempfile.TemporaryDirectory(prefix="trionitro-guest-") as directory:
        archive = Path(directory, "initrd.cpio")
        results = Path(directory, "results.tar")
        await trio.to_thread.run_sync(_make_initrd, machine, work, archive)
        finished = await trio.run_process(
            machine.command(archive, results),
            stdin=b"",
            stdout=console,
            check=False,
        )
        return GuestRun(_unpack(results, out), finished.returncode)


def _make_initrd(machine: Machine, work: Path, archive: Path) -> None:
    tree = archive.with_name("tree")
    shutil.copytree(work, tree / "job", symlinks=True)
    shutil.copy(_INIT, tree)
    modules = tree / "job" / "modules"
    if not modules.exists():
        modules.write_text(_MODULES)
    last = archive.with_name("work.cpio")
    pack(tree, last, archive.with_name("log"))
    shutil.rmtree(tree)
    with archive.open("wb") as whole:
        for path in (*machine.kit.archives, last):
            with path.open("rb") as part:
                shutil.copyfileobj(part, whole, 2**20)
    last.unlink()


def _unpack(results: Path, out: Path) -> int | None:
    """Unpack what came out of a guest, and return its exit code."""
    try:
        with tarfile.open(results) as tar:
            tar.extractall(out, filter="data")
        return int((out / "status").read_text())
    except (OSError, tarfile.TarError, ValueError):
        return None
