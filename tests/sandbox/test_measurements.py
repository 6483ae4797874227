"""What stands for an image where there is none."""

from __future__ import annotations

from pathlib import Path

from trionitro.manifest import parse_plan
from trionitro.sandbox._measurements import measure_command, measurements_of

GIVEN = "ab" * 48


def test_pcr0_changes_with_the_program_its_words_and_the_files_they_name(
    tmp_path: Path,
) -> None:
    (tmp_path / "app.py").write_text("print(1)")

    before = measure_command(["python", "app.py"], tmp_path)
    again = measure_command(["python", "app.py"], tmp_path)
    other_word = measure_command(["python", "app.py", "-x"], tmp_path)
    other_program = measure_command(["sh", "app.py"], tmp_path)
    (tmp_path / "app.py").write_text("print(2)")
    other_file = measure_command(["python", "app.py"], tmp_path)

    assert len(before) == 48
    assert before == again
    assert len({before, other_word, other_program, other_file}) == 4


def test_where_words_end_counts() -> None:
    one = measure_command(["true", "ab", "c"], Path("/"))
    other = measure_command(["true", "a", "bc"], Path("/"))

    assert one != other


def test_what_cannot_be_read_is_no_obstacle(tmp_path: Path) -> None:
    """The command itself may not be there: its start is what fails then."""
    assert measure_command(["no-such-program", "\0", str(tmp_path)], tmp_path)


def test_the_manifest_s_measurements_win() -> None:
    plan = parse_plan(
        f"""
        [enclave]
        name = "test"
        cid = 16
        command = ["true"]
        [sandbox]
        measurements = {{ 0 = "{GIVEN}", 20 = "{GIVEN}" }}
        """,
        source="nitro.toml",
    )

    pcrs = measurements_of(plan).pcrs()

    assert pcrs[0] == pcrs[20] == bytes.fromhex(GIVEN)
    assert pcrs[4] != pcrs[0]
