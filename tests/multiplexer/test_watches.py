from __future__ import annotations

import select
import socket
from collections.abc import Iterator

import pytest

from tests.multiplexer.wires import SocketPair
from trionitro._multiplexer._watches import Watches

IN, OUT = select.EPOLLIN, select.EPOLLOUT


@pytest.fixture(name="pair")
def _pair() -> Iterator[SocketPair]:
    near, far = socket.socketpair()
    with near, far:
        yield near, far


def test_what_is_watched_for_is_reported(pair: SocketPair) -> None:
    watches = Watches()
    watches.add(pair[0].fileno(), IN)
    assert watches.epoll.poll(0) == []

    watches.start(pair[0].fileno(), OUT)
    assert watches.epoll.poll(0) == [(pair[0].fileno(), OUT)]

    watches.stop(pair[0].fileno(), OUT)
    assert watches.epoll.poll(0) == []


def test_a_hang_up_is_not_reported_where_nothing_is_watched_for(
    pair: SocketPair,
) -> None:
    watches = Watches()
    watches.add(pair[0].fileno(), IN)

    watches.stop(pair[0].fileno(), IN)
    pair[1].close()
    assert watches.epoll.poll(0) == []

    watches.start(pair[0].fileno(), IN)
    assert watches.epoll.poll(0)


def test_what_is_discarded_tells_what_it_was_watched_for(pair: SocketPair) -> None:
    watches = Watches()
    watches.add(pair[0].fileno(), IN | OUT)

    assert watches.discard(pair[0].fileno()) == IN | OUT
    assert watches.epoll.poll(0) == []
    assert not watches.masks


def test_a_descriptor_that_is_closed_can_be_discarded_and_not_added(
    pair: SocketPair,
) -> None:
    watches = Watches()
    number = pair[0].fileno()
    watches.add(number, IN)
    pair[0].close()

    watches.discard(number)

    with pytest.raises(OSError, match="Bad file descriptor"):
        watches.add(number, IN)
