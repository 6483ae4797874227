"""What goes wrong between an enclave and its security module."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

__all__ = ["NsmError", "NsmErrorCode", "NsmUnavailableError"]


class NsmErrorCode(StrEnum):
    """The names of errors, as ``ErrorCode`` of the NSM API has them.

    A newer module may send others.

    """

    SUCCESS = "Success"
    INVALID_ARGUMENT = "InvalidArgument"
    INVALID_INDEX = "InvalidIndex"
    INVALID_RESPONSE = "InvalidResponse"
    READ_ONLY_INDEX = "ReadOnlyIndex"
    INVALID_OPERATION = "InvalidOperation"
    BUFFER_TOO_SMALL = "BufferTooSmall"
    INPUT_TOO_LARGE = "InputTooLarge"
    INTERNAL_ERROR = "InternalError"


_SENTENCES: Final[Mapping[str, str]] = {
    NsmErrorCode.SUCCESS: "it calls that a success, and gave no answer",
    NsmErrorCode.INVALID_ARGUMENT: "an argument is not what it should be",
    NsmErrorCode.INVALID_INDEX: "there is no such PCR",
    NsmErrorCode.INVALID_RESPONSE: "its answer would not have been one",
    NsmErrorCode.READ_ONLY_INDEX: "the PCR is locked, and stays as it is",
    NsmErrorCode.INVALID_OPERATION: "it knows no such request, or not in this form",
    NsmErrorCode.BUFFER_TOO_SMALL: "its answer is too long for the buffer",
    NsmErrorCode.INPUT_TOO_LARGE: "the request, or a part of it, is too long",
    NsmErrorCode.INTERNAL_ERROR: "it failed inside",
}


class NsmError(Exception):
    """Raised when the security module refuses a request.

    Attributes:
      code: the error's name; those that are known are in :class:`NsmErrorCode`.
      request: the name of the request, as the NSM API has it.

    """

    def __init__(self, code: str, *, request: str) -> None:
        """Take the error's name and the request's."""
        sentence = _SENTENCES.get(code, "which this version doesn't know")
        super().__init__(f"the security module refused {request}: {code}, {sentence}")
        self.code = code
        self.request = request


class NsmUnavailableError(Exception):
    """Raised when there is no security module here.

    The message is one line that says where it was looked for, and what to do.

    """
