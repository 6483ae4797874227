"""A guest's memory, as the VMM shares it.

There are two kinds of addresses: the guest's physical ones, which descriptors hold,
and the VMM's own, in which it says where the rings are. The guest chooses the former
and is hostile: every access is checked against the regions there are, as a whole.

"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
from collections.abc import Sequence
from typing import Final, Self, final

import attrs

from trionitro._exceptions import ProtocolError

__all__ = ["GuestMemory", "MemoryRegion"]

#: ``F_SEAL_SHRINK`` of ``linux/fcntl.h``.
_F_GET_SEALS: Final = 1034
_F_SEAL_SHRINK: Final = 0x0002


@attrs.frozen(kw_only=True)
class MemoryRegion:
    """Where a piece of the guest's memory is.

    Attributes:
      guest_address: its first address, as the guest sees it.
      size: in bytes.
      vmm_address: its first address, as the VMM sees it.
      offset: where it begins in the file that came with it.

    """

    guest_address: int
    size: int
    vmm_address: int
    offset: int


@attrs.frozen
class _Mapped:
    """A region, and its bytes."""

    region: MemoryRegion
    bytes: mmap.mmap


@final
class GuestMemory:
    """All regions of a guest's memory, mapped.

    Attributes:
      regions: for whoever can't afford a call: start, end (exclusive) and bytes of
          each, by the guest's addresses.

    """

    def __init__(self, mapped: Sequence[_Mapped] = ()) -> None:
        self._mapped = mapped
        self.regions: Final = [
            (
                one.region.guest_address,
                one.region.guest_address + one.region.size,
                one.bytes,
            )
            for one in mapped
        ]

    @classmethod
    def map_untrusted(cls, regions: Sequence[MemoryRegion], fds: Sequence[int]) -> Self:
        """Map ``regions``, each from its file.

        Args:
          regions: what the VMM says there is.
          fds: their files; they are used, but stay the caller's to close.

        Raises:
          ProtocolError: if a file can't be mapped, or might not stay as long as it is.

        """
        with contextlib.ExitStack() as undo:
            mapped = []
            for region, fd in zip(regions, fds, strict=True):
                mapped.append(_Mapped(region, _map_untrusted(region, fd)))
                undo.callback(mapped[-1].bytes.close)
            undo.pop_all()
            return cls(mapped)

    def find_untrusted(self, address: int, size: int) -> tuple[mmap.mmap, int]:
        """Find ``size`` bytes at one of the guest's addresses.

        Returns:
          The mapping, and where in it they begin.

        Raises:
          ProtocolError: if they aren't in one region.

        """
        for start, end, data in self.regions:
            if start <= address and address + size <= end:
                return data, address - start
        raise ProtocolError(
            f"the guest's memory has no {size} bytes at address {address:#x}"
        )

    def view_untrusted(self, vmm_address: int, size: int) -> memoryview:
        """Look at ``size`` bytes at one of the VMM's addresses.

        The view must be released before the memory is closed.

        Raises:
          ProtocolError: if they aren't in one region.

        """
        for one in self._mapped:
            start = vmm_address - one.region.vmm_address
            if start >= 0 and start + size <= one.region.size:
                return memoryview(one.bytes)[start : start + size]
        raise ProtocolError(
            f"the VMM's memory has no {size} shared bytes at address {vmm_address:#x}"
        )

    def close(self) -> None:
        """Unmap all of it."""
        for one in self._mapped:
            one.bytes.close()


def _map_untrusted(region: MemoryRegion, fd: int) -> mmap.mmap:
    try:
        # A file that shrinks under a mapping kills whoever touches what is gone
        # (SIGBUS). A seal promises that it won't; memory-backend-memfd sets it.
        seals = fcntl.fcntl(fd, _F_GET_SEALS)
        if not seals & _F_SEAL_SHRINK:
            raise ProtocolError(
                "the guest's memory is a file that may be cut short; share it as"
                " memory-backend-memfd, which is sealed"
            )
        _check_file(region, os.fstat(fd).st_size)
        return mmap.mmap(fd, region.size, offset=region.offset)
    except (OSError, ValueError, OverflowError) as problem:
        raise ProtocolError(
            f"can't map the guest's memory: {problem}; share it as"
            " memory-backend-memfd,share=on"
        ) from problem


def _check_file(region: MemoryRegion, file_size: int) -> None:
    if region.size == 0 or region.offset + region.size > file_size:
        raise ProtocolError(
            f"a memory region of {region.size} bytes at {region.offset} of its file,"
            f" which has {file_size}"
        )
