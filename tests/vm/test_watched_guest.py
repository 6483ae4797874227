"""However a guest ends, or doesn't, its end comes."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from trionitro import CannotStartError
from trionitro._control import Exited
from trionitro._exceptions import leaves
from trionitro.enclave import Console
from trionitro.vm import Kit, Machine
from trionitro.vm._listening import ConsoleCollector
from trionitro.vm._screen import Screen
from trionitro.vm._watched_guest import WatchedGuest


@pytest.fixture(name="guest")
def _guest(tmp_path: Path) -> WatchedGuest:
    """Make a guest whose QEMU does nothing at all, and doesn't end."""
    qemu = tmp_path / "qemu"
    qemu.write_text("#!/bin/sh\necho up\nexec sleep 1000\n")
    qemu.chmod(0o755)
    tmp_path.joinpath("work").mkdir()
    return WatchedGuest(
        machine=Machine(kit=Kit(qemu=qemu, kernel=Path("vmlinuz"), archives=())),
        work=tmp_path / "work",
        collector=ConsoleCollector("test", Console()),
        screen=Screen(),
        boot_timeout=20,
        patience=0.2,
    )


async def test_one_that_falls_silent_is_given_up(guest: WatchedGuest) -> None:
    guest.collector.paired()
    guest.collector.lost("no heartbeat")

    with pytest.raises(BaseException) as failed:  # noqa: PT011  may be a group
        await guest.run()

    (problem,) = leaves(failed.value)
    assert isinstance(problem, CannotStartError)
    assert "silent for 0.2 s" in str(problem)


async def test_one_that_speaks_again_is_not(guest: WatchedGuest) -> None:
    guest.collector.paired()
    guest.collector.lost("no heartbeat")
    guest.collector.paired()
    ended = trio.Event()

    async def run() -> None:
        await guest.run()
        ended.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        with trio.move_on_after(1) as waiting:
            await ended.wait()
        nursery.cancel_scope.cancel()

    assert waiting.cancelled_caught


async def test_one_that_does_not_switch_itself_off_has_its_application_s_code(
    guest: WatchedGuest,
) -> None:
    guest.collector.paired()
    guest.collector.exited(Exited(code=9))

    assert await guest.run() == 9


def test_the_end_of_a_screen_is_kept_whatever_was_on_it() -> None:
    screen = Screen()

    for _ in range(100):
        screen.write(b"x" * 10_000)
    screen.write(b"\nlast \xff words\n\n")

    assert screen.last_lines()[-1] == "last \N{REPLACEMENT CHARACTER} words"
    assert sum(map(len, screen.last_lines())) <= 2**16
