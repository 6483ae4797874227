"""The parent's half of one enclave, over a vsock in memory."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from tests.manifest.manifests import egress, ingress, plan_of
from tests.parent.nitro import FakeNitro, control_of, logs_of
from trionitro import CannotStartError, ConfigError, NotAllowedError
from trionitro._control import Exited, Phase, State
from trionitro._exceptions import leaves
from trionitro.kms import Credentials, StaticCredentials
from trionitro.manifest import Plan, make_plan
from trionitro.parent import ParentHalf
from trionitro.testing import MemoryVsock

IMAGE = '[image]\neif = "signer.eif"\nmemory = 512\n'


@attrs.define
class Served:
    """A half at work.

    Attributes:
      half: what is served.
      nursery: where.
      code: how it ended, when it has.

    """

    half: ParentHalf
    nursery: trio.Nursery
    code: int | None = None
    end: trio.Event = attrs.field(factory=trio.Event)

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Serve it to its end."""
        self.code = await self.half.serve(task_status=task_status)
        self.end.set()


async def serve(nursery: trio.Nursery, half: ParentHalf) -> Served:
    """Start serving ``half``, and return when it has started."""
    served = Served(half, nursery)
    await nursery.start(served.run)
    return served


@pytest.fixture(name="nitro")
def _nitro(tmp_path: Path) -> FakeNitro:
    return FakeNitro.in_directory(tmp_path)


@pytest.fixture(name="target")
async def _target(nursery: trio.Nursery) -> AsyncIterator[int]:
    """The port of something that answers with what it is sent."""

    async def echo(stream: trio.SocketStream) -> None:
        async for data in stream:
            await stream.send_all(data)
        await stream.send_eof()

    listeners = await nursery.start(trio.serve_tcp, echo, 0)
    yield listeners[0].socket.getsockname()[1]
    nursery.cancel_scope.cancel()


async def test_the_enclave_reaches_what_is_outside(
    nursery: trio.Nursery, target: int
) -> None:
    network, plan = MemoryVsock(), plan_of(egress("127.0.0.1", target))
    served = await serve(nursery, ParentHalf(plan=plan, network=network))

    async with await network.at(16).open_stream(3, plan.links[0].vsock_port) as stream:
        await stream.send_all(b"hello")
        await stream.send_eof()

        assert await stream.receive_some() == b"hello"
    served.half.drain()
    await served.end.wait()
    assert served.code == 0


async def test_another_enclave_reaches_nothing(
    nursery: trio.Nursery, target: int
) -> None:
    network, plan = MemoryVsock(), plan_of(egress("127.0.0.1", target))
    await serve(nursery, ParentHalf(plan=plan, network=network))

    async with await network.at(17).open_stream(3, plan.links[0].vsock_port) as stream:
        assert await stream.receive_some() == b""


async def test_the_allowlist_holds_although_there_is_no_file(
    nursery: trio.Nursery,
) -> None:
    plan = plan_of(egress("127.0.0.1") + 'allow = ["192.0.2.0/24"]')
    half = ParentHalf(plan=plan, network=MemoryVsock())

    with pytest.raises(ExceptionGroup) as caught:
        await half.serve()

    (problem,) = leaves(caught.value)
    assert isinstance(problem, NotAllowedError)


async def test_what_the_enclave_says_is_logged_and_remembered(
    nursery: trio.Nursery, capsys: pytest.CaptureFixture[str]
) -> None:
    network, plan = MemoryVsock(), plan_of("")
    served = await serve(nursery, ParentHalf(plan=plan, network=network))
    control, logs = control_of(plan, network.at(16)), logs_of(plan, network.at(16))
    nursery.start_soon(logs.serve)
    await nursery.start(control.serve)

    control.tell(State(phase=Phase.RUNNING, detail="booted"))
    logs.put("application", b"signed")
    await control.finish(Exited(code=3, last_words="no key"))
    await logs.finish()

    output = capsys.readouterr().out
    for words in ("enclave paired", "detail=booted", "signed", "'no key'", "code=3"):
        assert words in output
    assert served.half.collector.end == Exited(code=3, last_words="no key")
    assert served.code is None  # it waits for the next one


async def test_credentials_are_given_to_this_enclave_alone(
    nursery: trio.Nursery,
) -> None:
    network, plan = MemoryVsock(), plan_of("[credentials]")
    provider = StaticCredentials(
        Credentials(access_key_id="AKIAEXAMPLE", secret_access_key="secret")
    )
    await serve(nursery, ParentHalf(plan=plan, network=network, provider=provider))
    request = b"GET /credentials HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    answers = {}

    assert plan.credentials_port is not None
    for cid in (16, 17):
        async with await network.at(cid).open_stream(
            3, plan.credentials_port
        ) as stream:
            await stream.send_all(request)
            answers[cid] = b"".join([chunk async for chunk in stream])

    assert json.loads(answers[16].partition(b"\r\n\r\n")[2])["AccessKeyId"]
    assert answers[17] == b""


async def test_credentials_that_nobody_has_are_an_error() -> None:
    half = ParentHalf(plan=plan_of("[credentials]"), network=MemoryVsock())

    with pytest.raises(ExceptionGroup) as caught:
        await half.serve()

    (problem,) = leaves(caught.value)
    assert isinstance(problem, CannotStartError)
    assert "leave [credentials] out" in str(problem)


