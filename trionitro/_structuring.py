"""From a file that a user wrote to records, with errors that say what instead.

``cattrs`` makes the records; the hooks here look at each value first, because a user
is told "``route[2].grace``: was the string '5', must be a number" and not that a
``ClassValidationError`` has two sub-exceptions. What a record's own validators say
is put behind the path as well: by convention it begins with the attribute's name.

"""

from __future__ import annotations

import datetime as dt
import difflib
import math
import os
import tomllib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import GenericAlias
from typing import Any, Final, TypeVar, get_args, get_origin

import attrs
import cattrs
from cattrs.cols import list_structure_factory
from cattrs.gen import make_dict_structure_fn, override

from trionitro._exceptions import ConfigError

__all__ = [
    "describe",
    "make_converter",
    "parse_toml",
    "quote",
    "read_text",
    "record_hook",
    "structure",
    "structure_integer",
    "unknown_key",
]

T = TypeVar("T")

#: A thousand times what anybody needs, and read in a moment.
_MAX_FILE_SIZE: Final = 2**20

_LONGEST_QUOTE: Final = 80

#: What the kinds of TOML are called; a bool, which is an int too, comes first.
_KINDS: Final[tuple[tuple[type, str], ...]] = (
    (bool, "the truth value {}"),
    (str, "the string {}"),
    (int, "the number {}"),
    (float, "the number {}"),
    (Mapping, "a table"),
    (list, "a list"),
    (dt.date, "the date {}"),
    (dt.time, "the time {}"),
)


