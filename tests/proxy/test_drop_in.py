from __future__ import annotations

import contextlib
import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trionitro._endpoints import TcpEndpoint, VsockEndpoint
from trionitro._exceptions import ConfigError
from trionitro.proxy._drop_in import (
    parse_go_address,
    parse_go_duration,
    parse_go_uint,
    vscproxy_config,
    vsock_proxy_config,
)
from trionitro.proxy._route import Family, ProxyConfig, Route

# --- Go's durations ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        # From the documentation of time.ParseDuration.
        ("10h", 36000),
        ("1h10m10s", 4210),
        ("1\xb5s", 1e-6),
        ("1us", 1e-6),
        ("300ms", 0.3),
        ("-1.5h", -5400),
        ("2h45m", 9900),
        # From Go's own tests of it.
        ("0", 0),
        ("-0", 0),
        ("+0", 0),
        ("5s", 5),
        ("1478s", 1478),
        ("-5s", -5),
        ("+5s", 5),
        ("5.0s", 5),
        ("5.s", 5),
        (".5s", 0.5),
        ("1.0040s", 1.004),
        ("100.00100s", 100.001),
        ("10ns", 1e-8),
        ("12\u03bcs", 12e-6),
        ("3h30m", 12600),
        ("10.5s4m", 250.5),
        ("-2m3.4s", -123.4),
        ("1h2m3s4ms5us6ns", 3723.004005006),
        ("39h9m14.425s", 140954.425),
        ("52763797000ns", 52.763797),
        ("0.3333333333333333333h", 1200),
        ("9007199254740993ns", 9007199.254740993),
        ("9223372036854775807ns", 9223372036.854775807),
        ("-9223372036854775808ns", -9223372036.854775808),
        ("0.100000000000000000000h", 360),
        ("0.830103483285477580700h", 2988.372539827),
        ("0000000000000000000000000000001s", 1),
    ],
)
def test_a_duration_is_read_as_go_reads_it(text: str, seconds: float) -> None:
    assert parse_go_duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "invalid duration ''"),
        ("-", "invalid duration '-'"),
        ("s", "invalid duration 's'"),
        (".", "invalid duration '.'"),
        ("-.s", "invalid duration '-.s'"),
        ("+-1s", "invalid duration '+-1s'"),
        (" 1s", "invalid duration ' 1s'"),
        ("9223372036854775808ns", "invalid duration '9223372036854775808ns'"),
        ("-9223372036854775809ns", "invalid duration '-9223372036854775809ns'"),
        ("2562047h48m", "invalid duration '2562047h48m'"),
        ("9" * 5000 + "s", "invalid duration"),
        ("3", "missing unit in duration '3'"),
        ("1h2", "missing unit in duration '1h2'"),
        ("1..5s", "missing unit in duration '1..5s'"),
        ("1d", "unknown unit 'd' in duration '1d'"),
        ("1S", "unknown unit 'S' in duration '1S'"),
        ("1 s", "unknown unit ' s' in duration '1 s'"),
        ("1h-2m", "unknown unit 'h-' in duration '1h-2m'"),
    ],
)
def test_what_is_no_duration_gets_gos_complaint(text: str, complaint: str) -> None:
    with pytest.raises(ConfigError) as problem:
        parse_go_duration(text)

    assert str(problem.value).startswith(complaint)


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("10000", "write 10000ms for milliseconds, or 10000s for seconds"),
        ("1 h", "write for example 500ms, 10s or 1m30s"),
    ],
)
def test_what_is_no_duration_is_told_what_to_write(text: str, remedy: str) -> None:
    with pytest.raises(ConfigError) as problem:
        parse_go_duration(text)

    assert str(problem.value).endswith(f": {remedy}")


#: As many hours, minutes, … as together still fit into 63 bits.
UNITS = {
    "h": Fraction(3600),
    "m": Fraction(60),
    "s": Fraction(1),
    "ms": Fraction(1, 10**3),
    "us": Fraction(1, 10**6),
}


@given(st.lists(st.tuples(st.integers(0, 10**5), st.sampled_from(list(UNITS)))))
def test_a_duration_is_the_sum_of_its_terms(terms: list[tuple[int, str]]) -> None:
    text = "".join(f"{number}{unit}" for number, unit in terms) or "0"

    seconds = sum((number * UNITS[unit] for number, unit in terms), Fraction())
    assert parse_go_duration(text) == parse_go_duration(f"+{text}") == float(seconds)
    assert parse_go_duration(f"-{text}") == -float(seconds)


