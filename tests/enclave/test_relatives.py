from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from pathlib import Path

import attrs
import pytest
import trio

from tests.enclave.namespaces import PROCESSES, run_in
from trionitro.enclave import _relatives
from trionitro.enclave._children import Children
from trionitro.enclave._relatives import Entry, Relatives, parse_stat

NUMBERS = b" ".join(b"%d" % n for n in range(6, 53))


@pytest.mark.parametrize("name", [b"sh", b"a b", b") R 1 1 1", b"((", b"\n"])
def test_a_process_is_read_whatever_it_calls_itself(name: bytes) -> None:
    text = b"7 (%s) S 2 3 4 5 %s" % (name, NUMBERS)

    assert parse_stat(text) == Entry(pid=7, parent=2, session=4, began=20)


@pytest.mark.parametrize("state", [b"Z", b"X"])
def test_a_dead_process_is_none(state: bytes) -> None:
    assert parse_stat(b"7 (sh) %s 2 3 4 5 %s" % (state, NUMBERS)) is None


def test_this_process_is_read() -> None:
    entry = parse_stat(Path("/proc/self/stat").read_bytes())

    assert entry is not None
    assert (entry.pid, entry.parent) == (os.getpid(), os.getppid())
    assert entry.session == os.getsid(0)


async def start_session(children: Children, script: str) -> trio.Process:
    """Start a shell script as the leader of a session, and wait for its "ready"."""
    process = await children.start(
        ["sh", "-c", script], stdout=subprocess.PIPE, start_new_session=True
    )
    assert process.stdout is not None
    assert await process.stdout.receive_some() == b"ready\n"
    return process


async def test_a_session_is_ended_politely() -> None:
    children = Children()
    process = await start_session(children, "sleep 1000 & echo ready; wait")
    relatives = Relatives(process.pid, children)
    assert len(await relatives.find()) == 2

    await relatives.terminate()

    assert await children.wait(process) == -15
    assert await relatives.find() == []


async def test_who_doesn_t_listen_is_killed() -> None:
    children = Children()
    process = await start_session(
        children, "trap '' TERM; sleep 1000 & echo ready; wait"
    )
    relatives = Relatives(process.pid, children)

    with trio.move_on_after(0.01) as scope:
        await relatives.terminate()
    assert scope.cancelled_caught
    await relatives.kill()

    assert await children.wait(process) == -9
    assert await relatives.find() == []


async def test_a_number_that_another_process_has_by_now_hits_nobody() -> None:
    children = Children()
    process = await start_session(children, "echo ready; exec sleep 1000")
    relatives = Relatives(process.pid, children)
    (entry,) = await relatives.find()

    earlier = attrs.evolve(entry, began=entry.began - 1)
    with contextlib.ExitStack() as held:
        assert _relatives._send(earlier, signal.SIGKILL, held) is None

    assert process.returncode is None
    await relatives.kill()
    await children.wait(process)


def test_who_left_the_session_is_found_by_process_1() -> None:
    left = run_in(
        PROCESSES,
        """
    import json, os, subprocess, trio
    from trionitro.enclave._children import Children
    from trionitro.enclave._relatives import Relatives
    async def main():
        children = Children()
        async with trio.open_nursery() as nursery:
            await nursery.start(children.serve_reaping)
            process = await children.start(
                ["sh", "-c", "setsid sleep 1000 & read line"],
                stdin=subprocess.PIPE, start_new_session=True,
            )
            while len(os.listdir("/proc")) and not sleeper():
                await trio.sleep(0.01)
            relatives = Relatives(process.pid, children)
            before = len(await relatives.find())
            await process.stdin.aclose()
            await children.wait(process)
            alone = len(await relatives.find())
            await relatives.terminate()
            print(json.dumps([before, alone, len(await relatives.find())]))
            nursery.cancel_scope.cancel()

    def sleeper():
        for pid in filter(str.isdecimal, os.listdir("/proc")):
            with open(f"/proc/{pid}/stat") as file:
                text = file.read()
            if "(sleep)" in text and text.rpartition(") ")[2].split()[3] == pid:
                return True

    trio.run(main)
    """,
    )

    assert left == [1, 1, 0]
