"""What KMS answers: JSON with base64 in it, and errors. No I/O here.

Source: AWS JSON 1.1, and the service's model. KMS has proved who it is by TLS; what
it says is read as if it had not.

"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from typing import Any, Final

import attrs

from trionitro._exceptions import ProtocolError

__all__ = ["MAX_ANSWER", "Answer", "KmsError", "parse_answer_untrusted"]

#: A key policy of 131072 characters, each of them escaped, fits.
MAX_ANSWER: Final = 2**20

_MAX_MESSAGE: Final = 2000

_CODE: Final = re.compile(r"[A-Za-z][A-Za-z0-9.]{0,99}")
_REQUEST_ID: Final = re.compile(r"[\x21-\x7e]{1,100}")


class KmsError(Exception):
    """Raised when KMS refuses a request.

    Attributes:
      code: ``"AccessDeniedException"``; ``"Http403"`` where the answer has none.
      message: what KMS says about it, on one line.
      request_id: what AWS finds it again by, or None.
      status: of HTTP.
      pcrs: what was attested with the request, by index: what a key policy's
          conditions were compared with. Empty where nothing was, or where KMS gave
          another reason than that access is denied.

    """

    def __init__(
        self,
        code: str,
        message: str,
        request_id: str | None = None,
        *,
        status: int = 400,
        pcrs: Mapping[int, bytes] | None = None,
    ) -> None:
        """Take what the answer says."""
        super().__init__(code, message, request_id)
        self.code = code
        self.message = message
        self.request_id = request_id
        self.status = status
        self.pcrs = dict(pcrs or {})

    def __str__(self) -> str:
        text = f"{self.code}: {self.message or 'KMS gives no reason'}"
        if self.request_id is not None:
            text += f" (request {self.request_id})"
        if self.pcrs:
            text += f"; attested were {_describe_pcrs(self.pcrs)}"
        return text


@attrs.frozen
class Answer:
    """The members of an answer, read with suspicion."""

    _members: Mapping[str, Any] = attrs.field(repr=False)

    def text(self, name: str) -> str:
        """Return a text.

        Raises:
          ProtocolError: if it is missing or something else.

        """
        value = self._members.get(name)
        if not isinstance(value, str):
            raise ProtocolError(f"an answer whose {name} is missing or no text")
        return value

    def blob(self, name: str) -> bytes:
        """Return bytes, which are base64 in the answer.

        Raises:
          ProtocolError: if they are missing or something else.

        """
        try:
            return base64.b64decode(self.text(name), validate=True)
        except (binascii.Error, ValueError):
            raise ProtocolError(f"an answer whose {name} is no base64") from None

    def has(self, name: str) -> bool:
        """Tell whether there is a member that isn't null or empty."""
        return bool(self._members.get(name))

    def flag(self, name: str) -> bool:
        """Return a truth value.

        Raises:
          ProtocolError: if it is missing or something else.

        """
        value = self._members.get(name)
        if not isinstance(value, bool):
            raise ProtocolError(f"an answer whose {name} is missing or no truth value")
        return value

    def inner(self, name: str) -> Answer:
        """Return the members of a member.

        Raises:
          ProtocolError: if it is missing or something else.

        """
        value = self._members.get(name)
        if not isinstance(value, dict):
            raise ProtocolError(f"an answer whose {name} is missing or no object")
        return Answer(value)


def parse_answer_untrusted(
    status: int, headers: Mapping[str, str], body: bytes
) -> Answer:
    """Read an answer.

    Args:
      status: of HTTP.
      headers: names in lower case.
      body: all of it.

    Raises:
      KmsError: if KMS refused the request.
      ProtocolError: if it didn't, and the answer is no JSON object.

    """
    members = _decode(body)
    if status == 200:
        if members is None:
            raise ProtocolError("an answer that is no JSON object")
        return Answer(members)
    members = members or {}
    raise KmsError(
        _code(members.get("__type"), headers) or f"Http{status}",
        _one_line(members.get("message") or members.get("Message")),
        _matching(_REQUEST_ID, headers.get("x-amzn-requestid")),
        status=status,
    )


def _decode(body: bytes) -> dict[str, Any] | None:
    try:
        members = json.loads(body or b"{}")
    except (ValueError, RecursionError):
        return None
    return members if isinstance(members, dict) else None


def _code(kind: object, headers: Mapping[str, str]) -> str | None:
    # "com.amazonaws.kms#NotFoundException:http://…": only the middle is the code.
    if not isinstance(kind, str):
        kind = headers.get("x-amzn-errortype", "")
    return _matching(_CODE, kind.rpartition("#")[2].partition(":")[0])


def _matching(pattern: re.Pattern[str], text: str | None) -> str | None:
    return text if text is not None and pattern.fullmatch(text) else None


def _one_line(text: object) -> str:
    if not isinstance(text, str):
        return ""
    words = " ".join(text[:_MAX_MESSAGE].split())
    return "".join(char if char.isprintable() else "?" for char in words)


def _describe_pcrs(pcrs: Mapping[int, bytes]) -> str:
    if 0 in pcrs and not any(pcrs[0]):
        return "PCRs of zeros only, as those of an enclave in debug mode are"
    set_ones = {index: value for index, value in sorted(pcrs.items()) if any(value)}
    return ", ".join(f"PCR{index}={value.hex()}" for index, value in set_ones.items())
