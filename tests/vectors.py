"""Where the test vectors are: recorded answers of AWS, not ours to publish."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import pytest

import tests

_BESIDE: Final = Path(tests.__file__).parents[2] / "shared/vectors"

VECTORS: Final = Path(os.environ.get("TRIONITRO_VECTORS", _BESIDE))

needs_vectors: Final = pytest.mark.skipif(
    not VECTORS.is_dir(),
    reason=f"no vectors: neither TRIONITRO_VECTORS is set, nor is there {_BESIDE}",
)


def vectors(pattern: str) -> list[Path]:
    """Return the vectors' files that match, or none."""
    return sorted(VECTORS.glob(pattern))
