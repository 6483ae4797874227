"""How dialling fails on a real AF_VSOCK, and that ours makes the best of it."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from tests.kernel_vsock import LOCAL
from trionitro.abc import VMADDR_ANY
from trionitro.vsock import KernelVsock

#: A CID that this guest has no transport to, or whose machine never answers.
ELSEWHERE = 16

#: ``VHOST_VSOCK_SET_GUEST_CID``, from ``linux/vhost.h``.
SET_GUEST_CID = 0x4008AF60


async def test_with_a_loopback_only_the_cid_is_1() -> None:
    assert KernelVsock().cid == LOCAL


async def test_a_socket_whose_dial_failed_is_spoiled() -> None:
    """It says EALREADY, and Trio then takes it for connected: ours are used once."""
    with trio.socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM) as sock:
        with pytest.raises(ConnectionResetError):
            await sock.connect((LOCAL, 9000))
        with socket.socket(fileno=os.dup(sock.fileno())) as same:
            assert same.connect_ex((LOCAL, 9000)) == errno.EALREADY
        await sock.connect((LOCAL, 9000))

        with pytest.raises(OSError, match="not connected"):
            sock.getpeername()


async def test_a_failed_dial_can_be_tried_again() -> None:
    with pytest.raises(ConnectionResetError, match="nobody listens on that port"):
        await KernelVsock().open_stream(LOCAL, 9000)

    async with await KernelVsock().open_listener(9000):
        stream = await KernelVsock().open_stream(LOCAL, 9000)
        await stream.aclose()


async def test_a_full_backlog_refuses_at_once() -> None:
    """TCP would try again, and a proxy's client wait: hence our long backlogs."""
    async with await KernelVsock().open_listener(9000, backlog=1):
        first = await KernelVsock().open_stream(LOCAL, 9000)
        second = await KernelVsock().open_stream(LOCAL, 9000)
        with pytest.raises(ConnectionResetError):
            await KernelVsock().open_stream(LOCAL, 9000)
        await first.aclose()
        await second.aclose()


async def test_our_own_backlog_takes_hundreds() -> None:
    async with await KernelVsock().open_listener(9000):
        waiting = [await KernelVsock().open_stream(LOCAL, 9000) for _ in range(300)]
        for stream in waiting:
            await stream.aclose()


async def test_where_no_transport_goes_the_error_says_so() -> None:
    message = f"can't connect to vsock://{ELSEWHERE}:9000: no transport goes there"
    with pytest.raises(OSError, match=message) as refusal:
        await KernelVsock().open_stream(ELSEWHERE, 9000)

    assert refusal.value.errno == errno.ENODEV


@pytest.fixture(name="silent_cid")
def _silent_cid() -> Iterator[int]:
    """A CID that never answers: a machine on this host that was never started."""
    subprocess.run(["modprobe", "vhost_vsock"], check=True)
    device = os.open("/dev/vhost-vsock", os.O_RDWR | os.O_CLOEXEC)
    fcntl.ioctl(device, SET_GUEST_CID, struct.pack("=Q", ELSEWHERE))
    yield ELSEWHERE
    os.close(device)
    # Until the last dial's timeout is over, the kernel keeps its socket.
    remove = ["modprobe", "--remove", "--wait", "30000", "vhost_vsock"]
    subprocess.run(remove, check=True)


def test_the_kernel_gives_up_after_two_seconds(silent_cid: int) -> None:
    with (
        socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM) as sock,
        pytest.raises(TimeoutError) as silence,
    ):
        sock.connect((silent_cid, 9000))

    assert silence.value.errno == errno.ETIMEDOUT


async def test_a_closed_connection_costs_the_kernel_nothing_for_long() -> None:
    """Whoever dials makes the kernel keep the socket until the dial's timeout."""
    dials = 500
    before = kernel_sockets()
    async with await KernelVsock().open_listener(9000) as listener:
        for _ in range(dials):
            async with await KernelVsock().open_stream(LOCAL, 9000):
                await (await listener.accept()).aclose()

    with trio.fail_after(60):
        while kernel_sockets() - before > dials / 2:
            await trio.sleep(0.5)


def kernel_sockets() -> int:
    """Return how many AF_VSOCK sockets the kernel holds, or a little more."""
    (line,) = (
        line
        for line in Path("/proc/slabinfo").read_text().splitlines()
        if line.startswith("AF_VSOCK")
    )
    return int(line.split()[1])


async def test_ours_waits_for_as_long_as_it_is_let(silent_cid: int) -> None:
    with trio.move_on_after(4) as scope:
        await KernelVsock().open_stream(silent_cid, 9000)

    assert scope.cancelled_caught


async def test_beside_enclaves_a_machine_is_cid_2(silent_cid: int) -> None:
    assert KernelVsock().cid == 2


async def test_a_low_port_takes_a_privilege_and_the_error_says_which() -> None:
    proxy = [sys.executable, "-m", "trionitro.proxy", "vsock://:80", "tcp://[::1]:80"]

    refused = await trio.run_process(
        proxy, user="nobody", check=False, capture_stderr=True, cwd="/"
    )

    assert refused.returncode == 1
    assert b"can't listen on vsock://:80: a port below 1024 needs" in refused.stderr
    assert b"Traceback" not in refused.stderr


async def test_root_may_listen_on_a_low_port() -> None:
    async with await KernelVsock().open_listener(80) as listener:
        assert listener.port == 80


async def test_the_kernels_own_ports_are_beyond_those_of_tcp() -> None:
    async with await KernelVsock().open_listener(VMADDR_ANY) as listener:
        assert listener.port >= 1024


def test_the_device_is_there() -> None:
    assert Path("/dev/vsock").is_char_device()
