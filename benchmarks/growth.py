"""growth."""
from pathlib import Path


def run(json: Path | None, svg: Path | None) -> None:
    pass
