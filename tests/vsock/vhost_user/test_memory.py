"""GuestMemory: every access is checked, and nothing is left mapped."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.vsock.vhost_user.fds import open_fds
from trionitro import ProtocolError
from trionitro.vsock._vhost_user._memory import GuestMemory, MemoryRegion

PAGE = 4096


def region(guest: int, vmm: int, size: int = PAGE, offset: int = 0) -> MemoryRegion:
    """Make a region."""
    return MemoryRegion(guest_address=guest, vmm_address=vmm, size=size, offset=offset)


def sealed_file(size: int, seals: int = fcntl.F_SEAL_SHRINK) -> int:
    """Make a file as a VMM does."""
    fd = os.memfd_create("test", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, size)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    return fd


@pytest.fixture(name="file")
def _file() -> Iterator[int]:
    fd = sealed_file(2 * PAGE)
    yield fd
    os.close(fd)


@pytest.fixture(name="memory")
def _memory(file: int) -> Iterator[GuestMemory]:
    """Two pages, that are neighbours for the guest, and not for the VMM."""
    memory = GuestMemory.map_untrusted(
        [region(0x1000, 0x10000), region(0x2000, 0x50000, offset=PAGE)], [file, file]
    )
    yield memory
    memory.close()


def test_an_address_is_found_in_its_region(memory: GuestMemory, file: int) -> None:
    os.pwrite(file, b"hello", PAGE + 8)

    data, start = memory.find_untrusted(0x2008, 5)

    assert data[start : start + 5] == b"hello"


def test_a_vmms_address_is_found_in_its_region(memory: GuestMemory, file: int) -> None:
    os.pwrite(file, b"hello", PAGE + 8)

    with memory.view_untrusted(0x50008, 5) as view:
        assert bytes(view) == b"hello"


def test_what_is_written_is_shared(memory: GuestMemory, file: int) -> None:
    data, start = memory.find_untrusted(0x1010, 5)

    data[start : start + 5] = b"hello"

    assert os.pread(file, 5, 0x10) == b"hello"


@pytest.mark.parametrize(
    ("address", "size"),
    [
        (0x0FFF, 1),
        (0x0FFF, 2),
        (0x1FFF, 2),  # from one region into its neighbour
        (0x2FFF, 2),
        (0x3000, 1),
        (0x1000, 2**32 - 1),
        (2**64 - 1, 0x1002),  # would wrap around to 0x1001
        (2**64 - 1, 2**32 - 1),
    ],
)
def test_what_is_not_in_one_region_is_an_error(
    memory: GuestMemory, address: int, size: int
) -> None:
    with pytest.raises(ProtocolError, match="the guest's memory has no"):
        memory.find_untrusted(address, size)


@pytest.mark.parametrize(
    ("address", "size"),
    [(0xFFFF, 1), (0x10FFF, 2), (0x11000, 1), (0x50000, PAGE + 1), (2**64 - 1, 2)],
)
def test_so_it_is_with_the_vmms_addresses(
    memory: GuestMemory, address: int, size: int
) -> None:
    with pytest.raises(ProtocolError, match="the VMM's memory has no"):
        memory.view_untrusted(address, size)


@given(address=st.integers(0, 2**64 - 1) | st.integers(0, 0x4000), size=st.integers(0))
def test_whatever_the_address_it_is_in_the_mapping_or_an_error(
    address: int, size: int
) -> None:
    fd = sealed_file(2 * PAGE)
    memory = GuestMemory.map_untrusted([region(0x1000, 0, 2 * PAGE)], [fd])
    os.close(fd)

    try:
        _, start = memory.find_untrusted(address, size)
    except ProtocolError:
        pass
    else:
        assert 0 <= start <= start + size <= 2 * PAGE
    finally:
        memory.close()


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        (region(0, 0, size=0), "a memory region of 0 bytes"),
        (region(0, 0, size=3 * PAGE), "which has 8192"),
        (region(0, 0, offset=2 * PAGE), "at 8192 of its file"),
        (region(0, 0, offset=2**64 - PAGE), "a memory region of"),
        (region(0, 0, size=2**63, offset=2**63), "a memory region of"),
        (region(0, 0, offset=8), "can't map the guest's memory"),
    ],
)
def test_a_region_that_is_not_in_its_file_is_an_error(
    wrong: MemoryRegion, problem: str, file: int
) -> None:
    before = open_fds()

    with pytest.raises(ProtocolError, match=problem):
        GuestMemory.map_untrusted([region(0, 0), wrong], [file, file])

    assert open_fds() == before


def test_a_file_that_may_be_cut_short_is_an_error_that_says_what_to_do() -> None:
    fd = sealed_file(PAGE, seals=fcntl.F_SEAL_GROW)

    with pytest.raises(ProtocolError, match="share it as memory-backend-memfd"):
        GuestMemory.map_untrusted([region(0, 0)], [fd])

    os.close(fd)


def test_what_is_no_file_is_an_error() -> None:
    reader, writer = os.pipe()

    with pytest.raises(ProtocolError, match="can't map the guest's memory"):
        GuestMemory.map_untrusted([region(0, 0)], [reader])

    os.close(reader)
    os.close(writer)


def test_closed_it_holds_no_file(file: int) -> None:
    before = open_fds()
    memory = GuestMemory.map_untrusted([region(0, 0)], [file])
    assert open_fds() != before

    memory.close()

    assert open_fds() == before
