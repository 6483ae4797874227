from __future__ import annotations

import pytest

from tests.manifest.manifests import ENCLAVE, egress, ingress
from trionitro import ConfigError
from trionitro.manifest import Plan, check_together, parse_plan

OTHER = ENCLAVE.replace("16", "17").replace('"signer"\n', '"other"\n')


def plans_of(first: str, second: str) -> dict[str, Plan]:
    """Plan two manifests."""
    return {
        name: parse_plan(text, source=name)
        for name, text in {"a.toml": first, "b.toml": second}.items()
    }


def test_other_names_and_cids_get_along_without_a_word_about_ports() -> None:
    check_together(plans_of(ENCLAVE + egress("a"), OTHER + egress("a")))


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        (ENCLAVE, ENCLAVE, ["name signer"]),
        (ENCLAVE, OTHER.replace("17", "16"), ["CID 16"]),
        (
            ENCLAVE + egress("a", vsock_port=5000),
            OTHER + egress("b", vsock_port=5000),
            ["vsock port 5000", "egress[0]"],
        ),
        (
            ENCLAVE + ingress("0.0.0.0:80"),
            OTHER + ingress("127.0.0.1:80"),
            ["tcp://0.0.0.0:80", "tcp://127.0.0.1:80"],
        ),
    ],
)
def test_what_both_want_is_named_with_both_files(
    first: str, second: str, words: list[str]
) -> None:
    with pytest.raises(ConfigError) as problem:
        check_together(plans_of(first, second))

    for word in [*words, "a.toml", "b.toml"]:
        assert word in str(problem.value)
