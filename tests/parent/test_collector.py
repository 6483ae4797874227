from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trionitro._control import Exited, Line, Lines, Phase, State
from trionitro.parent import Collector
from trionitro.parent._collector import exit_code_of, printable


@given(st.text(st.characters()))
def test_nothing_that_is_logged_moves_a_terminal_s_cursor(text: str) -> None:
    assert printable(text).isprintable()


def test_what_people_write_stays_as_it_is() -> None:
    assert printable("Grüße: 100 % 🦀") == "Grüße: 100 % 🦀"
    assert printable("a\nb\x1b[2J\u202e") == "a\\nb\\x1b[2J\\u202e"


@pytest.mark.parametrize(
    ("exited", "code"),
    [
        (Exited(code=0), 0),
        (Exited(code=3), 3),
        (Exited(signal=9), 137),
        (Exited(last_words="no such program"), 1),
    ],
)
def test_an_exit_has_the_code_that_a_shell_would_see(exited: Exited, code: int) -> None:
    assert exit_code_of(exited) == code


async def test_lines_go_to_the_log_and_what_is_missing_is_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Collector("signer").lines(
        Lines(dropped=7, lines=(Line("application", b"signed \x1b[31m\xff"),))
    )

    output = capsys.readouterr().out
    assert "lines dropped" in output
    assert "count=7" in output
    assert repr("signed \\x1b[31m\ufffd") in output
    assert "source=application" in output


async def test_an_enclave_that_starts_again_is_a_new_one() -> None:
    collector = Collector("signer")
    collector.paired()
    collector.state(State(phase=Phase.RUNNING))
    collector.exited(Exited(code=1))

    collector.paired()

    assert (collector.is_paired, collector.phase, collector.end) == (True, None, None)


async def test_systemd_is_told_how_far_the_enclave_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[str] = []
    monkeypatch.setattr("trionitro.parent._collector.notify", told.append)
    collector = Collector("signer")

    collector.paired()
    collector.state(State(phase=Phase.BOOTING, detail="volumes\nmounted"))
    collector.exited(Exited(signal=11))

    assert told == [
        "STATUS=signer: it is there",
        "STATUS=signer: booting: volumes\\nmounted",
        "STATUS=signer: exited with 139",
    ]
