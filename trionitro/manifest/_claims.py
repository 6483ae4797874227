"""Who has what: finds two entries of a manifest that want the same thing."""

from __future__ import annotations

from collections.abc import Hashable

import attrs

from trionitro._exceptions import ConfigError

__all__ = ["Claims", "Entry"]


@attrs.frozen
class Entry:
    """One entry of a manifest, as errors name it.

    Attributes:
      place: its path, such as ``egress[0]``.
      what: what it is about, such as the destination.

    """

    place: str
    what: str

    def __str__(self) -> str:
        return f"{self.place} ({self.what})"


@attrs.define
class Claims:
    """What is taken, by whom, and under which name.

    Each kind of thing has an instance of its own.

    Attributes:
      kind: what is claimed, such as ``vsock port``.
      remedy: which key of the later entry to change.

    """

    kind: str
    remedy: str
    _owners: dict[Hashable, tuple[Entry, Hashable]] = attrs.field(
        init=False, factory=dict
    )

    def take(
        self, thing: Hashable, entry: Entry, *, shared_by: Hashable = None
    ) -> None:
        """Take ``thing`` for ``entry``.

        Args:
          thing: what is taken.
          entry: by whom.
          shared_by: those that say the same here may have it together; None is
              for one alone.

        Raises:
          ConfigError: if another has it.

        """
        if thing not in self._owners:
            self._owners[thing] = (entry, shared_by)
            return
        owner, sharers = self._owners[thing]
        if shared_by is None or shared_by != sharers:
            raise ConfigError(
                f"{self.kind} {thing} is taken twice, by {owner} and by {entry}:"
                f" {self.remedy}"
            )