def read_text(path: str | os.PathLike[str], *, remedy: str) -> str:
    """Read a file that a user wrote: UTF-8, at most 1 MiB.

    Args:
      path: the file.
      remedy: what to do if there is none, for the error.

    Raises:
      ConfigError: if it can't be read.

    """
    try:
        with Path(path).open("rb") as file:
            data = file.read(_MAX_FILE_SIZE + 1)
    except (OSError, ValueError) as problem:
        reason = getattr(problem, "strerror", None) or str(problem)
        raise ConfigError(
            f"can't read {os.fspath(path)!r}: {reason}: {remedy}"
        ) from None
    if len(data) > _MAX_FILE_SIZE:
        raise ConfigError(
            f"{os.fspath(path)!r} is longer than {_MAX_FILE_SIZE} bytes, which no"
            f" configuration is: {remedy}"
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        raise ConfigError(
            f"{os.fspath(path)!r} is not UTF-8 (byte {problem.start}): {remedy}"
        ) from None


def parse_toml(text: str, *, source: str, remedy: str) -> dict[str, Any]:
    """Read TOML.

    Args:
      text: what the file holds.
      source: what to call it in errors.
      remedy: what to do where it is no TOML, for the error.

    Raises:
      ConfigError: if it isn't TOML.

    """
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ConfigError(f"{source} is nested too deeply: {remedy}") from None
    except tomllib.TOMLDecodeError as problem:
        raise ConfigError(f"{source} is not TOML: {problem}: {remedy}") from None
    except ValueError:
        # Only int() is left, which takes no number of more than 4300 digits.
        raise ConfigError(
            f"{source} is not TOML: it holds a number of too many digits: {remedy}"
        ) from None


def make_converter() -> cattrs.Converter:
    """Make a converter that takes nothing for something else.

    A bool is no number, a text no list of letters, and NaN no number of seconds.

    """
    converter = cattrs.Converter(detailed_validation=True)
    converter.register_structure_hook(str, _structure_text)
    converter.register_structure_hook(int, structure_integer)
    converter.register_structure_hook(bool, _structure_truth)
    converter.register_structure_hook(float, _structure_number)
    converter.register_structure_hook_factory(_is_collection, _collection_hook)
    converter.register_structure_hook_factory(attrs.has, record_hook)
    return converter


def record_hook(
    record: type[T],
    converter: cattrs.Converter,
    **hooks: Callable[[Any, Any], Any],
) -> Callable[[Any, Any], T]:
    """Make the hook that reads a table into an attrs class.

    Args:
      record: the class.
      converter: what reads the values.
      hooks: for single attributes, instead of what their types say.

    """
    fields = {field.name: field for field in attrs.fields(record)}  # type: ignore[arg-type]
    required = [
        name for name, field in fields.items() if field.default is attrs.NOTHING
    ]
    overrides = {name: override(struct_hook=hook) for name, hook in hooks.items()}
    build = make_dict_structure_fn(record, converter, **overrides)  # type: ignore[arg-type]

    def structure_record(value: Any, _: Any) -> T:
        if not isinstance(value, Mapping):
            raise ConfigError(f"was {describe(value)}, must be a table")
        for key in value:
            if key not in fields:
                raise ConfigError(unknown_key(key, fields))
        for key in required:
            if key not in value:
                raise ConfigError(f"the key {key!r} is missing: write {key} = …")
        return build(value, record)

    return structure_record


def structure(
    value: object, record: type[T], *, source: str, converter: cattrs.Converter
) -> T:
    """Make a record of what a file says.

    Args:
      value: what the file's parser returned.
      record: the class to make.
      source: what to call the file in errors.
      converter: from :func:`make_converter`, with hooks for the record's own types.

    Raises:
      ConfigError: with the source and the path of the first thing that is wrong.

    """
    try:
        return converter.structure(value, record)
    except (ConfigError, cattrs.BaseValidationError) as problem:
        raise ConfigError(f"{source}: {_explain(problem)}") from None


def structure_integer(value: Any, _: Any = int) -> int:
    """Read a whole number.

    Raises:
      ConfigError: if it is anything else, a bool among them.

    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise ConfigError(f"was {describe(value)}, must be a whole number")
    if not _fits_64_bits(value):
        raise ConfigError(f"was {describe(value)}, must have at most 64")
    return value


def describe(value: object) -> str:
    """Say what a user wrote, with its kind, on one line."""
    if isinstance(value, int) and not _fits_64_bits(value):
        return "a number of more than 64 bits"  # str() refuses very long ones
    for kind, name in _KINDS:
        if isinstance(value, kind):
            return name.format(_show(value))
    return f"a {type(value).__name__}"


def quote(text: str) -> str:
    """Show a text on one line, shortened if need be."""
    if len(text) > _LONGEST_QUOTE:
        text = f"{text[:_LONGEST_QUOTE]}…"
    return repr(text)


def unknown_key(key: object, known: Iterable[str]) -> str:
    """Say that a key is none of those that are ``known``, and which was meant."""
    known = sorted(known)
    near = difflib.get_close_matches(str(key)[:_LONGEST_QUOTE], known, n=1)
    remedy = f"write {near[0]!r}" if near else f"there is {', '.join(known)}"
    return f"the key {quote(str(key))} is unknown: {remedy}"


def _structure_text(value: Any, _: Any) -> str:
    if not isinstance(value, str):
        raise ConfigError(f"was {describe(value)}, must be a string")
    return value


def _structure_truth(value: Any, _: Any) -> bool:
    if not isinstance(value, bool):
        raise ConfigError(f"was {describe(value)}, must be true or false")
    return value


def _structure_number(value: Any, _: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise ConfigError(f"was {describe(value)}, must be a number")
    if isinstance(value, int):
        return float(structure_integer(value))
    if math.isnan(value):
        raise ConfigError("was nan, must be a number")
    return value


def _show(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()  # as TOML writes it
        case str():
            return quote(value)
        case _:
            return str(value)


def _fits_64_bits(value: int) -> bool:
    # TOML promises no more, and whatever has more is nonsense here.
    return -(2**63) <= value < 2**63


def _is_collection(kind: Any) -> bool:
    return get_origin(kind) in {tuple, list, frozenset}


def _collection_hook(
    kind: Any, converter: cattrs.Converter
) -> Callable[[Any, Any], Any]:
    collect: Any = get_origin(kind)
    members: Any = GenericAlias(list, get_args(kind)[:1])
    build = list_structure_factory(members, converter)

    def structure_collection(value: Any, _: Any) -> Any:
        if isinstance(value, Mapping):
            raise ConfigError("was a table, must be a list: a table of one takes [[ ]]")
        if not isinstance(value, list):
            raise ConfigError(f"was {describe(value)}, must be a list")
        return collect(build(value, members))

    return structure_collection


def _explain(problem: Exception) -> str:
    """Follow the first of the exceptions down to what was raised, and say where.

    Raises:
      Exception: what was raised, if it says nothing about what the user wrote.

    """
    path, record = "", None
    while True:
        step = _path_step(problem)
        path += step
        if not isinstance(problem, cattrs.BaseValidationError):
            break
        record, problem = problem.cl, problem.exceptions[0]
    if not isinstance(problem, ConfigError):
        raise problem
    if not step and record is not None:  # a validator of the record itself
        attribute, _, rest = str(problem).partition(" ")
        if attribute in attrs.fields_dict(record):
            return f"{path}.{attribute} {rest}".removeprefix(".")
    return f"{path.removeprefix('.')}: {problem}" if path else str(problem)


def _path_step(problem: Exception) -> str:
    """Read what cattrs notes on an exception: which attribute, or which element."""
    for note in getattr(problem, "__notes__", ()):
        match note:
            case cattrs.AttributeValidationNote(name=name):
                return f".{name}"
            case cattrs.IterableValidationNote(index=index):
                return f"[{index}]"
    return ""
