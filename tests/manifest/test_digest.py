from __future__ import annotations

import pytest

from tests.manifest.manifests import ENCLAVE, WHOLE, egress, plan_of
from trionitro.manifest import digest_of, parse_manifest


def digest(text: str, source: str = "nitro.toml") -> str:
    return digest_of(parse_manifest(text, source=source)).hex()


def test_it_is_a_sha_256_and_stays_what_it_is() -> None:
    # Changed by mistake, it would part halves that belong together.
    assert digest(ENCLAVE) == plan_of("").digest.hex()
    assert digest(ENCLAVE) == (
        "bab4291c10624a406241d6fea44de260425b85d0ee2823871f551f4a7160d3d7"
    )


@pytest.mark.parametrize(
    "same",
    [
        ENCLAVE + "# a comment",
        ENCLAVE.replace('"', "'"),
        ENCLAVE.replace("16", "0x10"),
        ENCLAVE + "restart = 'never'",
        ENCLAVE + "[logs]\n[control]\nwait = 60",
        ENCLAVE + "[image]\neif = 'a.eif'\nmemory = 512",
        ENCLAVE + "[kubernetes]\nreplicas = 9",
        ENCLAVE + "[sandbox]\nkms_emulator = true",
    ],
)
def test_what_both_halves_don_t_act_on_is_not_in_it(same: str) -> None:
    assert digest(same, "/elsewhere/nitro.toml") == digest(ENCLAVE)


def test_what_both_halves_act_on_is_in_it() -> None:
    texts = [
        ENCLAVE,
        ENCLAVE.replace("16", "17"),
        ENCLAVE.replace("-m", "-u"),
        ENCLAVE + "environment = {A = '1'}",
        ENCLAVE + egress("a"),
        ENCLAVE + egress("a") + egress("b"),
        ENCLAVE + egress("b") + egress("a"),
        ENCLAVE + "[credentials]",
        ENCLAVE + "[control]\nheartbeat = 9",
        WHOLE,
    ]

    assert len({digest(text) for text in texts}) == len(texts)
