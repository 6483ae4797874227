"""``python -m benchmarks attestation``: what verifying one document costs.

The document is an emulated one, whose certificates are those of AWS's to the shape,
and which is valid now. Five ECDSA signatures on P-384 have to be checked, four of
certificates and the document's own. The four are remembered for the next document of
the same enclave; what it costs without that is measured as well.

"""

from __future__ import annotations

import base64
import importlib
import logging
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import attrs
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from trionitro.attestation import AttestationPolicy, verify_attestation
from trionitro.attestation._chain import _check_path
from trionitro.testing import AttestationIssuer

from benchmarks import machine
from benchmarks.load_generator import BenchmarkError

__all__ = ["run"]

_MODULE_ID: Final = "i-0123456789abcdef0-enc0123456789abcdef"
_PCRS: Final = {index: bytes([index + 1]) * 48 for index in range(16)}

#: Signatures that no verifier can leave out: of four certificates and the document.
_SIGNATURES: Final = 5

#: An independent verifier in Python, measured where it is installed.
_PEER: Final = "epsilon-attestation-verifier"

Verifier = Callable[[], object]


@attrs.frozen
class Cost:
    """What one call took, in one round.

    Attributes:
      wall: milliseconds.
      cpu: milliseconds of processor time.

    """

    wall: float
    cpu: float


def run(rounds: int, seconds: float) -> None:
    """Measure, and print a table."""
    print(machine.heading())
    with _verifiers() as verifiers:
        costs: dict[str, list[Cost]] = {name: [] for name in verifiers}
        for _ in range(rounds):
            for name, verify in verifiers.items():
                costs[name].append(_measure(verify, seconds))
    print(
        f"\n{'one document':34} {'ms':>7}  {'(least to greatest)':22} {'ms of CPU':>9}"
    )
    for name, measured in costs.items():
        print(_line(name, measured))


def _measure(verify: Verifier, seconds: float) -> Cost:
    calls = 0
    cpu, begin = time.process_time(), time.perf_counter()
    while (wall := time.perf_counter() - begin) < seconds:
        verify()
        calls += 1
    cpu = time.process_time() - cpu
    return Cost(1000 * wall / calls, 1000 * cpu / calls)


def _line(name: str, costs: list[Cost]) -> str:
    walls = sorted(cost.wall for cost in costs)
    spread = f"({walls[0]:.2f} to {walls[-1]:.2f})"
    cpu = statistics.median(cost.cpu for cost in costs)
    return f"{name:34} {statistics.median(walls):7.2f}  {spread:22} {cpu:9.2f}"


@contextmanager
def _verifiers() -> Iterator[Mapping[str, Verifier]]:
    issuer = AttestationIssuer()
    document = issuer.issue(_MODULE_ID, _PCRS, nonce=bytes(32))
    roots = [issuer.root.certificate]
    policy = AttestationPolicy(pcrs={0: _PCRS[0]}, nonce=bytes(32))

    def verify() -> None:
        verify_attestation(document, roots=roots, policy=policy)

    def verify_first() -> None:
        _check_path.cache_clear()
        verify()

    ours = {
        "trionitro": verify,
        "  certificates not seen before": verify_first,
        f"  its {_SIGNATURES} signatures alone": _signatures_alone(),
    }
    with tempfile.NamedTemporaryFile(suffix=".pem") as root:
        Path(root.name).write_bytes(issuer.root_pem)
        yield {**ours, **_peer(document, root.name)}


def _signatures_alone() -> Verifier:
    """Return what checks as many signatures, and does nothing else."""
    key = ec.generate_private_key(ec.SECP384R1())
    algorithm = ec.ECDSA(hashes.SHA384())
    signature = key.sign(b"", algorithm)
    public = key.public_key()

    def check() -> None:
        for _ in range(_SIGNATURES):
            public.verify(signature, b"", algorithm)

    return check


def _peer(document: bytes, root: str) -> Mapping[str, Verifier]:
    try:
        peer = importlib.import_module("epsilon_verifier")
    except ImportError:
        print(f"{_PEER} is not installed, and is left out")
        return {}
    logging.getLogger("epsilon_verifier").setLevel(logging.CRITICAL)
    text = base64.b64encode(document).decode()
    pcr0 = _PCRS[0].hex()

    def verify() -> None:
        result = peer.verify_attestation(
            text, expected_pcr0=pcr0, aws_root_cert_path=root
        )
        if not result.valid:
            raise BenchmarkError(f"{_PEER} refuses the document: {result.error}")

    return {_PEER: verify}
