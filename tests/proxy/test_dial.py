"""Reaching a target: which addresses, in which order, how often, for how long."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from typing import Any

import attrs
import pytest
import trio
import trio.testing
from trio.testing import MockClock

from tests.proxy.ends import Stream
from trionitro import (
    Endpoint,
    NotAllowedError,
    TcpEndpoint,
    VsockEndpoint,
    parse_endpoint,
)
from trionitro.proxy import (
    NO_ALLOWLIST,
    Allowlist,
    DialError,
    Family,
    Route,
    TargetPolicy,
    dial,
    judge_addresses,
)
from trionitro.proxy._dial import check_route_allowed
from trionitro.testing import MemoryVsock

LISTEN = VsockEndpoint(None, 8000)


def route(forward: str | Endpoint, **settings: object) -> Route:
    endpoint = parse_endpoint(forward) if isinstance(forward, str) else forward
    return Route(listen=LISTEN, forward=endpoint, **settings)  # type: ignore[arg-type]


async def connect(
    wanted: Route,
    *,
    allowlist: TargetPolicy = NO_ALLOWLIST,
    network: MemoryVsock | None = None,
) -> Stream:
    return await dial(wanted, network=network or MemoryVsock(), allowlist=allowlist)


@attrs.define(eq=False)
class FakeDns(trio.abc.HostnameResolver):
    """Names and what they stand for; asked about anything else it fails the test."""

    names: dict[str, list[str]]
    asked: list[str] = attrs.field(factory=list)

    async def getaddrinfo(
        self,
        host: bytes | None,
        port: bytes | str | int | None,
        family: int = 0,
        *others: object,
    ) -> Any:  # the interface's own type is a page long
        """Answer like the system would."""
        assert host is not None
        name = host.decode()
        self.asked.append(name)
        if name not in self.names:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        found = [
            (socket.AF_INET6 if ":" in address else socket.AF_INET, address)
            for address in self.names[name]
        ]
        assert isinstance(port, int)
        return [
            (kind, socket.SOCK_STREAM, 6, "", (address, port))
            for kind, address in found
            if family in (socket.AF_UNSPEC, kind)
        ]

    async def getnameinfo(
        self,
        sockaddr: tuple[str, int] | tuple[str, int, int, int],
        flags: int,
    ) -> tuple[str, str]:
        """Nobody asks for names of addresses."""
        raise NotImplementedError


@pytest.fixture(name="dns")
async def _dns() -> AsyncIterator[FakeDns]:
    dns = FakeDns({})
    trio.socket.set_custom_hostname_resolver(dns)
    yield dns
    trio.socket.set_custom_hostname_resolver(None)


@pytest.fixture(name="port")
async def _port() -> AsyncIterator[int]:
    """A TCP port of 127.0.0.1 that is listened on, and of no other address."""
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        yield listener.socket.getsockname()[1]


async def test_every_address_of_a_name_is_tried(dns: FakeDns, port: int) -> None:
    dns.names["many.test"] = ["127.0.0.7", "127.0.0.8", "127.0.0.1"]

    async with await connect(route(f"tcp://many.test:{port}")) as stream:
        assert isinstance(stream, trio.SocketStream)
        assert stream.socket.getpeername() == ("127.0.0.1", port)


async def test_a_name_is_looked_up_for_every_connection(
    dns: FakeDns, port: int
) -> None:
    """A target that has moved is found again without a restart."""
    dns.names["moving.test"] = ["127.0.0.7"]
    with pytest.raises(DialError):
        await connect(route(f"tcp://moving.test:{port}"))

    dns.names["moving.test"] = ["127.0.0.1"]

    await (await connect(route(f"tcp://moving.test:{port}"))).aclose()
    assert dns.asked == ["moving.test", "moving.test"]


async def test_a_literal_address_is_never_sent_to_dns(dns: FakeDns, port: int) -> None:
    await (await connect(route(f"tcp://127.0.0.1:{port}"))).aclose()

    assert dns.asked == []


@pytest.mark.parametrize(("family", "asked"), [(4, ["127.0.0.1"]), (6, ["::1"])])
async def test_only_the_wanted_family_is_dialled(
    dns: FakeDns, family: Family, asked: list[str]
) -> None:
    dns.names["both.test"] = ["127.0.0.1", "::1"]
    target = TcpEndpoint("both.test", 443)

    assert list(await judge_addresses(target, family, NO_ALLOWLIST)) == asked


async def test_an_unknown_name_is_a_dial_error_that_names_it(dns: FakeDns) -> None:
    with pytest.raises(DialError, match=r"nowhere\.test:443.*not known"):
        await connect(route("tcp://nowhere.test:443"))


async def test_an_address_that_is_not_allowed_is_not_dialled(
    dns: FakeDns, port: int
) -> None:
    """A name that is made to point at the metadata service is refused."""
    dns.names["rebound.test"] = ["169.254.169.254"]
    rules = Allowlist.parse(f"allowlist: [{{address: rebound.test, port: {port}}}]")

    with pytest.raises(NotAllowedError, match=r"169\.254\.169\.254"):
        await connect(route(f"tcp://rebound.test:{port}"), allowlist=rules)


async def test_allowed_addresses_of_a_name_are_dialled_beside_forbidden_ones(
    dns: FakeDns, port: int
) -> None:
    dns.names["mixed.test"] = ["169.254.169.254", "127.0.0.1"]

    await (await connect(route(f"tcp://mixed.test:{port}"))).aclose()


async def test_a_name_on_the_list_allows_the_literal_it_stands_for(
    dns: FakeDns, port: int
) -> None:
    """As vsock-proxy has it: an operator may give the address on the command line."""
    dns.names["kms.test"] = ["127.0.0.1"]
    rules = Allowlist.parse(f"allowlist: [{{address: kms.test, port: {port}}}]")

    await (await connect(route(f"tcp://127.0.0.1:{port}"), allowlist=rules)).aclose()


# --- attempts ---------------------------------------------------------------------


async def test_attempts_are_made_as_often_as_the_route_says_with_its_delay(
    autojump_clock: MockClock,
) -> None:
    network = MemoryVsock()
    network.faults.refuse = True
    patient = route("vsock://16:1", connect_attempts=4, connect_delay=7)
    began = trio.current_time()

    with pytest.raises(DialError, match="vsock://16:1"):
        await connect(patient, network=network)

    assert trio.current_time() - began == pytest.approx(3 * 7)


async def test_an_attempt_that_takes_too_long_is_given_up(
    autojump_clock: MockClock,
) -> None:
    network = MemoryVsock()
    network.faults.delay = 1000
    began = trio.current_time()

    with pytest.raises(DialError, match="did not answer within 3 s"):
        await connect(route("vsock://16:1", connect_timeout=3), network=network)

    assert trio.current_time() - began == pytest.approx(3)


async def test_a_refusal_by_the_allowlist_is_not_tried_again(dns: FakeDns) -> None:
    rules = Allowlist.parse("allowlist: []")
    dns.names["a.test"] = ["127.0.0.1"]

    with pytest.raises(NotAllowedError):
        await connect(route("tcp://a.test:1", connect_attempts=9), allowlist=rules)

    assert dns.asked == ["a.test"]


# --- before anybody connects ------------------------------------------------------


async def test_a_named_route_is_checked_without_dns(dns: FakeDns) -> None:
    rules = Allowlist.parse("allowlist: [{address: '*.amazonaws.com', port: 443}]")

    await check_route_allowed(route("tcp://kms.us-west-1.amazonaws.com:443"), rules)

    assert dns.asked == []


async def test_a_route_that_only_its_address_can_justify_is_resolved(
    dns: FakeDns,
) -> None:
    rules = Allowlist.parse("allowlist: [{address: 10.0.0.0/8, port: 443}]")
    dns.names["inside.test"] = ["10.1.2.3"]
    dns.names["outside.test"] = ["192.0.2.1"]

    await check_route_allowed(route("tcp://inside.test:443"), rules)
    with pytest.raises(NotAllowedError, match=r"outside\.test"):
        await check_route_allowed(route("tcp://outside.test:443"), rules)


async def test_a_route_that_dns_does_not_know_yet_may_start(dns: FakeDns) -> None:
    """At boot, DNS may come up after us. The first connection will be checked."""
    rules = Allowlist.parse("allowlist: [{address: 10.0.0.0/8, port: 443}]")

    await check_route_allowed(route("tcp://later.test:443"), rules)

    assert dns.asked == ["later.test"]
