"""All the parts of a guest."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import final

import attrs

from trionitro.vm._apt import Apt
from trionitro.vm._cache import build_log, cached
from trionitro.vm._kernel import KERNEL, MODULES, build_kernel, kernel_path
from trionitro.vm._package import (
    PACKAGE,
    build_package,
    own_requirements,
    package_path,
)
from trionitro.vm._packages import check_installed, check_machine, install_missing
from trionitro.vm._qemu import BINARY, build_qemu, qemu_path
from trionitro.vm._rootfs import ROOTFS, build_rootfs, rootfs_path
from trionitro.vm._site import SITE, build_site, site_path

__all__ = ["Kit", "build_enclave_kit", "build_kit", "install_packages"]


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

    Nothing is fetched when all is in the cache.

    Args:
      requirements: of the Python packages that the guest has, as pip takes
        them; without any it has Debian's Python and nothing else.

    Raises:
      KitError: if it can't be built.

    """
    check_machine()
    log = build_log()
    check_installed()
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


def build_enclave_kit(requirements: tuple[str, ...] = ()) -> Kit:
    """Return a kit as :func:`build_kit` does, with this package in it too.

    Args:
      requirements: of more Python packages than this one requires.

    Raises:
      KitError: if it can't be built.

    """
    kit = build_kit((*own_requirements(), *requirements))
    part = _Part(package_path(), build_package)
    cached(part.path, partial(_build, part, build_log()))
    return attrs.evolve(kit, archives=(*kit.archives, part.path / PACKAGE))


def install_packages() -> None:
    """Install what building and running guests takes, as far as it is missing.

    Raises:
      KitError: if that can't be, here or by this user; the message says what is
          missing.

    """
    install_missing(build_log())


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
