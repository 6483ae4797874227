"""A user's mistake is one line that names value, place and remedy; no traceback."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

FORWARD = ("vsock://:8000", "tcp://127.0.0.1:443")


def run(*command: str) -> tuple[int, str]:
    """Run ``python -m`` and return its exit code and standard error."""
    done = subprocess.run(
        [sys.executable, "-m", *command],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    return done.returncode, done.stderr


def check_one_line(stderr: str, words: Sequence[str]) -> None:
    assert len(stderr.splitlines()) == 1, stderr
    assert "Traceback" not in stderr
    for word in words:
        assert word in stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["foo", "tcp://127.0.0.1:1"], ["'foo'", "tcp://127.0.0.2:443"]),
        (["tcp://127.0.0.1:0"], ["no FORWARD", "vsock://:8000"]),
        (["vsock://:8000", "tcp://h:99999"], ["'99999'", "65535"]),
        (["vsock://:8000", "tcp://:443"], ["'tcp://:443'", "no host"]),
        (["tcp://127.0.0.1:0", "vsock://x:1"], ["'x'", "parent"]),
        ([], ["no route", "LISTEN"]),
        ([*FORWARD, "--allow-cid", "-1"], ["--allow-cid", "'-1'"]),
        ([*FORWARD, *FORWARD], ["vsock://:8000", "twice"]),
        ([*FORWARD, "-4", "-6"], ["-4", "-6"]),
        ([*FORWARD, "--max-connections", "0"], ["--max-connections", "0"]),
        ([*FORWARD, "--grace", "soon"], ["--grace", "'soon'", "10"]),
        ([*FORWARD, "--vsock", "pigeon"], ["--vsock", "'pigeon'", "local:"]),
        ([*FORWARD, "--allowlist", "/no/such.yaml"], ["/no/such.yaml"]),
        (["--config", "/no/such.toml"], ["/no/such.toml"]),
        (["--config", "x.toml", "--idle-timeout", "3"], ["idle_timeout", "[[route]]"]),
        (["tcp://127.0.0.1:0", "unix:///x", "--allow-cid", "3"], ["allow_cids"]),
        (["tcp://127.0.0.1:0", "tcp://[::1]:1", "-4"], ["tcp://[::1]:1", "-4"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_wrong_arguments_exit_2(arguments: list[str], words: list[str]) -> None:
    code, stderr = run("trionitro.proxy", *arguments)

    check_one_line(stderr, words)
    assert code == 2


@pytest.mark.parametrize(
    ("option", "text", "words"),
    [
        ("--config", "[[route]]\nlisten = 'nowhere'\nforward = 'tcp://h:1'", ["route"]),
        (
            "--config",
            "[[route]]\nlisten = 'vsock://:1'\nforward = 'tcp://h:1'\nidle_timout = 3",
            ["idle_timout", "idle_timeout"],
        ),
        ("--config", "route = {", ["not TOML"]),
        (
            "--config",
            "vsock = 'pigeon'\n[[route]]\nlisten = 'vsock://:1'\nforward = 'tcp://h:1'",
            ["vsock", "'pigeon'", "local:"],
        ),
        ("--allowlist", "allowlist: [", ["line"]),
        ("--allowlist", "allowlist:\n- {address: h, port: x}", ["allowlist[0].port"]),
    ],
)
def test_a_wrong_file_exits_2_and_names_file_and_place(
    tmp_path: Path, option: str, text: str, words: list[str]
) -> None:
    file = tmp_path / "file"
    file.write_text(text)
    routes = FORWARD if option == "--allowlist" else ()

    code, stderr = run("trionitro.proxy", *routes, option, str(file))

    check_one_line(stderr, [str(file), *words])
    assert code == 2


def test_a_port_in_use_exits_1() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        endpoint = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        code, stderr = run("trionitro.proxy", endpoint, "tcp://127.0.0.1:1")

    check_one_line(stderr, [endpoint, "in use", "choose another"])
    assert code == 1


@pytest.mark.parametrize(
    ("listen", "words"),
    [
        ("tcp://192.0.2.1:80", ["no such address", "choose one"]),
        ("tcp://name.invalid:80", ["Name or service not known", "check the address"]),
        ("unix:///no/such/dir/x.sock", ["No such file", "create the directory"]),
        ("unix:///etc/passwd", ["not a socket", "choose another path"]),
    ],
)
def test_a_place_that_can_t_be_listened_on_exits_1(
    listen: str, words: list[str]
) -> None:
    code, stderr = run("trionitro.proxy", listen, "tcp://127.0.0.1:1")

    check_one_line(stderr, [listen, *words])
    assert code == 1


def test_a_vsock_port_in_use_exits_1(tmp_path: Path) -> None:
    (tmp_path / "3").mkdir()
    with socket.socket(socket.AF_UNIX) as taken:
        taken.bind(str(tmp_path / "3/8000.sock"))
        taken.listen()
        vsock = ("--vsock", f"local:{tmp_path}")
        code, stderr = run("trionitro.proxy", *FORWARD, *vsock)

    check_one_line(stderr, ["vsock://:8000", "listens there already", "elsewhere"])
    assert code == 1


def test_a_directory_that_can_t_be_made_exits_1(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()

    code, stderr = run("trionitro.proxy", *FORWARD, "--vsock", f"local:{file}")

    check_one_line(stderr, [str(file), "directory", "choose"])
    assert code == 1


def test_a_file_that_may_not_be_read_exits_2(tmp_path: Path) -> None:
    code, stderr = run("trionitro.proxy", *FORWARD, "--allowlist", str(tmp_path))

    check_one_line(stderr, [str(tmp_path), "directory"])
    assert code == 2


def test_a_target_off_the_allowlist_exits_1(tmp_path: Path) -> None:
    file = tmp_path / "list.yaml"
    file.write_text("allowlist:\n- {address: kms.example.com, port: 443}")

    code, stderr = run(
        *("trionitro.proxy", "tcp://127.0.0.1:0", "tcp://evil.example.com:443"),
        *("--allowlist", str(file)),
    )

    check_one_line(stderr, ["tcp://evil.example.com:443", str(file)])
    assert code == 1


def test_an_unknown_command_exits_2() -> None:
    code, stderr = run("trionitro", "prosy")

    check_one_line(stderr, ["prosy"])
    assert code == 2
