from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.manifest.manifests import ENCLAVE, WHOLE, egress, ingress, volume
from trionitro import ConfigError, TcpEndpoint, UnixEndpoint
from trionitro.manifest import Enclave, parse_manifest, read_manifest


def complaint_about(text: str) -> str:
    """Read no manifest, and return why."""
    with pytest.raises(ConfigError) as problem:
        parse_manifest(text, source="nitro.toml")
    message = str(problem.value)
    assert message.startswith("nitro.toml")
    assert len(message.splitlines()) == 1
    return message


def test_all_that_must_be_said_is_name_cid_and_command() -> None:
    manifest = parse_manifest(ENCLAVE, source="nitro.toml")

    assert manifest.enclave == Enclave(
        name="signer", cid=16, command=("python", "-m", "signer")
    )
    assert not [*manifest.egress, *manifest.ingress, *manifest.volume]
    assert manifest.credentials is None
    assert manifest.image is None


def test_everything_else_can_be_said() -> None:
    manifest = parse_manifest(WHOLE, source="/etc/nitro/nitro.toml")

    assert manifest.enclave.environment == {"MODE": "it's $HOME, 100%"}
    assert [source.port for source in manifest.egress] == [443, 5432, 8443, 443]
    assert [source.listen for source in manifest.ingress] == [
        TcpEndpoint("0.0.0.0", 8443),
        UnixEndpoint("/run/signer.sock"),
    ]
    assert manifest.volume[1].options == ("noatime",)
    assert manifest.credentials is not None
    assert manifest.credentials.source == "auto"


def test_the_image_is_found_beside_the_file(tmp_path: Path) -> None:
    file = tmp_path / "nitro.toml"
    file.write_text(WHOLE)

    image = read_manifest(file).image

    assert image is not None
    assert image.eif == str(tmp_path / "signer.eif")


def test_the_environment_s_values_are_in_no_repr() -> None:
    assert "HOME" not in repr(parse_manifest(WHOLE, source="nitro.toml"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["'enclave' is missing"]),
        ("[enclave", ["not TOML", "[enclave] table"]),
        ("[enclave]\nname = 'x'", ["enclave: ", "'cid' is missing"]),
        (ENCLAVE + "comand = []", ["enclave: ", "'comand'", "write 'command'"]),
        (ENCLAVE + "[[egres]]", ["'egres'", "write 'egress'"]),
        (ENCLAVE + "[egress]", ["egress: was a table", "[[ ]]"]),
        (ENCLAVE + "user = 5", ["enclave.user: was the number 5"]),
        (ENCLAVE + "user = 'a b'", ["enclave.user must be a user", "'a b'"]),
        (ENCLAVE + "restart = 'Always'", ["enclave.restart", "'always'", "'Always'"]),
        (ENCLAVE + "restart = 1", ["enclave.restart: was the number 1"]),
        (ENCLAVE + "directory = 'x/..'", ["enclave.directory", "absolute"]),
        (ENCLAVE + "environment = 'A=b'", ["enclave.environment: ", "table"]),
        (ENCLAVE + "environment = {A = 1}", ["was the number 1 for 'A'", "string"]),
        (ENCLAVE + "environment = {'A B' = ''}", ["enclave.environment", "'A B'"]),
        (ENCLAVE + "parent_cid = 16", ["enclave.cid must not be the parent's"]),
        (ENCLAVE + "parent_cid = 4294967295", ["enclave.parent_cid must be from 1"]),
        (ENCLAVE + "stop_timeout = inf", ["enclave.stop_timeout", "was inf"]),
        (ENCLAVE.replace("16", "3"), ["enclave.cid must be from 4", "or 1", "was 3"]),
        (ENCLAVE.replace("16", "1"), ["enclave.parent_cid must be 1", "was 3"]),
        (ENCLAVE.replace("16", "'16'"), ["enclave.cid: was the string '16'"]),
        (ENCLAVE.replace("signer", "a/b"), ["enclave.name", "'a/b'"]),
        (ENCLAVE + egress("a b"), ["egress[0].host", "'a b'"]),
        (ENCLAVE + egress("localhost"), ["egress[0].host", "127.0.0.1", "names"]),
        (ENCLAVE + egress("x", 0), ["egress[0].port must be from 1 to 65535, was 0"]),
        (ENCLAVE + egress("x", address="10.0.0.1"), ["egress[0].address", "127.0.0.2"]),
        (ENCLAVE + egress("x", address="127.0.0.1"), ["egress[0].address"]),
        (ENCLAVE + egress("x", vsock_port=80), ["egress[0].vsock_port", "privileged"]),
        (ENCLAVE + egress("x", vsock_port=9000), ["egress[0].vsock_port", "heartbeat"]),
        (ENCLAVE + egress("x", max_connections=0), ["egress[0].max_connections", "1"]),
        (ENCLAVE + egress("x", idle_timeout=0), ["egress[0].idle_timeout", "above 0"]),
        (
            ENCLAVE + egress("x") + 'names = ["localhost"]',
            ["egress[0].names", "'localhost'"],
        ),
        (ENCLAVE + ingress("8443"), ["ingress[0].listen", "port is missing"]),
        (ENCLAVE + ingress("vsock://:1"), ["ingress[0].listen", "vsock anyway"]),
        (ENCLAVE + volume("mnt"), ["volume[0].mount", "absolute"]),
        (ENCLAVE + volume("/proc"), ["volume[0].mount", "'/proc'"]),
        (ENCLAVE + volume("/mnt", read_only="yes"), ["volume[0].read_only", "true"]),
        (ENCLAVE + volume("/mnt", server=":2049"), ["volume[0].server", "no host"]),
        (ENCLAVE + volume("/m", server="unix:///x"), ["volume[0].server", "TCP"]),
        (
            ENCLAVE + volume("/mnt") + 'options = ["a,b"]',
            ["volume[0].options", "'a,b'"],
        ),
        (ENCLAVE + "[credentials]\nsource = 'me'", ["credentials.source", "'imds'"]),
        (ENCLAVE + "[logs]\nbuffer = 1", ["logs.buffer must be 4096 or more"]),
        (ENCLAVE + "[control]\nheartbeat = 0", ["control.heartbeat", "above 0"]),
        (ENCLAVE + "[image]\nmemory = 64", ["image: ", "'eif' is missing"]),
        (ENCLAVE + "[kubernetes]\nimage = 'a b'", ["kubernetes.image", "'a b'"]),
        (ENCLAVE + "[sandbox]\nmeasurements = {32 = ''}", ["measurements", "'32'"]),
        (ENCLAVE + "[sandbox]\nmeasurements = {0 = 'ff'}", ["48 bytes", "'ff'"]),
    ],
)
def test_what_is_wrong_is_named_with_its_path(text: str, words: list[str]) -> None:
    message = complaint_about(text)

    for word in words:
        assert word in message


@pytest.mark.parametrize("value", ["", '"", "x"', '"a\\u0000b"', "1"])
def test_a_command_must_be_one(value: str) -> None:
    text = ENCLAVE.replace('"python", "-m", "signer"', value)

    assert "enclave.command" in complaint_about(text)


def test_a_wrong_value_of_the_environment_is_not_shown() -> None:
    message = complaint_about(ENCLAVE + 'environment = {KEY = "secret\\u0000"}')

    assert "enclave.environment KEY" in message
    assert "secret" not in message


@given(st.text() | st.text("[]{}=\"'.#\n, abcegimnorstuv019"))
def test_no_text_does_more_harm_than_a_complaint(text: str) -> None:
    assert complaint_about(text)
