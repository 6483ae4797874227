"""What a machine is taken for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tests.doctor.cases import case
from trionitro.doctor import Kind, identify


@pytest.mark.parametrize("kind", ["parent", "enclave", "vm", "machine"])
def test_a_sound_machine_is_what_it_is(kind: Kind) -> None:
    assert identify(case(kind).facts)[0] == kind


@pytest.mark.parametrize(
    ("like", "changes", "facts", "kind", "word"),
    [
        ("parent", {"/dev/nitro_enclaves": None}, {}, "parent", "m5.xlarge"),
        (
            "parent",
            {
                "/dev/nitro_enclaves": None,
                "/sys/class/dmi/id/product_name": None,
            },
            {},
            "parent",
            "type unknown",
        ),
        ("enclave", {"/dev/nsm": None}, {"cid": 16}, "enclave", "16"),
        ("enclave", {"/dev/nsm": None}, {"cid": 3}, "vm", "CID 3"),
        ("enclave", {"/dev/nsm": None}, {}, "machine", "no sign"),
        (
            "parent",
            {},
            {"nsm": "unix:/run/nsm.sock", "interfaces": {"lo": 9}},
            "enclave",
            "sandbox",
        ),
        ("machine", {}, {"nsm": "unix:/run/nsm.sock"}, "machine", "no sign"),
        (
            "vm",
            {
                "/sys/class/dmi/id/sys_vendor": None,
                "/sys/class/dmi/id/product_name": None,
            },
            {},
            "vm",
            "processor",
        ),
        ("machine", {"/sys/hypervisor/type": "xen"}, {}, "vm", "xen"),
        ("machine", {}, {"cid": 3}, "vm", "CID 3"),
        ("machine", {}, {"cid": 16, "vsock": "local:/v"}, "machine", "no sign"),
    ],
)
def test_a_machine_that_lacks_something_is_taken_for_what_is_likely(
    like: Kind,
    changes: Mapping[str, str | None],
    facts: dict[str, Any],
    kind: str,
    word: str,
) -> None:
    found, reason = identify(case(like, changes, **facts).facts)

    assert found == kind
    assert word in reason
