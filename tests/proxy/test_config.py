from __future__ import annotations

import contextlib
import math
from pathlib import Path

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trionitro._endpoints import TcpEndpoint, VsockEndpoint
from trionitro._exceptions import ConfigError
from trionitro.proxy._config import ProxyFile, _Document, parse_config, read_config
from trionitro.proxy._route import ProxyConfig, Route

ENDPOINTS = """
[[route]]
listen = "vsock://:8000"
forward = "tcp://a.example:443"
"""

PLAIN_ROUTE = Route(
    listen=VsockEndpoint(None, 8000), forward=TcpEndpoint("a.example", 443)
)


def parse(text: str) -> ProxyFile:
    """Read the text of /etc/p.toml."""
    return parse_config(text, source="/etc/p.toml")


def complaint_about(text: str) -> str:
    """Read a bad file and return what is said after its name."""
    with pytest.raises(ConfigError) as problem:
        parse(text)
    return str(problem.value).removeprefix("/etc/p.toml")


def test_a_file_says_all_that_a_proxy_does() -> None:
    text = """
        allowlist = "vsock-proxy.yaml"
        metrics = "tcp://127.0.0.1:9000"
        grace = 10
        vsock = "local:/tmp/v?cid=16"

        [[route]]
        listen = "vsock://:8000"
        forward = "tcp://a.example:443"
        allow_cids = [16, "local"]
        family = 6
        max_connections = 100
        connect_timeout = 5
        connect_attempts = 3
        connect_delay = 0.5
        idle_timeout = 60.0
    """

    whole = attrs.evolve(
        PLAIN_ROUTE,
        allow_cids=frozenset({16, 1}),
        family=6,
        max_connections=100,
        connect_timeout=5.0,
        connect_attempts=3,
        connect_delay=0.5,
        idle_timeout=60.0,
    )
    assert parse(text) == ProxyFile(
        ProxyConfig(
            routes=(whole,),
            allowlist="/etc/vsock-proxy.yaml",
            metrics=TcpEndpoint("127.0.0.1", 9000),
            grace=10.0,
        ),
        "local:/tmp/v?cid=16",
    )


def test_what_a_file_leaves_out_is_as_if_never_asked() -> None:
    assert parse(ENDPOINTS) == ProxyFile(ProxyConfig(routes=(PLAIN_ROUTE,)), None)


def test_the_file_has_a_key_for_all_that_a_proxy_can_be_told() -> None:
    keys = {field.name for field in attrs.fields(_Document)}

    told = {field.name for field in attrs.fields(ProxyConfig)}
    assert keys == told - {"routes"} | {"route", "vsock"}


def test_routes_keep_their_order() -> None:
    other = ENDPOINTS.replace("8000", "7000")

    routes = parse(ENDPOINTS + other).config.routes

    assert [route.name for route in routes] == ["vsock://:8000", "vsock://:7000"]


@pytest.mark.parametrize("family", [4, 6])
def test_a_family_is_an_ip_version(family: int) -> None:
    assert parse(f"{ENDPOINTS}family = {family}").config.routes[0].family == family


def test_a_single_connection_is_a_limit() -> None:
    assert (
        parse(f"{ENDPOINTS}max_connections = 1").config.routes[0].max_connections == 1
    )


def test_inf_is_no_limit_for_seconds() -> None:
    text = f"grace = inf\n{ENDPOINTS}idle_timeout = inf\n"

    config = parse(text).config

    assert config.grace == config.routes[0].idle_timeout == math.inf