@given(st.integers(0, 2**63 - 1))
def test_nanoseconds_come_through_a_fraction_of_seconds(nanoseconds: int) -> None:
    whole, rest = divmod(nanoseconds, 10**9)

    assert parse_go_duration(f"{whole}.{rest:09}s") == pytest.approx(
        nanoseconds / 10**9, abs=1.1e-9
    )


@given(st.text("0123456789.-+hmsnu_ ") | st.text())
def test_any_text_is_a_finite_duration_or_none(text: str) -> None:
    with contextlib.suppress(ConfigError):
        assert math.isfinite(parse_go_duration(text))


# --- Go's numbers and addresses ---------------------------------------------------


@pytest.mark.parametrize(
    ("text", "number"),
    [
        *(("0", 0), ("8000", 8000), ("0x1F40", 8000), ("0X1f40", 8000)),
        *(("0o17500", 8000), ("0O17500", 8000), ("017500", 8000), ("00", 0)),
        *(("0b11", 3), ("0B1_1", 3), ("0x_1f", 31), ("0_17", 15), ("8_000", 8000)),
        *(
            ("18446744073709551615", 2**64 - 1),
            ("0b" + "1" * 64, 2**64 - 1),
            ("0x" + "0" * 5000 + "1", 1),
        ),
    ],
)
def test_a_number_is_read_as_go_reads_it(text: str, number: int) -> None:
    assert parse_go_uint(text) == number


@pytest.mark.parametrize(
    "text",
    [
        *("", "-1", "+1", " 1", "1 ", "1\n", "1.0", "1e3", "x", "0x", "08", "0b2"),
        *("_1", "1_", "1__0", "0x1_", "0_", "0o8", "18446744073709551616", "\u0663"),
        *("1" * 5000, "0b" + "1" * 65),
    ],
)
def test_what_is_no_number_is_told_the_range(text: str) -> None:
    with pytest.raises(
        ConfigError, match="is not a number from 0 to 1844674407370955161"
    ):
        parse_go_uint(text)


@given(st.integers(0, 2**64 - 1), st.sampled_from(["{}", "{:#x}", "{:#o}", "{:#b}"]))
def test_every_number_is_read_back_in_every_base(number: int, form: str) -> None:
    assert parse_go_uint(form.format(number)) == number


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("127.0.0.2:443", TcpEndpoint("127.0.0.2", 443)),
        (":443", TcpEndpoint("", 443)),
        (":0", TcpEndpoint("", 0)),
        ("[::1]:443", TcpEndpoint("::1", 443)),
        ("localhost:443", TcpEndpoint("localhost", 443)),
    ],
)
def test_an_address_to_listen_on_is_read_as_go_writes_it(
    text: str, endpoint: TcpEndpoint
) -> None:
    assert parse_go_address(text) == endpoint


@pytest.mark.parametrize(
    "text",
    ["", "443", "127.0.0.2", "::1:443", "[::1]", ":https", ":65536", ":", "a b:1"],
)
def test_what_is_no_address_is_told_one(text: str) -> None:
    with pytest.raises(ConfigError) as problem:
        parse_go_address(text)

    assert str(problem.value).startswith(f"{text!r} is no address to listen on: ")
    assert str(problem.value).endswith("; write for example 127.0.0.2:443")


# --- the programs -----------------------------------------------------------------


def test_vscproxy_without_flags_does_what_the_original_does() -> None:
    route = Route(
        listen=TcpEndpoint("127.0.0.1", 443),
        forward=VsockEndpoint(3, 8000),
        connect_attempts=100,
        connect_delay=10.0,
    )

    assert vscproxy_config() == ProxyConfig(routes=(route,))


def test_vscproxy_takes_every_flag() -> None:
    route = Route(
        listen=TcpEndpoint("127.0.0.2", 444),
        forward=VsockEndpoint(16, 9000),
        connect_attempts=2,
        connect_delay=0.0,
    )

    config = vscproxy_config(
        parent_cid=16,
        vsock_port=9000,
        local_addr="127.0.0.2:444",
        attempts=2,
        delay=0,
    )

    assert config == ProxyConfig(routes=(route,))


