"""The proxy as a process of its own."""

from __future__ import annotations

import gc
from collections.abc import Callable

import pytest

from trionitro import parse_endpoint
from trionitro._cli import _proxy
from trionitro._cli._proxy import serve_until_stopped
from trionitro.proxy import ProxyConfig, Route
from trionitro.testing import MemoryVsock


def test_collections_leave_out_what_was_imported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They would stop all connections for as long as that takes."""
    left_out: list[int] = []

    def run(main: Callable[..., object]) -> None:
        left_out.append(gc.get_freeze_count())

    monkeypatch.setattr(_proxy, "run_async", run)
    listen, forward = parse_endpoint("tcp://127.0.0.1:0"), parse_endpoint("vsock://3:1")
    config = ProxyConfig(routes=(Route(listen=listen, forward=forward),))
    try:
        serve_until_stopped(lambda: config, MemoryVsock())
    finally:
        gc.unfreeze()

    assert left_out[0] > len(gc.get_objects()) / 2
