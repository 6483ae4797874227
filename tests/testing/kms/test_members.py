from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trionitro.testing._kms._faults import KmsFault
from trionitro.testing._kms._inputs import INPUTS
from trionitro.testing._kms._members import read_input


def refusal(operation: str, value: Any) -> KmsFault:
    with pytest.raises(KmsFault) as caught:
        read_input(INPUTS[operation], value)
    return caught.value


def test_members_are_read_and_unknown_ones_ignored() -> None:
    found = read_input(
        INPUTS["Encrypt"],
        {
            "KeyId": "alias/app",
            "Plaintext": "aGk=",
            "EncryptionContext": {"a": "b"},
            "GrantTokens": ["x"],
            "DryRun": False,
            "EncryptionAlgorithm": None,
            "Future": 1,
        },
    )

    assert found == {
        "KeyId": "alias/app",
        "Plaintext": b"hi",
        "EncryptionContext": {"a": "b"},
        "GrantTokens": ["x"],
        "DryRun": False,
    }


@pytest.mark.parametrize(
    ("operation", "value", "what", "must"),
    [
        (
            *("GenerateRandom", {"NumberOfBytes": 1025}, "Value '1025' at"),
            "have value less than or equal to 1024",
        ),
        (
            *("GenerateRandom", {"NumberOfBytes": 0}, "Value '0' at 'numberOfBytes'"),
            "have value greater than or equal to 1",
        ),
        ("DescribeKey", {}, "Value null at 'keyId'", "not be null"),
        (
            *("DescribeKey", {"KeyId": "x" * 2049}, "xxx' at 'keyId'"),
            "have length less than or equal to 2048",
        ),
        (
            *("Decrypt", {"CiphertextBlob": ""}, "Value at 'ciphertextBlob'"),
            "have length greater than or equal to 1",
        ),
        (
            *("GenerateDataKey", {"KeyId": "x", "KeySpec": "AES_512"}, "'AES_512' at"),
            "satisfy enum value set: [AES_256, AES_128]",
        ),
        (
            "Decrypt",
            {"CiphertextBlob": "AA==", "Recipient": {"KeyEncryptionAlgorithm": "x"}},
            "Value 'x' at 'recipient.keyEncryptionAlgorithm'",
            "satisfy enum value set: [RSAES_OAEP_SHA_256]",
        ),
        (
            *("CreateAlias", {"AliasName": "ä", "TargetKeyId": "x"}, "'aliasName'"),
            "satisfy regular expression pattern: ",
        ),
        (
            "Encrypt",
            {"KeyId": "x", "Plaintext": "aGk=", "GrantTokens": ["x"] * 11},
            "Value at 'grantTokens'",
            "have length less than or equal to 10",
        ),
    ],
)
def test_what_is_outside_the_limits_is_said_in_aws_s_words(
    operation: str, value: dict[str, Any], what: str, must: str
) -> None:
    fault = refusal(operation, value)

    assert fault.code == "ValidationException"
    assert fault.message.startswith("1 validation error detected: Value ")
    assert what in fault.message
    assert f" failed to satisfy constraint: Member must {must}" in fault.message


def test_all_that_is_wrong_is_said_at_once() -> None:
    fault = refusal("GenerateDataKeyPair", {"KeyPairSpec": "RSA_1024"})

    assert fault.message.startswith("2 validation errors detected: ")
    assert "'keyId'" in fault.message
    assert "'keyPairSpec'" in fault.message


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ([], "LIST_VALUE can not be converted to a Structure"),
        ({"KeyId": 5}, "INT_VALUE can not be converted to a String"),
        ({"Plaintext": "no!"}, "'plaintext' is not base64"),
        ({"EncryptionContext": {"a": 1}}, "INT_VALUE"),
        ({"DryRun": "true"}, "Boolean"),
        ({"GrantTokens": "x"}, "List"),
    ],
)
def test_a_wrong_type_is_a_serialization_exception(value: Any, words: str) -> None:
    fault = refusal("Encrypt", value)

    assert fault.code == "SerializationException"
    assert words in fault.message


def test_a_truth_value_is_no_number() -> None:
    assert refusal("GenerateRandom", {"NumberOfBytes": True}).code == (
        "SerializationException"
    )


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(sorted({m for s in INPUTS.values() for m in s.members})),
            inner,
            max_size=4,
        )
    ),
)


@given(st.sampled_from(sorted(INPUTS)), json_values)
def test_any_input_is_read_or_refused(operation: str, value: Any) -> None:
    try:
        found = read_input(INPUTS[operation], value)
    except KmsFault:
        return
    assert found.keys() <= INPUTS[operation].members.keys()
