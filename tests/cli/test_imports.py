"""A program that starts doesn't wait for libraries that it may never use."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize("command", ["proxy", "enclave", "parent"])
@pytest.mark.parametrize(
    "library",
    [
        *("cryptography", "prometheus_client", "yaml"),
        *("trionitro.kms", "trionitro.vsock._vhost_user"),
    ],
)
def test_it_is_not_imported_at_the_start(command: str, library: str) -> None:
    program = [sys.executable, "-X", "importtime", "-m", "trionitro", command, "--help"]
    ended = subprocess.run(program, capture_output=True, check=True, text=True)
    imported = {line.rpartition("|")[2].strip() for line in ended.stderr.splitlines()}

    assert "trio" in imported
    assert library not in imported
