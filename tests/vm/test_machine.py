"""What QEMU is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from trionitro.vm import Kit, Machine

KIT = Kit(qemu=Path("/kit/qemu"), kernel=Path("/kit/vmlinuz"), archives=())


def test_a_guest_is_emulated_whatever_the_machine_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("ACCEL", raising=False)
    command = Machine(kit=KIT).command(Path("initrd"), Path("results"))
    assert command[command.index("-accel") + 1] == "tcg,thread=multi"

    monkeypatch.setenv("ACCEL", "kvm")
    command = Machine(kit=KIT).command(Path("initrd"), Path("results"))
    assert command[command.index("-accel") + 1] == "kvm"
    assert command[command.index("-cpu") + 1] == "host"


def test_a_vsock_comes_with_all_of_the_memory_shared() -> None:
    machine = Machine(kit=KIT, memory_mib=640, vsock=Path("/tmp/a,b/v.sock"))

    command = machine.command(Path("initrd"), Path("results"))

    memory = "memory-backend-memfd,id=memory,size=640M,share=on"
    assert command[command.index("-m") + 1] == "640"
    assert memory in command
    assert "socket,id=vsock,path=/tmp/a,,b/v.sock" in command
    assert "vhost-user-vsock-pci,chardev=vsock" in command


def test_without_one_there_is_none() -> None:
    command = Machine(kit=KIT).command(Path("initrd"), Path("results"))

    assert not any("vsock" in word for word in command)


def test_a_guest_of_which_nothing_is_wanted_can_write_no_file() -> None:
    command = Machine(kit=KIT).command(Path("initrd"), None)

    assert not any("file," in word or "serialport" in word for word in command)


def test_a_guest_that_exports_files_has_a_root_that_can_be_exported() -> None:
    usual = Machine(kit=KIT).command(Path("initrd"), None)
    server = Machine(kit=KIT, root="tmpfs").command(Path("initrd"), None)

    assert "rootfstype=ramfs" in usual[usual.index("-append") + 1].split()
    assert "rootfstype=tmpfs" in server[server.index("-append") + 1].split()
