"""The YAML that AWS's ``vsock-proxy`` reads, checked to the last entry.

::

    allowlist:
    - {address: kms.us-east-1.amazonaws.com, port: 443}

The text is walked as a graph of nodes and never built into objects: each node knows
its line, a key written twice is seen, and an alias costs nothing however often it
is repeated.

"""

from __future__ import annotations

import re
from typing import Final

import attrs
import yaml

from trionitro._exceptions import ConfigError
from trionitro._structuring import quote, unknown_key

__all__ = ["Entry", "read_entries"]

_EXAMPLE: Final = "{address: kms.us-east-1.amazonaws.com, port: 443}"

_REMEDY: Final = f"write entries as '- {_EXAMPLE}'"

#: Leading zeros are out: YAML 1.1 reads 0443 as an octal 291, and YAML 1.2 doesn't.
_PORT: Final = re.compile("[1-9][0-9]{0,4}")

_STRING: Final = "tag:yaml.org,2002:str"
_INTEGER: Final = "tag:yaml.org,2002:int"

_NULL: Final = "tag:yaml.org,2002:null"

_KINDS: Final = {
    _STRING: "the string",
    _INTEGER: "the number",
    "tag:yaml.org,2002:float": "the number",
    "tag:yaml.org,2002:bool": "the truth value",
}


@attrs.frozen
class Entry:
    """One entry of the list, its values still as they were written.

    Attributes:
      place: the file, the line and the path, for errors.
      address: what stands under ``address``.
      port: 1 to 65535.

    """

    place: str
    address: str
    port: int


class _Loader(yaml.SafeLoader):
    """PyYAML with the scalars of YAML 1.2, as ``vsock-proxy``'s parser knows them.

    Those of YAML 1.1 make the number 443 of ``7:23``, a number of the address
    ``1:2:3:4:5:6:7:8``, and a truth value of a host that is called ``no``.
    """

    # The class's own, because the inherited dict belongs to every loader.
    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012


for _tag, _pattern, _first in (
    ("bool", "true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", "~|null|Null|NULL|", "~nN"),
    ("int", "[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789"),
):
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}",
        re.compile(f"(?:{_pattern})\\Z"),
        [*_first, *([""] if _tag == "null" else [])],
    )


def read_entries(text: str, *, source: str) -> list[Entry]:
    """Read the entries of the first document in ``text``.

    Raises:
      ConfigError: for the first thing that is wrong, with its place and a remedy.

    """
    document = _first_document(text, source)
    if document is None:
        raise ConfigError(f"{source} is empty: write 'allowlist:' and a list below it")
    if not isinstance(document, yaml.MappingNode):
        raise ConfigError(
            f"{source} holds {_describe(document)}: write 'allowlist:' above the list"
        )
    values = _keys(document, source=source, path="", known=("allowlist",))
    if "allowlist" not in values:
        raise ConfigError(
            f"{source}: the key 'allowlist' is missing: write 'allowlist:'"
        )
    entries = values["allowlist"]
    if not isinstance(entries, yaml.SequenceNode):
        raise ConfigError(
            f"{_place(source, entries)}: allowlist was {_describe(entries)}, must be a"
            " list: write [] for one that allows nothing"
        )
    return [
        _entry(node, source=source, path=f"allowlist[{index}]")
        for index, node in enumerate(entries.value)
    ]


def _first_document(text: str, source: str) -> yaml.Node | None:
    try:
        return next(yaml.compose_all(text, Loader=_Loader), None)
    except yaml.MarkedYAMLError as problem:
        mark = problem.problem_mark
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        what = " ".join(f"{problem.context or ''} {problem.problem or ''}".split())
        raise ConfigError(f"{source}{where} is not YAML: {what}: {_REMEDY}") from None
    except RecursionError:
        raise ConfigError(f"{source} is nested too deeply: {_REMEDY}") from None
    except yaml.YAMLError as problem:
        what = " ".join(str(problem).split())
        raise ConfigError(f"{source} is not YAML: {what}: {_REMEDY}") from None
    except (ValueError, OverflowError):
        # PyYAML lets these through for "\UFFFFFFFF", and for "%YAML 1.999…".
        raise ConfigError(
            f"{source} is not YAML: an escape or a version is out of range: {_REMEDY}"
        ) from None


def _entry(node: yaml.Node, *, source: str, path: str) -> Entry:
    place = f"{_place(source, node)}: {path}"
    if not isinstance(node, yaml.MappingNode):
        raise ConfigError(f"{place} was {_describe(node)}: write {_EXAMPLE}")
    values = _keys(node, source=source, path=path, known=("address", "port"))
    for key in ("address", "port"):
        if key not in values:
            raise ConfigError(f"{place} has no {key!r}: write {_EXAMPLE}")
    place = f"{_place(source, values['address'])}: {path}.address"
    address = _text(values["address"], place=place)
    port = _port(values["port"], place=f"{_place(source, values['port'])}: {path}.port")
    return Entry(place, address, port)


def _text(node: yaml.Node, *, place: str) -> str:
    if not isinstance(node, yaml.ScalarNode) or node.tag != _STRING:
        raise ConfigError(
            f"{place} was {_describe(node)}, must be a string: write a name, *.suffix,"
            " an IP address or a CIDR"
        )
    return str(node.value)


def _port(node: yaml.Node, *, place: str) -> int:
    text = node.value if isinstance(node, yaml.ScalarNode) else ""
    if node.tag == _INTEGER and _PORT.fullmatch(text) and int(text) <= 65535:
        return int(text)
    remedy = "write a number from 1 to 65535"
    if node.tag == _STRING and _PORT.fullmatch(text):
        remedy = f"write {text} without quotes"
    raise ConfigError(f"{place} was {_describe(node)}: {remedy}")


def _keys(
    mapping: yaml.MappingNode, *, source: str, path: str, known: tuple[str, ...]
) -> dict[str, yaml.Node]:
    """Take a mapping apart; a key that is unknown or there twice is refused."""
    found: dict[str, yaml.Node] = {}
    for key, value in mapping.value:
        place = f"{_place(source, key)}{path and f': {path}'}"
        name = key.value if isinstance(key, yaml.ScalarNode) else _describe(key)
        if name not in known:
            raise ConfigError(f"{place}: {unknown_key(name, known)}")
        if name in found:
            raise ConfigError(
                f"{place}: the key {name!r} is there twice: leave one out"
            )
        found[name] = value
    return found


def _place(source: str, node: yaml.Node) -> str:
    return f"{source}, line {node.start_mark.line + 1}"


def _describe(node: yaml.Node) -> str:
    match node:
        case yaml.MappingNode():
            return "a mapping"
        case yaml.SequenceNode():
            return "a list"
        case _ if node.tag in _KINDS:
            return f"{_KINDS[node.tag]} {quote(node.value)}"
        case _ if node.tag == _NULL:
            return "nothing"
        case _:
            return f"something of the type {quote(node.tag)}"
