"""The kernel's device, with its driver played by a function."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import threading
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio

from trionitro.nsm import KernelNsm, Nsm, NsmUnavailableError
from trionitro.testing import cancel_at_every_step, check_nsm_device

#: ``struct nsm_raw``, written down once more: four times 64 bits.
FIELDS = ctypes.c_uint64 * 4


@attrs.define
class Driver:
    """Does what the ioctl of ``drivers/misc/nsm.c`` does with memory.

    Attributes:
      answer: what the device says.
      error: what the driver says instead, if it isn't 0.
      go_on: when it says so.
      entered: whether a request has come.
      left: whether one has been answered.
      seen: requests, with the descriptors they came on.
      inheritable: whether the last descriptor would be.
      open_at_the_end: whether it was open still when the answer was written.

    """

    answer: bytes = b"\x67LockPCR"
    error: int = 0
    go_on: threading.Event = attrs.field(factory=threading.Event)
    entered: threading.Event = attrs.field(factory=threading.Event)
    left: threading.Event = attrs.field(factory=threading.Event)
    seen: list[tuple[int, bytes]] = attrs.field(factory=list)
    inheritable: bool | None = None
    open_at_the_end: bool | None = None

    def ioctl(self, fd: int, number: int, raw: Any, mutate: bool) -> int:
        """Stand in for :func:`fcntl.ioctl`."""
        assert number == 0xC0200A00
        assert mutate
        assert ctypes.sizeof(raw) == 32
        fields = FIELDS.from_buffer(raw)
        request_address, request_length, response_address, response_length = fields
        assert response_length == 0x3000
        self.seen.append((fd, ctypes.string_at(request_address, request_length)))
        self.inheritable = os.get_inheritable(fd)
        self.entered.set()
        assert self.go_on.wait(20)
        ctypes.memset(response_address, 0xAA, response_length)
        ctypes.memmove(response_address, self.answer, len(self.answer))
        fields[3] = len(self.answer)
        self.open_at_the_end = (
            fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDWR
        )
        self.left.set()
        if self.error:
            raise OSError(self.error, os.strerror(self.error))
        return 0


@pytest.fixture(name="path")
def _path(tmp_path: Path) -> str:
    device = tmp_path / "nsm"
    device.touch()
    return str(device)


@pytest.fixture(name="driver")
def _driver() -> Driver:
    driver = Driver()
    driver.go_on.set()
    return driver


async def test_the_answer_is_as_long_as_the_kernel_says(
    driver: Driver, path: str
) -> None:
    driver.answer = b"\x01" * 100

    answer = await KernelNsm(path, ioctl=driver.ioctl).process(b"request")

    assert answer == b"\x01" * 100
    assert [request for _, request in driver.seen] == [b"request"]


async def test_the_longest_answer_is_not_cut(driver: Driver, path: str) -> None:
    driver.answer = bytes(0x3000)

    assert await KernelNsm(path, ioctl=driver.ioctl).process(b"x") == bytes(0x3000)


async def test_the_descriptor_is_nobody_else_s_and_is_closed(
    driver: Driver, path: str
) -> None:
    await Nsm(KernelNsm(path, ioctl=driver.ioctl)).lock_pcr(16)

    assert driver.inheritable is False
    assert driver.open_at_the_end is True
    ((fd, _),) = driver.seen
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(fd)


async def test_a_cancelled_caller_leaves_descriptor_and_buffers_to_the_kernel(
    path: str,
) -> None:
    driver = Driver()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(KernelNsm(path, ioctl=driver.ioctl).process, b"request")
        await trio.to_thread.run_sync(driver.entered.wait)
        nursery.cancel_scope.cancel()
    # The caller is gone, and the kernel still works on it.

    driver.go_on.set()
    await trio.to_thread.run_sync(driver.left.wait, 20)

    assert driver.open_at_the_end is True


async def test_a_device_that_hangs_takes_one_thread_and_no_more(path: str) -> None:
    driver = Driver()
    device = KernelNsm(path, ioctl=driver.ioctl)
    for _ in range(3):
        async with trio.open_nursery() as nursery:
            for _ in range(50):
                nursery.start_soon(device.process, b"request")
            await trio.to_thread.run_sync(driver.entered.wait)
            nursery.cancel_scope.cancel()

    assert len(driver.seen) == 1
    assert trio.to_thread.current_default_thread_limiter().borrowed_tokens == 0
    driver.go_on.set()
    assert await device.process(b"another") == driver.answer


async def test_after_a_run_that_left_a_request_behind_another_can_ask(
    path: str,
) -> None:
    """Each run of Trio has a limiter of its own."""
    driver = Driver()
    device = KernelNsm(path, ioctl=driver.ioctl)

    async def ask_and_leave() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(device.process, b"request")
            await trio.to_thread.run_sync(driver.entered.wait)
            nursery.cancel_scope.cancel()

    await trio.to_thread.run_sync(trio.run, ask_and_leave)
    driver.go_on.set()

    assert await trio.to_thread.run_sync(trio.run, device.process, b"again")


def test_cancelled_anywhere_the_next_request_gets_its_own_answer(path: str) -> None:
    driver = Driver()
    driver.go_on.set()

    async def scenario() -> None:
        try:
            await KernelNsm(path, ioctl=driver.ioctl).process(b"first")
        finally:
            with trio.CancelScope(shield=True):
                await KernelNsm(path, ioctl=driver.ioctl).process(b"second")
            assert driver.seen[-1][1] == b"second"

    cancel_at_every_step(scenario)


async def test_no_device_is_explained(tmp_path: Path) -> None:
    with pytest.raises(NsmUnavailableError) as problem:
        await Nsm(KernelNsm(str(tmp_path / "nsm"))).describe()

    message = str(problem.value)
    for words in (str(tmp_path), "not an enclave", "nsm emulate", "TRIONITRO_NSM="):
        assert words in message


async def test_a_file_that_is_no_device_is_an_error(path: str) -> None:
    """Through the real ioctl."""
    with pytest.raises(OSError, match="not a security module") as problem:
        await KernelNsm(path).process(b"request")

    assert problem.value.errno == errno.ENOTTY


async def test_a_directory_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"can't open .*is a directory"):
        await KernelNsm(str(tmp_path)).process(b"request")


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ETIMEDOUT, "within the driver's two minutes"),
        (errno.EMSGSIZE, "more than 4096 bytes"),
        (errno.ENOMEM, "Cannot allocate memory"),
    ],
)
async def test_the_driver_s_errors_are_explained(
    driver: Driver, path: str, number: int, words: str
) -> None:
    driver.error = number

    with pytest.raises(OSError, match=f"{path} failed: .*{words}") as problem:
        await KernelNsm(path, ioctl=driver.ioctl).process(b"request")

    assert problem.value.errno == number


@pytest.mark.skipif(
    "TRIONITRO_GUEST" not in os.environ,
    reason="it locks a PCR: only in a guest that the tests have started",
)
async def test_the_real_driver_and_device_meet_the_contract() -> None:
    await check_nsm_device(KernelNsm())
