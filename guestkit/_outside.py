"""The tests that are on this machine while the other end is in a guest of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import trio

__all__ = ["OUTSIDE", "test_outside"]

#: Those that boot guests; what else is beside them needs none, and is in every run.
OUTSIDE: Final = (
    *("tests/vm/test_real_guest.py", "tests/vm/test_two_guests.py"),
    "tests/vsock/vhost_user/test_qemu.py",
)

#: The package under test is the one that is installed, and guests are to be booted.
_ENVIRONMENT: Final = {"PYTHONSAFEPATH": "1", "TRIONITRO_TEST_VM": "1"}


async def test_outside(project: Path, said: Path) -> int:
    """Run them, and return pytest's exit code.

    Args:
      project: whose tests these are.
      said: a new file for what they print; on the terminal is the guest's console.

    """
    with said.open("wb") as file:
        ended = await trio.run_process(
            [sys.executable, "-m", "pytest", "--durations=10", *OUTSIDE],
            cwd=project,
            env={**os.environ, **_ENVIRONMENT},
            stdout=file,
            stderr=subprocess.STDOUT,
            check=False,
        )
    return ended.returncode
