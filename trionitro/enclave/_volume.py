"""Volumes: directories of the parent's, mounted with NFSv4 through a route.

Python's library can't mount, so the program ``mount`` does: with NFS's own helper where
the image has it (``mount.nfs4`` of nfs-utils), and otherwise by itself, which takes no
more than options that leave nothing to be found out.

A volume is mounted *hard*: while the parent's proxy is away, whoever reads or writes
waits, and goes on when it is back. What nobody can wait for for ever is the end of the
boot, so there a volume that can't be unmounted is let go of.

"""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import attrs
import structlog
import trio

from trionitro._exceptions import CannotStartError
from trionitro.enclave._children import Children
from trionitro.enclave._nfs_server import wait_for_server
from trionitro.manifest import PlannedVolume

__all__ = ["MOUNTED", "SEARCH_PATH", "Mounter", "mount_options"]

_log = structlog.get_logger("trionitro.enclave")

#: Where ``mount`` and its helpers are; users' PATHs leave half of it out.
SEARCH_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

#: Which file systems this process sees mounted (proc_pid_mountinfo(5)).
MOUNTED: Final = Path("/proc/self/mountinfo")

#: Seconds for a server that answers to let us mount.
_MOUNT_PATIENCE: Final = 60.0

#: Seconds for a volume to take what has been written, and for letting go of one that
#: doesn't.
_UNMOUNT_PATIENCE: Final = 20.0
_LET_GO_PATIENCE: Final = 5.0

#: What the user's own options take the place of.
_RIVALS: Final = {
    "vers": ("nfsvers", "minorversion"),
    "hard": ("soft", "softerr"),
}

#: What util-linux's ``mount`` adds below its reason, whatever that is.
_HINT: Final = "dmesg(1)"

#: What ``mount`` says, and what to do about it.
_REMEDIES: Final = (
    (
        r"access denied|not permitted by server",
        "export it to 127.0.0.1 on the parent, with insecure; trionitro plan shows how",
    ),
    (
        r"unknown filesystem|No such device|not supported",
        "boot a kernel with NFS (CONFIG_NFS_V4_1)",
    ),
    (r"permission denied|must be superuser|only root", "boot as root"),
    (
        r"No such file|does not exist",
        "create the directory on the parent, and export it",
    ),
)


def mount_options(volume: PlannedVolume) -> str:
    """Return the options for mounting ``volume``, for ``mount -o``.

    Version 4.1 is the first whose server needs no connection back to the client.

    """
    own = {option.partition("=")[0] for option in volume.options}
    options = {
        "vers": "vers=4.1",
        "proto": "proto=tcp",
        "port": f"port={volume.port}",
        "addr": f"addr={volume.address}",
        "clientaddr": "clientaddr=127.0.0.1",
        "hard": "hard",
        "timeo": "timeo=600",
        "retrans": "retrans=2",
    }
    kept = [
        text
        for name, text in options.items()
        if own.isdisjoint({name, *_RIVALS.get(name, ())})
    ]
    return ",".join(["ro" if volume.read_only else "rw", *kept, *volume.options])


@attrs.frozen(kw_only=True)
class Mounter:
    """Mounts volumes, and unmounts them.

    Attributes:
      children: runs ``mount`` and ``umount``.
      search_path: where these are looked for, and NFS's helper.
      mounted: what tells which file systems are mounted.
      patience: seconds to wait for a volume's server.

    """

    children: Children
    search_path: str = SEARCH_PATH
    mounted: Path = MOUNTED
    patience: float = 60.0

    @contextlib.asynccontextmanager
    async def mount(self, volume: PlannedVolume) -> AsyncIterator[None]:
        """Have ``volume`` mounted as long as this lasts.

        Its directory is created where it is missing, and stays.

        Raises:
          CannotStartError: if its server doesn't answer, or it can't be mounted.

        Cancellation:
          It is unmounted, or let go of; that takes seconds at most.

        """
        self._check_programs()
        await wait_for_server(volume, patience=self.patience)
        try:
            await self._mount(volume)
            yield
        finally:
            # Shielded, because what is mounted must not stay so; and bounded, because
            # a server that is gone would hold it up for ever.
            with trio.CancelScope(shield=True):
                await self._unmount(volume)

    async def _mount(self, volume: PlannedVolume) -> None:
        try:
            await trio.Path(volume.mount).mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            raise CannotStartError(
                f"{volume.place}: can't create {volume.mount}: {exc.strerror}; create"
                " it in the image"
            ) from exc
        helper = self._find("mount.nfs4") or self._find("mount.nfs")
        # Without a helper of its own, ``mount`` must not look for one.
        how = () if helper else ("-i",)
        said = f"mount took longer than {_MOUNT_PATIENCE:g} s"
        code = None
        with trio.move_on_after(_MOUNT_PATIENCE):
            code, said = await self._run(
                "mount",
                *(*how, "-t", "nfs4", "-o", mount_options(volume)),
                *(volume.source, volume.mount),
            )
        if code != 0:
            raise CannotStartError(
                f"{volume.place}: can't mount {volume.source}: {said}; {_remedy(said)}"
            )

    async def _unmount(self, volume: PlannedVolume) -> None:
        if not await trio.to_thread.run_sync(self._is_mounted, volume):
            return
        problem = f"it took longer than {_UNMOUNT_PATIENCE:g} s"
        with trio.move_on_after(_UNMOUNT_PATIENCE):
            code, problem = await self._run("umount", volume.mount)
            if code == 0:
                _log.info("unmounted", volume=volume.place)
                return
        _log.warning("letting go of a volume", volume=volume.place, problem=problem)
        with trio.move_on_after(_LET_GO_PATIENCE):
            code, problem = await self._run("umount", "-l", volume.mount)
            if code == 0:
                return
        _log.error("volume not unmounted", volume=volume.place, problem=problem)

    def _check_programs(self) -> None:
        for program in ("mount", "umount"):
            if self._find(program) is None:
                raise CannotStartError(
                    f"there is no program {program!r}, which volumes need: add it to"
                    " the image (util-linux, or busybox)"
                )

    async def _run(self, program: str, *arguments: str) -> tuple[int, str]:
        path = self._find(program) or program
        code, said = await self.children.run([path, *arguments])
        lines = [line.strip() for line in said.splitlines() if _HINT not in line]
        lines = [line for line in lines if line]
        return code, lines[-1] if lines else f"{program} returned {code}"

    def _find(self, program: str) -> str | None:
        return shutil.which(program, path=self.search_path)

    def _is_mounted(self, volume: PlannedVolume) -> bool:
        try:
            lines = self.mounted.read_text(errors="surrogateescape").splitlines()
        except OSError:
            return True  # nobody knows, so unmounting it will have to show
        for line in lines:
            left, _, right = line.partition(" - ")
            target, source = _unescape(left.split()[4]), _unescape(right.split()[1])
            if (target, source) == (volume.mount, volume.source):
                return True
        return False


def _unescape(text: str) -> str:
    """Read a path of mountinfo, where blanks and the like are written in octal."""
    return re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), text)


def _remedy(said: str) -> str:
    for pattern, remedy in _REMEDIES:
        if re.search(pattern, said, re.IGNORECASE):
            return remedy
    return "see the kernel's log, and that of the server"
