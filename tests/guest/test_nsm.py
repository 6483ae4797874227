"""``/dev/nsm`` for real: the kernel's driver, and QEMU's security module behind it."""

from __future__ import annotations

import fcntl
import os

import pytest
import trio

from trionitro.attestation import AttestationError, verify_attestation
from trionitro.nsm import KernelNsm, Nsm
from trionitro.testing import check_nsm_device


async def test_the_device_meets_the_contract() -> None:
    await check_nsm_device(KernelNsm())


async def test_many_who_ask_at_once_each_get_an_answer_of_their_own() -> None:
    answers: set[bytes] = set()

    async def ask() -> None:
        answers.add(await Nsm(KernelNsm()).random(1000))

    async with trio.open_nursery() as nursery:
        for _ in range(50):
            nursery.start_soon(ask)

    assert len(answers) == 50
    assert all(len(answer) == 1000 for answer in answers)


async def test_it_is_the_ioctl_that_linux_has() -> None:
    """Its neighbour is refused: one that was off by one would not go unnoticed."""
    fd = os.open("/dev/nsm", os.O_RDWR)
    try:
        with pytest.raises(OSError, match="Invalid argument"):
            fcntl.ioctl(fd, 0xC0200A01, bytearray(32), True)
    finally:
        os.close(fd)


async def test_a_document_that_nobody_signed_is_refused() -> None:
    """QEMU's has zeros for a signature, and for a certificate."""
    document = await Nsm(KernelNsm()).attest(nonce=b"fresh", user_data=b"who")
    assert b"fresh" in document

    with pytest.raises(AttestationError):
        verify_attestation(document)


async def test_a_request_that_is_too_long_is_an_error_that_says_so() -> None:
    with pytest.raises(OSError, match="/dev/nsm failed: the request has more than"):
        await KernelNsm().process(bytes(4097))
