from __future__ import annotations

import math
from typing import Any

import pytest

from trionitro._endpoints import parse_endpoint
from trionitro._exceptions import ConfigError
from trionitro.proxy._route import ProxyConfig, Route


def route(
    listen: str = "vsock://:8000", forward: str = "tcp://a.example:443", **more: Any
) -> Route:
    """Make a route of endpoints as texts."""
    return Route(listen=parse_endpoint(listen), forward=parse_endpoint(forward), **more)


def test_a_route_is_called_after_its_listener() -> None:
    assert route("tcp://[::1]:443").name == "tcp://[::1]:443"


def test_a_route_tries_once_for_ten_seconds_and_has_no_other_limit() -> None:
    plain = route()

    assert (plain.connect_attempts, plain.connect_timeout) == (1, 10)
    assert plain.max_connections == plain.idle_timeout == math.inf


@pytest.mark.parametrize(
    ("attribute", "value", "complaint"),
    [
        ("max_connections", 0, "must be a whole number of 1 or more, was 0"),
        ("max_connections", 0.5, "must be a whole number of 1 or more, was 0.5"),
        ("max_connections", 1.5, "must be a whole number of 1 or more, was 1.5"),
        ("max_connections", math.nan, "must be a whole number of 1 or more, was nan"),
        ("connect_timeout", 0, "must be more than 0, was 0"),
        ("connect_timeout", math.nan, "must be more than 0, was nan"),
        ("connect_attempts", 0, "must be more than 0, was 0"),
        ("connect_delay", -1, "must not be negative, was -1"),
        ("connect_delay", math.nan, "must not be negative, was nan"),
        ("idle_timeout", 0, "must be more than 0, was 0"),
    ],
)
def test_a_number_out_of_range_is_refused_by_name(
    attribute: str, value: Any, complaint: str
) -> None:
    with pytest.raises(ConfigError) as problem:
        route(**{attribute: value})

    assert str(problem.value) == f"{attribute} {complaint}"


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ("max_connections", 1),
        ("max_connections", math.inf),
        ("connect_delay", 0),
        ("idle_timeout", math.inf),
        ("allow_cids", frozenset({16})),
        ("family", 6),
    ],
)
def test_a_number_at_the_edge_is_taken(attribute: str, value: Any) -> None:
    assert getattr(route(**{attribute: value}), attribute) == value


def test_a_route_goes_somewhere() -> None:
    with pytest.raises(ConfigError, match="'vsock://:1' can't be connected to"):
        route(forward="vsock://:1")


def test_cids_are_asked_only_of_vsock_peers() -> None:
    with pytest.raises(ConfigError, match="allow_cids is about vsock peers, and tcp:"):
        route("tcp://127.0.0.1:1", allow_cids=frozenset({3}))


def test_an_ip_version_is_asked_only_of_tcp_targets() -> None:
    with pytest.raises(ConfigError, match="is about TCP targets, and vsock://3:1 is"):
        route(forward="vsock://3:1", family=4)


def test_a_proxy_has_a_route() -> None:
    with pytest.raises(ConfigError, match="there is no route"):
        ProxyConfig(routes=())


@pytest.mark.parametrize("endpoint", ["vsock://:1", "tcp://127.0.0.1:1", "unix:///a"])
def test_nothing_is_listened_on_twice(endpoint: str) -> None:
    once = route(endpoint)

    with pytest.raises(ConfigError, match=f"{endpoint} is listened on twice"):
        ProxyConfig(routes=(once, route("vsock://:2"), once))
    with pytest.raises(ConfigError, match=f"{endpoint} is listened on twice"):
        ProxyConfig(routes=(once,), metrics=parse_endpoint(endpoint))


def test_free_ports_are_as_many_as_one_likes() -> None:
    free = route("tcp://127.0.0.1:0")

    assert ProxyConfig(routes=(free, free)).routes == (free, free)


@pytest.mark.parametrize("grace", [-1, math.nan])
def test_the_grace_is_not_negative(grace: float) -> None:
    with pytest.raises(ConfigError, match="grace must not be negative, was"):
        ProxyConfig(routes=(route(),), grace=grace)