@pytest.mark.parametrize(
    ("flag", "value", "complaint"),
    [
        (
            "parent_cid",
            2**32 - 1,
            "-parentCID was 4294967295: write a number from 0 to",
        ),
        ("parent_cid", -1, "-parentCID was -1: write a number from 0 to 4294967294"),
        (
            "vsock_port",
            2**32 - 1,
            "-vsockPort was 4294967295: write a number from 0 to",
        ),
        ("attempts", 0, "-attempts was 0: write a number from 1 upwards"),
        ("delay", -1.0, "-delay was -1.0 seconds: write for example 500ms"),
        ("delay", math.inf, "-delay was inf seconds: write for example 500ms"),
        ("delay", math.nan, "-delay was nan seconds: write for example 500ms"),
        ("local_addr", "x", "-localAddr: 'x' is no address to listen on: the port is"),
    ],
)
def test_a_wrong_flag_of_vscproxy_is_named_as_the_user_wrote_it(
    flag: str, value: object, complaint: str
) -> None:
    with pytest.raises(ConfigError) as problem:
        vscproxy_config(**{flag: value})  # type: ignore[arg-type]

    assert str(problem.value).startswith(complaint)


def test_numbers_at_the_edge_are_taken() -> None:
    (inner,) = vscproxy_config(2**32 - 2, 2**32 - 2, attempts=1).routes
    (outer,) = vsock_proxy_config(2**32 - 2, "a.example", 65535, workers=1).routes

    assert inner.forward == VsockEndpoint(2**32 - 2, 2**32 - 2)
    assert outer.listen == VsockEndpoint(None, 2**32 - 2)
    assert outer.forward == TcpEndpoint("a.example", 65535)


@pytest.mark.parametrize("family", [None, 4, 6])
def test_vsock_proxy_forwards_a_vsock_port(family: Family) -> None:
    route = Route(
        listen=VsockEndpoint(None, 8000),
        forward=TcpEndpoint("kms.us-east-1.amazonaws.com", 443),
        family=family,
    )

    config = vsock_proxy_config(8000, "kms.us-east-1.amazonaws.com", 443, family=family)

    allowlist = "/etc/nitro_enclaves/vsock-proxy.yaml"
    assert config == ProxyConfig(routes=(route,), allowlist=allowlist)


def test_vsock_proxy_takes_an_ipv6_address_as_it_is_and_another_allowlist() -> None:
    config = vsock_proxy_config(1, "2001:DB8::1", 2, allowlist="mine.yaml")

    assert config.routes[0].forward == TcpEndpoint("2001:db8::1", 2)
    assert config.allowlist == "mine.yaml"


def test_workers_are_a_limit_only_if_someone_asks_for_one() -> None:
    (limited,) = vsock_proxy_config(1, "a.example", 2, workers=4).routes
    (unlimited,) = vsock_proxy_config(1, "a.example", 2).routes

    assert limited.max_connections == 4
    assert unlimited.max_connections == math.inf


@pytest.mark.parametrize(
    ("local_port", "remote_addr", "remote_port", "workers", "complaint"),
    [
        (-1, "a", 1, None, "local_port was -1: write a number from 0 to 4294967294"),
        (2**32 - 1, "a", 1, None, "local_port was 4294967295: write a number from 0"),
        (1, "a", 0, None, "remote_port was 0: write a number from 1 to 65535"),
        (1, "a", 65536, None, "remote_port was 65536: write a number from 1 to 65535"),
        (1, "a", 1, 0, "-w/--num_workers was 0: write a number from 1 upwards"),
        (
            1,
            "a b",
            1,
            None,
            "remote_addr: the host 'a b' is not a name or an address: ",
        ),
        (1, "", 1, None, "remote_addr: the host '' is not a name or an address: write"),
    ],
)
def test_a_wrong_argument_of_vsock_proxy_is_named(
    local_port: int,
    remote_addr: str,
    remote_port: int,
    workers: int | None,
    complaint: str,
) -> None:
    with pytest.raises(ConfigError) as problem:
        vsock_proxy_config(local_port, remote_addr, remote_port, workers=workers)

    assert str(problem.value).startswith(complaint)