async def test_an_enclave_is_started_and_its_exit_code_is_the_half_s(
    nursery: trio.Nursery, nitro: FakeNitro
) -> None:
    network, plan = MemoryVsock(), plan_of(IMAGE)
    half = ParentHalf(plan=plan, network=network, cli=nitro.cli)
    served = await serve(nursery, half)
    control = control_of(plan, network.at(16))
    await nursery.start(control.serve)

    await control.finish(Exited(code=3))
    await served.end.wait()

    assert served.code == 3
    assert not nitro.runs
    assert [call.split()[0] for call in nitro.calls] == [
        "run-enclave",
        "terminate-enclave",
    ]


async def test_a_stop_is_asked_for_before_the_enclave_is_terminated(
    nursery: trio.Nursery, nitro: FakeNitro
) -> None:
    network, plan = MemoryVsock(), plan_of(IMAGE)
    half = ParentHalf(plan=plan, network=network, cli=nitro.cli)
    served = await serve(nursery, half)
    control = control_of(plan, network.at(16))
    await nursery.start(control.serve)

    half.drain()
    await control.stop_wanted.wait()
    assert nitro.runs
    await control.finish(Exited(signal=15))
    await served.end.wait()

    assert served.code == 0  # it was told to
    assert not nitro.runs


async def test_an_enclave_that_never_said_a_word_is_terminated_at_once(
    nursery: trio.Nursery, nitro: FakeNitro
) -> None:
    half = ParentHalf(plan=plan_of(IMAGE), network=MemoryVsock(), cli=nitro.cli)
    served = await serve(nursery, half)

    half.drain()
    await served.end.wait()

    assert not nitro.runs


async def test_cancelled_the_half_leaves_no_enclave_behind(
    nursery: trio.Nursery, nitro: FakeNitro
) -> None:
    async with trio.open_nursery() as inner:
        await serve(
            inner, ParentHalf(plan=plan_of(IMAGE), network=MemoryVsock(), cli=nitro.cli)
        )
        assert nitro.runs
        inner.cancel_scope.cancel()

    assert not nitro.runs


async def test_an_enclave_that_dies_without_a_word_is_a_failure(
    nursery: trio.Nursery, nitro: FakeNitro, capsys: pytest.CaptureFixture[str]
) -> None:
    network, plan = MemoryVsock(), plan_of(IMAGE)
    half = ParentHalf(plan=plan, network=network, cli=nitro.cli)
    served = await serve(nursery, half)
    async with trio.open_nursery() as life:
        await life.start(control_of(plan, network.at(16)).serve)
        await wait_all_tasks_blocked()
        nitro.kill()
        life.cancel_scope.cancel()
    await served.end.wait()

    assert served.code == 1
    assert "ended without a word" in capsys.readouterr().out


async def test_an_enclave_that_was_left_over_is_taken_over(
    nursery: trio.Nursery, nitro: FakeNitro
) -> None:
    nitro.start()
    half = ParentHalf(plan=plan_of(IMAGE), network=MemoryVsock(), cli=nitro.cli)
    served = await serve(nursery, half)
    half.drain()
    await served.end.wait()

    assert [call.split()[0] for call in nitro.calls] == ["terminate-enclave"]


@pytest.mark.parametrize("other", [{"EnclaveName": "other"}, {"EnclaveCID": 17}])
async def test_another_enclave_s_name_or_cid_is_not_taken(
    nitro: FakeNitro, other: dict[str, object]
) -> None:
    nitro.start(**other)
    half = ParentHalf(plan=plan_of(IMAGE), network=MemoryVsock(), cli=nitro.cli)

    with pytest.raises(ExceptionGroup) as caught:
        await half.serve()

    (problem,) = leaves(caught.value)
    assert isinstance(problem, CannotStartError)
    assert "terminate-enclave --enclave-id i-05" in str(problem)
    assert nitro.runs


async def test_an_enclave_that_doesn_t_start_is_an_error(nitro: FakeNitro) -> None:
    nitro.refuse("[ E39 ] Enclave process connection failure.")
    half = ParentHalf(plan=plan_of(IMAGE), network=MemoryVsock(), cli=nitro.cli)

    with pytest.raises(ExceptionGroup) as caught:
        await half.serve()

    (problem,) = leaves(caught.value)
    assert "E39" in str(problem)


def replanned(plan: Plan, text: str) -> Plan:
    """Plan the same enclave with another manifest."""
    other = plan_of(text)
    assert other.digest != plan.digest
    return other


async def test_a_reload_changes_routes_and_the_digest_that_the_next_enclave_needs(
    nursery: trio.Nursery, target: int
) -> None:
    network, plan = MemoryVsock(), plan_of(egress("127.0.0.1", target))
    half = ParentHalf(plan=plan, network=network)
    await serve(nursery, half)
    await nursery.start(control_of(plan, network.at(16)).serve)

    new = replanned(plan, egress("127.0.0.1", target, vsock_port=5000))
    await half.reload(new)

    async with await network.at(16).open_stream(3, 5000) as stream:
        await stream.send_all(b"hello")
        assert await stream.receive_some() == b"hello"
    with pytest.raises(CannotStartError, match="another manifest"):
        await control_of(plan, network.at(16)).serve()
    with pytest.raises(ConnectionError):
        await network.at(16).open_stream(3, plan.links[0].vsock_port)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[control]\nvsock_port = 5000", "[control]"),
        ("[credentials]", "[credentials]"),
        (ingress("127.0.0.1:0"), "whether there are routes"),
    ],
)
async def test_what_can_t_change_meanwhile_is_named(
    nursery: trio.Nursery, text: str, words: str
) -> None:
    half = ParentHalf(plan=plan_of(""), network=MemoryVsock())
    await serve(nursery, half)

    with pytest.raises(ConfigError, match=re.escape(f"signer: {words} can't change")):
        await half.reload(plan_of(text))
    assert make_plan(half.plan.manifest) == plan_of("")
