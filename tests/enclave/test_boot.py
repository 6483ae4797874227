"""A boot from its first step to its last, beside a parent in the same process."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import attrs
import pytest
import trio

from tests.enclave.processes import processes_of
from tests.enclave.world import World, manifest_of
from trionitro._control import Exited, Phase
from trionitro.enclave import ParentLink, run_boot

KMS = """
    [[egress]]
    host = "kms.example.com"
    port = 8443
    [[ingress]]
    listen = "127.0.0.1:0"
    port = 8443
"""


async def test_it_goes_up_step_by_step_and_down_again(tmp_path: Path) -> None:
    show = f"cat {tmp_path}/hosts; echo done >&2; exit 3"
    world = World(tmp_path, manifest_of(show, KMS))

    code = await world.run()

    assert code == 3
    assert world.events == ["+127.0.0.2", "entropy 1024", "-127.0.0.2"]
    assert not world.hosts.exists()
    assert "127.0.0.2\tkms.example.com" in world.parent.said_by("stdout")
    assert world.parent.end == Exited(code=3, last_words="done\n")


async def test_the_parent_is_told_each_step(tmp_path: Path) -> None:
    world = World(tmp_path, manifest_of("true", KMS))

    await world.run()

    told = [(state.phase, state.detail) for state in world.parent.states]
    names = [detail.partition(":")[0] for phase, detail in told if phase == "booting"]
    assert names == ["loopback", "hosts", "entropy", "routes", "parent", "application"]
    assert [phase for phase, _ in told[len(names) :]] == ["running", "stopping"]
    assert told[-1] == (Phase.STOPPING, "the application ended with 0")


async def test_a_signal_that_ends_the_application_reaches_the_parent(
    tmp_path: Path,
) -> None:
    world = World(tmp_path, manifest_of("echo oh >&2; kill -SEGV $$"))

    assert await world.run() == 128 + signal.SIGSEGV
    assert world.parent.end == Exited(signal=signal.SIGSEGV, last_words="oh\n")


async def test_the_application_has_the_manifest_s_environment(tmp_path: Path) -> None:
    manifest = manifest_of("echo $COLOUR", enclave='environment = {COLOUR = "green"}')
    world = World(tmp_path, manifest)

    await world.run()

    assert world.parent.said_by("stdout") == ["green"]


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_stops_the_application_first(
    tmp_path: Path, signum: signal.Signals
) -> None:
    command = "trap 'cat $0; exit 4' TERM; echo ready; while :; do sleep 0.01; done"
    argv = ["sh", "-c", command, str(tmp_path / "hosts")]
    world = World(tmp_path, manifest_of(argv, KMS))

    async with trio.open_nursery() as nursery:

        async def stop() -> None:
            await world.parent.wait_for_line("ready")
            os.kill(os.getpid(), signum)

        nursery.start_soon(stop)
        code = await world.run()

    assert code == 4
    assert "127.0.0.2\tkms.example.com" in world.parent.said_by("stdout")
    assert not world.hosts.exists()
    assert world.parent.end == Exited(code=4)


async def test_a_second_signal_kills_it(tmp_path: Path) -> None:
    command = "trap 'echo what?' TERM; echo ready; while :; do sleep 0.01; done"
    world = World(tmp_path, manifest_of(command, enclave="stop_timeout = 1000"))

    async with trio.open_nursery() as nursery:

        async def stop() -> None:
            for line in ("ready", "what?"):
                await world.parent.wait_for_line(line)
                os.kill(os.getpid(), signal.SIGTERM)

        nursery.start_soon(stop)
        assert await world.run() == 137


async def test_the_parent_can_stop_it(tmp_path: Path) -> None:
    world = World(tmp_path, manifest_of("sleep 1000"))

    async with trio.open_nursery() as nursery:

        async def stop() -> None:
            await world.parent.wait_for_phase(Phase.RUNNING)
            assert world.parent.control.request_stop()

        nursery.start_soon(stop)
        assert await world.run() == 128 + signal.SIGTERM


async def test_a_signal_ends_a_boot_that_still_waits(tmp_path: Path) -> None:
    """Nobody is there to pair with; what stood already is taken down."""
    world = World(tmp_path, manifest_of("true", f"{KMS}\n[control]\nwait = 1000"))
    boot = world.boot()

    async with trio.open_nursery() as nursery:

        async def stop() -> None:
            while not world.hosts.exists():
                await trio.sleep(0.001)
            os.kill(os.getpid(), signal.SIGTERM)

        nursery.start_soon(stop)
        assert await run_boot(boot) == 128 + signal.SIGTERM

    assert world.events[-1] == "-127.0.0.2"
    assert not world.hosts.exists()


async def test_an_application_outlives_its_parent_and_finds_it_again(
    tmp_path: Path,
) -> None:
    go_on = tmp_path / "go-on"
    command = f"echo before; while ! test -e {go_on}; do sleep 0.01; done; echo after"
    world = World(tmp_path, manifest_of(command))

    async with trio.open_nursery() as nursery:
        async with world.with_parent() as parent:
            nursery.start_soon(world.boot().run)
            await parent.wait_for_line("before")
        go_on.touch()
        async with world.with_parent() as parent:
            await parent.wait_for_line("after")

            assert await parent.wait_for_end() == Exited(code=0)


async def test_the_application_is_started_again_as_its_policy_says(
    tmp_path: Path,
) -> None:
    command = f"echo x >> {tmp_path}/runs; test $(wc -l < {tmp_path}/runs) = 3"
    policy = 'restart = "on-failure"\nrestart_delay = 0.001'
    world = World(tmp_path, manifest_of(command, enclave=policy))

    assert await world.run() == 0
    assert (tmp_path / "runs").read_text() == "x\n" * 3


async def test_the_heartbeat_comes_before_everything_else(tmp_path: Path) -> None:
    world = World(tmp_path, manifest_of("true"))

    async with (
        await world.network.open_listener(9000) as listener,
        trio.open_nursery() as nursery,
    ):

        async def answer() -> None:
            async with await listener.accept() as stream:
                assert not world.events
                await stream.send_all(await stream.receive_some(1))

        nursery.start_soon(answer)
        assert await world.run(sends_heartbeat=True) == 0


@attrs.define(eq=False)
class CancellingLink(ParentLink):
    """Cancels all when the boot is so many steps far."""

    steps: int
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)

    def tell(self, phase: Phase, detail: str) -> None:
        """Count down."""
        super().tell(phase, detail)
        self.steps -= 1
        if self.steps == 0:
            self.scope.cancel()


@pytest.mark.parametrize("steps", range(1, 9))
async def test_cancelled_after_any_step_it_leaves_nothing(
    tmp_path: Path, steps: int
) -> None:
    marker = f"cancelled-{os.getpid()}-{steps}"
    world = World(tmp_path, manifest_of(f"echo up; : {marker}", KMS))
    boot = world.boot()
    boot.parent = link = CancellingLink(world.plan, boot.parent.network, steps)

    async with world.with_parent():
        with link.scope:
            await boot.run()

    assert link.scope.cancelled_caught
    assert world.events[-1] == "-127.0.0.2"
    assert not world.hosts.exists()
    assert processes_of(marker) == []
