"""Programs that build things say why they couldn't."""

from __future__ import annotations

from pathlib import Path

import pytest

from trionitro.vm._commands import KitError, output_of, run_logged


def test_a_program_that_fails_is_told_with_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(
        KitError, match=r"code 3: last words; more is in .*log"
    ) as failed:
        run_logged(tmp_path / "log", "sh", "-c", "echo first; echo last words; exit 3")
    assert failed.value.said == "first\nlast words"
    with pytest.raises(KitError, match="can't run /no/such: No such file"):
        output_of("/no/such")
