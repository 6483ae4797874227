from __future__ import annotations

import errno
import os
from ipaddress import ip_address

import attrs
import pytest
from trio.testing import MockClock

from tests.enclave.namespaces import NETWORK, run_in
from trionitro import CannotStartError
from trionitro.enclave._loopback import IPAddress, Loopback, loopback_addresses

ONE, OTHER = ip_address("127.0.0.2"), ip_address("127.0.0.3")

#: Of a network for documentation (RFC 5737): nobody has it.
NOBODYS = ip_address("192.0.2.1")

#: What the tests in a namespace begin with.
PRELUDE = """
    import errno, json, socket, trio
    from ipaddress import ip_address
    from trionitro.enclave._loopback import NetlinkLoopback, loopback_addresses

    def is_usable(address):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            try:
                sock.bind((address, 0))
                sock.connect(sock.getsockname())
            except OSError as exc:
                return errno.errorcode[exc.errno]
        return True

    seen = []
    def look(*addresses):
        seen.append([is_usable(address) for address in addresses])
"""


@attrs.define(eq=False)
class FakeLoopback(Loopback):
    """An interface that remembers its addresses, and refuses what it is told to."""

    addresses: list[IPAddress] = attrs.field(factory=list)
    refusals: dict[str, int] = attrs.field(factory=dict)

    def bring_up(self) -> None:
        """Set it up."""
        self._refuse("bring_up")

    def add(self, address: IPAddress) -> None:
        """Remember it."""
        self._refuse("add")
        if address in self.addresses:
            raise FileExistsError
        self.addresses.append(address)

    def remove(self, address: IPAddress) -> None:
        """Forget it."""
        self._refuse("remove")
        self.addresses.remove(address)

    def _refuse(self, what: str) -> None:
        if what in self.refusals:
            raise OSError(self.refusals[what], os.strerror(self.refusals[what]))


async def test_addresses_are_there_as_long_as_it_lasts() -> None:
    loopback = FakeLoopback()

    async with loopback_addresses([ONE, OTHER, ONE], loopback=loopback):
        assert loopback.addresses == [ONE, OTHER]

    assert loopback.addresses == []


async def test_what_was_there_before_stays() -> None:
    loopback = FakeLoopback([ONE])

    async with loopback_addresses([ONE, OTHER], loopback=loopback):
        assert loopback.addresses == [ONE, OTHER]

    assert loopback.addresses == [ONE]


async def test_addresses_are_taken_away_after_an_error_too() -> None:
    loopback = FakeLoopback()

    with pytest.raises(ZeroDivisionError):
        async with loopback_addresses([ONE], loopback=loopback):
            raise ZeroDivisionError

    assert loopback.addresses == []


async def test_an_address_that_can_t_be_used_is_an_error_and_taken_away(
    autojump_clock: MockClock,
) -> None:
    loopback = FakeLoopback()

    with pytest.raises(CannotStartError, match=r"can't use the address 192\.0\.2\.1 "):
        async with loopback_addresses([ONE, NOBODYS], loopback=loopback):
            raise AssertionError("it must not get here")

    assert loopback.addresses == []


async def test_without_permission_what_can_be_bound_already_is_good_enough() -> None:
    loopback = FakeLoopback(refusals={"bring_up": errno.EPERM, "add": errno.EPERM})

    async with loopback_addresses([ONE], loopback=loopback):
        pass


async def test_without_permission_the_error_says_whose_it_takes() -> None:
    loopback = FakeLoopback(refusals={"add": errno.EPERM})

    with pytest.raises(CannotStartError, match=r"192\.0\.2\.1 to lo: .*CAP_NET_ADMIN"):
        async with loopback_addresses([NOBODYS], loopback=loopback):
            raise AssertionError("it must not get here")


@pytest.mark.parametrize(
    ("number", "remedy"),
    [(errno.ENODEV, "namespace that has lo"), (errno.EAFNOSUPPORT, "CONFIG_NET")],
)
async def test_an_interface_that_won_t_come_up_is_an_error_with_a_remedy(
    number: int, remedy: str
) -> None:
    loopback = FakeLoopback(refusals={"bring_up": number})

    with pytest.raises(CannotStartError, match=f"can't bring the .* lo up: .*{remedy}"):
        async with loopback_addresses([], loopback=loopback):
            raise AssertionError("it must not get here")


async def test_what_can_t_be_taken_away_is_no_error() -> None:
    loopback = FakeLoopback(refusals={"remove": errno.ENODEV})

    async with loopback_addresses([ONE], loopback=loopback):
        pass


def test_the_kernel_brings_lo_up_and_adds_addresses() -> None:
    seen = run_in(
        NETWORK,
        f"""{PRELUDE}
    wanted = ["127.0.0.2", "198.51.100.7", "fd00::7"]
    def added():
        return loopback_addresses(map(ip_address, wanted), loopback=NetlinkLoopback())
    async def main():
        look("127.0.0.1", *wanted)
        async with added():
            look("127.0.0.1", *wanted)
            async with added():
                pass
            look("127.0.0.1", *wanted)
        look("127.0.0.1", *wanted[1:])
    trio.run(main)
    print(json.dumps(seen))
    """,
    )

    before, *during, after = seen
    assert True not in before
    assert during == [[True] * 4] * 2
    assert after == [True, "EADDRNOTAVAIL", "EADDRNOTAVAIL"]


def test_the_kernel_tells_what_it_can_t_do() -> None:
    told = run_in(
        NETWORK,
        """
    import json
    from ipaddress import ip_address
    from trionitro.enclave import _netlink

    def problem(function, *args):
        try:
            function(*args)
        except OSError as exc:
            return type(exc).__name__
    one = ip_address("127.0.0.2")
    _netlink.bring_up("lo")
    _netlink.add_address("lo", one)
    print(json.dumps([
        problem(_netlink.bring_up, "eth77"),
        problem(_netlink.add_address, "lo", one),
        problem(_netlink.remove_address, "lo", one),
        problem(_netlink.remove_address, "lo", one),
    ]))
    """,
    )

    assert told == ["OSError", "FileExistsError", None, "OSError"]
