"""Fixtures: proxies as processes of their own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from tests.proxy.ends import Network, ProxyProcess, StartProxy
from trionitro import parse_endpoint
from trionitro.sandbox import start_proxy


@pytest.fixture(name="run_proxy")
def _run_proxy(nursery: trio.Nursery, tmp_path: Path) -> StartProxy:
    """Start proxies on the LocalVsock in ``tmp_path``; they end with the test."""

    async def start(*args: str, cid: int = 3) -> ProxyProcess:
        logged = await start_proxy(nursery, tmp_path, *args, cid=cid)
        routes = sum("://" in arg for arg in args if not arg.startswith("-")) // 2
        lines = await logged.wait_logged("listening", max(routes, 1))
        return ProxyProcess(logged, [parse_endpoint(line["listen"]) for line in lines])

    return start


@pytest.fixture(name="network")
async def _network(nursery: trio.Nursery, tmp_path: Path) -> AsyncIterator[Network]:
    network = Network(nursery, tmp_path)
    yield network
    await network.close_all()
