from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trionitro import (
    ConfigError,
    Endpoint,
    TcpEndpoint,
    UnixEndpoint,
    VsockEndpoint,
    parse_endpoint,
)
from trionitro._endpoints import CID_NAMES, check_target, parse_cid, parse_host

labels = st.from_regex(r"[a-z]([a-z0-9_-]{0,20}[a-z0-9])?", fullmatch=True)
names = st.lists(labels, min_size=1, max_size=4).map(".".join)
hosts = st.just("") | st.ip_addresses().map(str) | names
words = st.integers(0, 2**32 - 2)
paths = st.text("ab é:/%[]~\n", max_size=50)
endpoints: st.SearchStrategy[Endpoint] = (
    st.builds(TcpEndpoint, hosts, st.integers(0, 65535))
    | st.builds(VsockEndpoint, st.none() | words, words)
    | st.builds(UnixEndpoint, paths.map("/{}".format))
)

#: Near enough to endpoints that many of them are.
nearly = st.builds(
    "{}{}:{}".format,
    st.sampled_from(["tcp://", "vsock://", "unix:///", "tcp://[", "udp://", ""]),
    st.text(max_size=20) | st.text("0123456789abcdefxXİ.-_:%[]", max_size=20) | hosts,
    st.text("0123456789", max_size=11) | st.text(max_size=6),
)


@given(endpoints)
def test_what_is_printed_is_read_back_the_same(endpoint: Endpoint) -> None:
    assert parse_endpoint(str(endpoint)) == endpoint


@given(nearly | st.text())
def test_any_text_is_refused_with_a_config_error_or_has_one_printed_form(
    text: str,
) -> None:
    with contextlib.suppress(ConfigError):
        endpoint = parse_endpoint(text)
        assert parse_endpoint(str(endpoint)) == endpoint


