from __future__ import annotations

import os


def test_the_devices_are_there() -> None:
    assert os.path.exists("/dev/nsm")
