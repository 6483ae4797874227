"""File descriptors that come with messages: none is lost, and none is left open."""

from __future__ import annotations

import array
import os
import socket

import pytest

from tests.vsock.vhost_user.fds import is_open
from trionitro import ProtocolError
from trionitro.vsock._vhost_user._ancillary import (
    MAX_FDS,
    ReceivedFds,
    check_eventfd_untrusted,
)


def rights(*fds: int) -> list[tuple[int, int, bytes]]:
    """Make what recvmsg() returns when these come."""
    return [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds).tobytes())]


def test_the_only_one_is_taken() -> None:
    fd = os.eventfd(0)
    fds = ReceivedFds()
    fds.add_untrusted(rights(fd))

    assert fds.take_untrusted() == fd
    fds.close()

    assert is_open(fd)
    os.close(fd)


@pytest.mark.parametrize("count", [0, 2])
def test_any_other_number_is_an_error(count: int) -> None:
    fds = ReceivedFds()
    if count:
        fds.add_untrusted(rights(*(os.eventfd(0) for _ in range(count))))

    with pytest.raises(ProtocolError, match=f"{count} file descriptors came"):
        fds.take_untrusted()

    fds.close()


def test_those_that_nobody_takes_are_closed() -> None:
    opened = [os.eventfd(0) for _ in range(3)]
    fds = ReceivedFds()
    fds.add_untrusted(rights(*opened))
    assert fds.all() == opened

    fds.close()

    assert not any(map(is_open, opened))


def test_too_many_are_an_error_and_closed_as_well() -> None:
    opened = [os.eventfd(0) for _ in range(MAX_FDS + 1)]
    fds = ReceivedFds()

    with pytest.raises(ProtocolError, match="9 file descriptors came"):
        fds.add_untrusted(rights(*opened))
    fds.close()

    assert not any(map(is_open, opened))


def test_what_is_no_file_descriptor_is_ignored() -> None:
    fds = ReceivedFds()

    fds.add_untrusted([(socket.SOL_SOCKET, socket.SCM_CREDENTIALS, bytes(12))])

    assert not fds.all()


def test_an_eventfd_is_made_not_to_block() -> None:
    fd = os.eventfd(0)

    check_eventfd_untrusted(fd)

    assert not os.get_blocking(fd)
    os.close(fd)


def test_what_is_no_eventfd_is_an_error() -> None:
    reader, writer = os.pipe()

    with pytest.raises(ProtocolError, match="where there should be an eventfd"):
        check_eventfd_untrusted(reader)

    os.close(reader)
    os.close(writer)
