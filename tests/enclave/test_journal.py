from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trionitro.enclave._journal import Journal


@attrs.define(eq=False)
class Lines:
    """What a journal gives away."""

    got: list[tuple[str, bytes]] = attrs.field(factory=list)

    def put(self, source: str, line: bytes) -> None:
        """Take a line."""
        self.got.append((source, line))


def lines_of(*pieces: bytes, max_line: int = 100) -> list[bytes]:
    """Cut what one source writes."""
    lines = Lines()
    journal = Journal(lines.put, max_line)
    for piece in pieces:
        journal.write("stdout", piece)
    return [line for _, line in lines.got]


def test_lines_are_cut_at_their_ends() -> None:
    assert lines_of(b"one\ntwo\n\nthr", b"ee\nfour") == [b"one", b"two", b"", b"three"]


def test_at_the_end_a_line_needs_none() -> None:
    assert lines_of(b"one\ntwo", b"") == [b"one", b"two"]
    assert lines_of(b"one\n", b"") == [b"one"]
    assert lines_of(b"one", b"", b"two", b"") == [b"one", b"two"]


def test_a_long_line_goes_on_as_another() -> None:
    assert lines_of(b"abcdefgh\n", max_line=3) == [b"abc", b"def", b"gh"]
    assert lines_of(b"abcd", b"efgh\n", max_line=3) == [b"abc", b"def", b"gh"]


@given(
    st.lists(st.binary(min_size=1, max_size=30) | st.just(b"\n")),
    st.integers(1, 10),
)
def test_however_it_is_chunked_nothing_is_lost_and_no_line_too_long(
    pieces: list[bytes], max_line: int
) -> None:
    lines = lines_of(*pieces, b"", max_line=max_line)

    assert b"".join(lines) == b"".join(pieces).replace(b"\n", b"")
    assert all(len(line) <= max_line for line in lines)
    if max_line == 10**9:
        assert lines == b"".join(pieces).splitlines()


def test_sources_are_kept_apart() -> None:
    lines = Lines()
    journal = Journal(lines.put, 100)

    journal.write("stdout", b"on")
    journal.write("stderr", b"two\n")
    journal.write("stdout", b"e\n")

    assert lines.got == [("stderr", b"two"), ("stdout", b"one")]


@pytest.mark.parametrize("size", [1, 1000, 5000])
def test_the_end_of_what_was_written_is_kept(size: int) -> None:
    journal = Journal(Lines().put, 100)
    text = "".join(f"{number}\n" for number in range(size))

    journal.write("stderr", text.encode())

    assert journal.last_words("stderr") == text[-2048:]
    assert journal.last_words("stdout") == ""
