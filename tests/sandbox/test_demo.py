"""The demo, as a new user runs it, and as an impatient one ends it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import pytest
import trio


@attrs.frozen
class Demo:
    """A running demo in a session of its own, as a terminal would run it."""

    process: trio.Process
    mark: str
    directory: Path

    async def read_rows(self, count: int) -> list[str]:
        """Read the table until ``count`` rows have come, or its end."""
        assert self.process.stdout is not None
        text = b""
        while text.count(b"\n") < count:
            chunk = await self.process.stdout.receive_some()
            if not chunk:
                break
            text += chunk
        return text.decode().splitlines()

    def check_nothing_left(self) -> None:
        """Check that no process and no file of the demo is there any more."""
        assert not self.descendants()
        assert not list(self.directory.iterdir())

    def descendants(self) -> list[str]:
        """Return the processes that inherited the demo's mark."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                environ = (entry / "environ").read_bytes()
            except OSError:
                continue  # it has ended meanwhile
            if self.mark.encode() in environ:
                found.append((entry / "cmdline").read_text().replace("\0", " "))
        return found


@asynccontextmanager
async def open_demo(directory: Path) -> AsyncIterator[Demo]:
    mark = f"demo-{uuid.uuid4()}"
    async with trio.open_nursery() as nursery:
        process: trio.Process = await nursery.start(
            lambda task_status: trio.run_process(
                [sys.executable, "-m", "trionitro", "demo"],
                stdout=subprocess.PIPE,
                capture_stderr=True,
                check=False,
                env={**os.environ, "TMPDIR": str(directory), "MARK": mark},
                start_new_session=True,
                task_status=task_status,
            )
        )
        yield Demo(process, mark, directory)


async def test_the_demo_shows_what_it_promises_and_leaves_nothing(
    tmp_path: Path,
) -> None:
    async with open_demo(tmp_path) as demo:
        rows = await demo.read_rows(100)
        code = await demo.process.wait()

    assert code == 0
    text = "\n".join(rows)
    assert "certificate is service.demo.internal's" in text
    assert "unknown certificate authority" in text
    assert "no rule of" in text
    assert "MB/s" in text
    assert "SHA-256" in text
    assert "sealed by KMS to the enclave's key" in text
    other, debug = (row for row in rows if "AccessDeniedException" in row)
    for row in (other, debug):
        assert "kms:RecipientAttestation:ImageSha384 was " in row
    assert "debug mode, where PCR0 to PCR2 are all zero" in debug
    demo.check_nothing_left()


@pytest.mark.parametrize("rows", range(9))
async def test_ctrl_c_after_any_row_leaves_nothing(tmp_path: Path, rows: int) -> None:
    """A terminal sends SIGINT to the whole group."""
    async with open_demo(tmp_path) as demo:
        await demo.read_rows(rows)
        os.killpg(demo.process.pid, signal.SIGINT)
        code = await demo.process.wait()

    # It may just have finished, or Python may not have come to our code yet.
    assert code in (130, 0, -signal.SIGINT)
    demo.check_nothing_left()


@pytest.mark.parametrize("milliseconds", range(100, 2600, 250))
async def test_sigterm_at_any_moment_leaves_nothing(
    tmp_path: Path, milliseconds: int
) -> None:
    """Between rows too; the moments are spread by the clock, as a user's would be."""
    async with open_demo(tmp_path) as demo:
        with trio.move_on_after(milliseconds / 1000):
            await demo.process.wait()
        demo.process.send_signal(signal.SIGTERM)
        code = await demo.process.wait()

    assert code in (130, 0, -signal.SIGTERM)  # the last: before our first line
    demo.check_nothing_left()


async def test_output_that_nobody_reads_ends_the_demo_in_one_line(
    tmp_path: Path,
) -> None:
    """As with ``| head -1``: what was started is stopped, and nothing is left."""
    mark = f"demo-{uuid.uuid4()}"
    command = f"{sys.executable} -m trionitro demo | true"

    done = await trio.run_process(
        ["bash", "-o", "pipefail", "-c", command],
        capture_stderr=True,
        check=False,
        env={**os.environ, "TMPDIR": str(tmp_path), "MARK": mark},
    )

    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1, done.stderr.decode()
    assert b"standard output" in done.stderr
    Demo(None, mark, tmp_path).check_nothing_left()  # type: ignore[arg-type]
