from __future__ import annotations

import datetime as dt
import math
from typing import Any

import pytest

from tests.attestation.drafts import MODULE_ID, NOW, PCRS, good_draft
from trionitro import ConfigError
from trionitro.attestation import (
    At,
    AttestationDocument,
    AttestationPolicy,
    DebugEnclave,
    DocumentFromFuture,
    DocumentTooOld,
    ModuleIdMismatch,
    NonceMismatch,
    PcrMismatch,
    PolicyMismatch,
    PublicKeyMismatch,
    UserDataMismatch,
    verify_attestation,
)

ZERO = bytes(48)
DEBUG = PCRS | dict.fromkeys((0, 1, 2), ZERO)
ANYTHING = AttestationPolicy(allow_debug=True)


def verified(**fields: Any) -> AttestationDocument:
    draft = good_draft().with_(**fields)
    root = draft.chain[0].certificate
    return verify_attestation(draft.signed(), roots=[root], at=NOW, policy=ANYTHING)


def check(document: AttestationDocument, **wanted: Any) -> None:
    AttestationPolicy(**wanted).check(document, at=NOW)


def refusal(document: AttestationDocument, **wanted: Any) -> PolicyMismatch:
    with pytest.raises(PolicyMismatch) as caught:
        check(document, **wanted)
    assert "\n" not in str(caught.value)
    return caught.value


def test_without_wishes_any_enclave_will_do() -> None:
    check(verified())
    check(verified(nonce=b"nonce", user_data=b"data", public_key=b"key"))


def test_pcrs_that_are_asked_for_must_be_there() -> None:
    check(verified(), pcrs=PCRS)
    check(verified(), pcrs={3: PCRS[3].hex(), 15: PCRS[15]})


@pytest.mark.parametrize("index", PCRS)
def test_a_pcr_that_differs_is_told_with_both_values(index: int) -> None:
    problem = refusal(verified(), pcrs=PCRS | {index: b"?" * 48})

    assert isinstance(problem, PcrMismatch)
    assert problem.index == index
    assert problem.expected == b"?" * 48
    assert problem.actual == PCRS[index]
    assert str(problem).startswith(f"PCR{index} is {PCRS[index].hex()}, must be 3f3f")


def test_a_pcr_that_is_missing_is_a_mismatch_and_not_zero() -> None:
    problem = refusal(verified(), pcrs={16: ZERO})

    assert isinstance(problem, PcrMismatch)
    assert problem.actual is None
    assert "PCR16 is missing" in str(problem)


@pytest.mark.parametrize(
    ("field", "mismatch"),
    [
        ("nonce", NonceMismatch),
        ("user_data", UserDataMismatch),
        ("public_key", PublicKeyMismatch),
    ],
)
def test_a_field_must_be_equal_and_empty_is_not_null(
    field: str, mismatch: type[NonceMismatch]
) -> None:
    null, empty, full = (verified(**{field: value}) for value in (None, b"", b"abc"))

    check(empty, **{field: b""})
    check(full, **{field: b"abc"})
    for document, expected in (
        (null, b""),
        (null, b"abc"),
        (empty, b"abc"),
        (full, b""),
        (full, b"ab"),
        (full, b"abcd"),
    ):
        problem = refusal(document, **{field: expected})
        assert isinstance(problem, mismatch)
        assert problem.expected == expected
        assert problem.actual == getattr(document, field)


def test_a_long_field_is_shown_shortened() -> None:
    problem = refusal(verified(public_key=bytes(1000)), public_key=b"")

    assert str(problem) == (
        f"the public key is {'00' * 64}… (1000 bytes), must be empty"
    )


def test_the_enclave_s_name_may_be_asked_for() -> None:
    check(verified(), module_id=MODULE_ID)

    problem = refusal(verified(), module_id="i-0")

    assert isinstance(problem, ModuleIdMismatch)
    assert (problem.expected, problem.actual) == ("i-0", MODULE_ID)


