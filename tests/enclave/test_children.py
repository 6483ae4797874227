from __future__ import annotations

import os
import subprocess
from typing import cast

import attrs
import pytest
import trio

from tests.enclave.namespaces import PROCESSES, run_in
from trionitro.enclave._children import Children

#: What the tests in a process namespace begin with.
PRELUDE = """
    import functools, json, os, signal, subprocess, trio
    from trionitro.enclave._children import Children

    def zombies():
        found = []
        for pid in filter(str.isdecimal, os.listdir("/proc")):
            with open(f"/proc/{pid}/stat") as file:
                stat = file.read().rpartition(") ")[2].split()
            if stat[0] == "Z" and stat[1] == "1":
                found.append(int(pid))
        return found
"""

#: A shell that leaves five children behind, which end when their input does, and
#: then returns 7.
PARENT = """for n in 1 2 3 4 5; do cat <&3 >/dev/null 3<&- & done; exit 7"""


async def start(children: Children, *command: str) -> trio.Process:
    return await children.start(command, stdin=subprocess.DEVNULL)


async def test_the_exit_code_is_returned() -> None:
    children = Children()

    assert await children.wait(await start(children, "sh", "-c", "exit 7")) == 7
    killed = await start(children, "sh", "-c", "kill -KILL $$")
    assert await children.wait(killed) == -9


async def test_others_than_process_1_inherit_nothing() -> None:
    assert not Children().inherits
    assert await Children().inherited({2: 1}) == []


def test_process_1_reaps_what_it_inherits() -> None:
    told = run_in(
        PROCESSES,
        f"""{PRELUDE}
    PARENT = {PARENT!r}
    async def main():
        children = Children()
        read, write = os.pipe()
        async with trio.open_nursery() as nursery:
            await nursery.start(children.serve_reaping)
            process = await children.start(
                ["sh", "-c", f"exec 3<&{{read}}; {{PARENT}}"], pass_fds=[read]
            )
            code = await children.wait(process)
            os.close(read)
            alive = await inherited(children)
            os.close(write)
            while await inherited(children) or zombies():
                await trio.sleep(0.01)
            nursery.cancel_scope.cancel()
        print(json.dumps([code, alive]))

    async def inherited(children):
        parents = {{}}
        for pid in filter(str.isdecimal, os.listdir("/proc")):
            try:
                with open(f"/proc/{{pid}}/stat") as file:
                    parents[int(pid)] = int(file.read().rpartition(") ")[2].split()[1])
            except OSError:
                pass
        return len(await children.inherited(parents))

    trio.run(main)
    """,
    )

    assert told == [7, 5]


def test_no_exit_code_is_stolen_from_trio() -> None:
    """Processes that end at once, beside others that are inherited, many times."""
    codes = run_in(
        PROCESSES,
        f"""{PRELUDE}
    codes = []
    async def one(children, code):
        script = f"(true &) ; (exit 9 &) ; exit {{code}}"
        codes.append(await children.wait(await children.start(["sh", "-c", script])))

    async def main():
        children = Children()
        async with trio.open_nursery() as nursery:
            await nursery.start(children.serve_reaping)
            async with trio.open_nursery() as many:
                for code in range(1, 61):
                    many.start_soon(one, children, code)
            while zombies():
                await trio.sleep(0.01)
            nursery.cancel_scope.cancel()
        print(json.dumps(sorted(codes)))
    trio.run(main)
    """,
    )

    assert codes == list(range(1, 61))


@attrs.define(eq=False)
class Kernel:
    """Zombies, of which the first is shown until it is reaped."""

    zombies: list[int]

    def wait_id(self, kind: int, number: int, options: int) -> int | None:
        """Answer as waitid(2) does."""
        if kind == os.P_PID:
            self.zombies.remove(number)
        return self.zombies[0] if self.zombies else None


@attrs.define(eq=False)
class Zombie:
    """A process of our own that has ended."""

    kernel: Kernel
    pid: int = 7

    async def wait(self) -> int:
        """Reap it, as Trio does."""
        await trio.lowlevel.checkpoint()
        self.kernel.zombies.remove(self.pid)
        return 0


async def test_a_zombie_of_our_own_hides_others_only_until_it_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kernel = Kernel([7, 8, 9])
    monkeypatch.setattr("trionitro.enclave._children._wait_id", kernel.wait_id)
    children = Children(inherits=True)
    children._own.add(7)

    children._reap_inherited()
    assert kernel.zombies == [7, 8, 9]
    await children.wait(cast("trio.Process", Zombie(kernel)))

    assert kernel.zombies == []
