"""A machine that can't build guests says so in one line, with a remedy."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from trionitro.vm import KitError
from trionitro.vm import _packages as packages
from trionitro.vm._packages import check_installed, check_machine

DEBIAN_12 = 'PRETTY_NAME="Debian"\nVERSION_CODENAME=bookworm\n'


def test_another_system_is_none(tmp_path: Path) -> None:
    release = tmp_path / "os-release"
    release.write_text("VERSION_CODENAME=noble\n")

    for facts in (release, tmp_path / "none"):
        with pytest.raises(KitError, match=r"Debian 12.*isn't: use a container"):
            check_machine(facts)


def test_another_processor_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = tmp_path / "os-release"
    release.write_text(DEBIAN_12)
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")

    with pytest.raises(KitError, match="x86-64, this is aarch64: use"):
        check_machine(release)


def test_what_is_missing_comes_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(packages, "_missing", lambda: ["cpio", "seabios"])

    with pytest.raises(KitError, match=r"apt-get install .* cpio seabios$"):
        check_installed()
