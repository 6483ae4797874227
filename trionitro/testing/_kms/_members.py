"""Members of a request, one kind at a time: type, limits, and KMS's complaints.

A wrong type is a SerializationException at once. What is outside the limits is
collected: KMS says all of it in one ValidationException.

"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import attrs

from trionitro.testing._kms._faults import KmsFault, validation

__all__ = [
    "Blob",
    "Choice",
    "Flag",
    "Integer",
    "Member",
    "Structure",
    "Text",
    "TextList",
    "TextMap",
    "read_input",
]


class Member(Protocol):
    """A kind of member."""

    def read(self, value: Any, path: str, problems: list[str]) -> Any:
        """Turn JSON into a value, or put into ``problems`` what is wrong with it.

        Raises:
          KmsFault: if the type is wrong.

        """


@attrs.frozen
class Text:
    """A string.

    Attributes:
      most: characters at most.
      least: characters at least.
      pattern: that it must match as a whole, or None.

    """

    most: int = 2048
    least: int = 1
    pattern: str | None = None

    def read(self, value: Any, path: str, problems: list[str]) -> str:
        """Read it."""
        text: str = _of_type(value, str, "String")
        shown = f"Value '{text[:200]}'"
        _check_length(len(text), self, f"{shown} at '{path}'", problems)
        if self.pattern is not None and not re.fullmatch(self.pattern, text):
            problems.append(
                f"{shown} at '{path}' failed to satisfy constraint: Member must satisfy"
                f" regular expression pattern: {self.pattern}"
            )
        return text


@attrs.frozen
class Choice:
    """One of several strings."""

    values: Sequence[str]

    def read(self, value: Any, path: str, problems: list[str]) -> str:
        """Read it."""
        text: str = _of_type(value, str, "String")
        if text not in self.values:
            problems.append(
                f"Value '{text[:200]}' at '{path}' failed to satisfy constraint: Member"
                f" must satisfy enum value set: [{', '.join(self.values)}]"
            )
        return text


@attrs.frozen
class Blob:
    """Bytes, as standard base64 with padding; between ``least`` and ``most``."""

    most: int
    least: int = 1

    def read(self, value: Any, path: str, problems: list[str]) -> bytes:
        """Read it."""
        text = _of_type(value, str, "Blob")
        try:
            data = base64.b64decode(text, validate=True)
        except ValueError:
            raise _serialization(f"'{path}' is not base64") from None
        _check_length(len(data), self, f"Value at '{path}'", problems)
        return data


@attrs.frozen
class Integer:
    """A whole number between ``least`` and ``most``."""

    least: int
    most: int

    def read(self, value: Any, path: str, problems: list[str]) -> int:
        """Read it."""
        if isinstance(value, bool):
            raise _serialization("TRUE_VALUE can not be converted to an Integer")
        number: int = _of_type(value, int, "Integer")
        if not self.least <= number <= self.most:
            bound = _bound(number, self.least, self.most)
            problems.append(
                f"Value '{str(number)[:200]}' at '{path}' failed to satisfy constraint:"
                f" Member must have value {bound}"
            )
        return number


@attrs.frozen
class Flag:
    """A truth value."""

    def read(self, value: Any, path: str, problems: list[str]) -> bool:
        """Read it."""
        flag: bool = _of_type(value, bool, "Boolean")
        return flag


@attrs.frozen
class TextMap:
    """Strings by strings."""

    def read(self, value: Any, path: str, problems: list[str]) -> dict[str, str]:
        """Read it."""
        members = _of_type(value, dict, "Map")
        return {key: _of_type(text, str, "String") for key, text in members.items()}


@attrs.frozen
class TextList:
    """Between ``least`` and ``most`` strings."""

    most: int
    least: int = 0

    def read(self, value: Any, path: str, problems: list[str]) -> list[str]:
        """Read it."""
        values = _of_type(value, list, "List")
        _check_length(len(values), self, f"Value at '{path}'", problems)
        return [_of_type(each, str, "String") for each in values]


@attrs.frozen
class Structure:
    """Members by their names.

    Attributes:
      members: what is known; anything else is ignored, as KMS does.
      required: those that must be there.

    """

    members: Mapping[str, Member]
    required: frozenset[str] = frozenset()

    def read(self, value: Any, path: str, problems: list[str]) -> dict[str, Any]:
        """Read it; members that are null are left out."""
        given = _of_type(value, dict, "Structure")
        found: dict[str, Any] = {}
        for name, member in self.members.items():
            here = f"{path}.{_lower(name)}" if path else _lower(name)
            if given.get(name) is not None:
                found[name] = member.read(given[name], here, problems)
            elif name in self.required:
                problems.append(
                    f"Value null at '{here}' failed to satisfy constraint: Member must"
                    " not be null"
                )
        return found


def read_input(structure: Structure, value: Any) -> dict[str, Any]:
    """Read a request's body.

    Raises:
      KmsFault: if it is not what the operation takes.

    """
    problems: list[str] = []
    found = structure.read(value, "", problems)
    if problems:
        count = f"{len(problems)} validation error{'s' if len(problems) > 1 else ''}"
        raise validation(f"{count} detected: {'; '.join(problems)}")
    return found


def _check_length(
    length: int, limits: Text | Blob | TextList, what: str, problems: list[str]
) -> None:
    if not limits.least <= length <= limits.most:
        problems.append(
            f"{what} failed to satisfy constraint: Member must have length"
            f" {_bound(length, limits.least, limits.most)}"
        )


def _bound(value: int, least: int, most: int) -> str:
    if value > most:
        return f"less than or equal to {most}"
    return f"greater than or equal to {least}"


def _of_type(value: Any, kind: type, name: str) -> Any:
    if not isinstance(value, kind):
        raise _serialization(
            f"{type(value).__name__.upper()}_VALUE can not be converted to a {name}"
        )
    return value


def _lower(name: str) -> str:
    return name[0].lower() + name[1:]


def _serialization(message: str) -> KmsFault:
    return KmsFault("SerializationException", message)
