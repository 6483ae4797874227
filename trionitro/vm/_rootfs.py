"""A small Debian 12 for the guest: Python, and what mounts, routes and exports."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Final

from trionitro.vm._apt import Apt
from trionitro.vm._cache import cached_path, code_of
from trionitro.vm._commands import run_logged

__all__ = ["ROOTFS", "build_rootfs", "rootfs_path"]

ROOTFS: Final = "rootfs.cpio"

_PACKAGES: Final = (
    *("ca-certificates", "curl", "iproute2", "kmod", "mount", "netbase", "procps"),
    *("nfs-common", "nfs-kernel-server", "python3", "socat"),
)

#: Nobody reads these in a guest, and every megabyte is unpacked at every start.
_UNWANTED: Final = (
    *("doc", "man", "locale", "info", "i18n", "lintian", "bug", "common-licenses"),
)

#: Left out of the archive: what is mounted over, and what only installing needs.
_UNPACKED: Final = (
    *("./boot/*", "./dev/*", "./proc/*", "./sys/*", f"./{ROOTFS}"),
    *("./var/cache/*", "./var/lib/apt/*", "./var/lib/dpkg/info/*"),
    *("./usr/share/perl*", "./usr/lib/x86_64-linux-gnu/perl*"),
    "./usr/lib/x86_64-linux-gnu/gconv/*",
)

#: Compiled modules matter: without them a guest in emulation starts twice as slowly.
_COMPILE: Final = 'chroot "$1" python3 -m compileall -q /usr/lib/python3.11'


def rootfs_path(apt: Apt) -> Path:
    """Return where the tree of the versions that Debian has now is, or will be."""
    versions = apt.versions("base-files", "python3.11", *_PACKAGES)
    return cached_path("rootfs", code_of(__file__), *versions)


def build_rootfs(apt: Apt, directory: Path, log: Path) -> None:
    """Put an archive of the whole tree into ``directory``."""
    excluded = (f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in _UNWANTED)
    run_logged(
        log,
        *("mmdebstrap", "--variant=essential", "--format=null"),
        f"--include={','.join(_PACKAGES)}",
        '--aptopt=APT::Install-Recommends "false"',
        *excluded,
        *(f"--customize-hook={_COMPILE}", f"--customize-hook={_pack()}"),
        f"--customize-hook=copy-out /{ROOTFS} {shlex.quote(str(directory))}",
        *("bookworm", "/dev/null", *apt.one_line_sources()),
    )


def _pack() -> str:
    """Return the command that packs ``$1``, where mmdebstrap has its root."""
    pruned = " -o ".join(f"-path {shlex.quote(path)}" for path in _UNPACKED)
    found = rf"find . -mindepth 1 \( {pruned} \) -prune -o -print0"
    packed = f"LC_ALL=C sort -z | cpio --null -o -H newc --quiet > {ROOTFS}"
    return f'cd "$1" && {found} | {packed}'
