"""What registers measure."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from tests.vectors import needs_vectors, vectors
from trionitro.nsm import (
    PCR_COUNT,
    ZERO_PCR,
    extend,
    measure_certificate,
    measure_instance,
    measure_role,
    pcr_condition,
    pcr_meaning,
)


def examples(part: str) -> list[dict[str, Any]]:
    (path,) = vectors("nsm/wire.json")
    found: list[dict[str, Any]] = json.loads(path.read_text())[part]
    return found


@needs_vectors
def test_extending_is_a_hash_of_value_and_data() -> None:
    for example in examples("extend_examples"):
        start, data = bytes.fromhex(example["start"]), bytes.fromhex(example["data"])

        assert extend(start, data).hex() == example["result"]


@needs_vectors
def test_role_and_instance_are_measured_as_aws_does() -> None:
    values = {example["pcr"]: example for example in examples("pcr_examples")}

    assert measure_role(values[3]["role_arn"]).hex() == values[3]["value"]
    assert measure_instance(values[4]["instance_id"]).hex() == values[4]["value"]


def test_a_certificate_is_hashed_before_it_is_measured() -> None:
    hashed = hashlib.sha384(b"der").digest()

    assert measure_certificate(b"der") == extend(ZERO_PCR, hashed)


def test_a_key_policy_asks_for_a_pcr_by_its_number() -> None:
    assert pcr_condition(0) == "kms:RecipientAttestation:PCR0"
    assert pcr_condition(31) == "kms:RecipientAttestation:PCR31"


def test_every_pcr_has_a_meaning() -> None:
    meanings = [pcr_meaning(index) for index in range(PCR_COUNT)]

    assert meanings[3] == "the IAM role of the parent"
    assert meanings[5] == meanings[15] == "nothing (reserved)"
    assert set(meanings[16:]) == {"what the application extends it with"}


@pytest.mark.parametrize("index", [-1, 32])
def test_there_are_no_others(index: int) -> None:
    for function in (pcr_meaning, pcr_condition):
        with pytest.raises(ValueError, match=f"from 0 to 31, not {index}"):
            function(index)
