"""What QEMU is told: one virtual machine, as an argument list."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, Literal, final

import attrs

from trionitro.vm._kit import Kit

__all__ = ["NSM_DEVICE", "Machine"]

#: A Nitro Security Module, with a name like those that AWS gives.
NSM_DEVICE: Final = (
    *("-device", "virtio-nsm-pci,module-id=i-0123456789abcdef0-enc0123456789abcdef"),
)

#: Emulation in software, with a thread for each processor.
_EMULATION: Final = "tcg,thread=multi"

#: All that can be emulated, but for the promises that copying byte by byte is fast: a
#: kernel believes them, and emulation takes each byte for itself.
_EMULATED: Final = "max,-erms,-fsrm,-fsrs,-fzrm"

#: The first line is for everyone, the second spares emulation what only takes time:
#: a calibration of clocks, and waiting for other processors to be quiet.
_KERNEL_OPTIONS: Final = (
    *("console=ttyS0", "quiet", "loglevel=4", "panic=-1", "random.trust_cpu=on"),
    *("mitigations=off", "tsc=reliable", "no_timer_check", "rcupdate.rcu_expedited=1"),
)


@final
@attrs.frozen(kw_only=True)
class Machine:
    """A virtual machine.

    Attributes:
      kit: what it boots.
      accelerator: QEMU's ``-accel``; the environment variable ``ACCEL`` decides, and
        without it this is emulation in software. There is no second choice: a
        ``/dev/kvm`` that is there need not work.
      processors: how many it has.
      memory_mib: how much memory it has; all of its files are in it too.
      root: the kind of its root file system. ``ramfs`` is filled twice as fast as
        ``tmpfs``, but can't be exported over NFS, nor can anything below it.
      vsock: the socket of whoever is the device of its vsock, which speaks vhost-user
        as :class:`~trionitro.vsock.VhostUserVsock` does; without one it has none.
      devices: more arguments for QEMU.

    """

    kit: Kit
    accelerator: str = attrs.field(
        factory=lambda: os.environ.get("ACCEL") or _EMULATION
    )
    processors: int = 2
    memory_mib: int = 1024
    root: Literal["ramfs", "tmpfs"] = "ramfs"
    vsock: Path | None = None
    devices: tuple[str, ...] = NSM_DEVICE

    def command(self, archive: Path, results: Path | None) -> list[str]:
        """Return the command that boots it.

        Args:
          archive: the initial ramdisk.
          results: the file that what the guest sends to its first serial port for
            data is written to; None if it has no such port.

        """
        processor = "host" if self.accelerator.startswith("kvm") else _EMULATED
        return [
            str(self.kit.qemu),
            *("-L", "/usr/share/qemu", "-L", "/usr/share/seabios"),
            *("-M", "q35", "-accel", self.accelerator, "-cpu", processor),
            *("-smp", str(self.processors), "-m", str(self.memory_mib)),
            *("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
            *("-serial", "stdio"),
            *("-kernel", str(self.kit.kernel), "-initrd", str(archive)),
            *("-append", " ".join([*_KERNEL_OPTIONS, f"rootfstype={self.root}"])),
            *_port_to(results),
            *self._vsock_device(),
            *self.devices,
        ]

    def _vsock_device(self) -> tuple[str, ...]:
        if self.vsock is None:
            return ()
        # Memory that the device's other end can map too, sealed against shrinking.
        memory = f"memory-backend-memfd,id=memory,size={self.memory_mib}M,share=on"
        return (
            *("-object", memory, "-machine", "memory-backend=memory"),
            *("-chardev", f"socket,id=vsock,path={_quoted(self.vsock)}"),
            *("-device", "vhost-user-vsock-pci,chardev=vsock"),
        )


def _port_to(results: Path | None) -> tuple[str, ...]:
    if results is None:
        return ()
    return (
        *("-device", "virtio-serial-pci"),
        *("-chardev", f"file,id=results,path={_quoted(results)}"),
        *("-device", "virtserialport,chardev=results,name=results"),
    )


def _quoted(path: Path) -> str:
    """Return a path as a part of an option; there a comma separates, and two don't."""
    return str(path).replace(",", ",,")
