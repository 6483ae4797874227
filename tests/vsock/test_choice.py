"""Which vsock is meant by a text."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trionitro import ConfigError
from trionitro.abc import VsockNetwork
from trionitro.vsock import (
    VSOCK_VARIABLE,
    FirecrackerVsock,
    KernelVsock,
    LocalVsock,
    network_from,
    parse_network,
)

MEANINGS: dict[str, VsockNetwork] = {
    "kernel": KernelVsock(),
    "local:/tmp/vsock": LocalVsock("/tmp/vsock", cid=3),
    "local:vsock": LocalVsock("vsock"),
    "local:/tmp/a:b?cid=16": LocalVsock("/tmp/a:b", cid=16),
    "local:/tmp/vsock?cid=parent": LocalVsock("/tmp/vsock", cid=3),
    "local:/tmp/vsock?cid=host": LocalVsock("/tmp/vsock", cid=2),
    "firecracker:/run/v.sock": FirecrackerVsock("/run/v.sock", cid=None),
    "firecracker:/run/v.sock?cid=4": FirecrackerVsock("/run/v.sock", cid=4),
}


@pytest.mark.parametrize("text", MEANINGS)
def test_a_text_means_a_network(text: str) -> None:
    assert parse_network(text) == MEANINGS[text]


MISTAKES = {
    "": "it is neither kernel, nor local:DIR, nor firecracker:PATH",
    "Kernel": "it is neither kernel",
    "kernel:": "it is neither kernel",
    "kernel?cid=3": "it is neither kernel",
    "/tmp/vsock": "it is neither kernel",
    "local": "the path is missing",
    "local:": "the path is missing",
    "local:?cid=3": "the path is missing",
    "local:/tmp/v?": r"there may be \?cid=N, not '\?'",
    "local:/tmp/v?port=3": r"there may be \?cid=N, not '\?port=3'",
    "local:/tmp/v?cid": "the CID '' is not a number",
    "local:/tmp/v?cid=": "the CID '' is not a number",
    "local:/tmp/v?cid=enclave": "the CID 'enclave' is not a number",
    "local:/tmp/v?cid=4294967295": "the CID '4294967295' is not a number",
    "local:/tmp/v?cid=3&x=1": "the CID '3&x=1' is not a number",
    "local:/tmp/\0": "the path has a NUL byte",
    "firecracker:": "the path is missing",
    "firecracker:/run/v.sock?cid=-1": "the CID '-1' is not a number",
}


@pytest.mark.parametrize("text", MISTAKES)
def test_a_mistake_is_named_with_the_text_and_an_example(text: str) -> None:
    with pytest.raises(ConfigError, match=MISTAKES[text]) as refusal:
        parse_network(text)

    message = str(refusal.value)
    assert message.startswith(f"{text!r} is no vsock network: ")
    example = message.rpartition("write for example ")[2]
    assert isinstance(parse_network(example), VsockNetwork)


@given(text=st.text() | st.text().map("local:".__add__))
def test_every_text_is_a_network_or_one_line_of_what_is_wrong(text: str) -> None:
    message = "no problem"

    try:
        parse_network(text)
    except ConfigError as problem:
        message = str(problem)

    assert len(message.splitlines()) == 1


def test_the_option_counts_more_than_the_environment() -> None:
    network = network_from("local:/a", {VSOCK_VARIABLE: "local:/b"})

    assert network == LocalVsock(Path("/a"))


def test_the_environment_counts_where_there_is_no_option() -> None:
    assert network_from(None, {"TRIONITRO_VSOCK": "local:/b"}) == LocalVsock("/b")


@pytest.mark.parametrize("environ", [{}, {VSOCK_VARIABLE: ""}], ids=["unset", "empty"])
def test_without_either_it_is_the_kernel(environ: dict[str, str]) -> None:
    assert network_from(None, environ) == KernelVsock()


def test_a_mistake_is_named_with_the_place_it_was_made_in() -> None:
    with pytest.raises(ConfigError, match=r"^--vsock: 'moon' is no vsock network"):
        network_from("moon", {VSOCK_VARIABLE: "kernel"})
    with pytest.raises(ConfigError, match=r"^TRIONITRO_VSOCK: 'moon' is no vsock"):
        network_from(None, {VSOCK_VARIABLE: "moon"})


def test_an_empty_option_is_a_mistake() -> None:
    with pytest.raises(ConfigError, match=r"^--vsock: '' is no vsock network"):
        network_from("", {})
