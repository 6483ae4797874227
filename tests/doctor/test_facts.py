from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trionitro.doctor import Facts
from trionitro.doctor._facts import parse_cpu_list


@pytest.mark.parametrize(
    ("text", "cpus"),
    [
        ("1,3\n", {1, 3}),
        ("0-3,8", {0, 1, 2, 3, 8}),
        ("", set()),
        ("none", set()),
        ("3-1", set()),
    ],
)
def test_a_list_of_processors_is_read(text: str, cpus: set[int]) -> None:
    assert parse_cpu_list(text) == cpus


@given(st.text())
def test_a_text_that_is_no_list_has_no_processors_and_no_error(text: str) -> None:
    assert all(0 <= cpu < 10**5 for cpu in parse_cpu_list(text))


def test_modules_are_named_by_the_first_word_of_their_line() -> None:
    facts = Facts(files={"/proc/modules": "vhost_vsock 24576 0 - Live 0x0\n\nnfs 1\n"})

    assert facts.modules == {"vhost_vsock", "nfs"}
