"""A command in namespaces of its own, and its end."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

import pytest
import trio

from tests.enclave.processes import processes_of
from tests.sandbox.boxes import skip_without_namespaces
from trionitro._exceptions import CannotStartError
from trionitro.sandbox._enclave_process import EnclaveProcess
from trionitro.sandbox._namespaces import command_in_namespaces
from trionitro.testing import cancel_at_every_step


def process_of(script: str) -> EnclaveProcess:
    skip_without_namespaces()
    return EnclaveProcess(["sh", "-c", script], os.environ)


async def test_its_exit_code_is_returned() -> None:
    assert await process_of("exit 5").run() == 5


async def test_it_hears_that_it_should_stop() -> None:
    process = process_of("head -c 1 | od -An -tx1 | grep -q 00 && exit 6")
    process.stop()

    assert await process.run() == 6


def test_cancelled_at_any_step_it_leaves_nothing() -> None:
    mark = str(uuid.uuid4())
    process_of("")  # skips

    async def scenario() -> None:
        process = process_of(f"head -c 1 >/dev/null; : {mark}")
        process.stop()
        try:
            await process.run()
        finally:
            assert not processes_of(mark)

    assert cancel_at_every_step(scenario) > 5


async def test_cancelled_it_takes_everything_along(tmp_path: Path) -> None:
    """What has left its session and ignores signals is gone when it returns."""
    mark = str(uuid.uuid4())
    stubborn = f"trap '' TERM INT HUP; touch {tmp_path}/up; sleep 1000; : {mark}"
    process = process_of(f'setsid sh -c "{stubborn}" & wait')

    async with trio.open_nursery() as nursery:
        nursery.start_soon(process.run)
        while not (tmp_path / "up").exists():
            await trio.sleep(0.01)
        assert processes_of(mark)
        nursery.cancel_scope.cancel()

    assert not processes_of(mark)


async def test_it_says_what_to_do_where_namespaces_are_not_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line, with what unshare says."""
    unshare = tmp_path / "unshare"
    unshare.write_text("#!/bin/sh\necho 'unshare failed: Not permitted' >&2\nexit 1")
    unshare.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(CannotStartError) as caught:
        await command_in_namespaces(["true"])

    assert "unshare failed: Not permitted" in str(caught.value)
    assert "sysctl" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("uid", "works"), [(0, True), (1000, False)])
async def test_only_root_does_without_a_user_namespace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uid: int, works: bool
) -> None:
    """And only where there is none to be had."""
    unshare = tmp_path / "unshare"
    unshare.write_text('#!/bin/sh\n[ "$1" != --user ] || exit 1\n')
    unshare.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(os, "geteuid", lambda: uid)

    if works:
        assert (await command_in_namespaces(["true"]))[:2] == ["unshare", "--net"]
    else:
        with pytest.raises(CannotStartError):
            await command_in_namespaces(["true"])
