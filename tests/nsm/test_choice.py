"""Which security module is meant by a text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trionitro import ConfigError
from trionitro.abc import NsmDevice
from trionitro.nsm import (
    NSM_VARIABLE,
    KernelNsm,
    UnixNsm,
    nsm_device_from,
    parse_nsm_device,
)

MEANINGS: dict[str, NsmDevice] = {
    "/dev/nsm": KernelNsm(),
    "/mnt/dev/nsm": KernelNsm("/mnt/dev/nsm"),
    "unix:/tmp/nsm.sock": UnixNsm("/tmp/nsm.sock"),
    "unix:nsm.sock": UnixNsm("nsm.sock"),
    "unix:/tmp/a:b?c": UnixNsm("/tmp/a:b?c"),
}


@pytest.mark.parametrize("text", MEANINGS)
def test_a_text_means_a_device(text: str) -> None:
    assert parse_nsm_device(text) == MEANINGS[text]


MISTAKES = {
    "": "neither a device such as /dev/nsm, nor unix:PATH",
    "nsm": "neither a device",
    "unix": "neither a device",
    "Unix:/tmp/x": "neither a device",
    "tcp://127.0.0.1:1": "neither a device",
    "unix:": "the path is missing",
    "unix:/tmp/\0": "the path has a NUL byte",
    "/dev/\0": "the path has a NUL byte",
}


@pytest.mark.parametrize("text", MISTAKES)
def test_a_mistake_is_named_with_the_text_and_an_example(text: str) -> None:
    with pytest.raises(ConfigError, match=MISTAKES[text]) as refusal:
        parse_nsm_device(text)

    message = str(refusal.value)
    assert message.startswith(f"{text!r} is no security module: ")
    example = message.rpartition("write for example ")[2]
    assert isinstance(parse_nsm_device(example), NsmDevice)


@given(text=st.text() | st.text().map("unix:".__add__))
def test_every_text_is_a_device_or_one_line_of_what_is_wrong(text: str) -> None:
    message = "no problem"

    try:
        parse_nsm_device(text)
    except ConfigError as problem:
        message = str(problem)

    assert len(message.splitlines()) == 1


def test_the_option_counts_more_than_the_environment() -> None:
    assert nsm_device_from("unix:/a", {NSM_VARIABLE: "unix:/b"}) == UnixNsm("/a")


def test_the_environment_counts_where_there_is_no_option() -> None:
    assert nsm_device_from(None, {"TRIONITRO_NSM": "unix:/b"}) == UnixNsm("/b")


@pytest.mark.parametrize("environ", [{}, {NSM_VARIABLE: ""}], ids=["unset", "empty"])
def test_without_either_it_is_the_kernel_s(environ: dict[str, str]) -> None:
    assert nsm_device_from(None, environ) == KernelNsm("/dev/nsm")


def test_a_mistake_is_named_with_the_place_it_was_made_in() -> None:
    with pytest.raises(ConfigError, match=r"^--nsm: 'moon' is no security module"):
        nsm_device_from("moon", {})
    with pytest.raises(ConfigError, match=r"^TRIONITRO_NSM: 'moon' is no security"):
        nsm_device_from(None, {NSM_VARIABLE: "moon"})


def test_an_empty_option_is_a_mistake() -> None:
    with pytest.raises(ConfigError, match=r"^--nsm: '' is no security module"):
        nsm_device_from("", {})
