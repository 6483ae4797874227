"""What no linter checks."""

from __future__ import annotations

from pathlib import Path

import trionitro

#: Longer than this, and a file can't be read in one sitting.
MAX_LINES = 400


def test_no_module_is_too_long_to_read() -> None:
    package = Path(trionitro.__file__).parent

    too_long = {
        str(path.relative_to(package)): lines
        for path in package.rglob("*.py")
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > MAX_LINES
    }

    assert not too_long
