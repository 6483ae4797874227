"""All the parts of a guest."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import final

import attrs

from guestkit._apt import Apt
from guestkit._cache import cache_directory, cached
from guestkit._kernel import KERNEL, MODULES, build_kernel, kernel_path
from guestkit._packages import check_machine, install_missing
from guestkit._qemu import BINARY, build_qemu, qemu_path
from guestkit._rootfs import ROOTFS, build_rootfs, rootfs_path
from guestkit._site import SITE, build_site, requirements_of, site_path

__all__ = ["Kit", "build_kit"]


@final
@attrs.frozen(kw_only=True)
class Kit:
    """What a guest is booted from.

    Attributes:
      qemu: the program.
      kernel: the guest's kernel.
      archives: what it unpacks into its memory, in this order.

    """

    qemu: Path
    kernel: Path
    archives: tuple[Path, ...]


@attrs.frozen
class _Part:
    """Something that is built: where it will be, and how."""

    path: Path
    build: Callable[[Path, Path], None]


def build_kit(project: Path) -> Kit:
    """Return a kit for the project at ``project``; build what isn't in the cache.

    What must be installed for that is installed. Nothing is fetched when all is in
    the cache.

    Raises:
      KitError: if it can't be built.

    """
    check_machine()
    log = cache_directory() / "build.log"
    install_missing(log)
    requirements = requirements_of(project)
    apt = Apt()
    if not apt.has_lists() or not _is_whole(_parts(apt, requirements)):
        apt.update(log)
    parts = _parts(apt, requirements)
    for part in parts:
        cached(part.path, partial(_build, part, log))
    return _kit(*(part.path for part in parts))


def _parts(apt: Apt, requirements: tuple[str, ...]) -> tuple[_Part, ...]:
    return (
        _Part(qemu_path(apt), partial(build_qemu, apt)),
        _Part(kernel_path(apt), partial(build_kernel, apt)),
        _Part(rootfs_path(apt), partial(build_rootfs, apt)),
        _Part(site_path(requirements), partial(build_site, requirements)),
    )


def _is_whole(parts: tuple[_Part, ...]) -> bool:
    return all(part.path.exists() for part in parts)


def _build(part: _Part, log: Path, directory: Path) -> None:
    part.build(directory, log)


def _kit(qemu: Path, kernel: Path, rootfs: Path, site: Path) -> Kit:
    return Kit(
        qemu=qemu / BINARY,
        kernel=kernel / KERNEL,
        archives=(rootfs / ROOTFS, kernel / MODULES, site / SITE),
    )
