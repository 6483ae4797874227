"""What a bug in one enclave's half does to the rest: what the documentation says."""

from __future__ import annotations

import functools
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NoReturn

import attrs
import pytest
import trio
from structlog.testing import capture_logs

from tests.enclave.bugs import BuggyVsock
from tests.manifest.manifests import ENCLAVE, egress
from tests.parent.nitro import FakeNitro, control_of
from trionitro._control import EnclaveControl
from trionitro._endpoints import VsockEndpoint
from trionitro._exceptions import leaves
from trionitro.manifest import Plan, parse_plan
from trionitro.parent import run_parent
from trionitro.testing import MemoryVsock

IMAGE = '[image]\neif = "signer.eif"\nmemory = 512\n'
OTHER = ENCLAVE.replace("16", "17").replace('"signer"\n', '"other"\n')


def port_of_route(plan: Plan) -> int:
    """The vsock port of the egress: the parent listens there."""
    listen = plan.parent_routes[0].listen
    assert isinstance(listen, VsockEndpoint)
    return listen.port


@attrs.define(eq=False)
class Parent:
    """A parent's process, in this one.

    Attributes:
      wire: the vsock without the bug.
      ended: set when it has ended.
      code: the exit code, if there was one.
      problems: what it ended with otherwise.

    """

    wire: MemoryVsock
    ended: trio.Event = attrs.field(factory=trio.Event)
    code: int | None = None
    problems: list[BaseException] = attrs.field(factory=list)

    async def run(self, paths: list[str], network: BuggyVsock) -> None:
        """Serve these manifests."""
        try:
            self.code = await run_parent(paths, network=network, provider_of=no_one)
        except Exception as exc:  # noqa: BLE001  the groups that nurseries make
            self.problems.extend(leaves(exc))
        self.ended.set()

    @asynccontextmanager
    async def enclave(self, plan: Plan) -> AsyncIterator[EnclaveControl]:
        """Have the enclave of ``plan`` paired meanwhile."""
        cid = plan.manifest.enclave.cid
        control = control_of(plan, self.wire.at(cid))
        async with trio.open_nursery() as nursery:
            serve = functools.partial(control.serve, wait=10)
            await nursery.start(serve)
            yield control
            nursery.cancel_scope.cancel()


def no_one(source: str) -> NoReturn:
    """Find nobody who has credentials."""
    raise AssertionError(source)


def write(directory: Path, text: str, name: str) -> tuple[str, Plan]:
    """Write a manifest, and plan it."""
    file = directory / name
    file.write_text(text)
    return str(file), parse_plan(text, source=str(file))


async def wait_for(logs: list[Any], event: str) -> Any:
    """Wait until something was logged, and return that."""
    while not (found := [entry for entry in logs if entry["event"] == event]):
        await trio.lowlevel.checkpoint()
    return found[0]


async def test_when_a_route_crashes_the_parent_ends_and_the_enclave_looks_for_it(
    nursery: trio.Nursery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nitro = FakeNitro.in_directory(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    path, plan = write(tmp_path, ENCLAVE + egress("127.0.0.1") + IMAGE, "nitro.toml")
    parent = Parent(MemoryVsock())
    network = BuggyVsock(parent.wire, port_of_route(plan))

    with capture_logs() as logs:
        nursery.start_soon(parent.run, [path], network)
        async with parent.enclave(plan):
            await wait_for(logs, "ready")
            network.bug.strikes.set()
            await parent.ended.wait()
            lost = await wait_for(logs, "lost the parent")
            again = await wait_for(logs, "no parent")

    assert [repr(problem) for problem in parent.problems] == ["KeyError('a bug')"]
    assert lost["problem"] == "it closed the connection"
    assert again["parent"] == "vsock://3:1617000"
    assert "terminate-enclave" in nitro.calls[-1]


@pytest.mark.parametrize("where", ["route", "control channel", "logs"])
async def test_what_crashes_in_one_manifest_does_not_touch_another(
    nursery: trio.Nursery, tmp_path: Path, where: str
) -> None:
    text = ENCLAVE + egress("127.0.0.1")
    broken, plan = write(tmp_path, text, "broken.toml")
    fine, other = write(tmp_path, OTHER, "fine.toml")
    ports = {
        "route": port_of_route(plan),
        "control channel": plan.control_port,
        "logs": plan.logs_port,
    }
    parent = Parent(MemoryVsock())
    network = BuggyVsock(parent.wire, ports[where])

    with capture_logs() as logs:
        nursery.start_soon(parent.run, [broken, fine], network)
        await wait_for(logs, "ready")
        network.bug.strikes.set()
        crashed = await wait_for(logs, "crashed")
        async with parent.enclave(other):
            os.kill(os.getpid(), signal.SIGTERM)
            await parent.ended.wait()

    assert crashed["manifest"] == broken
    assert [repr(leaf) for leaf in leaves(crashed["exc_info"])] == ["KeyError('a bug')"]
    assert parent.code == 1
