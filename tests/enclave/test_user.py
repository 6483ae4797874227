from __future__ import annotations

import os
import pwd

import pytest

from trionitro import CannotStartError
from trionitro.enclave._user import User, find_user

ROOT = pwd.getpwuid(0)


def test_a_name_is_looked_up() -> None:
    user = find_user("root")

    assert (user.uid, user.gid) == (0, 0)
    assert 0 in user.groups
    assert user.environment == {"HOME": ROOT.pw_dir, "LOGNAME": "root", "USER": "root"}


@pytest.mark.parametrize("text", ["0", "0:0", "root:0", "0:root", "root:root"])
def test_numbers_stand_for_names(text: str) -> None:
    assert find_user(text) == find_user("root")


def test_a_group_is_in_the_place_of_the_user_s_own() -> None:
    assert find_user("root:4321").gid == 4321


def test_a_number_without_an_entry_needs_a_group() -> None:
    assert find_user("54321:4321") == User(uid=54321, gid=4321)
    with pytest.raises(
        CannotStartError, match=r"user 54321 has no group: .*54321:GROUP"
    ):
        find_user("54321")


@pytest.mark.parametrize("text", ["nosuch", "root:nosuch"])
def test_an_unknown_name_is_an_error_that_names_it(text: str) -> None:
    with pytest.raises(CannotStartError, match=r"there is no \w+ 'nosuch': add it"):
        find_user(text)


def test_who_is_that_user_already_needs_no_permission() -> None:
    own = User(uid=os.geteuid(), gid=os.getegid(), groups=(1, 2))
    other = User(uid=os.geteuid() + 1, gid=7, groups=(8,))

    assert own.popen_options() == {}
    assert other.popen_options() == {
        "user": other.uid,
        "group": 7,
        "extra_groups": [8],
    }
