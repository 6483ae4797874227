"""The registers of the emulator, against a model that fits in ten lines."""

from __future__ import annotations

import hashlib

import cbor2
import pytest
import trio
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from trionitro.nsm import Nsm, NsmError, Pcr
from trionitro.testing import BootMeasurements, NsmEmulator
from trionitro.testing._attestation_issuer import AttestationIssuer

indices = st.integers(0, 31) | st.integers(14, 18)

#: Keys are slow to make, and none of this is about them.
ISSUER = AttestationIssuer()


class Model:
    """What a bank of PCRs does: all of it."""

    def __init__(self, pcrs: dict[int, bytes]) -> None:
        self.pcrs = [pcrs.get(index, bytes(48)) for index in range(32)]
        self.locked = set(range(16))

    def extend(self, index: int, data: bytes) -> str:
        """Say what comes of it."""
        if index in self.locked:
            return "ReadOnlyIndex"
        self.pcrs[index] = hashlib.sha384(self.pcrs[index] + data).digest()
        return "done"

    def lock(self, index: int) -> str:
        """Say what comes of it."""
        answer = "ReadOnlyIndex" if index in self.locked else "done"
        self.locked.add(index)
        return answer

    def lock_range(self, count: int) -> str:
        """Say what comes of it."""
        self.locked |= set(range(count))
        return "done"


class PcrBankMachine(RuleBasedStateMachine):
    """Does the same to an emulator, through the client, and to the model."""

    def __init__(self) -> None:
        super().__init__()
        boot = BootMeasurements(role_arn="arn:aws:iam::1:role/x")
        self.nsm = Nsm(NsmEmulator(boot, issuer=ISSUER))
        self.model = Model(dict(boot.pcrs()))

    @rule(index=indices, data=st.binary(max_size=100))
    def extend(self, index: int, data: bytes) -> None:
        """Extend a PCR, locked or not."""
        expected = self.model.extend(index, data)

        assert self.outcome("extend_pcr", index, data) == expected

    @rule(index=indices)
    def lock(self, index: int) -> None:
        """Lock a PCR, locked or not."""
        assert self.outcome("lock_pcr", index) == self.model.lock(index)

    @rule(count=st.integers(0, 20))
    def lock_range(self, count: int) -> None:
        """Lock the first PCRs."""
        assert self.outcome("lock_pcrs", count) == self.model.lock_range(count)

    @rule(nonce=st.none() | st.binary(max_size=10))
    def attest(self, nonce: bytes | None) -> None:
        """Have a document made: it lists what is locked."""

        async def attest() -> bytes:
            return await self.nsm.attest(nonce=nonce)

        said = cbor2.loads(cbor2.loads(trio.run(attest))[2])

        assert said["nonce"] == nonce
        assert said["pcrs"] == {
            index: self.model.pcrs[index] for index in self.model.locked
        }

    @rule(index=indices)
    def describe(self, index: int) -> None:
        """Look at a PCR."""

        async def describe() -> Pcr:
            return await self.nsm.describe_pcr(index)

        self.check(trio.run(describe))

    def teardown(self) -> None:
        """Look at all of them in the end."""

        async def describe() -> list[Pcr]:
            assert (await self.nsm.describe()).locked_pcrs == self.model.locked
            return [await self.nsm.describe_pcr(index) for index in range(32)]

        for pcr in trio.run(describe):
            self.check(pcr)

    def check(self, pcr: Pcr) -> None:
        """Compare a PCR with the model's."""
        assert pcr.value == self.model.pcrs[pcr.index]
        assert pcr.locked == (pcr.index in self.model.locked)

    def outcome(self, method: str, *args: object) -> str:
        """Call a method of the client, and say what came of it."""

        async def call() -> str:
            try:
                await getattr(self.nsm, method)(*args)
            except NsmError as refusal:
                return refusal.code
            return "done"

        return trio.run(call)


PcrBankMachine.TestCase.settings = settings(max_examples=15, stateful_step_count=15)
TestPcrBank = PcrBankMachine.TestCase


def test_nothing_is_zero_that_stands_for_debug_mode() -> None:
    pcrs = BootMeasurements().pcrs()

    assert {0, 1, 2} <= pcrs.keys()
    assert len(set(pcrs.values())) == len(pcrs)


def test_debug_mode_leaves_role_and_instance() -> None:
    boot = BootMeasurements(
        debug_mode=True, role_arn="arn:aws:iam::1:role/x", pcr8=b"8" * 48
    )

    assert boot.pcrs().keys() == {3, 4}


def test_a_parent_without_a_role_has_a_zero() -> None:
    assert BootMeasurements().pcrs().keys() == {0, 1, 2, 4}


def test_a_measurement_has_48_bytes() -> None:
    with pytest.raises(ValueError, match="pcr1 has 47 bytes, must have 48"):
        BootMeasurements(pcr1=bytes(47))
