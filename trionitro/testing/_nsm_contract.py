"""The one contract that every security module meets, be it AWS's or an emulator.

What it asks is what holds for the hypervisor of AWS and for QEMU's ``virtio-nsm``
alike. QEMU's signs nothing, and has no PCR locked at boot: documents are only looked
into here, and whether they can be trusted is for :mod:`trionitro.attestation`.

"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Final

import attrs
import trio

from trionitro._cbor import decode_cbor_untrusted, expect_kind
from trionitro.abc import NsmDevice
from trionitro.nsm import (
    MAX_ATTESTED_SIZE,
    PCR_COUNT,
    PCR_SIZE,
    Nsm,
    NsmError,
    NsmErrorCode,
    extend,
)
from trionitro.nsm._messages import (
    DescribePcr,
    ExtendPcr,
    GetRandom,
    LockPcr,
    LockPcrs,
    Refusal,
)
from trionitro.nsm._wire import (
    decode_response_untrusted,
    encode_request,
)

__all__ = ["check_nsm_device"]

#: Seconds for each check. They take milliseconds; this is for a machine that has
#: much else to do.
_PATIENCE: Final = 20.0

#: What the kernel's own reader of entropy compares an answer with, byte by byte.
_RANDOM_PREFIX: Final = b"\xa1\x69GetRandom\xa1\x66random"

_AT_ONCE: Final = 20

#: In how many different passes of the scheduler a request is cancelled.
_CANCELLED: Final = 10


async def check_nsm_device(device: NsmDevice) -> None:
    """Check that a security module answers as it should.

    **This can't be undone**: it extends and locks the last PCR that is not locked
    yet, and so changes what later attestation documents say.

    Args:
      device: what answers.

    Raises:
      AssertionError: if something doesn't hold; the message says what must.
      ValueError: if every PCR is locked already, which leaves nothing to check with.

    """
    free = set(range(PCR_COUNT)) - (await Nsm(device).describe()).locked_pcrs
    if not free:
        raise ValueError("every PCR is locked: only a new enclave can be checked")
    bench = _Bench(device, max(free))
    for sentence, check in _CHECKS.items():
        try:
            with trio.fail_after(_PATIENCE):
                await check(bench)
        except Exception as problem:
            raise AssertionError(f"{sentence}; but: {problem!r}") from problem


@attrs.frozen
class _Bench:
    """What is checked, and with which PCR.

    Attributes:
      device: what answers.
      index: a PCR that may be extended, and is locked in the end.

    """

    device: NsmDevice
    index: int

    @property
    def nsm(self) -> Nsm:
        """The device, as programs see it."""
        return Nsm(self.device)

    async def expect_refusal(self, data: bytes, code: NsmErrorCode) -> None:
        """Send ``data``, and check that it is refused."""
        answer = decode_response_untrusted(await self.device.process(data))
        assert answer == Refusal(code), f"{answer} to {data!r}"

    async def attested(self, **fields: bytes | None) -> dict[str, object]:
        """Have a document made, and return what it says."""
        document = decode_cbor_untrusted(await self.nsm.attest(**fields))
        protected, unprotected, payload, signature = expect_kind(
            document, list, "the document"
        )
        expect_kind(protected, bytes, "the protected header")
        assert unprotected == {}, unprotected
        expect_kind(signature, bytes, "the signature")
        said = decode_cbor_untrusted(expect_kind(payload, bytes, "the payload"))
        return expect_kind(said, dict, "what it says")


async def _check_description(bench: _Bench) -> None:
    description = await bench.nsm.describe()
    assert description.module_id, "no module id"
    assert description.max_pcrs == PCR_COUNT, description.max_pcrs
    assert description.digest == "SHA384", description.digest
    assert description.locked_pcrs <= set(range(PCR_COUNT)), description.locked_pcrs


async def _check_pcrs(bench: _Bench) -> None:
    description = await bench.nsm.describe()
    for index in range(PCR_COUNT):
        pcr = await bench.nsm.describe_pcr(index)
        assert len(pcr.value) == PCR_SIZE, pcr
        assert pcr.locked == (index in description.locked_pcrs), pcr


async def _check_extension(bench: _Bench) -> None:
    value = (await bench.nsm.describe_pcr(bench.index)).value
    for data in (b"a", b"", b"x" * 513):
        expected = extend(value, data)
        value = await bench.nsm.extend_pcr(bench.index, data)
        assert value == expected, data
        now = await bench.nsm.describe_pcr(bench.index)
        assert (now.value, now.locked) == (value, False), now


async def _check_no_such_pcr(bench: _Bench) -> None:
    for index in (PCR_COUNT, 255):
        for request in (
            DescribePcr(index),
            ExtendPcr(index, b"x"),
            LockPcr(index),
            LockPcrs(min(index + 1, 255)),  # QEMU's wants one byte
        ):
            data = encode_request(request)
            await bench.expect_refusal(data, NsmErrorCode.INVALID_INDEX)


async def _check_nonsense(bench: _Bench) -> None:
    nonsense = (
        b"\x65Dance",  # a text
        b"\xa1\x65Dance\xa1\x65index\x00",
        b"\xff\xff\xff",
        b"\x01",
        b"\xa2\x69GetRandom\xa0\x6bDescribeNSM\xa0",
    )
    for data in nonsense:
        await bench.expect_refusal(data, NsmErrorCode.INVALID_OPERATION)


async def _check_entropy(bench: _Bench) -> None:
    raw = await bench.device.process(encode_request(GetRandom()))
    assert raw.startswith(_RANDOM_PREFIX), raw[: len(_RANDOM_PREFIX)]
    drawn = [await bench.nsm.random(size) for size in (0, 1, 64, 64, 1000)]
    assert [len(one) for one in drawn] == [0, 1, 64, 64, 1000]
    assert drawn[2] != drawn[3], "the same entropy twice"


async def _check_document(bench: _Bench) -> None:
    said = await bench.attested()
    description = await bench.nsm.describe()
    expected = {
        index: (await bench.nsm.describe_pcr(index)).value
        for index in description.locked_pcrs
    }
    assert said["module_id"] == description.module_id, said["module_id"]
    assert said["digest"] == "SHA384", said["digest"]
    assert said["pcrs"] == expected, "the locked PCRs, and no others"
    assert expect_kind(said["timestamp"], int, "the timestamp") > 0
    for name in ("public_key", "user_data", "nonce"):
        assert said[name] is None, f"{name} was not given"


async def _check_document_fields(bench: _Bench) -> None:
    for size in (1, MAX_ATTESTED_SIZE):
        fields: dict[str, bytes | None] = {
            "public_key": b"k" * size,
            "user_data": b"u" * size,
            "nonce": b"n" * size,
        }
        said = await bench.attested(**fields)
        assert {name: said[name] for name in fields} == fields, f"of {size} bytes"


async def _check_many_at_once(bench: _Bench) -> None:
    expected = [await bench.nsm.describe_pcr(index) for index in range(PCR_COUNT)]

    async def ask(number: int) -> None:
        index = number % PCR_COUNT
        assert await bench.nsm.describe_pcr(index) == expected[index]
        assert len(await bench.nsm.random(number)) == number

    async with trio.open_nursery() as nursery:
        for number in range(_AT_ONCE):
            nursery.start_soon(ask, number)


async def _check_cancelled_request(bench: _Bench) -> None:
    expected = await bench.nsm.describe_pcr(bench.index)
    for passes in range(_CANCELLED):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(bench.nsm.random, 1)
            for _ in range(passes):
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
        assert await bench.nsm.describe_pcr(bench.index) == expected


async def _check_lock(bench: _Bench) -> None:
    value = (await bench.nsm.describe_pcr(bench.index)).value
    await bench.nsm.lock_pcr(bench.index)
    await _expect_read_only(bench.nsm.lock_pcr, bench.index)
    await _expect_read_only(bench.nsm.extend_pcr, bench.index, b"x")
    now = await bench.nsm.describe_pcr(bench.index)
    assert (now.value, now.locked) == (value, True), now
    assert bench.index in (await bench.nsm.describe()).locked_pcrs
    pcrs = expect_kind((await bench.attested())["pcrs"], dict, "the PCRs")
    assert pcrs.get(bench.index) == value, "a PCR that was locked is in documents"


async def _expect_read_only(
    function: Callable[..., Awaitable[object]], *args: object
) -> None:
    code = "nothing"
    try:
        await function(*args)
    except NsmError as error:
        code = error.code
    assert code == NsmErrorCode.READ_ONLY_INDEX, f"{function.__name__}: {code}"


async def _check_lock_range(bench: _Bench) -> None:
    locked = (await bench.nsm.describe()).locked_pcrs
    first_free = min(set(range(PCR_COUNT)) - locked, default=PCR_COUNT)
    for _ in range(2):
        await bench.nsm.lock_pcrs(first_free)
    assert (await bench.nsm.describe()).locked_pcrs == locked


_CHECKS: Final[Mapping[str, Callable[[_Bench], Awaitable[None]]]] = MappingProxyType(
    {
        "it must say what it is": _check_description,
        "there must be 32 PCRs of 48 bytes, locked or not": _check_pcrs,
        "a PCR must be extended with data of any length": _check_extension,
        "an index that no PCR has must be an InvalidIndex": _check_no_such_pcr,
        "what is no request must be an InvalidOperation": _check_nonsense,
        "entropy must come, and as the kernel's driver wants it": _check_entropy,
        "a document must list the locked PCRs, and null for what isn't given": (
            _check_document
        ),
        "a document must carry 1024 bytes in each of its three fields": (
            _check_document_fields
        ),
        "many requests at once must not get mixed up": _check_many_at_once,
        "a cancelled request must not disturb the next": _check_cancelled_request,
        "locking what is locked must be an error, and change nothing": _check_lock,
        "locking a range that is locked must be fine": _check_lock_range,
    }
)
