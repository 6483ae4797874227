"""What must be installed on the machine that builds and runs guests."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path
from typing import Final

from trionitro.vm._commands import KitError, run_logged

__all__ = ["check_machine", "install_missing"]

#: What packs and boots a guest.
_GUEST: Final = ("cpio", "kmod", "mmdebstrap", "qemu-system-data", "seabios")

#: What QEMU is built with, and linked to.
_QEMU: Final = (
    *("bison", "flex", "gcc", "libc6-dev", "pkg-config", "python3-venv"),
    *("libattr1-dev", "libcap-ng-dev", "libcbor-dev", "libfdt-dev", "libglib2.0-dev"),
    *("libgnutls28-dev", "libpixman-1-dev", "libslirp-dev", "xz-utils", "zlib1g-dev"),
)


def check_machine() -> None:
    """Check that this is where guests can be built.

    Raises:
      KitError: if it isn't; the one line says what it is instead.

    """
    release = Path("/etc/os-release")
    facts = release.read_text() if release.exists() else ""
    if "VERSION_CODENAME=bookworm" not in facts.splitlines():
        raise KitError("guests are built on Debian 12 (bookworm), which this isn't")
    if platform.machine() != "x86_64":
        raise KitError(f"guests are built for x86_64, not for {platform.machine()}")


def install_missing(log: Path) -> None:
    """Install the packages that are missing.

    Raises:
      KitError: if that takes root; the one line says what is missing.

    """
    missing = [name for name in (*_GUEST, *_QEMU) if not _is_installed(name)]
    if not missing:
        return
    if os.geteuid() != 0:
        names = " ".join(missing)
        raise KitError(f"as root: apt-get install --no-install-recommends {names}")
    run_logged(log, "apt-get", "update", "-q")
    install = ("apt-get", "install", "-q", "-y", "--no-install-recommends")
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    run_logged(log, *install, *missing, environment=quiet)


def _is_installed(name: str) -> bool:
    query = ("dpkg-query", "--show", "--showformat=${db:Status-Status}", name)
    answer = subprocess.run(query, check=False, capture_output=True, text=True)
    return answer.stdout == "installed"
