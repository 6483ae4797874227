"""Seeding the kernel from the security module."""

from __future__ import annotations

import errno
import sys
from pathlib import Path

import attrs
import pytest

from trionitro import CannotStartError
from trionitro.enclave._entropy import (
    EntropyPool,
    KernelEntropyPool,
    encode_pool_info,
    seed_entropy,
)
from trionitro.nsm import Nsm
from trionitro.testing import NsmEmulator, cancel_at_every_step


@attrs.define
class MemoryPool(EntropyPool):
    """Remembers what was added."""

    added: bytes = b""

    def add(self, data: bytes) -> None:
        """Called in a thread."""
        self.added += data


@attrs.define
class FailingPool(EntropyPool):
    """Takes nothing."""

    error: OSError

    def add(self, data: bytes) -> None:
        """Called in a thread."""
        raise self.error


async def test_the_pool_gets_as_much_as_was_asked_for_and_never_the_same() -> None:
    pools = MemoryPool(), MemoryPool()

    for pool in pools:
        await seed_entropy(Nsm(NsmEmulator()), size=1000, pool=pool)

    assert [len(pool.added) for pool in pools] == [1000, 1000]
    assert pools[0].added != pools[1].added


@pytest.mark.parametrize(
    ("number", "remedy"),
    [(errno.EPERM, "boot as root"), (errno.ENOENT, "is /dev/random in the image")],
)
async def test_a_kernel_that_takes_nothing_is_explained(
    number: int, remedy: str
) -> None:
    pool = FailingPool(OSError(number, "no"))

    with pytest.raises(CannotStartError, match=f"1024 bytes of entropy: no; {remedy}"):
        await seed_entropy(Nsm(NsmEmulator()), pool=pool)


async def test_the_kernel_takes_a_seed() -> None:
    """For real, where that is allowed. A newer kernel's pool is always full, so that
    nothing can be seen but that it was taken.
    """
    try:
        KernelEntropyPool().add(b"\0")
    except PermissionError as error:
        pytest.skip(f"crediting the kernel's pool needs CAP_SYS_ADMIN: {error}")

    await seed_entropy(Nsm(NsmEmulator()), size=5000)


def test_the_kernel_is_told_how_many_bits_and_how_many_bytes() -> None:
    """``struct rand_pool_info`` of ``linux/random.h``: were the second number wrong,
    the kernel would stir in what lies behind.
    """
    bits, size = (number.to_bytes(4, sys.byteorder) for number in (24, 3))

    assert encode_pool_info(b"abc") == bits + size + b"abc"


def test_a_path_that_is_no_random_device_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "random"
    file.touch()

    with pytest.raises(OSError, match="ioctl"):
        KernelEntropyPool(str(file)).add(b"x")


def test_a_cancelled_seeding_has_given_all_or_nothing() -> None:
    async def scenario() -> None:
        pool = MemoryPool()
        try:
            await seed_entropy(Nsm(NsmEmulator()), pool=pool)
        finally:
            assert len(pool.added) in (0, 1024)

    cancel_at_every_step(scenario)
