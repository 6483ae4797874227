"""Running a piece of Python in namespaces of its own, where that is allowed."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
import textwrap
from typing import Any

import pytest

#: Long for anything that is run here; a hang is to fail, not to last.
PATIENCE = 20

NETWORK = ("-r", "-n")
PROCESSES = ("-r", "-p", "-f", "--mount-proc", "--kill-child")


@functools.cache
def _reason_against(*flags: str) -> str | None:
    try:
        probe = subprocess.run(
            ["unshare", *flags, "true"],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    except FileNotFoundError:
        return "there is no unshare program"
    return probe.stderr.strip() if probe.returncode else None


def skip_without(*flags: str) -> None:
    """Skip the test where such namespaces aren't allowed."""
    if reason := _reason_against(*flags):
        pytest.skip(f"no namespaces here: {reason}")


def run_in(flags: tuple[str, ...], program: str) -> Any:
    """Run ``program`` in new namespaces; it prints JSON, which is returned.

    Skips the test where such namespaces aren't allowed.

    """
    skip_without(*flags)
    done = subprocess.run(
        ["unshare", *flags, sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])
