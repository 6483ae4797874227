"""Entropy from a real security module, for a real kernel."""

from __future__ import annotations

import sys
from pathlib import Path

import trio

from trionitro.enclave import seed_entropy
from trionitro.nsm import KernelNsm, Nsm

PROGRAM = """
import trio
from trionitro.enclave import seed_entropy
from trionitro.nsm import KernelNsm, Nsm

trio.run(seed_entropy, Nsm(KernelNsm()))
"""


async def test_the_kernel_takes_what_it_is_given() -> None:
    await seed_entropy(Nsm(KernelNsm()))

    # All that a kernel of today says: whether its generator was ever seeded.
    assert Path("/proc/sys/kernel/random/entropy_avail").read_text() == "256\n"


async def test_without_the_privilege_the_error_says_which() -> None:
    """That it takes one shows that it is credited: anybody may stir something in."""
    refused = await trio.run_process(
        [sys.executable, "-c", PROGRAM],
        user="nobody",
        cwd="/",
        check=False,
        capture_stderr=True,
    )

    assert refused.returncode == 1
    assert b"boot as root, or with CAP_SYS_ADMIN" in refused.stderr
