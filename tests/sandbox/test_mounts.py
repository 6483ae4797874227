"""Mounts in a namespace of their own, which this machine doesn't see."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.enclave.namespaces import run_in
from trionitro._exceptions import CannotStartError
from trionitro.sandbox._mounts import bind

#: As in a sandbox: root of a user namespace.
MOUNT = ("-r", "-m")

PROGRAM = """
    import json, os, tempfile
    from pathlib import Path
    from trionitro.sandbox._mounts import bind, cover, make_directory

    base = Path({base!r})
    def aside():
        return Path(tempfile.mkdtemp(dir=base / "aside"))
    found = {{}}
    {body}
    print(json.dumps(found))
"""


@pytest.fixture
def base(tmp_path: Path) -> Path:
    for name in ("aside", "export", "full/dir"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "export/file").write_text("exported")
    (tmp_path / "full/file").write_text("was there")
    (tmp_path / "full/link").symlink_to("file")
    return tmp_path


def run(base: Path, body: str) -> dict[str, object]:
    lines = body.strip().replace("\n", "\n    ")
    found = run_in(MOUNT, PROGRAM.format(base=str(base), body=lines))
    assert isinstance(found, dict)
    return found


def test_a_directory_is_bound_and_may_be_read_only(base: Path) -> None:
    found = run(
        base,
        """
bind(base / "export", base / "full/dir", read_only=True)
found["there"] = (base / "full/dir/file").read_text()
try:
    (base / "full/dir/new").touch()
except OSError as problem:
    found["problem"] = problem.strerror
""",
    )

    assert found == {"there": "exported", "problem": "Read-only file system"}
    assert not list((base / "full/dir").iterdir())


def test_a_directory_that_is_missing_appears_beside_what_is_there(base: Path) -> None:
    found = run(
        base,
        """
make_directory(base / "full/new/volume", aside=aside())
bind(base / "export", base / "full/new/volume")
(base / "full/dir/written").touch()
found["there"] = (base / "full/new/volume/file").read_text()
found["kept"] = [(base / "full/file").read_text(), (base / "full/link").read_text()]
found["entries"] = sorted(os.listdir(base / "full"))
""",
    )

    assert found == {
        "there": "exported",
        "kept": ["was there", "was there"],
        "entries": ["dir", "file", "link", "new"],
    }
    assert sorted(entry.name for entry in (base / "full").iterdir()) == [
        "dir",
        "file",
        "link",
    ]
    assert (base / "full/dir/written").exists()


def test_the_root_directory_gets_one_too(base: Path) -> None:
    found = run(
        base,
        """
make_directory(Path("/no-such-directory/volume"), aside=aside())
bind(base / "export", Path("/no-such-directory/volume"))
found["there"] = Path("/no-such-directory/volume/file").read_text()
found["kept"] = (base / "full/file").read_text()
""",
    )

    assert found == {"there": "exported", "kept": "was there"}
    assert not Path("/no-such-directory").exists()


def test_one_that_is_there_is_used_as_it_is(base: Path) -> None:
    found = run(
        base,
        """
make_directory(base / "full/dir", aside=base / "no such directory")
found["entries"] = sorted(os.listdir(base / "full"))
""",
    )

    assert found == {"entries": ["dir", "file", "link"]}


def test_a_file_in_the_way_is_told(base: Path) -> None:
    found = run(
        base,
        """
try:
    make_directory(base / "full/file/volume", aside=aside())
except Exception as problem:
    found["problem"] = str(problem)
""",
    )

    assert "Not a directory" in str(found["problem"])
    assert f"{base}/full/file/volume" in str(found["problem"])


def test_mount_s_own_words_are_passed_on(tmp_path: Path) -> None:
    with pytest.raises(CannotStartError, match=f"mount --rbind {tmp_path}/a"):
        bind(tmp_path / "a", tmp_path / "b")


def test_without_mount_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(CannotStartError, match="util-linux"):
        bind(tmp_path, tmp_path)
