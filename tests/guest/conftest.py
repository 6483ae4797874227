"""These tests connect to CIDs and load modules as only a guest of our own may."""

from __future__ import annotations

import os


def pytest_ignore_collect() -> bool | None:
    """Collect nothing here outside of a guest."""
    return None if "TRIONITRO_GUEST" in os.environ else True
