"""KernelVsock, as far as this machine's kernel takes part.

Nothing here connects to another machine: what answers there would be somebody's
host. Where the kernel has a loopback, a machine connects to itself.

"""

from __future__ import annotations

import errno
import os
import socket
import struct
from pathlib import Path

import pytest
import trio

from tests.kernel_vsock import LOCAL, needs_loopback, needs_vsock
from trionitro.abc import VMADDR_ANY, VsockAddress
from trionitro.testing import check_vsock_network
from trionitro.vsock import KernelVsock, _kernel
from trionitro.vsock._kernel_errors import (
    CONNECTING,
    LISTENING,
    connect_error,
    listen_error,
)

SOMEBODY = VsockAddress(16, 8000)


@needs_loopback
async def test_the_loopback_meets_the_contract() -> None:
    await check_vsock_network(KernelVsock(), cid=LOCAL)


@needs_loopback
async def test_where_nobody_listens_the_error_says_so() -> None:
    async with await KernelVsock().open_listener(VMADDR_ANY) as listener:
        port = listener.port

    message = f"can't connect to vsock://1:{port}: nobody listens on that port"
    with pytest.raises(ConnectionResetError, match=message):
        await KernelVsock().open_stream(LOCAL, port)


@needs_vsock
async def test_a_free_port_is_the_kernels_choice() -> None:
    async with await KernelVsock().open_listener(VMADDR_ANY) as listener:
        assert 1024 <= listener.port < VMADDR_ANY


@needs_vsock
async def test_a_port_in_use_is_an_error_that_names_it() -> None:
    async with await KernelVsock().open_listener(VMADDR_ANY) as listener:
        message = f"can't listen on vsock://:{listener.port}: somebody listens there"
        with pytest.raises(OSError, match=message) as refusal:
            await KernelVsock().open_listener(listener.port)

    assert refusal.value.errno == errno.EADDRINUSE


@needs_vsock
async def test_a_port_is_free_again_when_its_listener_is_closed() -> None:
    async with await KernelVsock().open_listener(VMADDR_ANY) as listener:
        port = listener.port

    async with await KernelVsock().open_listener(port) as again:
        assert again.port == port


@needs_vsock
async def test_how_long_the_kernel_waits_can_be_set() -> None:
    with trio.socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM) as sock:
        _kernel._set_connect_timeout(sock, 64)
        fd = os.dup(sock.fileno())
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, fd) as double:
            timeout = double.getsockopt(socket.AF_VSOCK, 6, 16)

    assert struct.unpack("@ll", timeout) == (64, 0)


async def test_when_the_kernel_gives_up_it_is_tried_again_and_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Until somebody answers, or the caller's deadline passes."""
    waited: list[int] = []

    async def dial(cid: int, port: int, seconds: int) -> trio.socket.SocketType:
        waited.append(seconds)
        if len(waited) < 8:
            raise OSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
        raise OSError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))

    monkeypatch.setattr(_kernel, "_dial", dial)

    with pytest.raises(ConnectionResetError):
        await KernelVsock().open_stream(16, 8000)

    assert waited == [2, 4, 8, 16, 32, 64, 64, 64]


@needs_vsock
async def test_a_dial_that_is_cancelled_already_does_not_begin() -> None:
    with trio.CancelScope() as scope:
        scope.cancel()
        await KernelVsock().open_stream(LOCAL, 8000)

    assert scope.cancelled_caught


@pytest.mark.skipif(
    not os.access("/dev/vsock", os.R_OK), reason="there is no /dev/vsock to ask"
)
def test_the_machines_cid_is_what_the_device_says() -> None:
    cid = KernelVsock().cid

    assert cid is None or 0 < cid < VMADDR_ANY


def test_without_the_device_the_cid_is_not_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_kernel, "_DEVICE", str(tmp_path / "vsock"))

    assert KernelVsock().cid is None


async def test_a_machine_without_vsock_is_told_what_to_use(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A family that no kernel has stands for one that this kernel lacks."""
    monkeypatch.setattr(_kernel, "_AF_VSOCK", 9999)
    message = "this machine has no vsock.* use --vsock local:DIR to try things out"

    with pytest.raises(OSError, match=f"connect to vsock://1:5: {message}") as refusal:
        await KernelVsock().open_stream(LOCAL, 5)
    assert refusal.value.errno == errno.EAFNOSUPPORT
    with pytest.raises(OSError, match=f"can't listen on a free vsock port: {message}"):
        await KernelVsock().open_listener(VMADDR_ANY)


async def test_ports_and_cids_that_cannot_be_are_refused() -> None:
    """CPython would dial their lowest 32 bits."""
    with pytest.raises(ValueError, match="the CID 4294967297 is not"):
        await KernelVsock().open_stream(2**32 + 1, 8000)
    with pytest.raises(ValueError, match="the port 4294967295 is not"):
        await KernelVsock().open_stream(LOCAL, VMADDR_ANY)
    with pytest.raises(ValueError, match="the port 4294967296 is not"):
        await KernelVsock().open_listener(2**32)


EXPLAINED_CONNECTING = {
    errno.ECONNRESET: (ConnectionResetError, "nobody listens on that port"),
    errno.ENODEV: (OSError, "vsock_loopback"),
    errno.ENETUNREACH: (OSError, "the parent is CID 3"),
    errno.EAFNOSUPPORT: (OSError, "--vsock local:DIR"),
}

EXPLAINED_LISTENING = {
    errno.EACCES: (PermissionError, "CAP_NET_BIND_SERVICE"),
    errno.EADDRINUSE: (OSError, "use another port"),
    errno.EADDRNOTAVAIL: (OSError, "not this machine's"),
    errno.EAFNOSUPPORT: (OSError, "--vsock local:DIR"),
}


@pytest.mark.parametrize("code", EXPLAINED_CONNECTING, ids=errno.errorcode.get)
def test_why_connecting_failed_is_explained(code: int) -> None:
    kind, words = EXPLAINED_CONNECTING[code]

    error = connect_error(OSError(code, "?"), SOMEBODY)

    assert type(error) is kind
    assert error.errno == code
    assert error.strerror is not None
    assert error.strerror.startswith("can't connect to vsock://16:8000: ")
    assert words in error.strerror


@pytest.mark.parametrize("code", EXPLAINED_LISTENING, ids=errno.errorcode.get)
def test_why_listening_failed_is_explained(code: int) -> None:
    kind, words = EXPLAINED_LISTENING[code]

    error = listen_error(OSError(code, "?"), 80)

    assert type(error) is kind
    assert error.errno == code
    assert error.strerror is not None
    assert error.strerror.startswith("can't listen on vsock://:80: ")
    assert words in error.strerror


def test_every_explanation_is_tested() -> None:
    assert CONNECTING.keys() == EXPLAINED_CONNECTING.keys()
    assert LISTENING.keys() == EXPLAINED_LISTENING.keys()


def test_what_nobody_foresaw_keeps_the_kernels_words() -> None:
    error = connect_error(OSError(errno.ENOMEM, "?"), SOMEBODY)

    assert error.errno == errno.ENOMEM
    assert str(error).endswith(f"vsock://16:8000: {os.strerror(errno.ENOMEM)}")
