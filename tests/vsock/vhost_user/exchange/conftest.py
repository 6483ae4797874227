"""A device that has little room, and a guest on it that says what a test likes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.vsock.vhost_user.worlds import RudeGuest, rude_guest, serving
from trionitro.abc import VsockListener, VsockStream
from trionitro.vsock import VhostUserVsock

#: What each connection's buffer holds.
BUFFER = 2**12


@pytest.fixture(name="network")
async def _network(tmp_path: Path) -> AsyncIterator[VhostUserVsock]:
    path = tmp_path / "v.sock"
    async with serving(path, buffer_size=BUFFER, max_connections=3) as network:
        yield network


@pytest.fixture(name="listener")
async def _listener(network: VhostUserVsock) -> VsockListener:
    return await network.open_listener(8000)


@pytest.fixture(name="guest")
async def _guest(network: VhostUserVsock) -> AsyncIterator[RudeGuest]:
    async with rude_guest(Path(network.socket_path)) as guest:
        yield guest


@pytest.fixture(name="stream")
async def _stream(guest: RudeGuest, listener: VsockListener) -> VsockStream:
    await guest.connect()
    return await listener.accept()
