"""What KMS says when it says no, in its own words where these are known.

Source: the errors of KMS's API model, and answers that people have published. Where
nobody has, the text is ours and names the cause.

"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import attrs

__all__ = [
    "KmsFault",
    "access_denied",
    "not_found",
    "unsupported",
    "validation",
    "wrong_state",
]

#: KMS writes the text of this one alone with a capital.
_CAPITAL: Final = frozenset({"AccessDeniedException"})


@attrs.frozen
class KmsFault(Exception):  # noqa: N818  an answer, and no error of ours
    """An error that a client is answered.

    Attributes:
      code: the ``__type``, such as ``NotFoundException``.
      message: the text; empty where KMS gives none.
      status: of the HTTP response.
      why: what KMS would never tell, a line each; for who runs the emulator.

    """

    code: str
    message: str = ""
    status: int = 400
    why: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.code}: {self.message}" if self.message else self.code

    def to_json(self) -> dict[str, str]:
        """Return the body of the response."""
        if not self.message:
            return {"__type": self.code}
        key = "Message" if self.code in _CAPITAL else "message"
        return {"__type": self.code, key: self.message}


def validation(message: str) -> KmsFault:
    """Make the error for input that is not allowed."""
    return KmsFault("ValidationException", message)


def not_found(message: str) -> KmsFault:
    """Make the error for a key or alias that isn't there."""
    return KmsFault("NotFoundException", message)


def unsupported(message: str) -> KmsFault:
    """Make the error for what KMS can do and the emulator can't."""
    return KmsFault("UnsupportedOperationException", f"{message} is not emulated")


def wrong_state(message: str) -> KmsFault:
    """Make the error for a key whose state doesn't allow this."""
    return KmsFault("KMSInvalidStateException", message)


def access_denied(message: str, why: Iterable[str] = ()) -> KmsFault:
    """Make the error for what policies don't allow."""
    return KmsFault("AccessDeniedException", message, why=tuple(why))
