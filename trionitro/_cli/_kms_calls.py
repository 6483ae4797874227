"""``trionitro kms decrypt``, ``encrypt`` and ``generate-…``."""

from __future__ import annotations

from typing import Any, Final

import click

from trionitro._cli._kms_client import (
    Target,
    call_kms,
    client_options,
    context_option,
    read_blob,
    read_file,
    text_of,
)
from trionitro._cli._options import FILE
from trionitro._cli._output import say_bytes, say_json, write_file

__all__ = [
    "decrypt",
    "encrypt",
    "generate_data_key",
    "generate_data_key_pair",
    "generate_random",
]

Context = tuple[tuple[str, str], ...]

_PAIR_SPECS: Final = (
    *("RSA_2048", "RSA_3072", "RSA_4096"),
    *("ECC_NIST_P256", "ECC_NIST_P384", "ECC_NIST_P521"),
    *("ECC_SECG_P256K1", "ECC_NIST_EDWARDS25519"),
)

_key_id = click.option(
    "--key-id", required=True, metavar="K", help="Key ID, alias or ARN."
)

_ciphertext_out = click.option(
    "--ciphertext-out",
    type=FILE,
    metavar="FILE",
    help="Where the encrypted key goes.  [default: standard error, in base64]",
)


@click.command()
@click.argument("file", type=FILE)
@click.option("--key-id", metavar="K", help="Under which key it must be encrypted.")
@context_option
@client_options
def decrypt(
    *, file: str, key_id: str | None, context: Context, as_json: bool, **target: Any
) -> None:
    """Decrypt FILE, with this enclave's attestation.

    FILE is what KMS encrypted, in binary or base64; - is standard input. The
    plaintext goes to standard output: as it is, or in base64 on a terminal.
    """
    client = Target(**target).client()
    decrypted = call_kms(
        client,
        client.decrypt,
        read_blob(file),
        key_id=key_id,
        encryption_context=dict(context),
    )
    if as_json:
        plaintext = text_of(decrypted.plaintext)
        say_json({"key_id": decrypted.key_id, "plaintext": plaintext})
    else:
        _say(decrypted.plaintext)


@click.command()
@click.argument("file", type=FILE)
@_key_id
@context_option
@client_options
def encrypt(
    *, file: str, key_id: str, context: Context, as_json: bool, **target: Any
) -> None:
    """Encrypt FILE, up to 4096 bytes, as it is; - is standard input.

    This attests nothing: KMS sees the plaintext, and so does whoever runs this.
    """
    client = Target(**target).client()
    encrypted = call_kms(
        client,
        client.encrypt,
        key_id,
        read_file(file),
        encryption_context=dict(context),
    )
    if as_json:
        ciphertext = text_of(encrypted.ciphertext)
        say_json({"key_id": encrypted.key_id, "ciphertext": ciphertext})
    else:
        _say(encrypted.ciphertext)


@click.command("generate-data-key")
@_key_id
@click.option(
    "--bytes",
    "size",
    type=click.IntRange(1, 1024),
    default=32,
    show_default=True,
    metavar="N",
    help="How long.",
)
@_ciphertext_out
@context_option
@client_options
def generate_data_key(
    *,
    key_id: str,
    size: int,
    ciphertext_out: str | None,
    context: Context,
    as_json: bool,
    **target: Any,
) -> None:
    """Have KMS make a key for this enclave, and encrypt it to be kept.

    The key goes to standard output: as it is, or in base64 on a terminal.
    """
    client = Target(**target).client()
    key = call_kms(
        client,
        client.generate_data_key,
        key_id,
        number_of_bytes=size,
        encryption_context=dict(context),
    )
    if as_json:
        say_json(
            {
                "key_id": key.key_id,
                "plaintext": text_of(key.plaintext),
                "ciphertext": text_of(key.ciphertext),
            }
        )
        return
    _keep("ciphertext", key.ciphertext, ciphertext_out)
    _say(key.plaintext)


@click.command("generate-data-key-pair")
@_key_id
@click.option(
    "--spec", required=True, type=click.Choice(_PAIR_SPECS), help="What kind of key."
)
@_ciphertext_out
@click.option(
    "--public-key-out",
    type=FILE,
    metavar="FILE",
    help="Where the public key goes, in DER.  [default: standard error, in base64]",
)
@context_option
@client_options
def generate_data_key_pair(
    *,
    key_id: str,
    spec: str,
    ciphertext_out: str | None,
    public_key_out: str | None,
    context: Context,
    as_json: bool,
    **target: Any,
) -> None:
    """Have KMS make a key pair for this enclave, and encrypt it to be kept.

    The private key goes to standard output, as PKCS#8: in DER, or in base64 on a
    terminal.
    """
    client = Target(**target).client()
    pair = call_kms(
        client,
        client.generate_data_key_pair,
        key_id,
        spec,
        encryption_context=dict(context),
    )
    if as_json:
        say_json(
            {
                "key_id": pair.key_id,
                "spec": pair.spec,
                "private_key": text_of(pair.private_key),
                "private_key_ciphertext": text_of(pair.private_key_ciphertext),
                "public_key": text_of(pair.public_key),
            }
        )
        return
    _keep("ciphertext", pair.private_key_ciphertext, ciphertext_out)
    _keep("public key", pair.public_key, public_key_out)
    _say(pair.private_key)


@click.command("generate-random")
@click.argument("size", type=click.IntRange(1, 1024), metavar="N")
@client_options
def generate_random(*, size: int, as_json: bool, **target: Any) -> None:
    """Have KMS make N random bytes, 1 to 1024, for this enclave."""
    client = Target(**target).client()
    data = call_kms(client, client.generate_random, size)
    if as_json:
        say_json({"plaintext": text_of(data)})
    else:
        _say(data)


def _say(data: bytes) -> None:
    say_bytes(data, as_text=text_of(data))


def _keep(what: str, data: bytes, path: str | None) -> None:
    """Write what is not secret to a file, or where it isn't lost."""
    if path is None:
        click.echo(f"{what}: {text_of(data)}", err=True)
    else:
        write_file(path, data)
