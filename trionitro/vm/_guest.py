"""A guest from its start to its end, and what it brings back."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Final, final

import attrs
import trio

from trionitro.vm._archive import pack
from trionitro.vm._commands import KitError
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
        crashed, it was stopped, or nothing was wanted of it.
      qemu: QEMU's exit code; negative if a signal ended it.

    """

    status: int | None
    qemu: int


async def run_guest(
    machine: Machine,
    work: Path,
    out: Path | None,
    *,
    console: Callable[[bytes], object] | None = None,
) -> GuestRun:
    """Boot a guest and have it run a program; return when it is switched off.

    Args:
      machine: what to boot.
      work: a directory whose content is at ``/job`` in the guest. Its program ``run``
        is run there, as root. A file ``modules`` in it says which kernel modules are
        loaded before; the vsock's loopback and the NSM's are otherwise. Python
        packages in ``site`` can be imported.
      out: an empty directory; what the guest left in ``/job/out`` comes here, however
        much that is. None if nothing is wanted.
      console: takes what comes out of the guest's console, and must not wait; this
        program's standard output has it, if it is None.

    Raises:
      KitError: if QEMU can't be run.

    Cancellation:
      Kills the guest.

    """
    with tempfile.TemporaryDirectory(prefix="trionitro-guest-") as directory:
        archive = Path(directory, "initrd.cpio")
        results = None if out is None else Path(directory, "results.tar")
        await trio.to_thread.run_sync(_make_initrd, machine, work, archive)
        code = await _run_qemu(machine.command(archive, results), console)
        if results is None or out is None:
            return GuestRun(None, code)
        return GuestRun(_unpack(results, out), code)


async def _run_qemu(
    command: list[str], console: Callable[[bytes], object] | None
) -> int:
    run = partial(
        trio.run_process,
        command,
        stdin=b"",
        stdout=None if console is None else subprocess.PIPE,
        check=False,
        # Not in our group: a terminal's Ctrl-C is for us, and we stop it in order.
        process_group=0,
        deliver_cancel=_kill,
    )
    async with trio.open_nursery() as nursery:
        process = await _start(nursery, run, command[0])
        if console is not None and process.stdout is not None:
            async for data in process.stdout:
                console(bytes(data))
        return await process.wait()


async def _start(
    nursery: trio.Nursery, run: Callable[..., Awaitable[object]], program: str
) -> trio.Process:
    try:
        process: trio.Process = await nursery.start(run)
    except OSError as error:
        raise KitError(f"can't run {program}: {error.strerror}") from error
    return process


async def _kill(qemu: trio.Process) -> None:
    # It has nothing to save, and nothing of it would be left.
    qemu.kill()


def _make_initrd(machine: Machine, work: Path, archive: Path) -> None:
    tree = archive.with_name("tree")
    shutil.copytree(work, tree / "job", symlinks=True)
    shutil.copyfile(_INIT, tree / "init")
    tree.joinpath("init").chmod(0o755)  # not all who install files keep that
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
