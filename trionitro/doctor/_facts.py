"""What was seen of a machine, before anybody judges it."""

from __future__ import annotations

import re
from collections.abc import Mapping

import attrs

__all__ = ["Facts", "ImageSight", "ModuleSight", "parse_cpu_list"]


@attrs.frozen(kw_only=True)
class ModuleSight:
    """What the security module answered.

    Attributes:
      module_id: who it is; empty if it didn't answer.
      clock_offset: seconds that this machine's clock is ahead of the time in a
          document of the module's; None if it made none.
      problem: why there is no answer, or no document; empty if there are both.

    """

    module_id: str = ""
    clock_offset: float | None = None
    problem: str = ""


@attrs.frozen(kw_only=True)
class ImageSight:
    """What was seen of an image file.

    Attributes:
      size: bytes.
      magic: its first four bytes.
      problem: why it can't be read; empty if it can.

    """

    size: int = 0
    magic: bytes = b""
    problem: str = ""


@attrs.frozen(kw_only=True)
class Facts:
    """All that was seen.

    Attributes:
      files: the texts of those files that are there and can be read, by path.
      troubles: why others can't be read, by path. Those that aren't there are in
          neither.
      devices: by path why a device can't be opened, empty if it can; those that
          aren't there aren't here.
      vsock: the name of the vsock network that is used; empty for the kernel's.
      cid: this machine's CID, or None if nothing tells.
      interfaces: the network interfaces, and their flags (``linux/if.h``).
      nsm: the name of the security module; empty for ``/dev/nsm``.
      module: what the security module answered, or None if it wasn't asked.
      is_seeded: whether the kernel's random numbers are; None if it can't be told.
      now: this machine's clock, seconds since 1970.
      clock_offset: seconds that it is ahead of ``/dev/ptp0``; None if there is none.
      names: what names resolve to, by name; empty for one that doesn't.
      ports: by endpoint why it can't be listened on, empty if it can.
      servers: by endpoint why it can't be connected to, empty if it can.
      programs: where programs are, by name; empty for one that isn't found.
      image: what was seen of the manifest's image file, or None if it has none.
      enclaves: by CID the names of running enclaves; None if nitro-cli doesn't tell.

    """

    files: Mapping[str, str] = attrs.field(factory=dict)
    troubles: Mapping[str, str] = attrs.field(factory=dict)
    devices: Mapping[str, str] = attrs.field(factory=dict)
    vsock: str = ""
    cid: int | None = None
    interfaces: Mapping[str, int] = attrs.field(factory=dict)
    nsm: str = ""
    module: ModuleSight | None = None
    is_seeded: bool | None = None
    now: float = 0.0
    clock_offset: float | None = None
    names: Mapping[str, tuple[str, ...]] = attrs.field(factory=dict)
    ports: Mapping[str, str] = attrs.field(factory=dict)
    servers: Mapping[str, str] = attrs.field(factory=dict)
    programs: Mapping[str, str] = attrs.field(factory=dict)
    image: ImageSight | None = None
    enclaves: Mapping[int, str] | None = None

    def word(self, path: str) -> str:
        """Return a file's text without blanks around it; empty if there is none."""
        return self.files.get(path, "").strip()

    def number(self, path: str) -> int | None:
        """Return the decimal number in a file, or None if there isn't one."""
        word = self.word(path)
        return int(word) if re.fullmatch("[0-9]{1,18}", word) else None

    def matching(self, pattern: str) -> dict[str, str]:
        """Return the files whose whole path matches, by what the one group caught."""
        found = {}
        for path, text in self.files.items():
            if match := re.fullmatch(pattern, path):
                found[match[1]] = text.strip()
        return found

    @property
    def modules(self) -> frozenset[str]:
        """The names of the kernel's loaded modules."""
        lines = self.files.get("/proc/modules", "").splitlines()
        return frozenset(line.split()[0] for line in lines if line.strip())


def parse_cpu_list(text: str) -> frozenset[int]:
    """Read a list of processors as the kernel writes it, such as ``0-3,8``.

    What is no such list has none in it.

    """
    found: set[int] = set()
    for part in text.strip().split(","):
        match = re.fullmatch("([0-9]{1,5})(?:-([0-9]{1,5}))?", part.strip())
        if match:
            found.update(range(int(match[1]), int(match[2] or match[1]) + 1))
    return frozenset(found)
