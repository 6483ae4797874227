"""``trionitro parent`` as a process: signals, several manifests, exit codes."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
from pathlib import Path

import attrs
import pytest
import trio

from tests.manifest.manifests import ENCLAVE, ingress
from tests.parent.nitro import FakeNitro, control_of
from trionitro._control import Exited
from trionitro.manifest import parse_plan
from trionitro.sandbox import LoggedProcess, run_logged
from trionitro.vsock import LocalVsock

IMAGE = '[image]\neif = "signer.eif"\nmemory = 512\n'
OTHER = ENCLAVE.replace("16", "17").replace('"signer"\n', '"other"\n')


@attrs.frozen
class Place:
    """A directory with manifests, a vsock and a nitro-cli.

    Attributes:
      directory: what it is all in.
      nursery: where processes run; they end with the test.
      nitro: first on PATH.

    """

    directory: Path
    nursery: trio.Nursery
    nitro: FakeNitro

    def write(self, text: str, name: str = "nitro.toml") -> str:
        """Write a manifest."""
        file = self.directory / name
        file.write_text(text)
        return str(file)

    async def start(self, *manifests: str) -> LoggedProcess:
        """Start the parent of these manifests."""
        run = functools.partial(
            run_logged,
            [
                *(sys.executable, "-m", "trionitro", "parent", *manifests),
                *("--log-format", "json", "--vsock", f"local:{self.directory}/vsock"),
            ],
            env=os.environ | {"PATH": f"{self.nitro.directory}:{os.environ['PATH']}"},
        )
        process: LoggedProcess = await self.nursery.start(run)
        return process

    def at(self, cid: int) -> LocalVsock:
        """Return the vsock as an enclave sees it."""
        return LocalVsock(self.directory / "vsock", cid=cid)


@pytest.fixture(name="place")
def _place(nursery: trio.Nursery, tmp_path: Path) -> Place:
    nitro = tmp_path / "bin"
    nitro.mkdir()
    return Place(tmp_path, nursery, FakeNitro.in_directory(nitro))


async def test_a_signal_stops_it_and_the_exit_code_is_0(place: Place) -> None:
    parent = await place.start(place.write(ENCLAVE + ingress("127.0.0.1:0")))
    await parent.wait_logged("ready")

    parent.process.send_signal(signal.SIGTERM)

    assert await parent.wait() == 0
    assert [line["event"] for line in parent.lines] == [
        "listening",
        "ready",
        "stopping",
        "stopped listening",
        "done",
        "stopped",
    ]


async def test_the_exit_code_of_the_application_is_the_parent_s(place: Place) -> None:
    path = place.write(ENCLAVE + IMAGE)
    plan = parse_plan(Path(path).read_text(), source=path)
    parent = await place.start(path)
    await parent.wait_logged("ready")
    control = control_of(plan, place.at(16))
    await place.nursery.start(control.serve)

    assert await control.finish(Exited(code=42, last_words="no key"))

    assert await parent.wait() == 42
    (line,) = await parent.wait_logged("enclave exited")
    assert (line["code"], line["last_words"]) == (42, "no key")
    assert f"--eif-path {place.directory}/signer.eif" in place.nitro.calls[0]
    assert not place.nitro.runs


async def test_a_second_signal_ends_it_at_once_and_the_enclave_too(
    place: Place,
) -> None:
    path = place.write(ENCLAVE + IMAGE)
    parent = await place.start(path)
    await parent.wait_logged("ready")
    control = control_of(parse_plan(ENCLAVE + IMAGE, source=path), place.at(16))
    await place.nursery.start(control.serve)
    await parent.wait_logged("enclave paired")

    parent.process.send_signal(signal.SIGTERM)
    await control.stop_wanted.wait()  # and an application that ignores it
    parent.process.send_signal(signal.SIGTERM)

    assert await parent.wait() == 0
    assert not place.nitro.runs


async def test_what_fails_in_one_manifest_does_not_touch_another(place: Place) -> None:
    place.nitro.refuse("[ E29 ] no memory")
    fine = place.write(ENCLAVE, "fine.toml")
    broken = place.write(OTHER + IMAGE, "broken.toml")
    parent = await place.start(broken, fine)
    await parent.wait_logged("ready")
    control = control_of(parse_plan(ENCLAVE, source=fine), place.at(16))

    await place.nursery.start(control.serve)

    (line,) = await parent.wait_logged("failed")
    assert line["manifest"] == broken
    assert "E29" in line["problem"]
    parent.process.send_signal(signal.SIGTERM)
    assert await parent.wait() == 1


async def test_sighup_reads_the_manifest_again_and_a_wrong_one_changes_nothing(
    place: Place,
) -> None:
    path = place.write(ENCLAVE + ingress("127.0.0.1:0"))
    parent = await place.start(path)
    await parent.wait_logged("ready")

    for text, event in (
        (ENCLAVE.replace("name", "nom"), "not reloaded"),
        (ENCLAVE.replace("16", "17") + ingress("127.0.0.1:0"), "not reloaded"),
        (ENCLAVE + ingress("127.0.0.1:0") * 2, "reloaded"),
    ):
        seen = len([line for line in parent.lines if line["event"] == event])
        place.write(text)
        parent.process.send_signal(signal.SIGHUP)
        await parent.wait_logged(event, seen + 1)

    problems = [line["problem"] for line in await parent.wait_logged("not reloaded", 2)]
    assert "'nom'" in problems[0]
    assert "cid" in problems[1]
    assert len(await parent.wait_logged("listening", 2)) == 2
    parent.process.send_signal(signal.SIGTERM)
    assert await parent.wait() == 0


@pytest.mark.parametrize(
    ("texts", "code", "words"),
    [
        ((), 2, "NITRO.TOML"),
        (("",), 2, "'enclave' is missing"),
        ((ENCLAVE, ENCLAVE), 2, "name signer is taken twice"),
        ((ENCLAVE + IMAGE,), 1, "E29"),
        ((ENCLAVE + '[credentials]\nsource = "container"',), 2, "imds"),
    ],
)
def test_what_is_wrong_at_the_start_is_one_line(
    tmp_path: Path, texts: tuple[str, ...], code: int, words: str
) -> None:
    nitro = FakeNitro.in_directory(tmp_path)
    nitro.refuse("[ E29 ] no memory")
    paths = [tmp_path / f"{number}.toml" for number in range(len(texts))]
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text)

    done = subprocess.run(
        [
            *(sys.executable, "-m", "trionitro", "parent", *map(str, paths)),
            *("--vsock", f"local:{tmp_path}/vsock"),
        ],
        env={
            name: value
            for name, value in os.environ.items()
            if not name.startswith("AWS_")
        }
        | {"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=25,
        check=False,
    )

    assert done.returncode == code, done.stderr
    last = done.stderr.splitlines()[-1]
    assert words in last
    assert "Traceback" not in done.stderr