def test_debug_mode_is_refused_unless_it_is_allowed() -> None:
    document = verified(pcrs=DEBUG)

    check(document, allow_debug=True)
    assert isinstance(refusal(document), DebugEnclave)
    assert isinstance(refusal(document, pcrs={4: PCRS[4]}), DebugEnclave)


@pytest.mark.parametrize("index", [0, 1, 2])
def test_an_image_of_zeros_is_a_mistake_unless_debug_mode_is_allowed(
    index: int,
) -> None:
    with pytest.raises(ConfigError, match=f"PCR{index} is zero in debug mode only"):
        AttestationPolicy(pcrs={index: ZERO})

    check(verified(pcrs=DEBUG), pcrs={index: ZERO}, allow_debug=True)


def test_other_pcrs_may_be_zero() -> None:
    """PCR8 is, where the image isn't signed; and PCR3 without a role."""
    pcrs = PCRS | {3: ZERO, 8: ZERO}

    check(verified(pcrs=pcrs), pcrs={3: ZERO, 8: ZERO})


@pytest.mark.parametrize("max_age", [60, 60.0, dt.timedelta(minutes=1)])
def test_a_document_may_be_as_old_as_the_policy_says(max_age: Any) -> None:
    policy = AttestationPolicy(max_age=max_age)
    minute = dt.timedelta(minutes=1)

    policy.check(verified(), at=NOW + minute)
    with pytest.raises(DocumentTooOld, match="may be 60 seconds old") as caught:
        policy.check(verified(), at=NOW + minute + dt.timedelta(milliseconds=1))

    assert caught.value.timestamp == NOW
    assert caught.value.max_age == minute


def test_without_a_limit_a_document_may_be_of_any_age() -> None:
    AttestationPolicy().check(verified(), at=NOW + dt.timedelta(days=1000))


def test_a_document_may_be_from_the_future_as_far_as_clocks_differ() -> None:
    skew = dt.timedelta(minutes=5)

    AttestationPolicy().check(verified(), at=NOW - skew)
    with pytest.raises(DocumentFromFuture, match="clock") as caught:
        AttestationPolicy().check(
            verified(), at=NOW - skew - dt.timedelta(milliseconds=1)
        )
    with pytest.raises(DocumentFromFuture):
        AttestationPolicy(max_skew=dt.timedelta(0)).check(
            verified(), at=NOW - dt.timedelta(milliseconds=1)
        )

    assert (caught.value.timestamp, caught.value.max_skew) == (NOW, skew)


def test_at_its_own_timestamp_a_document_is_as_old_as_it_is_now() -> None:
    """Or it would never be too old, whatever the policy says."""
    policy = AttestationPolicy(max_age=3600)

    AttestationPolicy().check(verified(), at=At.DOCUMENT_TIMESTAMP)
    with pytest.raises(DocumentTooOld):
        policy.check(verified(), at=At.DOCUMENT_TIMESTAMP)


def test_now_is_when_nothing_else_is_said() -> None:
    AttestationPolicy().check(verified())
    with pytest.raises(DocumentTooOld):
        AttestationPolicy(max_age=3600).check(verified())


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({"pcrs": {32: b"x" * 48}}, "no PCR 32"),
        ({"pcrs": {-1: b"x" * 48}}, "no PCR -1"),
        ({"pcrs": {7: b"x" * 32}}, "PCR7 has 32 bytes, must have 48"),
        ({"pcrs": {7: "00" * 47}}, "PCR7 has 47 bytes"),
        ({"pcrs": {7: "0x" + "00" * 47}}, "PCR7 is not in hexadecimal"),
        ({"max_age": -1}, "max_age must not be negative"),
        ({"max_age": math.nan}, "max_age .* nan"),
        ({"max_age": math.inf}, "max_age .* inf"),
        ({"max_age": 1e300}, "max_age .* 1e"),
        ({"max_age": dt.timedelta(-1)}, "max_age must not be negative"),
        ({"max_skew": dt.timedelta(-1)}, "max_skew must not be negative"),
    ],
)
def test_a_policy_that_can_t_be_met_is_refused(
    wanted: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        AttestationPolicy(**wanted)
