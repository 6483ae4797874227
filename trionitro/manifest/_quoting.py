"""Writing a text down in another language, so that it stays one text there.

Whatever a manifest holds, a blank or a quote, ``$``, ``%`` or a newline, is the same
text to the shell, to systemd, to whoever reads YAML or ``/etc/exports``, and nothing
else besides.

"""

from __future__ import annotations

import re
import shlex
from typing import Final

__all__ = ["for_exports", "for_shell", "for_socat", "for_systemd", "for_yaml"]

#: What systemd's own escapes are needed for: control characters, and its quote.
_SYSTEMD_SPECIAL: Final = re.compile(r"[\x00-\x1f\x7f\\\"]")

#: What needs no escape in /etc/exports.
_EXPORTS_PLAIN: Final = frozenset(
    b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._+@:-"
)


def for_shell(text: str) -> str:
    """Write one word of a POSIX shell."""
    return shlex.quote(text)


def for_systemd(text: str) -> str:
    """Write one word of an ``ExecStart=`` line, of a program's arguments.

    ``%`` and ``$`` are doubled, or they would name a specifier or a variable
    (systemd.service(5), "Command lines").

    """
    escaped = _SYSTEMD_SPECIAL.sub(lambda match: f"\\x{ord(match[0]):02x}", text)
    return '"' + escaped.replace("%", "%%").replace("$", "$$") + '"'


def for_yaml(text: str) -> str:
    """Write a double-quoted scalar of YAML (1.2.2, section 5.7)."""
    return '"' + "".join(map(_yaml_character, text)) + '"'


def for_exports(path: str) -> str:
    """Write a path of exports(5), where what is special is an octal number."""
    return "".join(
        chr(byte) if byte in _EXPORTS_PLAIN else f"\\{byte:03o}"
        for byte in path.encode()
    )


def for_socat(text: str) -> str:
    r"""Write a parameter of a socat address, where ``\`` takes the sense off."""
    return re.sub(r"[^A-Za-z0-9_./-]", lambda match: f"\\{match[0]}", text)


def _yaml_character(character: str) -> str:
    code = ord(character)
    if character in '"\\':
        return f"\\{character}"
    if 0x20 <= code < 0x7F:
        return character
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
