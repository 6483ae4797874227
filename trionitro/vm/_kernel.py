"""Debian's kernel for virtual machines, unpacked and not installed."""

from __future__ import annotations

import lzma
import shutil
from pathlib import Path
from typing import Final

from trionitro.vm._apt import Apt
from trionitro.vm._archive import pack
from trionitro.vm._cache import cached_path, code_of
from trionitro.vm._commands import output_of, run_logged

__all__ = ["KERNEL", "MODULES", "build_kernel", "kernel_path"]

KERNEL: Final = "vmlinuz"
MODULES: Final = "modules.cpio"

#: The long-term series that bookworm gets beside its own 6.1, which has no NSM driver.
_PACKAGE: Final = r"linux-image-6\.12\.[0-9.]+\+deb12[0-9.]*-cloud-amd64"

#: What a guest can load; what these depend on comes along.
_LOADABLE: Final = (
    *("nsm", "vsock", "vsock_loopback", "vsock_diag", "vmw_vsock_virtio_transport"),
    *("vhost_vsock", "nfs", "nfsv4", "nfsd"),
    *("virtio_mmio", "virtio_blk", "virtio_net", "dummy", "tun", "overlay"),
)

_INDEXES: Final = ("modules.builtin", "modules.builtin.modinfo", "modules.order")


def kernel_path(apt: Apt) -> Path:
    """Return where the newest kernel is, or will be."""
    name = apt.newest(_PACKAGE)
    recipe = code_of(__file__)
    return cached_path("kernel", recipe, name, *apt.versions(name))


def build_kernel(apt: Apt, directory: Path, log: Path) -> None:
    """Put the kernel and an archive of its modules into ``directory``."""
    package = apt.download(apt.newest(_PACKAGE), directory, log)
    whole = directory / "whole"
    run_logged(log, "dpkg-deb", "--extract", str(package), str(whole))
    (image,) = whole.glob("boot/vmlinuz-*")
    release = image.name.removeprefix("vmlinuz-")
    run_logged(log, "/usr/sbin/depmod", "-b", str(whole), release)

    few = directory / "few"
    _copy_modules(whole, few, release)
    run_logged(log, "/usr/sbin/depmod", "-b", str(few), release)
    # The guest's /lib is a link, which an entry of that name would replace.
    (few / "usr").mkdir()
    (few / "lib").rename(few / "usr" / "lib")
    pack(few, directory / MODULES, log)
    image.rename(directory / KERNEL)
    package.unlink()
    shutil.rmtree(whole)
    shutil.rmtree(few)


def _copy_modules(whole: Path, few: Path, release: str) -> None:
    modules = Path("lib", "modules", release)
    (few / modules).mkdir(parents=True)
    for name in _INDEXES:
        shutil.copy(whole / modules / name, few / modules)
    for source in sorted(_files_of(whole, release)):
        target = few / source.relative_to(whole).with_suffix("")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(lzma.decompress(source.read_bytes()))


def _files_of(whole: Path, release: str) -> set[Path]:
    """Return the files of the loadable modules and of those they need."""
    options = ("-d", str(whole), "-S", release, "--show-depends")
    files: set[Path] = set()
    for name in _LOADABLE:
        steps = output_of("/usr/sbin/modprobe", *options, name).splitlines()
        files.update(
            Path(step.split()[1]) for step in steps if step.startswith("insmod ")
        )
    return files
