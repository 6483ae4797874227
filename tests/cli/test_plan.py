"""``trionitro plan``, up to its exit code."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest

from tests.manifest.manifests import ENCLAVE, WHOLE, egress
from trionitro._cli._main import main

Run = Callable[..., "Done"]


@attrs.frozen
class Done:
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture(name="plan")
def _plan(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run ``trionitro plan`` up to its exit."""

    def run(*arguments: str) -> Done:
        with pytest.raises(SystemExit) as end:
            main(["plan", *arguments])
        assert isinstance(end.value.code, int)
        return Done(end.value.code, *capsys.readouterr())

    return run


@pytest.fixture(name="manifest")
def _manifest(tmp_path: Path) -> str:
    """A file with something of everything."""
    file = tmp_path / "nitro.toml"
    file.write_text(WHOLE)
    return str(file)


def test_the_table_shows_what_follows(plan: Run, manifest: str) -> None:
    done = plan(manifest)

    assert (done.returncode, done.stderr) == (0, "")
    shown = " ".join(done.stdout.split())
    for words in (
        "signer: CID 16, manifest ",
        "egress[0] ← kms.us-west-1.amazonaws.com:443 1608000 127.0.0.2:443",
        "ingress[0] → 0.0.0.0:8443 1612000 127.0.0.1:8443",
        "127.0.0.3 db.internal db",
        "127.1.0.1:/srv/shared files on /mnt/shared (read-only)",
        "10.0.0.0/8 port 8443",
    ):
        assert words in shown
    assert "HOME" not in done.stdout  # a value of the environment


def test_as_json_it_is_the_same_for_programs(plan: Run, manifest: str) -> None:
    found = json.loads(plan(manifest, "--json").stdout)

    assert found["cid"] == 16
    assert len(found["digest"]) == 64
    assert found["addresses"] == ["127.0.0.2", "127.0.0.3", "192.0.2.7", "127.1.0.1"]
    assert found["routes"]["enclave"][0] == {
        "listen": "tcp://127.0.0.2:443",
        "forward": "vsock://3:1608000",
        "allow_cids": [],
    }
    assert found["hosts"][1] == {"address": "127.0.0.3", "names": ["db.internal", "db"]}
    assert found["environment"] == ["AWS_CONTAINER_CREDENTIALS_FULL_URI", "MODE"]
    assert "HOME" not in json.dumps(found)


def test_the_files_are_written_for_their_owner_alone(
    plan: Run, manifest: str, tmp_path: Path
) -> None:
    directory = tmp_path / "new" / "out"
    for _ in range(2):  # and written over
        done = plan(manifest, "--write", str(directory))

        assert done.returncode == 0
        assert f"wrote 11 files to {directory}" in done.stderr
    modes = {file.name: file.stat().st_mode & 0o777 for file in directory.iterdir()}
    assert modes["socat-parent.sh"] == 0o700
    assert modes["nitro.toml"] == 0o600
    assert (directory / "nitro.toml").read_text() == WHOLE
    unit = (directory / "trionitro-signer.service").read_text()
    assert f'"{manifest}"' in unit


def test_the_manifest_itself_is_left_alone(
    plan: Run, manifest: str, tmp_path: Path
) -> None:
    before = Path(manifest).stat().st_mode

    assert plan(manifest, "--write", str(tmp_path)).returncode == 0
    assert Path(manifest).stat().st_mode == before


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["nitro.toml: ", "'enclave' is missing"]),
        (ENCLAVE + egress("a") * 2, ["nitro.toml: ", "egress[0]", "egress[1]"]),
    ],
)
def test_a_wrong_manifest_is_one_line_and_exit_2(
    plan: Run, tmp_path: Path, text: str, words: list[str]
) -> None:
    file = tmp_path / "nitro.toml"
    file.write_text(text)

    done = plan(str(file))

    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    for word in words:
        assert word in done.stderr


def test_a_manifest_that_isn_t_there_is_exit_2(plan: Run) -> None:
    done = plan("/no/such/nitro.toml")

    assert done.returncode == 2
    assert "'/no/such/nitro.toml'" in done.stderr


def test_a_directory_that_can_t_be_written_is_exit_1(
    plan: Run, manifest: str, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()

    done = plan(manifest, "--write", str(tmp_path / "file" / "out"))

    assert done.returncode == 1
    assert "another DIR" in done.stderr
