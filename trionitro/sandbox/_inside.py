"""The enclave's half of a sandbox: the first process in namespaces of its own.

It makes of a copy of this machine what an enclave is, as far as that goes, and boots.
Its standard input is a line to the sandbox outside: a byte there asks for a stop, and
its end, which comes when the sandbox is killed, ends everything.

"""

from __future__ import annotations

import socket
import tempfile
from pathlib import Path
from typing import Final

import attrs
import structlog
import trio

from trionitro._exceptions import CannotStartError
from trionitro.enclave import Boot, Console, Machine, ParentLink, run_boot
from trionitro.manifest import Plan, PlannedVolume
from trionitro.nsm import UnixNsm
from trionitro.sandbox._mounts import bind, cover, make_directory
from trionitro.sandbox._place import Place
from trionitro.vsock import LocalVsock

__all__ = ["parent_link", "run_inside"]

_log = structlog.get_logger("trionitro.sandbox")

_ETC: Final = Path("/etc")

#: Daemons that look names up for whoever has their socket, on the real network.
_RESOLVERS: Final = (Path("/run/nscd"), Path("/run/systemd/resolve"))

#: The longest host name that Linux takes.
_MAX_HOST_NAME: Final = 64

#: The exit code where the sandbox was killed; hardly anybody sees it.
_ORPHANED: Final = 137


def _settle(plan: Plan, place: Place, exports: Path) -> None:
    """Make this machine the enclave's: its name, its files, its volumes.

    Only ever called in namespaces that are nobody else's.
    """
    socket.sethostname(plan.manifest.enclave.name[:_MAX_HOST_NAME])
    for resolver in _RESOLVERS:
        if resolver.is_dir():
            cover(resolver)
    for file in sorted(place.files.iterdir()):
        if (_ETC / file.name).exists():
            bind(file, (_ETC / file.name).resolve())
    for volume in plan.volumes:
        _bind_volume(volume, place, exports)


def _bind_volume(volume: PlannedVolume, place: Place, exports: Path) -> None:
    export, mount = exports / volume.export.lstrip("/"), Path(volume.mount)
    if not export.is_dir():
        raise CannotStartError(
            f"{volume.place}: there is no directory {export} on this machine, which a"
            " sandbox has in place of the NFS export: create it, or give --exports"
        )
    make_directory(mount, aside=Path(tempfile.mkdtemp(dir=place.directory)))
    bind(export, mount, read_only=volume.read_only)
    _log.info("volume", volume=volume.place, did=f"{export} bound to {mount}")


def parent_link(plan: Plan, place: Place) -> ParentLink:
    """Return the line to the parent's half outside."""
    return ParentLink(plan, LocalVsock(place.vsock, plan.manifest.enclave.cid))


async def run_inside(
    plan: Plan, place: Place, parent: ParentLink, *, exports: Path, lifeline: int
) -> int:
    """Settle, boot, run the application to its end, and return its exit code.

    Args:
      plan: the enclave's, the same as outside.
      place: the sandbox's.
      parent: the line to the parent's half.
      exports: the directory below which the volumes' exports are.
      lifeline: file descriptor of the line to the sandbox outside; closed at the end.

    Raises:
      CannotStartError: if this machine can't be settled, or a step of the boot fails.

    """
    try:
        await trio.to_thread.run_sync(_settle, plan, place, exports)
    except OSError as exc:
        raise CannotStartError(f"can't be the enclave's machine: {exc}") from exc
    boot = _boot_of(plan, place, parent)
    code = _ORPHANED
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_obey, boot, lifeline, nursery.cancel_scope)
        code = await run_boot(boot)
        nursery.cancel_scope.cancel()
    return code


def _boot_of(plan: Plan, place: Place, parent: ParentLink) -> Boot:
    # There is nobody here but us: a user namespace has no other users.
    enclave = attrs.evolve(plan.manifest.enclave, user=None)
    manifest = attrs.evolve(plan.manifest, enclave=enclave)
    return Boot(
        # The digest stays that of the whole manifest, which the parent's half has.
        plan=attrs.evolve(plan, manifest=manifest, volumes=()),
        machine=Machine(network=parent.network, nsm=UnixNsm(place.nsm)),
        parent=parent,
        console=Console(),
    )


async def _obey(boot: Boot, lifeline: int, everything: trio.CancelScope) -> None:
    async with trio.lowlevel.FdStream(lifeline) as stream:
        async for _ in stream:
            boot.stop("the sandbox")
    _log.warning("the sandbox is gone")
    everything.cancel()
