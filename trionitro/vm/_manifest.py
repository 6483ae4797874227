"""The manifest that both halves of a virtual machine's enclave have.

It is the user's, with another command if one is given, and with a directory where it
names none. The guest reads it as a file, so what was changed has to be written again:
as TOML on few lines, which nobody is meant to look at.

"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any, Final

from trionitro.manifest import Plan, parse_plan, read_manifest_text

__all__ = ["HOME", "read_vm_plan", "write_toml"]

#: Where the application runs, unless the manifest says. At the root directory, which
#: is the manifest's own default, its files would lie among the system's.
HOME: Final = "/app"


def read_vm_plan(manifest: str, command: Sequence[str] = ()) -> tuple[Plan, str]:
    """Read a manifest, and return its plan and the text that the guest gets.

    Args:
      manifest: the file.
      command: runs in place of the manifest's, once, whatever that says about
          restarts.

    Raises:
      ConfigError: if the manifest, or the command, makes no sense.

    """
    text = read_manifest_text(manifest)
    parse_plan(text, source=manifest)
    tables = tomllib.loads(text)
    tables["enclave"].setdefault("directory", HOME)
    if command:
        tables["enclave"] |= {"command": list(command), "restart": "never"}
    changed = write_toml(tables)
    return parse_plan(changed, source=manifest), changed


def write_toml(tables: Mapping[str, Any]) -> str:
    """Write what :mod:`tomllib` has read, but for times, which no manifest has."""
    return "".join(f"{_text(key)} = {_value(tables[key])}\n" for key in tables)


def _value(value: Any) -> str:
    match value:
        case str():
            return _text(value)
        case bool():
            return str(value).lower()
        case list():
            return f"[{', '.join(map(_value, value))}]"
        case dict():
            pairs = (f"{_text(key)} = {_value(inner)}" for key, inner in value.items())
            return f"{{{', '.join(pairs)}}}"
        case _:
            return repr(value)


def _text(text: str) -> str:
    # JSON's escapes are TOML's too. Only the last of ASCII has to be escaped in TOML
    # and not in JSON.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
