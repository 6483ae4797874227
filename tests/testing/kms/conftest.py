"""What the tests of this directory share."""

from __future__ import annotations

from tests.testing.kms.worlds import world_fixture as world_fixture
