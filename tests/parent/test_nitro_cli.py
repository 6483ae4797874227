from __future__ import annotations

from pathlib import Path

import pytest

from tests.parent.nitro import FakeNitro
from trionitro.manifest import Enclave, Image
from trionitro.parent import NitroCli, NitroCliError

ENCLAVE = Enclave(name="signer", cid=16, command=("app",))
IMAGE = Image(eif="/srv/signer image.eif", memory=1024, cpus=4, debug=True)


@pytest.fixture(name="nitro")
def _nitro(tmp_path: Path) -> FakeNitro:
    return FakeNitro.in_directory(tmp_path)


async def test_an_enclave_is_started_described_and_terminated(nitro: FakeNitro) -> None:
    enclave_id = await nitro.cli.run(ENCLAVE, IMAGE)
    (found,) = await nitro.cli.describe()
    await nitro.cli.terminate(enclave_id)

    assert found.enclave_id == enclave_id
    assert (found.name, found.cid, found.is_running) == ("signer", 16, True)
    assert await nitro.cli.describe() == []
    started, terminated = nitro.calls
    assert started == (
        "run-enclave --enclave-name signer --enclave-cid 16"
        " --eif-path /srv/signer image.eif --memory 1024 --cpu-count 4 --debug-mode"
    )
    assert terminated == f"terminate-enclave --enclave-id {enclave_id}"


@pytest.mark.parametrize(
    ("changes", "is_running", "is_debug"),
    [({}, True, False), ({"State": "TERMINATING", "Flags": "DEBUG_MODE"}, False, True)],
)
async def test_state_and_flags_are_read(
    nitro: FakeNitro, changes: dict[str, str], is_running: bool, is_debug: bool
) -> None:
    nitro.start(**changes)

    (found,) = await nitro.cli.describe()

    assert (found.is_running, found.is_debug) == (is_running, is_debug)


async def test_an_older_nitro_cli_knows_no_names(nitro: FakeNitro) -> None:
    nitro.answer('[{"EnclaveID": "i-1-enc1", "EnclaveCID": 16, "State": "RUNNING"}]')

    (found,) = await nitro.cli.describe()

    assert found.name is None


async def test_what_nitro_cli_complains_about_is_passed_on(nitro: FakeNitro) -> None:
    nitro.refuse("[ E27 ] Insufficient memory requested.\n\nFor more details, …")

    with pytest.raises(NitroCliError, match=r"run-enclave failed: \[ E27 \] Insuff"):
        await nitro.cli.run(ENCLAVE, IMAGE)


@pytest.mark.parametrize("answer", ["", "{}x", '{"a": 1}', "[1]", "[{}]", "null"])
async def test_what_makes_no_sense_is_an_error(nitro: FakeNitro, answer: str) -> None:
    nitro.answer(answer)

    with pytest.raises(NitroCliError, match="describe-enclaves answered"):
        await nitro.cli.describe()


async def test_without_nitro_cli_it_says_what_to_do() -> None:
    with pytest.raises(NitroCliError, match="install aws-nitro-enclaves-cli"):
        await NitroCli("/no/such/nitro-cli").describe()
