"""What a bug in one part of a running enclave does to the rest: what the docs say."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest
import structlog
import trio

from tests.enclave.bugs import BuggyVsock
from tests.enclave.world import World, manifest_of
from trionitro._endpoints import VsockEndpoint
from trionitro._exceptions import leaves
from trionitro.enclave import Boot, ParentLink, run_boot
from trionitro.manifest import make_plan

ROUTES = """
    [[egress]]
    host = "kms.example.com"
    port = 8443
    [[ingress]]
    listen = "127.0.0.1:0"
    port = 8443
"""

#: Says so when it runs and when it is asked to stop; to stop takes it a moment.
APPLICATION = (
    'trap "echo asked to stop; sleep 0.01; touch {stopped}; exit 0" TERM;'
    " echo runs; while :; do sleep 0.01; done"
)


@attrs.frozen(eq=False)
class Running:
    """A boot with a bug, whose application runs.

    Attributes:
      world: both halves.
      strike: has the bug strike.
      crashed: set when the boot has ended.
      problems: what it ended with.

    """

    world: World
    strike: Callable[[], None]
    crashed: trio.Event
    problems: list[BaseException]


def port_of_route(world: World) -> int:
    """The vsock port of the ingress: the enclave listens there."""
    listen = world.plan.enclave_routes[-1].listen
    assert isinstance(listen, VsockEndpoint)
    return listen.port


@pytest.fixture(autouse=True)
def _logs() -> Iterator[None]:
    """Have no logger remember how the test's own log was set up."""
    yield
    structlog.reset_defaults()


@asynccontextmanager
async def running(
    directory: Path, port_of: Callable[[World], int]
) -> AsyncIterator[Running]:
    """Boot where one port of the vsock has a bug, until the application runs."""
    command = APPLICATION.format(stopped=directory / "stopped")
    world = World(directory, manifest_of(command, ROUTES))
    boot, network = buggy_boot(world, port_of(world))
    found = Running(world, network.bug.strikes.set, trio.Event(), [])

    async def run() -> None:
        try:
            await run_boot(boot)
        except Exception as exc:  # noqa: BLE001  the groups that nurseries make
            found.problems.extend(leaves(exc))
        found.crashed.set()

    async with world.with_parent() as parent, trio.open_nursery() as nursery:
        nursery.start_soon(run)
        await parent.wait_for_line("runs")
        yield found
        nursery.cancel_scope.cancel()


def buggy_boot(world: World, port: int) -> tuple[Boot, BuggyVsock]:
    """Return a boot of ``world`` whose log the parent gets, and its vsock."""
    boot = world.boot()
    network = BuggyVsock(boot.machine.network, port)
    machine = attrs.evolve(boot.machine, network=network)
    link = ParentLink(make_plan(world.manifest), network)

    def copy(_logger: object, _method: str, text: Any) -> Any:
        link.write_log(f"{text}\n")
        return text

    render = structlog.processors.JSONRenderer()
    steps: list[Any] = [structlog.processors.format_exc_info, render, copy]
    structlog.configure(processors=steps)
    return Boot(plan=world.plan, machine=machine, parent=link), network


def check_taken_down(found: Running) -> None:
    """Check that the application was stopped in order, and nothing was left."""
    assert [repr(problem) for problem in found.problems] == ["KeyError('a bug')"]
    assert (found.world.directory / "stopped").exists()
    assert found.world.events[-1] == "-127.0.0.2"
    assert not found.world.hosts.exists()


async def test_when_a_route_crashes_the_boot_ends_and_tells_the_parent_why(
    tmp_path: Path,
) -> None:
    async with running(tmp_path, port_of_route) as found:
        found.strike()
        end = await found.world.parent.wait_for_end()
        await found.crashed.wait()

    assert end.last_words == "KeyError: 'a bug'"
    assert (end.code, end.signal) == (None, None)
    assert found.world.parent.states[-1].phase == "failed"
    check_taken_down(found)


async def test_when_the_control_channel_crashes_the_logs_tell_the_parent_why(
    tmp_path: Path,
) -> None:
    async with running(tmp_path, lambda world: world.plan.control_port) as found:
        found.strike()
        await found.crashed.wait()

    assert found.world.parent.end is None
    assert found.world.parent.losses == 1
    said = "\n".join(found.world.parent.said_by("boot"))
    assert '"event": "channel crashed"' in said
    assert "a bug" in said
    assert '"channel": "control"' in said
    check_taken_down(found)


async def test_when_the_logs_channel_crashes_the_control_channel_tells_why(
    tmp_path: Path,
) -> None:
    async with running(tmp_path, lambda world: world.plan.logs_port) as found:
        found.strike()
        end = await found.world.parent.wait_for_end()
        await found.crashed.wait()

    assert end.last_words == "KeyError: 'a bug'"
    check_taken_down(found)


async def test_a_crash_while_it_stops_does_not_kill_the_application(
    tmp_path: Path,
) -> None:
    """The second wish to stop kills; a crash is nobody's wish."""
    async with running(tmp_path, lambda world: world.plan.logs_port) as found:
        found.world.parent.control.request_stop()
        await found.world.parent.wait_for_line("asked to stop")
        found.strike()
        end = await found.world.parent.wait_for_end()
        await found.crashed.wait()

    assert end.last_words == "KeyError: 'a bug'"
    check_taken_down(found)
