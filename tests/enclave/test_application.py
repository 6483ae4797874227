from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio

from tests.enclave.processes import processes_of
from trionitro import CannotStartError
from trionitro.enclave import _relatives
from trionitro.enclave._application import Application
from trionitro.enclave._children import Children
from trionitro.enclave._relatives import Entry
from trionitro.manifest import Enclave
from trionitro.testing import cancel_at_every_step


@attrs.define(eq=False)
class Heard:
    """What an application has written."""

    streams: dict[str, bytes] = attrs.field(factory=dict)
    _news: trio.Event = attrs.field(factory=trio.Event)

    def __call__(self, stream: str, data: bytes) -> None:
        """Called by the application's reader."""
        self.streams[stream] = self.streams.get(stream, b"") + data
        self._news.set()
        self._news = trio.Event()

    async def wait_for(self, stream: str, data: bytes) -> None:
        """Wait until it has written that."""
        while data not in self.streams.get(stream, b""):
            await self._news.wait()


def application(heard: Heard, *command: str, **settings: Any) -> Application:
    environment = settings.pop("environment", {})
    enclave = Enclave(name="test", cid=16, command=command, **settings)
    return Application(enclave, environment, Children(), heard)


def shell(heard: Heard, script: str, **settings: Any) -> Application:
    return application(heard, "sh", "-c", script, **settings)


@pytest.fixture(name="heard")
def _heard() -> Heard:
    return Heard()


async def test_what_it_writes_is_taken_and_its_exit_code_returned(heard: Heard) -> None:
    code = await shell(heard, "echo out; echo err >&2; exit 7").run()

    assert code == 7
    assert heard.streams == {"stdout": b"out\n", "stderr": b"err\n"}


async def test_a_signal_s_exit_code_is_its_number_negated(heard: Heard) -> None:
    assert await shell(heard, "kill -SEGV $$").run() == -11


async def test_it_has_its_own_surroundings(heard: Heard, tmp_path: Path) -> None:
    script = "pwd; echo $COLOUR; cat; echo $HOME"
    app = shell(heard, script, directory=str(tmp_path), environment={"COLOUR": "green"})

    await app.run()

    assert heard.streams["stdout"].decode().splitlines() == [
        str(tmp_path),
        "green",
        os.environ.get("HOME", ""),
    ]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes somebody else")
async def test_it_runs_as_another_user(heard: Heard) -> None:
    await shell(heard, "id -u; id -g; id -G", user="54321:4321").run()

    assert heard.streams["stdout"].split() == [b"54321", b"4321", b"4321"]


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("/no/such/program", "No such file or directory; correct .enclave. command"),
        ("no-such-program", "'no-such-program': No such file or directory; correct"),
        ("/etc/passwd", "Permission denied; make it executable"),
    ],
)
async def test_a_command_that_can_t_be_run_is_an_error_with_a_remedy(
    heard: Heard, command: str, words: str
) -> None:
    with pytest.raises(CannotStartError, match=words):
        await application(heard, command).run()


async def test_a_file_that_is_no_program_is_an_error_with_a_remedy(
    heard: Heard, tmp_path: Path
) -> None:
    file = tmp_path / "program"
    file.write_text("hello")
    file.chmod(0o755)

    with pytest.raises(CannotStartError, match="Exec format error; build it for this"):
        await application(heard, str(file)).run()


async def test_a_directory_that_isn_t_there_is_named(heard: Heard) -> None:
    with pytest.raises(CannotStartError, match=r"in /no/such: No such file .*create"):
        await shell(heard, "true", directory="/no/such").run()


async def test_it_is_stopped_with_sigterm(heard: Heard) -> None:
    app = shell(
        heard, "trap 'echo bye; exit 3' TERM; echo ready; while :; do sleep 0.01; done"
    )

    async with trio.open_nursery() as nursery:

        async def stop() -> None:
            await heard.wait_for("stdout", b"ready")
            app.stop()

        nursery.start_soon(stop)
        assert await app.run() == 3

    assert heard.streams["stdout"] == b"ready\nbye\n"


