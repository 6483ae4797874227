from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

RULES = """
allowlist:
- {address: kms.us-east-1.amazonaws.com, port: 443}
- {address: "*.example.com", port: 443}
- {address: 127.0.0.0/8, port: 8000}
"""


def explain(file: Path, target: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "trionitro", "allowlist", "explain", str(file), target],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.fixture(name="file")
def _file(tmp_path: Path) -> Path:
    file = tmp_path / "vsock-proxy.yaml"
    file.write_text(RULES)
    return file


@pytest.mark.parametrize(
    ("target", "rule"),
    [
        ("kms.us-east-1.amazonaws.com:443", "allowlist[0]"),
        ("a.b.example.com:443", "allowlist[1]"),
        ("127.0.0.1:8000", "allowlist[2]"),
    ],
)
def test_an_allowed_target_exits_0_and_names_its_rule(
    file: Path, target: str, rule: str
) -> None:
    """Also where there is no DNS to tell the address."""
    done = explain(file, target)

    assert done.returncode == 0, done
    assert done.stdout.startswith("allowed")
    assert rule in done.stdout


@pytest.mark.parametrize(
    "target",
    ["example.com:443", "127.0.0.1:443", "[::1]:8000", "169.254.169.254:80"],
)
def test_a_refused_target_exits_1_and_says_why(file: Path, target: str) -> None:
    done = explain(file, target)

    assert done.returncode == 1, done
    assert done.stdout.startswith("refused")
    assert str(file) in done.stdout or "only a rule for that address" in done.stdout


def test_a_wrong_target_exits_2(file: Path) -> None:
    done = explain(file, "kms.example.com")

    assert done.returncode == 2
    assert "port" in done.stderr
    assert len(done.stderr.splitlines()) == 1
