"""All that was found, as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import attrs

from benchmarks import machine

__all__ = ["write"]


def write(path: Path | None, **found: object) -> None:
    """Write what was found, and on which machine.

    Args:
      path: where to; None is nowhere.
      found: by name; records are written with the names of their attributes.

    """
    if path is None:
        return
    whole = {"machine": machine.describe(), **found}
    text = json.dumps(whole, default=attrs.asdict, indent=1, ensure_ascii=False)
    path.write_text(f"{text}\n", encoding="utf-8")