@pytest.mark.parametrize(
    ("source", "written", "allowlist"),
    [
        ("/etc/a/p.toml", "list.yaml", "/etc/a/list.yaml"),
        ("/etc/a/p.toml", "../list.yaml", "/etc/a/../list.yaml"),
        ("/etc/a/p.toml", "/srv/list.yaml", "/srv/list.yaml"),
        ("p.toml", "list.yaml", "list.yaml"),
        ("a/p.toml", "list.yaml", "a/list.yaml"),
    ],
)
def test_paths_are_relative_to_the_file(
    source: str, written: str, allowlist: str
) -> None:
    file = parse_config(f"allowlist = '{written}'\n{ENDPOINTS}", source=source)

    assert file.config.allowlist == allowlist


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("gracee = 1", ": the key 'gracee' is unknown: write 'grace'"),
        ("grace = true", ": grace: was the truth value true, must be a number"),
        ("grace = nan", ": grace: was nan, must be a number"),
        ("grace = -1", ": grace must not be negative, was -1.0"),
        (
            "metrics = 9000",
            ": metrics: was the number 9000, must be an endpoint: write",
        ),
        ("metrics = 'x'", ": metrics: 'x' is no endpoint: it starts with none of"),
        (
            "allowlist = ''",
            ": allowlist: was the string '', must be the path of a file",
        ),
        ("allowlist = []", ": allowlist: was a list, must be the path of a file"),
        ("vsock = 3", ": vsock: was the number 3, must be a string"),
        ("metrics = 'vsock://:8000'", ": vsock://:8000 is listened on twice: give one"),
    ],
)
def test_a_wrong_key_of_the_file_is_named(line: str, complaint: str) -> None:
    assert complaint_about(f"{line}\n{ENDPOINTS}").startswith(complaint)


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        (
            "max_conections = 1",
            ": the key 'max_conections' is unknown: write 'max_conn",
        ),
        ("allow_cids = 16", ".allow_cids: was the number 16, must be a list"),
        ("allow_cids = [3, 'x']", ".allow_cids[1]: the CID 'x' is not a number from 0"),
        ("allow_cids = [-1]", ".allow_cids[0]: the CID '-1' is not a number from 0 to"),
        ("allow_cids = [true]", ".allow_cids[0]: was the truth value true, must be a"),
        ("allow_cids = [4294967295]", ".allow_cids[0]: the CID '4294967295' is not"),
        ("family = 5", ".family: was the number 5, must be 4 or 6: leave it out for"),
        ("family = '4'", ".family: was the string '4', must be a whole number"),
        (
            "max_connections = 0",
            ".max_connections: was the number 0, must be 1 or more",
        ),
        (
            "max_connections = 2.0",
            ".max_connections: was the number 2.0, must be a whole",
        ),
        ("max_connections = inf", ".max_connections: was the number inf, must be a"),
        ("connect_timeout = 0", ".connect_timeout must be more than 0, was 0.0"),
        ("connect_timeout = '9s'", ".connect_timeout: was the string '9s', must be a"),
        ("connect_attempts = 1.5", ".connect_attempts: was the number 1.5, must be a"),
        ("connect_attempts = 0", ".connect_attempts must be more than 0, was 0"),
        ("connect_delay = -0.5", ".connect_delay must not be negative, was -0.5"),
        ("idle_timeout = 0", ".idle_timeout must be more than 0, was 0.0"),
        ("idle_timeout = 07:32:00", ".idle_timeout: was the time 07:32:00, must be a"),
    ],
)
def test_a_wrong_key_of_a_route_is_named_with_the_route(
    line: str, complaint: str
) -> None:
    first = ENDPOINTS.replace("8000", "7000")

    said = complaint_about(f"{first}{ENDPOINTS}{line}\n")

    assert said.startswith(f": route[1]{complaint}")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", ": there is no route: write a [[route]] table with listen and forward"),
        ("route = 1", ": route: was the number 1, must be a list"),
        (
            ENDPOINTS.replace("[[route]]", "[route]"),
            ": route: was a table, must be a list: a table of one takes [[ ]]",
        ),
        ("[[route]]", ": route[0]: the key 'listen' is missing: write listen = …"),
        (
            ENDPOINTS.replace("listen", "lisen"),
            ": route[0]: the key 'lisen' is unknown: write 'listen'",
        ),
        (
            ENDPOINTS.replace("tcp://a.example:443", "vsock://:1"),
            ": route[0]: 'vsock://:1' can't be connected to: it names no CID; write",
        ),
        (
            ENDPOINTS.replace("tcp://a.example:443", "tcp://a.example"),
            ": route[0].forward: 'tcp://a.example' is no endpoint: ",
        ),
        (
            ENDPOINTS.replace("vsock://:8000", "tcp://:1") + "allow_cids = [3]",
            ": route[0].allow_cids is about vsock peers, and tcp://:1 has none",
        ),
        (ENDPOINTS * 2, ": vsock://:8000 is listened on twice: give one of them"),
    ],
)
def test_wrong_routes_are_told_what_to_write(text: str, complaint: str) -> None:
    assert complaint_about(text).startswith(complaint)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("grace 1", " is not TOML: Expected '=' after a key in a key/value pair (at"),
        ("grace = 1\ngrace = 2", " is not TOML: Cannot overwrite a value (at "),
        ("grace = " + "1" * 5000, " is not TOML: it holds a number of too many digits"),
        ("grace = " + "[" * 5000, " is nested too deeply: write a [[route]] table"),
        ("grace = 0x" + "f" * 5000, ": grace: was a number of more than 64 bits"),
    ],
)
def test_what_is_no_toml_is_told_where(text: str, complaint: str) -> None:
    said = complaint_about(f"{text}\n{ENDPOINTS}")

    assert said.startswith(complaint)
    assert said.isprintable()


def test_a_file_is_read_from_its_path(tmp_path: Path) -> None:
    path = tmp_path / "p.toml"
    path.write_text(f"allowlist = 'a.yaml'\n{ENDPOINTS}", encoding="utf-8")

    assert read_config(path).config.allowlist == str(tmp_path / "a.yaml")


def test_a_file_that_isnt_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as problem:
        read_config(tmp_path / "p.toml")

    assert str(problem.value).startswith(
        f"can't read '{tmp_path}/p.toml': No such file or directory: write a"
    )


#: Near enough to the format that some of it is right.
nearly = st.lists(
    st.sampled_from(
        [
            *(
                "[[route]]\n",
                "[route]\n",
                ENDPOINTS,
                "listen = ",
                "allow_cids = ",
                "\n",
            ),
            *("grace = ", "metrics = ", "'tcp://:1'\n", "[1, 'parent']\n", "nan\n"),
            *("1\n", "-0.0\n", "{a = 1}\n", "2020-01-01\n", "family = ", "vsock = "),
        ]
    ),
    max_size=12,
).map("".join)


@given(nearly | st.text())
def test_any_text_is_read_or_complained_about_in_one_line(text: str) -> None:
    with contextlib.suppress(ConfigError):
        parse(text)
        return

    assert complaint_about(text).isprintable()
