"""Allowlists: which TCP targets a proxy may connect to.

The file is the one that AWS's ``vsock-proxy`` reads, and means what it means there.
An address may be::

    kms.us-east-1.amazonaws.com   that name, wherever it resolves to
    *.amazonaws.com               any name that ends so; not amazonaws.com itself
    192.0.2.7   2001:db8::7       that address, whatever name led to it
    10.0.0.0/8  fd00::/8          any address in that network, likewise

The first rule that matches decides; what none matches is refused. Special addresses
(link-local, the metadata and credential services of AWS, unspecified, multicast and
broadcast) take a rule that is that very address, or a network inside their range: a
name can be made to resolve to anything by whoever owns it. Addresses and names are
compared as :mod:`trionitro.proxy._addresses` writes them, so ``::/0`` is every IPv6
address that isn't an IPv4 one in disguise.

"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Self

import attrs

from trionitro._endpoints import TcpEndpoint
from trionitro._exceptions import ConfigError
from trionitro._structuring import read_text
from trionitro.proxy._addresses import SpecialRange, literal_address
from trionitro.proxy._rules import Attempt, ExactName, Network, Rule, as_name

if TYPE_CHECKING:
    from trionitro.proxy._allowlist_file import Entry

__all__ = ["NO_ALLOWLIST", "Allowlist", "Decision", "Rule", "TargetPolicy"]

_NOTHING_RESOLVED: Final[Mapping[str, Iterable[str]]] = MappingProxyType({})

_REMEDY: Final = (
    "give a file like vsock-proxy.yaml, or leave the allowlist out to allow every"
    " target"
)


@attrs.frozen(kw_only=True)
class Decision:
    """What a policy says to a target, and why.

    Attributes:
      allowed: whether it may be connected to.
      rule: the rule that decided, or None if none did.
      reason: one sentence for a log.

    """

    allowed: bool
    rule: Rule | None = None
    reason: str


class TargetPolicy(ABC):
    """What says which TCP targets may be connected to."""

    @abstractmethod
    def decide(
        self,
        host: str,
        port: int,
        address: str,
        *,
        resolved: Mapping[str, Iterable[str]] = _NOTHING_RESOLVED,
    ) -> Decision:
        """Decide whether ``address`` may be dialled for the target ``host``.

        Args:
          host: the target, as :func:`~trionitro._endpoints.parse_host` writes it.
          port: the target's port.
          address: the IP address that will be dialled.
          resolved: for a target that is a literal address, what the names of
              :meth:`names_at` resolve to at the moment. A name that isn't there
              resolves to nothing.

        Raises:
          ValueError: if ``address`` isn't an IP address.

        """

    @abstractmethod
    def could_allow(self, host: str, port: int) -> Decision:
        """Say whether the target is allowed as it is written, without asking DNS.

        If it is, that holds wherever it resolves to, special addresses excepted. If
        it isn't, the addresses it resolves to may still be: :meth:`decide` knows.
        """

    @abstractmethod
    def judges_addresses(self, port: int) -> bool:
        """Say whether the address that a name leads to may allow it at ``port``.

        If not, what :meth:`could_allow` says of a name is the last word.
        """

    @abstractmethod
    def names_at(self, port: int) -> tuple[str, ...]:
        """Return the names that this policy allows at ``port``, wildcards excepted.

        They are what :meth:`decide` wants resolved when the target is a literal
        address.
        """


@attrs.frozen
class Allowlist(TargetPolicy):
    """The rules of a file.

    Attributes:
      source: what the file is called.
      rules: in the file's order; none at all allow nothing.

    """

    source: str
    rules: tuple[Rule, ...]

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Self:
        """Read a file.

        Raises:
          ConfigError: if it can't be read, or isn't an allowlist.

        """
        return cls.parse(read_text(path, remedy=_REMEDY), source=os.fspath(path))

    @classmethod
    def parse(cls, text: str, *, source: str = "allowlist") -> Self:
        """Read the text of a file.

        Every entry is checked, also those behind the one that will match.

        Args:
          text: YAML; only its first document counts.
          source: what to call it in errors.

        Raises:
          ConfigError: for the first thing that is wrong.

        """
        # Whoever starts a program without an allowlist needn't wait for YAML.
        from trionitro.proxy._allowlist_file import read_entries  # noqa: PLC0415

        entries = read_entries(text, source=source)
        return cls(source, tuple(map(_parse_rule, range(len(entries)), entries)))

    def decide(
        self,
        host: str,
        port: int,
        address: str,
        *,
        resolved: Mapping[str, Iterable[str]] = _NOTHING_RESOLVED,
    ) -> Decision:
        """Let the first rule that matches decide."""
        attempt = Attempt.of(host, address, resolved)
        for rule in self._rules_at(port):
            if rule.pattern.matches(attempt):
                return self._allow(rule, f"{_target(host, port)} at {address}")
        if attempt.special is not None:
            return _refuse_special(host, port, address, attempt.special)
        return self._refuse(host, port, f" at {address}")

    def could_allow(self, host: str, port: int) -> Decision:
        """Look for a rule that names the target."""
        if literal_address(host) is not None:
            return self.decide(host, port, host)
        name = as_name(host)
        for rule in self._rules_at(port):
            if rule.pattern.names(name):
                return self._allow(rule, _target(host, port))
        return self._refuse(host, port)

    def judges_addresses(self, port: int) -> bool:
        """Look for a rule with an address or a network."""
        return any(isinstance(r.pattern, Network) for r in self._rules_at(port))

    def names_at(self, port: int) -> tuple[str, ...]:
        """Return the names of the rules for ``port``, each once, in their order."""
        patterns = (rule.pattern for rule in self._rules_at(port))
        names = (each.name for each in patterns if isinstance(each, ExactName))
        return tuple(dict.fromkeys(names))

    def _rules_at(self, port: int) -> list[Rule]:
        return [rule for rule in self.rules if rule.port == port]

    def _allow(self, rule: Rule, what: str) -> Decision:
        reason = f"{rule} of {self.source} allows {what}"
        return Decision(allowed=True, rule=rule, reason=reason)

    def _refuse(self, host: str, port: int, at: str = "") -> Decision:
        reason = f"no rule of {self.source} allows {_target(host, port)}{at}"
        if not self._rules_at(port):
            reason = f"{reason}: none is for port {port}"
        return Decision(allowed=False, reason=reason)


@attrs.frozen
class _EveryTarget(TargetPolicy):
    """No allowlist: everything but special addresses that nobody named."""

    def decide(
        self,
        host: str,
        port: int,
        address: str,
        *,
        resolved: Mapping[str, Iterable[str]] = _NOTHING_RESOLVED,
    ) -> Decision:
        """Allow it, unless a name led to a special address."""
        attempt = Attempt.of(host, address, resolved)
        if attempt.special is not None and literal_address(host) != attempt.address:
            return _refuse_special(host, port, address, attempt.special)
        return self.could_allow(host, port)

    def could_allow(self, host: str, port: int) -> Decision:
        """Allow it."""
        reason = f"there is no allowlist, so {_target(host, port)} is allowed"
        return Decision(allowed=True, reason=reason)

    def judges_addresses(self, port: int) -> bool:
        """Say no: a special address may be refused, but none is needed to allow."""
        return False

    def names_at(self, port: int) -> tuple[str, ...]:
        """Return none: no address depends on them."""
        return ()


#: The policy of a proxy without an allowlist.
NO_ALLOWLIST: Final[TargetPolicy] = _EveryTarget()


def _parse_rule(index: int, entry: Entry) -> Rule:
    try:
        return Rule.parse(index, entry.address, entry.port)
    except ConfigError as problem:
        raise ConfigError(f"{entry.place} {problem}") from None


def _refuse_special(
    host: str, port: int, address: str, special: SpecialRange
) -> Decision:
    reason = (
        f"{_target(host, port)} at {address} is refused: it lies in the"
        f" {special.kind} range {special.network}, which only a rule for that address,"
        " or for a network inside that range, allows"
    )
    return Decision(allowed=False, reason=reason)


def _target(host: str, port: int) -> str:
    return str(TcpEndpoint(host, port))
