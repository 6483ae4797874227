"""All the parts of a guest."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import final

import attrs

from trionitro.vm._apt import Apt
from trionitro.vm._cache import cache_directory, cached
from trionitro.vm._kernel import KERNEL, MODULES, build_kernel, kernel_path
from trionitro.vm._packages import check_machine, install_missing
from trionitro.vm._qemu import BINARY, build_qemu, qemu_path
from trionitro.vm._rootfs import ROOTFS, build_rootfs, rootfs_path
from trionitro.vm._site import SITE, build_site, site_path

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


def build_kit(requirements: tuple[str, ...] = ()) -> Kit:
    """Return a kit; build what isn't in the cache.

    What must be installed for that is installed. Nothing is fetched when all is in
    the cache.

    Args:
      requirements: of the Python packages that the guest has, as pip takes
        them; without any it has Debian's Python and nothing else.

    Raises:
      KitError: if it can't be built.

    """
    check_machine()
    log = cache_directory() / "build.log"
    install_missing(log)
    apt = Apt()
    if not apt.has_lists() or not _is_whole(_parts(apt, requirements)):
        apt.update(log)
    parts = _parts(apt, requirements)
    for part in parts:
        cached(part.path, partial(_build, part, log))
    qemu, kernel, rootfs, *site = (part.path for part in parts)
    return Kit(
        qemu=qemu / BINARY,
        kernel=kernel / KERNEL,
        archives=(rootfs / ROOTFS, kernel / MODULES, *(path / SITE for path in site)),
    )


def _parts(apt: Apt, requirements: tuple[str, ...]) -> tuple[_Part, ...]:
    site = _Part(site_path(requirements), partial(build_site, requirements))
    return (
        _Part(qemu_path(apt), partial(build_qemu, apt)),
        _Part(kernel_path(apt), partial(build_kernel, apt)),
        _Part(rootfs_path(apt), partial(build_rootfs, apt)),
        *((site,) if requirements else ()),
    )


def _is_whole(parts: tuple[_Part, ...]) -> bool:
    return all(part.path.exists() for part in parts)


def _build(part: _Part, log: Path, directory: Path) -> None:
    part.build(directory, log)
