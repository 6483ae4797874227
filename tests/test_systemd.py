from __future__ import annotations

import socket
import uuid
from pathlib import Path

import pytest

from trionitro._systemd import notify


@pytest.mark.parametrize("abstract", [False, True], ids=["file", "abstract"])
def test_the_manager_that_asked_is_told(tmp_path: Path, *, abstract: bool) -> None:
    name = f"@{uuid.uuid4()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(name.replace("@", "\0"))

        notify("READY=1", {"NOTIFY_SOCKET": name})

        assert manager.recv(100) == b"READY=1"


@pytest.mark.parametrize(
    "environ",
    [{}, {"NOTIFY_SOCKET": "relative"}, {"NOTIFY_SOCKET": "/nobody/listens"}],
    ids=str,
)
def test_where_nobody_listens_nothing_happens(environ: dict[str, str]) -> None:
    notify("READY=1", environ)


def test_a_manager_that_does_not_read_is_not_waited_for(tmp_path: Path) -> None:
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path)

        for _ in range(5000):  # far more than a socket's buffer holds
            notify("STATUS=" + "x" * 1000, {"NOTIFY_SOCKET": path})
