"""The security module as programs see it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import attrs
import cbor2
import pytest
import trio.testing

from trionitro import ProtocolError
from trionitro.abc import NsmDevice
from trionitro.nsm import Nsm, NsmError, NsmErrorCode
from trionitro.testing import NsmEmulator


@attrs.define
class ScriptedDevice(NsmDevice):
    """Gives the answers it was told to, and remembers what it was asked.

    Attributes:
      answers: the messages to come.
      asked: the messages so far.

    """

    answers: list[object] = attrs.field(factory=list)
    asked: list[object] = attrs.field(factory=list)

    async def process(self, request: bytes) -> bytes:
        """Give the next answer."""
        await trio.lowlevel.checkpoint()
        self.asked.append(cbor2.loads(request))
        return cbor2.dumps(self.answers.pop(0))


def random_of(data: bytes) -> object:
    return {"GetRandom": {"random": data}}


TOO_MUCH = {
    "a nonce of 1025 bytes": lambda nsm: nsm.attest(nonce=bytes(1025)),
    "user data of 1025 bytes": lambda nsm: nsm.attest(user_data=bytes(1025)),
    "a public key of 1025 bytes": lambda nsm: nsm.attest(public_key=bytes(1025)),
    "4096 bytes and more": lambda nsm: nsm.extend_pcr(16, bytes(4090)),
    "PCR 32": lambda nsm: nsm.extend_pcr(32, b""),
    "locking PCR 32": lambda nsm: nsm.lock_pcr(32),
    "describing PCR -1": lambda nsm: nsm.describe_pcr(-1),
    "locking 33 PCRs": lambda nsm: nsm.lock_pcrs(33),
    "locking -1 PCRs": lambda nsm: nsm.lock_pcrs(-1),
    "-1 random bytes": lambda nsm: nsm.random(-1),
}


@pytest.mark.parametrize("call", TOO_MUCH.values(), ids=TOO_MUCH)
async def test_what_is_too_much_is_not_asked_for(
    call: Callable[[Nsm], Awaitable[object]],
) -> None:
    device = ScriptedDevice()

    with pytest.raises(ValueError, match=r"1025|4\d\d\d bytes|32|33|-1"):
        await call(Nsm(device))

    assert device.asked == []


async def test_as_much_as_is_allowed_is_asked_for() -> None:
    device = ScriptedDevice([{"Attestation": {"document": b"signed"}}])
    most = bytes(1024)

    document = await Nsm(device).attest(nonce=most, user_data=most, public_key=most)

    assert document == b"signed"
    fields = {"user_data": most, "nonce": most, "public_key": most}
    assert device.asked == [{"Attestation": fields}]


async def test_the_longest_extension_is_just_a_request() -> None:
    nsm = Nsm(NsmEmulator())
    longest = 4096 - len(cbor2.dumps({"ExtendPCR": {"index": 16, "data": bytes(300)}}))

    await nsm.extend_pcr(16, bytes(300 + longest))

    with pytest.raises(ValueError, match="4097 bytes, and a request may have 4096"):
        await nsm.extend_pcr(16, bytes(301 + longest))


async def test_nothing_and_an_empty_thing_are_not_the_same() -> None:
    device = ScriptedDevice([{"Attestation": {"document": b""}}])

    await Nsm(device).attest(nonce=b"")

    fields = {"user_data": None, "nonce": b"", "public_key": None}
    assert device.asked == [{"Attestation": fields}]


async def test_random_bytes_are_collected_until_there_are_enough() -> None:
    device = ScriptedDevice([random_of(b"abc"), random_of(b"d"), random_of(b"efg")])

    assert await Nsm(device).random(6) == b"abcdef"
    assert device.answers == []


@pytest.mark.parametrize("size", [0, 1, 255, 256, 257, 1000])
async def test_as_many_random_bytes_come_as_were_asked_for(size: int) -> None:
    with trio.testing.assert_checkpoints():
        data = await Nsm(NsmEmulator()).random(size)

    assert len(data) == size


async def test_a_module_without_entropy_is_an_error_not_a_loop() -> None:
    device = ScriptedDevice([random_of(b"abc"), random_of(b"")])

    with pytest.raises(ProtocolError, match="0 random bytes"):
        await Nsm(device).random(4)


async def test_a_refusal_has_its_name_and_says_what_it_means() -> None:
    device = ScriptedDevice([{"Error": "ReadOnlyIndex"}])

    with pytest.raises(NsmError) as refusal:
        await Nsm(device).lock_pcr(3)

    assert refusal.value.code == NsmErrorCode.READ_ONLY_INDEX
    assert refusal.value.request == "LockPCR"
    assert "refused LockPCR: ReadOnlyIndex, the PCR is locked" in str(refusal.value)


async def test_a_refusal_that_nobody_knows_is_one_still() -> None:
    device = ScriptedDevice([{"Error": "TooTired"}])

    with pytest.raises(NsmError, match="TooTired, which this version doesn't know"):
        await Nsm(device).describe()


@pytest.mark.parametrize("code", NsmErrorCode)
async def test_every_known_refusal_is_explained(code: NsmErrorCode) -> None:
    with pytest.raises(NsmError, match=rf"{code}, .*\w"):
        await Nsm(ScriptedDevice([{"Error": code}])).describe()


async def test_the_answer_to_something_else_is_no_answer() -> None:
    device = ScriptedDevice(["LockPCR"])

    with pytest.raises(ProtocolError, match="GetRandom with the answer to something"):
        await Nsm(device).random(1)


async def test_a_pcr_is_described_with_its_index() -> None:
    device = ScriptedDevice([{"DescribePCR": {"lock": True, "data": b"\1" * 48}}])

    pcr = await Nsm(device).describe_pcr(7)

    assert (pcr.index, pcr.locked, pcr.value) == (7, True, b"\1" * 48)
