"""Volumes, with a server that answers, and programs that note what they are told."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio

from trionitro import CannotStartError
from trionitro.enclave._children import Children
from trionitro.enclave._volume import Mounter, mount_options
from trionitro.manifest import PlannedVolume
from trionitro.testing import cancel_at_every_step

Answer = Callable[[bytes], bytes]


def volume_at(port: int, directory: Path, **settings: Any) -> PlannedVolume:
    given: dict[str, Any] = {
        "place": "volume[0]",
        "export": "/srv/data",
        "mount": str(directory / "mnt"),
        "read_only": False,
        "options": (),
        "address": "127.0.0.1",
        "port": port,
    }
    return PlannedVolume(**{**given, **settings})


def success(call: bytes) -> bytes:
    """Answer a NULL call as a server does."""
    (xid,) = struct.unpack_from("!I", call, 4)
    return struct.pack("!7I", 0x8000_0000 | 24, xid, 1, 0, 0, 0, 0)


@asynccontextmanager
async def server(answer: Answer = success) -> AsyncIterator[int]:
    """Have an NFS server that answers whatever comes first; yields its port."""

    async def serve(stream: trio.SocketStream) -> None:
        async with stream:
            await stream.send_all(answer(bytes(await stream.receive_some())))

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, serve, 0)
        yield listeners[0].socket.getsockname()[1]
        nursery.cancel_scope.cancel()


@attrs.define(eq=False)
class Programs:
    """A ``mount`` and an ``umount`` that note what they are told, in a directory."""

    directory: Path
    mounter: Mounter = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.mounted.touch()
        entry = f'echo "1 2 0:3 / $7 rw - nfs4 $6 rw" >> {self.mounted}'
        self.write("mount", self.noting(entry))
        self.write("umount", self.noting(f": > {self.mounted}"))
        self.mounter = Mounter(
            children=Children(),
            search_path=str(self.directory),
            mounted=self.mounted,
            patience=100,
        )

    @property
    def mounted(self) -> Path:
        """What stands for /proc/self/mountinfo."""
        return self.directory / "mountinfo"

    @property
    def calls(self) -> list[str]:
        """All calls, in order."""
        log = self.directory / "calls"
        return log.read_text().splitlines() if log.exists() else []

    def noting(self, then: str) -> str:
        """Return a script that notes its call, and then does something."""
        return f'echo "${{0##*/}} $*" >> {self.directory}/calls; {then}'

    def write(self, name: str, script: str) -> None:
        """Make a program."""
        path = self.directory / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)


@pytest.fixture(name="programs")
def _programs(tmp_path: Path) -> Programs:
    return Programs(tmp_path)


async def test_it_is_mounted_as_long_as_it_lasts(programs: Programs) -> None:
    async with server() as port:
        volume = volume_at(port, programs.directory)
        async with programs.mounter.mount(volume):
            options = mount_options(volume)
            source = "127.0.0.1:/srv/data"
            assert programs.calls == [
                f"mount -i -t nfs4 -o {options} {source} {volume.mount}"
            ]
            assert Path(volume.mount).is_dir()

    assert programs.calls[1:] == [f"umount {volume.mount}"]


async def test_nfs_s_own_helper_is_used_where_there_is_one(programs: Programs) -> None:
    programs.write("mount.nfs4", "exit 1")

    async with server() as port:
        volume = volume_at(port, programs.directory)
        async with programs.mounter.mount(volume):
            assert programs.calls[0].startswith("mount -t nfs4 -o rw,vers=4.1,")


def test_the_options_leave_nothing_to_be_found_out(tmp_path: Path) -> None:
    assert mount_options(volume_at(20490, tmp_path)) == (
        "rw,vers=4.1,proto=tcp,port=20490,addr=127.0.0.1,clientaddr=127.0.0.1,hard,"
        "timeo=600,retrans=2"
    )


@pytest.mark.parametrize(
    ("own", "gone"),
    [("vers=4.2", "vers=4.1"), ("nfsvers=4", "vers=4.1"), ("soft", "hard")],
)
def test_the_user_s_options_take_the_place_of_ours(
    tmp_path: Path, own: str, gone: str
) -> None:
    options = mount_options(volume_at(2049, tmp_path, options=(own, "noatime")))

    assert options.endswith(f"{own},noatime")
    assert gone not in options.split(",")


def test_a_volume_may_be_read_only(tmp_path: Path) -> None:
    assert mount_options(volume_at(2049, tmp_path, read_only=True))[:3] == "ro,"


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("mount.nfs4: access denied by server", "access denied by server; export it"),
        ("mount: unknown filesystem type 'nfs4'.", "boot a kernel with NFS"),
        ("mount: only root can do that", "boot as root"),
        # What util-linux says without a helper, on two lines.
        (
            "mount: special device 127.0.0.1:/x does not exist.\n    dmesg(1) may have",
            r"special device 127.0.0.1:/x does not exist\.; create the directory",
        ),
        ("", "mount returned 32; see the kernel's log"),
    ],
)
async def test_what_mount_says_becomes_what_to_do(
    programs: Programs, said: str, words: str
) -> None:
    programs.write("mount", f'echo warning >&2; echo "{said}" >&2; exit 32')
    if not said:
        programs.write("mount", "exit 32")

    async with server() as port:
        volume = volume_at(port, programs.directory)
        with pytest.raises(CannotStartError, match=f"volume.0.: can't .*{words}"):
            async with programs.mounter.mount(volume):
                raise AssertionError("it must not get here")

    assert programs.calls == []


async def test_without_mount_the_error_says_what_to_install(programs: Programs) -> None:
    (programs.directory / "umount").unlink()

    with pytest.raises(CannotStartError, match=r"no program 'umount', .*util-linux"):
        async with programs.mounter.mount(volume_at(1, programs.directory)):
            raise AssertionError("it must not get here")


async def test_a_mount_point_that_can_t_be_made_is_an_error(programs: Programs) -> None:
    mount = programs.mounted / "mnt"

    async with server() as port:
        volume = volume_at(port, programs.directory, mount=str(mount))
        with pytest.raises(
            CannotStartError, match=r"can't create .*mountinfo/mnt: Not a"
        ):
            async with programs.mounter.mount(volume):
                raise AssertionError("it must not get here")


async def test_a_volume_that_is_busy_is_let_go_of(programs: Programs) -> None:
    busy = "case $1 in -l) ;; *) echo target is busy >&2; exit 32;; esac"
    programs.write("umount", programs.noting(busy))

    async with server() as port:
        volume = volume_at(port, programs.directory)
        async with programs.mounter.mount(volume):
            pass

    assert programs.calls[1:] == [f"umount {volume.mount}", f"umount -l {volume.mount}"]


async def test_a_volume_that_never_answers_again_is_let_go_of(
    programs: Programs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trionitro.enclave._volume._UNMOUNT_PATIENCE", 0.1)
    hanging = "case $1 in -l) ;; *) exec sleep 1000;; esac"
    programs.write("umount", programs.noting(hanging).replace("sleep", "/bin/sleep"))

    async with server() as port:
        volume = volume_at(port, programs.directory)
        async with programs.mounter.mount(volume):
            pass

    assert programs.calls[-1] == f"umount -l {volume.mount}"


async def test_a_mount_that_hangs_is_an_error(
    programs: Programs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trionitro.enclave._volume._MOUNT_PATIENCE", 0.05)
    programs.write("mount", "exec /bin/sleep 1000")

    async with server() as port:
        volume = volume_at(port, programs.directory)
        with pytest.raises(CannotStartError, match=r"mount took longer than 0\.05 s"):
            async with programs.mounter.mount(volume):
                raise AssertionError("it must not get here")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda _: b"HTTP/1.1 400 Bad Request", "no NFS server"),
        (lambda _: b"", "closed without an answer"),
        (lambda call: success(call)[:9], "closed without an answer"),
    ],
)
async def test_what_is_no_server_is_waited_for_a_while(
    programs: Programs, answer: Answer, words: str
) -> None:
    mounter = attrs.evolve(programs.mounter, patience=1)

    async with server(answer) as port:
        with pytest.raises(CannotStartError, match=f"in 1 s: .*{words}.*; start NFS"):
            async with mounter.mount(volume_at(port, programs.directory)):
                raise AssertionError("it must not get here")


async def test_a_server_that_comes_late_is_waited_for(programs: Programs) -> None:
    calls = iter([b"", b""])

    async with (
        server(lambda call: next(calls, success(call))) as port,
        programs.mounter.mount(volume_at(port, programs.directory)),
    ):
        assert len(programs.calls) == 1


def test_cancelled_anywhere_nothing_stays_mounted(tmp_path: Path) -> None:
    async def scenario() -> None:
        programs = Programs(tmp_path)
        async with server() as port:
            try:
                async with programs.mounter.mount(volume_at(port, tmp_path)):
                    assert programs.mounted.read_text()
            finally:
                assert not programs.mounted.read_text()

    assert cancel_at_every_step(scenario) > 20
