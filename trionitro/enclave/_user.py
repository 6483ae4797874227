"""Whom the application runs as."""

from __future__ import annotations

import grp
import os
import pwd
from collections.abc import Mapping
from typing import Any

import attrs

from trionitro._exceptions import CannotStartError

__all__ = ["User", "find_user"]


@attrs.frozen(kw_only=True)
class User:
    """A user of this system, or a mere number.

    Attributes:
      uid: its number.
      gid: the number of its group.
      groups: those of its further groups.
      environment: the variables that say who it is and where it is at home.

    """

    uid: int
    gid: int
    groups: tuple[int, ...] = ()
    environment: Mapping[str, str] = attrs.field(factory=dict)

    def popen_options(self) -> dict[str, Any]:
        """Return what :class:`subprocess.Popen` needs to know, if anything.

        Who is that user already needs no permission to become it.

        """
        if (self.uid, self.gid) == (os.geteuid(), os.getegid()):
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": list(self.groups)}


def find_user(text: str) -> User:
    """Look a user up: ``user`` or ``user:group``, by name or number.

    Raises:
      CannotStartError: if there is none of that name, or its group isn't known.

    """
    name, _, group = text.partition(":")
    entry = _entry_of(name)
    if entry is None:
        if not group:
            raise CannotStartError(
                f"the user {name} has no group: there is none of that number in"
                f" /etc/passwd; write '{name}:GROUP' in [enclave] user"
            )
        return User(uid=int(name), gid=_gid_of(group))
    return User(
        uid=entry.pw_uid,
        gid=_gid_of(group) if group else entry.pw_gid,
        groups=tuple(os.getgrouplist(entry.pw_name, entry.pw_gid)),
        environment={
            "HOME": entry.pw_dir,
            "LOGNAME": entry.pw_name,
            "USER": entry.pw_name,
        },
    )


def _entry_of(name: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        if not name.isdecimal():
            raise CannotStartError(
                f"there is no user {name!r}: add it to the image (/etc/passwd), or"
                " write a number and a group in [enclave] user"
            ) from None
    try:
        return pwd.getpwuid(int(name))
    except KeyError:
        return None


def _gid_of(group: str) -> int:
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        if not group.isdecimal():
            raise CannotStartError(
                f"there is no group {group!r}: add it to the image (/etc/group), or"
                " write a number in [enclave] user"
            ) from None
    return int(group)
