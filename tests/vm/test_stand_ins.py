"""The emulated KMS believes the guest's signer, and that signer alone."""

from __future__ import annotations

import stat
from pathlib import Path

import attrs

from tests.vm.test_job import EMULATED, plan_of
from trionitro.nsm import Nsm
from trionitro.testing import NsmEmulator
from trionitro.vm._stand_ins import StandIns, read_resigner


def stand_ins_in(directory: Path, files: bytes = b"digest") -> StandIns:
    made = StandIns.if_wanted(
        plan_of(EMULATED), directory=directory, files=files, kms_keys=None
    )
    assert made is not None
    return made


def write(directory: Path, files: bytes = b"digest") -> tuple[StandIns, Path]:
    stand_ins = stand_ins_in(directory, files)
    for name in ("work", "tree"):
        (directory / name).mkdir()
    stand_ins.write_files(directory / "work", directory / "tree")
    return stand_ins, directory / "work" / "attestation"


def test_without_an_emulated_kms_there_are_none(tmp_path: Path) -> None:
    assert (
        StandIns.if_wanted(plan_of(), directory=tmp_path, files=b"", kms_keys=None)
        is None
    )


async def test_a_signer_made_from_the_files_is_believed(tmp_path: Path) -> None:
    stand_ins, written = write(tmp_path)
    resigner = attrs.evolve(read_resigner(written), device=NsmEmulator())

    document = await Nsm(resigner).attest()

    verified = stand_ins.kms.emulator
    assert verified.attestation_roots[0] == resigner.issuer.root.certificate
    assert document


async def test_what_is_attested_stands_for_the_files(tmp_path: Path) -> None:
    pcrs = []
    for name, digest in (("one", b"1"), ("other", b"2")):
        (tmp_path / name).mkdir()
        pcrs.append(read_resigner(write(tmp_path / name, digest)[1]).pcrs)

    assert pcrs[0][0] != pcrs[1][0]
    assert pcrs[0][4] == pcrs[1][4]


def test_the_key_is_for_root_alone(tmp_path: Path) -> None:
    _, written = write(tmp_path)

    assert stat.S_IMODE((written / "root.pem").stat().st_mode) == 0o600
    assert stat.S_IMODE(written.stat().st_mode) == 0o700


def test_every_run_has_a_root_of_its_own(tmp_path: Path) -> None:
    one, other = stand_ins_in(tmp_path), stand_ins_in(tmp_path)

    assert one.kms.emulator.attestation_roots != other.kms.emulator.attestation_roots