async def test_who_doesn_t_stop_is_killed(heard: Heard) -> None:
    app = shell(heard, "trap '' TERM; echo ready; sleep 1000", stop_timeout=0.05)

    async with trio.open_nursery() as nursery:

        async def stop() -> None:
            await heard.wait_for("stdout", b"ready")
            app.stop()

        nursery.start_soon(stop)
        assert await app.run() == -9


async def test_who_is_impatient_needs_not_wait(heard: Heard) -> None:
    app = shell(
        heard, "trap 'echo what?' TERM; echo ready; while :; do sleep 0.01; done"
    )

    async with trio.open_nursery() as nursery:

        async def stop() -> None:
            await heard.wait_for("stdout", b"ready")
            app.stop()
            await heard.wait_for("stdout", b"what?")
            app.kill()

        nursery.start_soon(stop)
        assert await app.run() == -9


async def test_nothing_that_it_started_is_left(heard: Heard) -> None:
    marker = f"left-{os.getpid()}"
    leave = f"sh -c 'trap \"\" TERM; echo up; sleep 1000; : {marker}'"
    app = shell(heard, f"{leave} & {leave} & exit 4", stop_timeout=0.2)

    code = await app.run()

    assert code == 4
    assert processes_of(marker) == []


async def test_it_is_started_again_as_the_policy_says(
    heard: Heard, tmp_path: Path
) -> None:
    script = f"echo once >> {tmp_path}/runs; test $(wc -l < {tmp_path}/runs) = 3"
    app = shell(heard, script, restart="on-failure", restart_delay=0.001)

    assert await app.run() == 0
    assert (tmp_path / "runs").read_text() == "once\n" * 3


async def test_it_tells_when_it_has_started(heard: Heard) -> None:
    app = shell(heard, "sleep 1000")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(app.run)
        await app.started.wait()
        app.stop()


async def test_a_program_that_got_away_doesn_t_hold_the_end_up(
    heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It left the session, and has the application's standard output."""
    monkeypatch.setattr("trionitro.enclave._application._PATIENCE", 0.05)
    run_away = (
        "import os, time; os.setsid(); print(os.getpid(), flush=True); time.sleep(1000)"
    )
    leave_it = (
        "import subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', sys.argv[1]],"
        " stdout=subprocess.PIPE, stderr=sys.stdout)\n"
        "sys.stdout.buffer.write(child.stdout.readline())"
    )
    app = application(heard, sys.executable, "-c", leave_it, run_away)

    code = await app.run()

    runaway = int(heard.streams["stdout"])
    assert code == 0
    os.kill(runaway, 9)


@attrs.define(eq=False)
class RememberingChildren(Children):
    """Remembers the numbers of what it has started."""

    pids: list[int] = attrs.field(factory=list)

    async def start(self, command: Sequence[str], **options: Any) -> trio.Process:
        """Start, and remember."""
        process = await super().start(command, **options)
        self.pids.append(process.pid)
        return process

    def living(self) -> list[Entry]:
        """Look for those only: all of /proc takes long where many others run."""
        found = [_relatives._read(pid) for pid in self.pids]
        return [entry for entry in found if entry is not None]


async def test_cancelled_it_may_write_until_its_end(
    heard: Heard, nursery: trio.Nursery
) -> None:
    """Whoever is told to stop may say so, and isn't broken by a closed pipe."""
    script = "trap 'echo stopping; sleep 0.01; echo stopped; exit' TERM; echo up;"
    app = shell(heard, f"{script} while :; do sleep 0.01; done")
    nursery.start_soon(app.run)
    await heard.wait_for("stdout", b"up")

    nursery.cancel_scope.cancel()
    with trio.CancelScope(shield=True):
        await heard.wait_for("stdout", b"stopped")


def test_cancelled_anywhere_it_leaves_no_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario() -> None:
        children = RememberingChildren()
        monkeypatch.setattr(_relatives, "_all_processes", children.living)
        app = attrs.evolve(shell(Heard(), "exec sleep 0.001"), children=children)
        try:
            await app.run()
        finally:
            assert children.living() == []

    assert cancel_at_every_step(scenario) > 10
