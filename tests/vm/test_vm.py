"""A virtual machine from its start to its end, with a program in QEMU's place."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio

from tests.enclave.processes import processes_of
from trionitro import CannotStartError, ConfigError
from trionitro._exceptions import leaves
from trionitro.kms import CredentialProvider
from trionitro.vm import Files, Kit, KitError, VmConfig, read_vm_plan, run_vm

pytestmark = pytest.mark.skipif(
    shutil.which("cpio") is None, reason="there is no cpio, which packs for guests"
)

ROOT = Path(__file__).parent.parent.parent

MANIFEST = """
    [enclave]
    name = "test"
    cid = 16
    directory = "{directory}"
    command = ["sh", "-c", "{script}"]
    stop_timeout = 5
"""


@pytest.fixture(name="directory")
def _directory(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Make a directory for all that is temporary, with a short path for sockets."""
    with tempfile.TemporaryDirectory(prefix="vm-", dir="/tmp") as made:
        directory = Path(made)
        directory.joinpath("tmp").mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(directory / "tmp"))
        yield directory


def no_provider(source: str) -> CredentialProvider:
    raise AssertionError(f"nobody asked for credentials from {source}")


#: In QEMU's place: one that boots, and one whose guest never comes so far.
PATHS = os.pathsep.join([*filter(None, sys.path), str(ROOT)])
BOOTING = f"PYTHONPATH='{PATHS}' exec '{sys.executable}' -m tests.vm.fake_qemu \"$@\""
HANGING = r"""
printf 'SeaBIOS says \033[2J hello\n'
touch "${0%/*}/up"
exec sleep 1000
"""


def config_of(
    directory: Path, script: str = "true", *, qemu: str = BOOTING, **settings: Any
) -> VmConfig:
    """Put a virtual machine together, with a script in QEMU's place."""
    program = directory / "qemu"
    program.write_text(f"#!/bin/sh\n{qemu}\n")
    program.chmod(0o755)
    manifest = directory / "nitro.toml"
    manifest.write_text(MANIFEST.format(directory=directory, script=script))
    plan, text = read_vm_plan(str(manifest))
    return VmConfig(
        plan=plan,
        manifest=text,
        kit=Kit(qemu=program, kernel=Path("vmlinuz"), archives=()),
        provider_of=no_provider,
        **settings,
    )


def check_nothing_left(directory: Path) -> None:
    """Check that there is no process and no file of it any more."""
    assert not list(directory.joinpath("tmp").iterdir())
    assert not processes_of(str(directory))


def messages(error: pytest.ExceptionInfo[BaseException]) -> str:
    return "; ".join(map(str, leaves(error.value)))


async def test_the_application_s_exit_code_and_output_are_ours(
    directory: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code = await run_vm(config_of(directory, "echo out; echo err >&2; exit 7"))

    said = capfd.readouterr()
    assert code == 7
    assert "out" in said.out.splitlines()
    assert "err" in said.err.splitlines()
    assert "SeaBIOS" not in said.out + said.err
    check_nothing_left(directory)


async def test_a_signal_stops_the_application(directory: Path) -> None:
    script = f"trap 'exit 5' TERM; touch {directory}/up; while :; do sleep 0.05; done"

    async with trio.open_nursery() as nursery:
        nursery.start_soon(interrupt_when, directory / "up")
        code = await run_vm(config_of(directory, script))

    assert code == 5
    check_nothing_left(directory)


async def wait_for(path: Path) -> None:
    while not path.exists():
        await trio.sleep(0.01)


async def interrupt_when(path: Path, times: int = 1) -> None:
    await wait_for(path)
    for _ in range(times):
        signal.raise_signal(signal.SIGINT)
        await trio.sleep(0.2)


async def test_a_second_signal_ends_everything(directory: Path) -> None:
    script = f"trap true TERM; touch {directory}/up; while :; do sleep 0.05; done"

    async with trio.open_nursery() as nursery:
        nursery.start_soon(interrupt_when, directory / "up", 2)
        with pytest.raises(BaseException) as ended:  # noqa: PT011  may be a group
            await run_vm(config_of(directory, script))

    assert {type(leaf) for leaf in leaves(ended.value)} == {KeyboardInterrupt}
    assert not list(directory.joinpath("tmp").iterdir())


async def test_a_signal_before_the_application_runs_ends_everything(
    directory: Path,
) -> None:
    config = config_of(directory, qemu=HANGING)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(interrupt_when, directory / "up")
        with pytest.raises(BaseException) as ended:  # noqa: PT011  may be a group
            await run_vm(config)

    assert {type(leaf) for leaf in leaves(ended.value)} == {KeyboardInterrupt}
    check_nothing_left(directory)


async def test_cancelled_it_leaves_nothing(
    directory: Path,
) -> None:
    config = config_of(directory, qemu=HANGING)

    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run_vm, config)
            await wait_for(directory / "up")
            scope.cancel()

    check_nothing_left(directory)


async def test_a_guest_that_never_boots_is_given_up_and_its_console_shown(
    directory: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    config = config_of(directory, qemu=HANGING, boot_timeout=3)

    with pytest.raises(BaseException) as failed:  # noqa: PT011  may be a group
        await run_vm(config)

    assert {type(leaf) for leaf in leaves(failed.value)} <= {CannotStartError, KitError}
    assert "hasn't booted in 3 s" in messages(failed)
    assert "--boot-timeout" in messages(failed)
    said = capfd.readouterr().out
    assert "SeaBIOS says" in said
    assert "\x1b" not in said
    check_nothing_left(directory)


async def test_a_guest_that_ends_without_a_word_is_an_error(directory: Path) -> None:
    with pytest.raises(BaseException) as failed:  # noqa: PT011  may be a group
        await run_vm(config_of(directory, qemu="exit 3"))

    assert {type(leaf) for leaf in leaves(failed.value)} == {CannotStartError}
    assert "before it was up, and QEMU ended with exit code 3" in messages(failed)
    check_nothing_left(directory)


async def test_without_qemu_it_says_so(directory: Path) -> None:
    config = config_of(directory)
    config.kit.qemu.unlink()

    with pytest.raises(BaseException) as failed:  # noqa: PT011  may be a group
        await run_vm(config)

    assert {type(leaf) for leaf in leaves(failed.value)} <= {CannotStartError, KitError}
    assert str(config.kit.qemu) in messages(failed)
    check_nothing_left(directory)


async def test_files_that_are_in_the_way_are_a_mistake(directory: Path) -> None:
    directory.joinpath("app", "lib").mkdir(parents=True)
    config = attrs.evolve(config_of(directory), files=(Files(directory / "app", "/"),))

    with pytest.raises(BaseException) as failed:  # noqa: PT011  may be a group
        await run_vm(config)

    assert {type(leaf) for leaf in leaves(failed.value)} <= {ConfigError}
    assert "/lib" in messages(failed)
    check_nothing_left(directory)
