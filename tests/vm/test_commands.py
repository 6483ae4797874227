"""Programs that build things say why they couldn't."""

from __future__ import annotations

from pathlib import Path

import pytest

from trionitro.vm._commands import KitError, output_of, run_logged


def test_a_program_that_fails_is_told_with_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(KitError, match="failed with exit code 3:\nlast words"):
        run_logged(tmp_path / "log", "sh", "-c", "echo last words; exit 3")
    with pytest.raises(KitError, match="can't run /no/such: No such file"):
        output_of("/no/such")
