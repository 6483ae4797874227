"""VhostUserSwitch: guests that talk to each other, and one that would harm another."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from tests.vsock.vhost_user.worlds import RudeGuest, connect, hear_all, rude_guest
from trionitro.abc import VsockAddress, VsockStream
from trionitro.testing import (
    VhostUserGuest,
    check_vsock_network,
)
from trionitro.vsock import VhostUserSwitch, VhostUserVsock
from trionitro.vsock._vhost_user._packets import (
    Operation,
    encode_addresses,
    encode_header,
)

PARENT, ENCLAVE, OTHER, NOBODY = 3, 16, 17, 18


@attrs.define
class World:
    """Machines on a switch, none of which has a guest yet."""

    networks: dict[int, VhostUserVsock]
    nursery: trio.Nursery

    async def boot(self, cid: int) -> VhostUserGuest:
        """Have a machine run a guest that behaves."""
        guest = VhostUserGuest(self.networks[cid].socket_path)
        await self.nursery.start(guest.serve)
        await self.networks[cid].wait_for_guest()
        return guest


@pytest.fixture(name="world")
async def _world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path) as world:
        yield world


@asynccontextmanager
async def open_world(directory: Path) -> AsyncIterator[World]:
    """Make a switch, and three machines on it."""
    switch = VhostUserSwitch()
    networks = {
        cid: VhostUserVsock(directory / str(cid), guest_cid=cid, cid=2, switch=switch)
        for cid in (PARENT, ENCLAVE, OTHER)
    }
    async with trio.open_nursery() as nursery:
        for network in networks.values():
            await nursery.start(network.serve)
        yield World(networks, nursery)
        nursery.cancel_scope.cancel()


@pytest.fixture(name="rude")
async def _rude(world: World) -> AsyncIterator[RudeGuest]:
    """A guest whose CID is the enclave's, and who sends what a test says."""
    async with rude_guest(Path(world.networks[ENCLAVE].socket_path)) as guest:
        await world.networks[ENCLAVE].wait_for_guest()
        yield guest


@pytest.fixture(name="other")
async def _other(world: World) -> AsyncIterator[RudeGuest]:
    """One that takes what it is sent when a test says."""
    async with rude_guest(Path(world.networks[OTHER].socket_path)) as guest:
        await world.networks[OTHER].wait_for_guest()
        yield guest


async def test_what_is_between_two_guests_meets_the_contract(world: World) -> None:
    parent = await world.boot(PARENT)
    enclave = await world.boot(ENCLAVE)

    await check_vsock_network(parent.network, enclave.network)
    await check_vsock_network(enclave.network, parent.network)


async def test_each_guest_sees_the_others_cid(world: World) -> None:
    parent = await world.boot(PARENT)
    enclave = await world.boot(ENCLAVE)

    dialled, accepted = await connect(enclave.network, parent.network, PARENT)

    assert dialled.peer == VsockAddress(PARENT, 8000)
    assert accepted.peer.cid == ENCLAVE


async def test_this_process_reaches_each_guest_and_is_their_host(world: World) -> None:
    for cid in (PARENT, ENCLAVE):
        guest = await world.boot(cid)
        network = world.networks[cid]

        _, accepted = await connect(network, guest.network, cid)
        _, back = await connect(guest.network, network, 2)

        assert (accepted.peer.cid, back.peer.cid) == (2, cid)


async def test_much_goes_both_ways_at_once(world: World) -> None:
    """Linux sends 64 KiB in a packet, and receives less than 4 KiB in one."""
    parent = await world.boot(PARENT)
    enclave = await world.boot(ENCLAVE)
    data = bytes(range(256)) * 2**12
    ends = await connect(enclave.network, parent.network, PARENT)

    async def send(stream: VsockStream) -> None:
        await stream.send_all(data)
        await stream.send_eof()

    async with trio.open_nursery() as nursery:
        for end in ends:
            nursery.start_soon(send, end)
        received = [b"".join([bytes(piece) async for piece in end]) for end in ends[:1]]
        received.append(b"".join([bytes(piece) async for piece in ends[1]]))

    assert received == [data, data]


async def test_who_is_not_on_the_switch_refuses(world: World) -> None:
    enclave = await world.boot(ENCLAVE)

    with pytest.raises(ConnectionResetError):
        await enclave.network.open_stream(NOBODY, 8000)


async def test_a_machine_without_a_guest_is_silent(
    world: World, rude: RudeGuest, other: RudeGuest
) -> None:
    rude.send(Operation.REQUEST, cid=PARENT)
    rude.send(Operation.REQUEST, cid=OTHER)

    await other.expect(Operation.REQUEST)

    rude.rings.receive(rude.received.append)
    assert not rude.received


async def test_a_guest_that_goes_is_missed_by_nobody_until_it_is_back(
    world: World,
) -> None:
    """Its peers hear nothing at all; its successor says that it knows of nothing."""
    enclave = await world.boot(ENCLAVE)
    async with trio.open_nursery() as nursery:
        parent = VhostUserGuest(world.networks[PARENT].socket_path)
        await nursery.start(parent.serve)
        stream, _ = await connect(enclave.network, parent.network, PARENT)
        nursery.cancel_scope.cancel()
    await wait_all_tasks_blocked()

    await stream.send_all(b"are you there?")
    with trio.move_on_after(0.1) as silence:
        await stream.receive_some()
    assert silence.cancelled_caught

    await world.boot(PARENT)
    await stream.send_all(b"hello?")
    with pytest.raises(trio.BrokenResourceError):
        await stream.receive_some()