@given(nearly | st.text())
def test_a_host_that_is_accepted_is_ascii_and_in_its_one_usual_form(text: str) -> None:
    with contextlib.suppress(ConfigError):
        host = parse_host(text)
        assert host.isascii()
        assert host.isprintable()
        assert parse_host(host) == host


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("tcp://127.0.0.2:443", TcpEndpoint("127.0.0.2", 443)),
        ("tcp://[::1]:443", TcpEndpoint("::1", 443)),
        ("tcp://[2001:DB8:0::0:1]:1", TcpEndpoint("2001:db8::1", 1)),
        ("tcp://[fe80::1%eth0]:1", TcpEndpoint("fe80::1%eth0", 1)),
        ("tcp://KMS.Example:443", TcpEndpoint("kms.example", 443)),
        ("tcp://kms.example.:443", TcpEndpoint("kms.example.", 443)),
        ("tcp://my_host-1:0", TcpEndpoint("my_host-1", 0)),
        ("tcp://:65535", TcpEndpoint("", 65535)),
        ("vsock://3:8000", VsockEndpoint(3, 8000)),
        ("vsock://parent:8000", VsockEndpoint(3, 8000)),
        ("vsock://host:8000", VsockEndpoint(2, 8000)),
        ("vsock://local:8000", VsockEndpoint(1, 8000)),
        ("vsock://:0", VsockEndpoint(None, 0)),
        ("vsock://4294967294:4294967294", VsockEndpoint(2**32 - 2, 2**32 - 2)),
        ("unix:///run/app.sock", UnixEndpoint("/run/app.sock")),
        ("unix:///a b/é:1", UnixEndpoint("/a b/é:1")),
        ("unix:///" + "x" * 106, UnixEndpoint("/" + "x" * 106)),
    ],
)
def test_an_endpoint_is_read_as_what_it_says(text: str, endpoint: Endpoint) -> None:
    assert parse_endpoint(text) == endpoint


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("", "starts with none of tcp://, vsock://, unix://"),
        ("8000", "starts with none of"),
        ("TCP://127.0.0.1:80", "starts with none of"),
        ("udp://127.0.0.1:80", "starts with none of"),
        ("tcp:127.0.0.1:80", "starts with none of"),
        ("tcp://", "the port is missing"),
        ("tcp://kms.example", "the port is missing"),
        ("tcp://kms.example:", "the port '' is not a number"),
        ("tcp://kms.example:https", "the port 'https' is not a number"),
        ("tcp://kms.example:65536", "'65536' is not a number from 0 to 65535"),
        ("tcp://kms.example:-1", "the port '-1' is not a number"),
        ("tcp://kms.example:+1", "the port '+1' is not a number"),
        ("tcp://kms.example: 1", "the port ' 1' is not a number"),
        ("tcp://kms.example:1\n", "the port '1\\n' is not a number"),
        ("tcp://kms.example:٤٤٣", "the port '٤٤٣' is not a number"),
        ("tcp://kms.example:" + "9" * 5000, "is not a number from 0 to 65535"),
        ("tcp://kms.example:80/path", "the port '80/path' is not a number"),
        ("tcp://127.1:80", "the host '127.1' is not an IPv4 address"),
        ("tcp://0x7f.0.0.1:80", "the host '0x7f.0.0.1' is not an IPv4 address"),
        ("tcp://127.0.0.256:80", "the host '127.0.0.256' is not an IPv4 address"),
        ("tcp://a.0x7F:80", "the host 'a.0x7F' is not an IPv4 address"),
        ("tcp://2130706433:80", "the host '2130706433' is not an IPv4 address"),
        ("tcp://127.0.0.1.:80", "the host '127.0.0.1.' is not an IPv4 address"),
        ("tcp://a.\N{FULLWIDTH DIGIT ONE}:80", "is not a name or an address"),
        ("tcp://İstanbul.example:80", "the host 'İstanbul.example' is not a name"),
        ("tcp://a..b:80", "the host 'a..b' is not a name or an address"),
        ("tcp://.:80", "the host '.' is not a name or an address"),
        ("tcp://-a.b:80", "the host '-a.b' is not a name or an address"),
        ("tcp://a-.b:80", "the host 'a-.b' is not a name or an address"),
        ("tcp://user@host:80", "the host 'user@host' is not a name or an address"),
        ("tcp://" + "x" * 64 + ":80", "is not a name or an address"),
        ("tcp://" + "x." * 127 + "x:80", "is not a name or an address"),
        ("tcp://::1:80", "the host '::1' has a colon: an IPv6 address takes [ ]"),
        ("tcp://[::1:80", "has a colon: an IPv6 address takes [ ]"),
        ("tcp://[::1]", "has a colon"),
        ("tcp://[127.0.0.1]:80", "the host '[127.0.0.1]' is not an IPv6 address"),
        ("tcp://[kms.example]:80", "the host '[kms.example]' is not an IPv6 address"),
        ("tcp://[]:80", "the host '[]' is not an IPv6 address"),
        ("tcp://[::1%a\nb]:80", "the host '[::1%a\\nb]' is not an IPv6 address"),
        ("tcp://[::1%]:80", "the host '[::1%]' is not an IPv6 address"),
        ("vsock://3", "the port is missing"),
        ("vsock://3:", "the port '' is not a number from 0 to 4294967294"),
        ("vsock://3:4294967295", "the port '4294967295' is not a number"),
        ("vsock://4294967295:1", "the CID '4294967295' is not a number"),
        ("vsock://enclave:1", "'enclave' is not a number from 0 to 4294967294, nor"),
        ("vsock://-1:1", "the CID '-1' is not a number"),
        ("unix://run/app.sock", "the path 'run/app.sock' is not absolute"),
        ("unix://", "the path '' is not absolute"),
        ("unix:///a\0b", "the path has a NUL byte in it"),
        ("unix:///\udcff", "the path is not valid Unicode"),
        ("unix:///" + "x" * 107, "the path is 108 bytes long"),
        ("unix:///" + "é" * 54, "the path is 109 bytes long"),
    ],
)
def test_a_wrong_endpoint_is_refused_with_text_part_and_example(
    text: str, wrong: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_endpoint(text)

    message = str(caught.value)
    assert message.startswith(f"{text!r} is no endpoint: ")
    assert wrong in message
    _, _, example = message.partition("; write for example ")
    assert example.partition(":")[0] == str(parse_endpoint(example)).partition(":")[0]
    assert "\n" not in message


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("tcp://:443", "it names no host"),
        ("tcp://127.0.0.1:0", "port 0 is only for listening"),
        ("vsock://:8000", "it names no CID"),
    ],
)
def test_a_target_that_says_too_little_is_refused(text: str, wrong: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_target(parse_endpoint(text))

    message = str(caught.value)
    assert message.startswith(f"{text!r} can't be connected to: {wrong}")
    check_target(parse_endpoint(message.rpartition(" ")[2]))


@pytest.mark.parametrize(
    "text", ["tcp://a:1", "tcp://[::1]:1", "vsock://3:0", "vsock://0:1", "unix:///a"]
)
def test_a_target_that_says_enough_is_accepted(text: str) -> None:
    check_target(parse_endpoint(text))


@pytest.mark.parametrize(("name", "cid"), CID_NAMES.items())
def test_a_cid_may_have_a_name(name: str, cid: int) -> None:
    assert parse_cid(name) == parse_cid(str(cid)) == cid


@pytest.mark.parametrize("text", ["", "Parent", "3 ", "0x3", "1e1"])
def test_a_cid_is_nothing_but_a_number_or_a_name(text: str) -> None:
    with pytest.raises(ConfigError, match="local, host, parent"):
        parse_cid(text)
