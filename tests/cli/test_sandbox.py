"""``trionitro sandbox`` as a process: real programs in it, real servers outside."""

from __future__ import annotations

import functools
import json
import os
import shutil
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.cli.test_mistakes import check_one_line, run
from tests.sandbox import inside
from tests.sandbox.boxes import Box, namespaces_in_use, open_box, short_directory
from tests.sandbox.inside import namespaces_of_this_process
from trionitro._http_server import HttpRequest, HttpResponse, answer_http

MINIMAL = """
    [enclave]
    name = "test"
    cid = 16
    command = ["sh", "-c", "{script}"]
"""

#: KMS, a server, an ingress, a volume: what an enclave usually has.
WHOLE = """
    [enclave]
    name = "test"
    cid = 16
    command = ["false"]
    environment = {{ OWN = "from the manifest" }}
    user = "nobody-who-is-here"

    [[egress]]
    host = "kms.us-west-1.amazonaws.com"
    port = 443
    [[egress]]
    host = "127.0.0.1"
    port = {port}
    names = ["db.internal"]

    [[ingress]]
    listen = "127.0.0.1:0"
    port = 8443
    [[volume]]
    export = "{export}"
    mount = "/no-such-directory-here/volume"

    [credentials]
    source = "imds"
    [image]
    eif = "not-started.eif"
    memory = 64
    [sandbox]
    kms_emulator = true
"""


@pytest.fixture
def directory() -> Iterator[Path]:
    with short_directory() as made:
        yield made


@asynccontextmanager
async def http_server() -> AsyncIterator[int]:
    """Serve a greeting on a free port of this machine."""

    async def greet(request: HttpRequest) -> HttpResponse:
        return HttpResponse(body=b"hello from outside")

    async def answer(stream: trio.SocketStream) -> None:
        try:
            await answer_http(stream, greet)
        except trio.BrokenResourceError:
            return

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(
            lambda task_status: trio.serve_tcp(
                answer, 0, host="127.0.0.1", task_status=task_status
            )
        )
        yield listeners[0].socket.getsockname()[1]
        nursery.cancel_scope.cancel()


def write_manifest(directory: Path, text: str) -> Path:
    path = directory / "nitro.toml"
    path.write_text(text)
    return path


async def ingress_of(box: Box) -> int:
    """Return the port on which the parent's half listens for the application."""
    await box.logged.wait_logged("booted")
    (listening,) = (
        line["listen"]
        for line in box.logged.lines
        if line.get("forward", "").startswith("vsock://16:")
    )
    return int(listening.rpartition(":")[2])


async def talk_to(port: int, said: str) -> bytes:
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    async with stream:
        await stream.send_all(said.encode())
        return b"".join([data async for data in stream])


async def look_around(directory: Path, *, code: int) -> tuple[Box, dict[str, Any]]:
    """Run ``tests.sandbox.inside`` in a sandbox with everything."""
    export = directory / "export"
    export.mkdir()
    volume = "/no-such-directory-here/volume"
    async with http_server() as named, http_server() as unnamed:
        manifest = write_manifest(directory, WHOLE.format(port=named, export="/export"))
        async with open_box(
            manifest,
            *(sys.executable, inside.__file__, str(directory)),
            *(str(named), str(unnamed), volume, str(code)),
            options=["--exports", str(directory)],
            environment={"https_proxy": "http://127.0.0.1:9", "AWS_PROFILE": "mine"},
        ) as box:
            port = await ingress_of(box)
            await box.logged.wait_logged("serving")
            assert await talk_to(port, "from outside") == b"FROM OUTSIDE"
            assert await box.logged.wait() == code, box.logged.lines
    return box, json.loads((export / "found.json").read_text())


