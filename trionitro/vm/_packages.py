"""What must be installed on the machine that builds and runs guests."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path
from typing import Final

from trionitro.vm._commands import KitError, run_logged

__all__ = ["check_installed", "check_machine", "install_missing"]

#: What packs and boots a guest.
_GUEST: Final = ("cpio", "kmod", "mmdebstrap", "qemu-system-data", "seabios")

#: What QEMU is built with, and linked to.
_QEMU: Final = (
    *("bison", "flex", "gcc", "libc6-dev", "pkg-config", "python3-venv"),
    *("libattr1-dev", "libcap-ng-dev", "libcbor-dev", "libfdt-dev", "libglib2.0-dev"),
    *("libgnutls28-dev", "libpixman-1-dev", "libslirp-dev", "xz-utils", "zlib1g-dev"),
)

_RELEASE: Final = Path("/etc/os-release")

_REMEDY: Final = "use a container or a virtual machine with Debian 12 on x86-64"


def check_machine(release: Path = _RELEASE) -> None:
    """Check that this is where guests can be built.

    Args:
      release: the file that says which system this is.

    Raises:
      KitError: if it isn't; the one line says what it is instead.

    """
    facts = release.read_text() if release.exists() else ""
    if "VERSION_CODENAME=bookworm" not in facts.splitlines():
        raise KitError(f"guests need Debian 12 (bookworm), which this isn't: {_REMEDY}")
    if platform.machine() != "x86_64":
        raise KitError(f"guests need x86-64, this is {platform.machine()}: {_REMEDY}")


def check_installed() -> None:
    """Check that nothing is missing that builds or runs guests.

    Raises:
      KitError: if there is; the one line says how to install it.

    """
    if missing := _missing():
        raise KitError(
            "packages are missing, as root: apt-get install --no-install-recommends"
            f" {' '.join(missing)}"
        )


def install_missing(log: Path) -> None:
    """Install the packages that are missing, if we are root.

    Raises:
      KitError: if that fails; or the one line says what is missing.

    """
    check_machine()
    missing = _missing()
    if os.geteuid() != 0 or not missing:
        check_installed()
        return
    run_logged(log, "apt-get", "update", "-q")
    install = ("apt-get", "install", "-q", "-y", "--no-install-recommends")
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    run_logged(log, *install, *missing, environment=quiet)


def _missing() -> list[str]:
    return [name for name in (*_GUEST, *_QEMU) if not _is_installed(name)]


def _is_installed(name: str) -> bool:
    query = ("dpkg-query", "--show", "--showformat=${db:Status-Status}", name)
    answer = subprocess.run(query, check=False, capture_output=True, text=True)
    return answer.stdout == "installed"
