"""QEMU with a Nitro Security Module.

Debian builds its QEMU without libcbor, and so without virtio-nsm. This is Debian's
source, built with it and without all that a guest of ours doesn't have.

"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from trionitro.vm._apt import Apt
from trionitro.vm._cache import cached_path, code_of
from trionitro.vm._commands import run_logged

__all__ = ["BINARY", "build_qemu", "qemu_path"]

BINARY: Final = "qemu-system-x86_64"

#: Bookworm's own Meson is too old for this QEMU.
_TOOLS: Final = (
    *("meson>=1.5,<1.9", "ninja", "pycotap==1.3.1"),
    *("distlib", "setuptools<81"),
)

_DEVICES: Final = (
    *("Q35", "MICROVM", "NITRO_ENCLAVE", "PCIE_PORT"),
    *("VIRTIO_PCI", "VIRTIO_MMIO", "VIRTIO_NSM", "VIRTIO_BLK", "VIRTIO_NET"),
    *("VIRTIO_SERIAL", "VIRTIO_RNG", "VHOST_VSOCK", "VHOST_USER_VSOCK"),
    *("ISA_DEBUG", "SERIAL_ISA"),
)

_OPTIONS: Final = (
    *("--target-list=x86_64-softmmu", "--with-devices-x86_64=guest"),
    *("--without-default-features", "--without-default-devices"),
    *("--enable-system", "--enable-tcg", "--enable-kvm", "--enable-libcbor"),
    *("--enable-gnutls", "--enable-fdt=system", "--enable-attr", "--enable-slirp"),
    *("--enable-vhost-user", "--enable-vhost-kernel"),
    *("--disable-docs", "--disable-werror", "--disable-download"),
    "--disable-install-blobs",
    *("-Dbuildtype=plain", "-Doptimization=2", "-Ddebug=false"),
)

#: Debian's tarball comes without the firmware that this would unpack.
_FIRMWARE: Final = ("if unpack_edk2_blobs\n", "if false\n")


def qemu_path(apt: Apt) -> Path:
    """Return where QEMU of the version that Debian has now is, or will be."""
    return cached_path("qemu", code_of(__file__), apt.source_version("qemu"))


def build_qemu(apt: Apt, directory: Path, log: Path) -> None:
    """Build QEMU into ``directory``; takes some four minutes of two processors."""
    work = directory / "work"
    build = work / "build"
    build.mkdir(parents=True)
    source = _unpack(apt.download_source("qemu", work, log), work, log)
    tools = _install_tools(work / "tools", log)
    configure = str(source / "configure")
    python = f"--python={tools / 'python'}"
    path = {"PATH": f"{tools}:/usr/sbin:/usr/bin:/sbin:/bin"}

    steps = ((configure, python, *_OPTIONS), ("nice", "ninja", BINARY))
    for step in steps:
        run_logged(log, *step, directory=build, environment=path)

    run_logged(log, "strip", "-o", str(directory / BINARY), str(build / BINARY))
    shutil.rmtree(work)


def _unpack(tarball: Path, work: Path, log: Path) -> Path:
    source = work / "source"
    source.mkdir()
    words = ("tar", "-xf", str(tarball), "-C", str(source), "--strip-components=1")
    run_logged(log, *words)
    meson = source / "pc-bios" / "meson.build"
    meson.write_text(meson.read_text().replace(*_FIRMWARE))
    devices = source / "configs" / "devices" / "x86_64-softmmu" / "guest.mak"
    devices.write_text("".join(f"CONFIG_{name}=y\n" for name in _DEVICES))
    return source


def _install_tools(venv: Path, log: Path) -> Path:
    run_logged(log, "/usr/bin/python3", "-m", "venv", str(venv))
    run_logged(log, str(venv / "bin" / "pip"), "install", "-q", *_TOOLS)
    return venv / "bin"