async def test_programs_reach_what_the_manifest_names_and_nothing_else(
    directory: Path,
) -> None:
    """A server by its name, KMS with boto3 and attested, an ingress, and a volume."""
    box, found = await look_around(directory, code=7)

    assert found["named"] == "reached"
    if shutil.which("curl"):
        assert found["curl"] == "hello from outside"
    assert found["kms"] == {"plainly": "AccessDeniedException", "attested": "secret"}
    assert "refused" in found["its own port"]
    assert "refused" in found["another port of the host"]
    assert "refused" in found["another port of the name"]
    assert "unreachable" in found["an outside address"]
    assert "not known" in found["a name off the list"]
    assert found["interfaces"] == ["lo"]
    assert found["host name"] == "test"
    assert "1" in found["processes"]
    assert len(found["processes"]) <= 2
    assert found["environment"]["OWN"] == "from the manifest"
    assert not {"https_proxy", "AWS_PROFILE"} & set(found["environment"])
    assert not Path("/no-such-directory-here").exists()
    own = set(namespaces_of_this_process())
    assert len(set(found["namespaces"]) - own) >= 4
    assert not (set(found["namespaces"]) - own) & namespaces_in_use()
    box.check_nothing_left()


@asynccontextmanager
async def postgres(directory: Path) -> AsyncIterator[int]:
    """Run a PostgreSQL server on a free port of this machine, for ``postgres``."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not programs or not shutil.which("psql"):
        pytest.skip("there is no PostgreSQL")
    user = "postgres" if os.geteuid() == 0 else None  # it refuses to run as root
    data = directory / "data"
    data.mkdir()
    if user is not None:
        directory.chmod(0o755)
        shutil.chown(data, user)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    init: list[str | Path] = [
        programs[-1] / "initdb",
        "-D",
        data,
        "-A",
        "trust",
        "-N",
        "-U",
        "postgres",
    ]
    await trio.run_process(init, user=user, capture_stdout=True, cwd=data)
    command: list[str | Path] = [
        programs[-1] / "postgres",
        "-D",
        data,
        "-h",
        "127.0.0.1",
        "-k",
        data,
    ]
    async with trio.open_nursery() as nursery:
        server = await nursery.start(
            functools.partial(
                trio.run_process,
                [*command, "-p", str(port)],
                user=user,
                cwd=data,
                capture_stderr=True,
                check=False,
            )
        )
        await wait_for_file(data / "postmaster.pid", "ready")
        yield port
        server.send_signal(signal.SIGINT)


async def wait_for_file(path: Path, text: str) -> None:
    while not path.exists() or text not in path.read_text():
        await trio.sleep(0.01)


async def test_psql_reaches_a_real_database_by_its_name(directory: Path) -> None:
    async with postgres(directory) as port:
        export = directory / "export"
        export.mkdir()
        manifest = write_manifest(directory, WHOLE.format(port=port, export=export))
        url = f"postgresql://postgres@db.internal:{port}/postgres"
        query = f"psql -At -c 'select 6 * 7' {url} > {export}/answer"
        async with open_box(manifest, "sh", "-c", query) as box:
            code = await box.logged.wait()

    assert code == 0, box.logged.lines
    assert (export / "answer").read_text() == "42\n"
    box.check_nothing_left()


async def test_the_manifest_s_own_command_runs_and_its_exit_code_is_ours(
    directory: Path,
) -> None:
    manifest = write_manifest(
        directory,
        MINIMAL.format(script=f"echo $TRIONITRO_NSM > {directory}/out; exit 9"),
    )

    async with open_box(manifest) as box:
        code = await box.logged.wait()

    assert code == 9, box.logged.lines
    assert (directory / "out").read_text().startswith("unix:")
    box.check_nothing_left()


async def test_a_command_that_a_signal_ends_has_the_code_that_a_shell_gives_it(
    directory: Path,
) -> None:
    manifest = write_manifest(directory, MINIMAL.format(script="false"))

    async with open_box(manifest, "sh", "-c", "kill -9 $$") as box:
        code = await box.logged.wait()

    assert code == 128 + signal.SIGKILL, box.logged.lines
    box.check_nothing_left()


@pytest.mark.parametrize("event", ["listening", "paired", "step done", "waiting"])
async def test_ctrl_c_at_any_moment_leaves_nothing(directory: Path, event: str) -> None:
    script = "echo waiting >&2; sleep 1000 & wait"
    text = MINIMAL.format(script=script) + '[[egress]]\nhost = "a.example"\nport = 443'
    manifest = write_manifest(directory, text)

    async with open_box(manifest) as box:
        await box.logged.wait_logged(event)
        box.interrupt()
        code = await box.logged.wait()

    assert code == 128 + signal.SIGTERM, box.logged.lines
    box.check_nothing_left()


@pytest.mark.parametrize("seconds", [0.2, 0.6, 1.0])
async def test_two_signals_at_any_moment_leave_nothing(
    directory: Path, seconds: float
) -> None:
    """Moments by the clock, as a user's are; the application won't stop by itself."""
    script = "trap true TERM INT; while true; do sleep 1; done"
    manifest = write_manifest(directory, MINIMAL.format(script=script))

    async with open_box(manifest) as box:
        with trio.move_on_after(seconds):
            await box.logged.wait_logged("application started")
        box.interrupt()
        box.interrupt()
        code = await box.logged.wait()

    # Signals that come at once may be one; then SIGKILL came when its time was up.
    # The last: Python hadn't come to our code yet.
    assert code in (130, 143, 137, -signal.SIGINT), box.logged.lines
    box.check_nothing_left()


async def test_the_enclave_ends_by_itself_where_the_sandbox_is_killed(
    directory: Path,
) -> None:
    """Nobody can remove the directory then; but nothing runs on."""
    manifest = write_manifest(directory, MINIMAL.format(script="sleep 1000"))

    async with open_box(manifest) as box:
        await box.logged.wait_logged("application started")
        box.logged.process.kill()
        await box.logged.wait()  # until the last who has its standard error is gone

    assert not box.processes()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("[sandbox]\nkms_emulator = true", ["kms_emulator", "[credentials]"]),
        (
            "[credentials]\n[sandbox]\nkms_emulator = true",
            ["kms_emulator", "[[egress]]", "kms.REGION.amazonaws.com"],
        ),
        ("[sandbax]", ["sandbax", "sandbox"]),
    ],
)
def test_a_mistake_exits_2(tmp_path: Path, more: str, words: list[str]) -> None:
    manifest = write_manifest(tmp_path, MINIMAL.format(script="true") + more)

    code, stderr = run("trionitro", "sandbox", str(manifest))

    check_one_line(stderr, words)
    assert code == 2


def test_keys_for_a_kms_that_is_not_emulated_are_a_mistake(tmp_path: Path) -> None:
    manifest = write_manifest(tmp_path, MINIMAL.format(script="true"))

    code, stderr = run("trionitro", "sandbox", "--kms-keys", "keys", str(manifest))

    check_one_line(stderr, ["--kms-keys", "kms_emulator = true"])
    assert code == 2


async def test_a_volume_needs_its_directory(directory: Path) -> None:
    volume = f'[[volume]]\nexport = "{directory}/nothing"\nmount = "/mnt/pv"'
    manifest = write_manifest(directory, MINIMAL.format(script="true") + volume)

    async with open_box(manifest) as box:
        code = await box.logged.wait()

    said = str(box.logged.lines[-1]["event"])
    assert code == 1
    assert f"{directory}/nothing" in said
    assert "create it" in said
    box.check_nothing_left()


def test_without_unshare_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = write_manifest(tmp_path, MINIMAL.format(script="true"))
    monkeypatch.setenv("PATH", str(tmp_path))

    code, stderr = run("trionitro", "sandbox", str(manifest))

    check_one_line(stderr.splitlines()[-1], ["unshare", "util-linux"])
    assert code == 1
