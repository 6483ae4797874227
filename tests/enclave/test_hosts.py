from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.enclave.namespaces import run_in
from trionitro import CannotStartError
from trionitro.enclave._hosts import hosts_block, with_block, without_block
from trionitro.testing import cancel_at_every_step

IMAGE = "127.0.0.1 localhost\n10.0.0.9 kms.example.com\n"
KMS = "127.0.0.2\tkms.example.com"

texts = st.text(st.characters(codec="utf-8")) | st.lists(
    st.sampled_from(
        ["127.0.0.1 localhost", "# trionitro boot: begin", "# trionitro boot: end", ""]
    )
).map("\n".join)


@pytest.fixture(name="path")
def _path(tmp_path: Path) -> Path:
    path = tmp_path / "hosts"
    path.write_text(IMAGE)
    return path


def test_our_lines_come_first() -> None:
    assert with_block(IMAGE, [KMS]) == (
        f"# trionitro boot: begin\n{KMS}\n# trionitro boot: end\n{IMAGE}"
    )


def test_localhost_is_added_where_nobody_names_it() -> None:
    assert "\n127.0.0.1\tlocalhost\n" in with_block("# 127.0.0.1 localhost\n", [KMS])
    assert "\tlocalhost" not in with_block("127.0.0.1 me localhost", [KMS])


@given(texts)
def test_a_block_is_taken_away_as_it_came(text: str) -> None:
    rest = without_block(text)

    assert without_block(with_block(text, [KMS])) == rest
    assert without_block(rest) == rest


@given(texts)
def test_a_block_replaces_an_earlier_one(text: str) -> None:
    twice = with_block(with_block(text, ["127.0.0.9 other"]), [KMS])

    assert twice == with_block(text, [KMS])


async def test_the_block_is_there_as_long_as_it_lasts(path: Path) -> None:
    async with hosts_block([KMS], path=path):
        assert path.read_text() == with_block(IMAGE, [KMS])

    assert path.read_text() == IMAGE


async def test_the_file_keeps_its_mode_and_what_others_write(path: Path) -> None:
    path.chmod(0o640)

    async with hosts_block([KMS], path=path):
        assert path.stat().st_mode & 0o777 == 0o640
        with path.open("a") as file:
            file.write("127.0.0.7 mine\n")

    assert path.read_text() == f"{IMAGE}127.0.0.7 mine\n"
    assert path.stat().st_mode & 0o777 == 0o640


async def test_a_file_that_isn_t_there_is_made_and_removed(tmp_path: Path) -> None:
    path = tmp_path / "hosts"

    async with hosts_block([KMS], path=path):
        assert path.read_text().splitlines()[1:3] == ["127.0.0.1\tlocalhost", KMS]
        assert path.stat().st_mode & 0o777 == 0o644

    assert list(tmp_path.iterdir()) == []


async def test_a_link_stays_a_link(path: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(path)

    async with hosts_block([KMS], path=link):
        assert link.is_symlink()
        assert KMS in path.read_text()


async def test_any_bytes_are_kept(path: Path) -> None:
    path.write_bytes(b"# \xff\xfe\r\n127.0.0.1 localhost")

    async with hosts_block([KMS], path=path):
        assert path.read_bytes().endswith(b"\n# \xff\xfe\r\n127.0.0.1 localhost")

    assert path.read_bytes() == b"# \xff\xfe\r\n127.0.0.1 localhost"


@pytest.mark.parametrize(
    "lines", [[], ["10.0.0.9 kms.example.com"], ["127.0.0.1 localhost"]]
)
async def test_a_file_that_says_it_already_is_not_touched(
    path: Path, lines: list[str]
) -> None:
    before = path.stat()

    async with hosts_block(lines, path=path):
        assert path.stat() == before


async def test_what_an_earlier_boot_left_is_replaced(path: Path) -> None:
    path.write_text(with_block(IMAGE, ["127.0.0.8 kms.example.com"]))

    async with hosts_block([KMS], path=path):
        assert path.read_text() == with_block(IMAGE, [KMS])

    assert path.read_text() == IMAGE


async def test_where_it_can_t_be_written_the_error_says_what_to_do(
    tmp_path: Path,
) -> None:
    path = tmp_path / "no" / "hosts"

    with pytest.raises(
        CannotStartError, match=r"hosts file .*/no/hosts: No such .* plan"
    ):
        async with hosts_block([KMS], path=path):
            raise AssertionError("it must not get here")


async def test_a_file_that_vanishes_meanwhile_is_no_error(path: Path) -> None:
    async with hosts_block([KMS], path=path):
        path.unlink()

    assert path.read_text() == ""


def test_a_mount_is_written_in_place_and_a_read_only_one_refused(
    tmp_path: Path,
) -> None:
    for name in ("image", "hosts"):
        (tmp_path / name).write_text(IMAGE)
    told = run_in(
        ("-r", "-m"),
        f"""
    import json, subprocess, pathlib, trio
    from trionitro.enclave._hosts import hosts_block
    directory = pathlib.Path({str(tmp_path)!r})
    image, hosts = directory / "image", directory / "hosts"
    subprocess.run(["mount", "--bind", image, hosts], check=True)
    seen = []
    async def main():
        async with hosts_block([{KMS!r}], path=hosts):
            seen.append(image.read_text())
        seen.append(image.read_text())
        subprocess.run(["mount", "-o", "remount,bind,ro", hosts], check=True)
        try:
            async with hosts_block([{KMS!r}], path=hosts):
                pass
        except Exception as exc:
            seen.append(str(exc))
    trio.run(main)
    print(json.dumps(seen))
    """,
    )

    assert told[:2] == [with_block(IMAGE, [KMS]), IMAGE]
    assert "Read-only file system; make it writable" in told[2]


def test_cancelled_anywhere_it_leaves_the_file_as_it_was(path: Path) -> None:
    async def scenario() -> None:
        async with hosts_block([KMS], path=path):
            assert KMS in path.read_text()

    cancel_at_every_step(scenario)

    assert path.read_text() == IMAGE
    assert list(path.parent.iterdir()) == [path]
