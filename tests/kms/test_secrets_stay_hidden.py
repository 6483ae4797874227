"""Secrets are planted everywhere, and looked for in all that anybody may see."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from trio.testing import MockClock

from tests.kms.fake_kms import CREDENTIALS, SECRET, TOKEN, World, error, fake_world
from trionitro._http_server import HttpResponse
from trionitro.kms import SealedStore

PLAINTEXT = b"PLAINTEXT-MARKER"

MARKERS = [SECRET, TOKEN, PLAINTEXT.decode(), PLAINTEXT.hex()]


def everything(value: object, seen: set[int]) -> Iterator[str]:
    """Yield the repr of ``value`` and of what its attributes hold."""
    yield repr(value)
    yield str(value)
    if id(value) in seen or not type(value).__module__.startswith("trionitro"):
        return
    seen.add(id(value))
    for name in getattr(type(value), "__slots__", ()) or vars(value):
        inner = getattr(value, name, None)
        if type(inner).__module__.startswith("trionitro"):
            yield from everything(inner, seen)


def check_hidden(*texts: str) -> None:
    for text in texts:
        for marker in MARKERS:
            assert marker not in text


async def fail_with(world: World, answer: HttpResponse) -> None:
    world.kms.answers.extend([answer] * 3)
    await world.client.encrypt("k", PLAINTEXT)


@pytest.mark.parametrize(
    "answer",
    [
        error("AccessDeniedException", "no"),
        error("KMSInternalException", "sorry", status=500),
        HttpResponse(body=b"nonsense"),
        HttpResponse(body=b'{"CiphertextBlob": 7}'),
    ],
    ids=lambda answer: str(answer.status),
)
async def test_errors_tracebacks_and_logs_have_no_secret(
    answer: HttpResponse, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="httpcore")
    with capture_logs() as logs:
        async with fake_world() as world:
            with pytest.raises(Exception) as caught:  # noqa: PT011
                await fail_with(world, answer)

    shown = "".join(traceback.format_exception(caught.value))
    assert "httpcore" in caplog.text
    check_hidden(shown, repr(caught.value), repr(logs), caplog.text)


async def test_no_record_and_no_client_shows_a_secret(tmp_path: Path) -> None:
    async with fake_world() as world:
        encrypted = await world.client.encrypt("k", PLAINTEXT)
        decrypted = await world.client.decrypt(encrypted.ciphertext)
        key = await world.client.generate_data_key("k")
        pair = await world.client.generate_data_key_pair("k", "ECC_NIST_P256")
        store = SealedStore(
            directory=tmp_path, kms=world.client, key_id="k", identity="x"
        )
        await store.put("a", PLAINTEXT)
        sealed = await store.get("a")

    assert decrypted.plaintext == sealed.value == PLAINTEXT
    for thing in (encrypted, decrypted, key, pair, sealed, world.client, CREDENTIALS):
        check_hidden(*everything(thing, set()))
    for thing in (key, pair):
        assert "plaintext" not in repr(thing)
        assert "private_key" not in repr(thing)
