"""Hostile texts stay one text, in every language that they are written in."""

from __future__ import annotations

import re
import shlex
import shutil
import socket
import subprocess
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from trionitro.manifest._quoting import (
    for_exports,
    for_shell,
    for_socat,
    for_systemd,
    for_yaml,
)

#: All that a manifest can hold, and more often what is special somewhere.
TEXTS = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0")
    | st.sampled_from(" \t\n\r\"'`$%\\;#&|<>(){}[]*?!~,:-=@\x1b\x7f\x85\u2028")
)

HOSTILE = [
    "a b",
    "it's",
    '"; reboot; "',
    "$(reboot) `reboot` $HOME ${HOME}",
    "%n %% %h",
    "a\nExecStart=/bin/reboot\n",
    "back\\slash \\n",
    "# not a comment",
    "*(rw,no_root_squash)",
    "! {a: b} - [c] & *d",
    "\U0001f980 ü \x1b[31m",
]


@given(TEXTS)
def test_a_shell_reads_one_word(text: str) -> None:
    assert shlex.split(for_shell(text)) == [text]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_real_shell_reads_one_word(text: str) -> None:
    shown = subprocess.run(
        ["sh", "-c", f"printf '%s|' {for_shell(text)}"],
        capture_output=True,
        check=True,
    )

    assert shown.stdout.decode() == f"{text}|"


@given(TEXTS)
def test_yaml_reads_one_string(text: str) -> None:
    quoted = for_yaml(text)

    assert yaml.safe_load(f"key: {{inner: {quoted}}}") == {"key": {"inner": text}}
    assert quoted.isascii()
    assert quoted.isprintable()


def unquoted_by_systemd(word: str) -> str:
    """Read a double-quoted word as systemd.service(5) has it."""
    assert word[0] == word[-1] == '"'
    inner = re.sub(r"%%|\$\$", lambda match: match[0][0], word[1:-1])
    return re.sub(r"\\x([0-9a-f]{2})", lambda match: chr(int(match[1], 16)), inner)


@given(TEXTS)
def test_systemd_reads_one_word_and_nothing_of_its_own(text: str) -> None:
    word = for_systemd(text)

    assert unquoted_by_systemd(word) == text
    inner = word[1:-1]
    assert not set(inner) & {'"', *map(chr, range(32))}
    for sign in "%$":
        assert sign not in inner.replace(sign * 2, "")
    assert not re.search(r"\\(?!x[0-9a-f]{2})", inner)


def unquoted_by_exportfs(word: str) -> str:
    """Read a path as nfs-utils' ``xgettok`` does: octal escapes, blanks end it."""
    assert not re.search(r"[\s\"'#(),]", word)
    parts = re.split(r"\\([0-7]{3})", word)
    data = b"".join(
        bytes([int(part, 8)]) if index % 2 else part.encode()
        for index, part in enumerate(parts)
    )
    return data.decode()


@given(TEXTS)
def test_exports_hold_one_path(text: str) -> None:
    assert unquoted_by_exportfs(for_exports(f"/{text}")) == f"/{text}"


@pytest.mark.skipif(shutil.which("socat") is None, reason="socat isn't installed")
@pytest.mark.parametrize(
    "name", ["plain", *(text.replace("/", "") for text in HOSTILE)]
)
def test_socat_connects_to_just_that_path(tmp_path: Path, name: str) -> None:
    path = str(tmp_path / name)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        address = for_shell(f"UNIX-CONNECT:{for_socat(path)}")
        done = subprocess.run(
            ["sh", "-c", f"socat -u OPEN:/dev/null {address}"],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )

        assert done.returncode == 0, done.stderr
        listener.settimeout(5)
        listener.accept()[0].close()
