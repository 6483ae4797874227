"""Entropy for the kernel, from the security module, before anybody needs a key.

An enclave has no disk, no keyboard and hardly an interrupt: an old kernel (nitro-cli's
is 4.14) may let ``getrandom`` wait for minutes. What the module gives is credited, so
that the kernel counts it as what it is; merely written to ``/dev/random`` it would be
stirred in and counted as nothing.

"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from abc import ABC, abstractmethod
from typing import Final, final

import attrs
import trio

from trionitro._exceptions import CannotStartError
from trionitro.nsm import Nsm

__all__ = [
    "SEED_SIZE",
    "EntropyPool",
    "KernelEntropyPool",
    "encode_pool_info",
    "seed_entropy",
]

#: Bytes: twice what the pool of the oldest kernel holds.
SEED_SIZE: Final = 1024

#: ``RNDADDENTROPY`` of ``linux/random.h``: stir in, and credit.
_RNDADDENTROPY: Final = 0x40085203

#: ``struct rand_pool_info``: how many bits to credit, how many bytes follow.
_POOL_INFO: Final = struct.Struct("=ii")


class EntropyPool(ABC):
    """Where entropy goes."""

    @abstractmethod
    def add(self, data: bytes) -> None:
        """Stir ``data`` in, and credit each of its bits; may block, for a moment.

        Raises:
          OSError: if that can't be.

        """


@final
@attrs.frozen
class KernelEntropyPool(EntropyPool):
    """The kernel's pool, which only root may credit.

    Attributes:
      path: the device.

    """

    path: str = "/dev/random"

    def add(self, data: bytes) -> None:
        """Stir ``data`` in, as :meth:`EntropyPool.add` says."""
        fd = os.open(self.path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            # Mutable: what can't be changed may not be longer than 1024 bytes.
            fcntl.ioctl(fd, _RNDADDENTROPY, bytearray(encode_pool_info(data)))
        finally:
            os.close(fd)


def encode_pool_info(data: bytes) -> bytes:
    """Write what ``RNDADDENTROPY`` takes: all bits of ``data`` are to be credited."""
    return _POOL_INFO.pack(8 * len(data), len(data)) + data


async def seed_entropy(
    nsm: Nsm, *, size: int = SEED_SIZE, pool: EntropyPool | None = None
) -> None:
    """Give the kernel ``size`` bytes from the security module, and credit for them.

    Args:
      nsm: where they come from.
      size: how many bytes.
      pool: where they go; None for the kernel's.

    Raises:
      CannotStartError: if the kernel doesn't take them.
      Exception: what :meth:`.Nsm.random` raises.

    Cancellation:
      The kernel has all of them or none.

    """
    data = await nsm.random(size)
    try:
        await trio.to_thread.run_sync((pool or KernelEntropyPool()).add, data)
    except OSError as error:
        remedy = (
            "boot as root, or with CAP_SYS_ADMIN"
            if error.errno in (errno.EPERM, errno.EACCES)
            else "is /dev/random in the image?"
        )
        raise CannotStartError(
            f"can't give the kernel {size} bytes of entropy: {error.strerror}; {remedy}"
        ) from error
