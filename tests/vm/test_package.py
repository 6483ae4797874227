"""The guest has the trionitro that runs here."""

from __future__ import annotations

import importlib.metadata
import shutil
from pathlib import Path

import pytest

import trionitro
from tests.vm.fake_qemu import read_archive
from trionitro.vm._package import PACKAGE, build_package

PLACE = "usr/local/lib/python3.11/dist-packages"


@pytest.mark.skipif(
    not shutil.which("cpio") or not Path("/usr/bin/python3.11").exists(),
    reason="there is no cpio, or not the guest's Python",
)
def test_it_is_whole_and_knows_its_version(tmp_path: Path) -> None:
    build_package(tmp_path, tmp_path / "log")

    archive = (tmp_path / PACKAGE).read_bytes()
    files = {name: (mode, content) for name, mode, content in read_archive(archive)}
    own = Path(trionitro.__file__)
    version = importlib.metadata.version("trionitro")
    assert files[f"{PLACE}/trionitro/__init__.py"][1] == own.read_bytes()
    assert f"{PLACE}/trionitro/attestation/aws_nitro_root_g1.pem" in files
    metadata = files[f"{PLACE}/trionitro-{version}.dist-info/METADATA"][1]
    assert f"\nVersion: {version}\n".encode() in metadata
    for program in ("python", "trionitro"):
        assert files[f"usr/local/bin/{program}"][0] & 0o111