async def test_who_sends_to_a_guest_that_takes_nothing_has_to_wait(
    world: World, rude: RudeGuest, other: RudeGuest
) -> None:
    """There is no queue to fill: what isn't taken stays with its sender."""
    sent = 0
    while rude.rings.room_untrusted() is not None or sent < 300:
        await wait_all_tasks_blocked()
        if rude.rings.room_untrusted() is None:
            break
        rude.send(Operation.RW, b"%d" % sent, cid=OTHER)
        sent += 1
    assert 128 < sent < 128 + 3 * 64 + 1

    received = [(await other.expect(Operation.RW)).payload for _ in range(sent)]

    assert received == [b"%d" % number for number in range(sent)]
    await rude.wait_for_room()


async def test_a_sender_that_is_paused_meanwhile_loses_nothing_and_gains_nothing(
    world: World, rude: RudeGuest, other: RudeGuest
) -> None:
    """However often it is paused, no more is taken from it than was."""
    sent = 0
    for _ in range(6):
        await wait_all_tasks_blocked()
        while rude.rings.room_untrusted() is not None:
            rude.send(Operation.RW, b"%d" % sent, cid=OTHER)
            sent += 1
            await wait_all_tasks_blocked()
        bases = await rude.vmm.stop()
        await wait_all_tasks_blocked()
        await rude.vmm.start(rude.rings, bases)
    assert sent < 128 + 3 * 64 + 1

    for number in range(sent):
        assert (await other.expect(Operation.RW)).payload == b"%d" % number


async def test_one_that_goes_away_lets_those_go_on_who_waited_for_it(
    world: World, rude: RudeGuest
) -> None:
    parent = await world.boot(PARENT)
    listener = await parent.network.open_listener(8000)
    async with rude_guest(Path(world.networks[OTHER].socket_path)):
        await world.networks[OTHER].wait_for_guest()
        for _ in range(150):
            await rude.wait_for_room()
            rude.send(Operation.RW, cid=OTHER)
        rude.send(Operation.REQUEST, cid=PARENT)
        await wait_all_tasks_blocked()
        rude.rings.receive(rude.received.append)
        assert not rude.received

    await rude.expect(Operation.RESPONSE)
    assert (await listener.accept()).peer.cid == ENCLAVE


async def test_buffers_that_make_no_sense_end_their_guest_and_not_the_sender(
    world: World, rude: RudeGuest, other: RudeGuest
) -> None:
    receiving = other.rings.queues[0]
    for index in range(receiving.size):
        receiving.describe(index, 2**40, 4096, flags=2)

    rude.send(Operation.REQUEST, cid=OTHER)
    await other.vmm.wait_hung_up()

    rude.send(Operation.REQUEST, cid=2)
    await rude.expect(Operation.RST)


async def test_who_sends_as_somebody_else_reaches_nobody(
    world: World, rude: RudeGuest, other: RudeGuest
) -> None:
    rude.send(Operation.REQUEST, cid=OTHER, own_cid=PARENT)
    rude.send(Operation.REQUEST, cid=OTHER, own_cid=OTHER)
    rude.send(Operation.REQUEST, cid=OTHER)

    assert (await other.expect(Operation.REQUEST)).src_cid == ENCLAVE


async def test_a_guest_reaches_itself_no_more_than_nobody(
    world: World, rude: RudeGuest
) -> None:
    rude.send(Operation.REQUEST, cid=ENCLAVE)

    await rude.expect(Operation.RST)


async def test_what_is_no_stream_is_refused_here_and_goes_no_further(
    world: World, rude: RudeGuest, other: RudeGuest
) -> None:
    """Type 2, seqpacket, is not offered to anybody, and cutting it would be wrong."""
    addresses = encode_addresses((ENCLAVE, 1025), (OTHER, 8000))
    header = bytearray(encode_header(addresses, Operation.REQUEST, 0, 0, (0, 0)))
    header[28] = 2
    rude.say(bytes(header))
    rude.send(Operation.RW, b"a stream's", cid=OTHER)

    assert (await rude.expect(Operation.RST)).kind == 2
    assert (await other.next_packet()).payload == b"a stream's"


async def test_two_who_send_to_a_guest_take_turns(world: World) -> None:
    """This process and another guest both have much to say to the same one."""
    parent = await world.boot(PARENT)
    enclave = await world.boot(ENCLAVE)
    pairs = [
        await connect(parent.network, enclave.network, ENCLAVE),
        await connect(world.networks[ENCLAVE], enclave.network, ENCLAVE),
    ]

    heard = await hear_all(pairs, 2**24)

    assert min(heard) > max(heard) / 8


@pytest.mark.parametrize(("guest_cid", "cid"), [(16, 2), (2**31, 3), (9, 2)])
async def test_nobody_may_be_mistaken_for_somebody_else(
    guest_cid: int, cid: int, tmp_path: Path
) -> None:
    switch = VhostUserSwitch()
    late = VhostUserVsock(tmp_path / "v", guest_cid=guest_cid, cid=cid, switch=switch)

    with (
        switch.joined(3, 2),
        switch.joined(16, 9),
        pytest.raises(OSError, match="on the switch already"),
    ):
        await late.serve()


async def test_a_machine_whose_network_is_served_no_more_makes_room(
    tmp_path: Path,
) -> None:
    switch = VhostUserSwitch()
    network = VhostUserVsock(tmp_path / "v", guest_cid=3, cid=2, switch=switch)
    for _ in range(2):
        async with trio.open_nursery() as nursery:
            await nursery.start(network.serve)
            assert switch.has(3)
            nursery.cancel_scope.cancel()

    assert not switch.has(3)
