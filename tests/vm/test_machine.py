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
