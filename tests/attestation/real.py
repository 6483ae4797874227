"""The real documents among the vectors, and what is known about each."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any, Final

import attrs

from tests.vectors import vectors


@attrs.frozen
class RealDocument:
    """A document that AWS made, or somebody pretends it did.

    Attributes:
      path: of its bytes.
      facts: what the JSON beside it says.

    """

    path: Path
    facts: dict[str, Any] = attrs.field(repr=False)

    @property
    def name(self) -> str:
        """The vector's name."""
        return self.path.stem

    @property
    def data(self) -> bytes:
        """The document."""
        return self.path.read_bytes()

    @property
    def verifies(self) -> bool:
        """Whether it leads to AWS's root, and has a good signature."""
        return bool(self.facts["verifies_to_aws_root_at_timestamp"])

    @property
    def is_debug(self) -> bool:
        """Whether its enclave ran in debug mode."""
        return bool(self.facts["checks"]["pcr0_1_2_all_zero_debug"])

    @property
    def valid_until(self) -> dt.datetime:
        """When the first of its certificates expired."""
        return dt.datetime.fromisoformat(self.facts["chain_valid_until"])


def _read(path: Path) -> RealDocument:
    return RealDocument(path.with_suffix(".bin"), json.loads(path.read_text()))


REAL: Final = [_read(path) for path in vectors("attestation/*.json")]
VERIFYING: Final = [document for document in REAL if document.verifies]
