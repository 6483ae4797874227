"""``trionitro kms create-key``: a key that only an enclave can decrypt with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from trionitro._cli._kms_client import Target, call_kms, client_options
from trionitro._cli._options import Parsed
from trionitro._cli._output import say, say_json
from trionitro._exceptions import ConfigError
from trionitro.kms import KeyPolicy, enclave_key_policy

__all__ = ["create_key"]

F = TypeVar("F", bound=Callable[..., Any])


def _pcr(text: str) -> tuple[int, str]:
    index, equals, value = text.partition("=")
    if not equals or not index.isdecimal() or len(index) > 2:
        raise ConfigError(f"{text!r} is not of the form N=HEX; write 8=00ff…")
    return int(index), value


def _arns(option: str, name: str, help_text: str) -> Callable[[F], F]:
    return click.option(option, name, multiple=True, metavar="ARN", help=help_text)


@click.command("create-key")
@click.option(
    "--principal",
    required=True,
    metavar="ARN",
    help="The role that the enclave signs with.",
)
@_arns("--administrator", "administrators", "May look after the key (repeatable).")
@_arns(
    "--policy-administrator",
    "policy_administrators",
    "May change its policy, and so let anybody decrypt (repeatable).",
)
@_arns("--encrypter", "encrypters", "May encrypt for the enclave (repeatable).")
@click.option(
    "--pcr",
    "pcrs",
    type=Parsed("pcr", _pcr),
    multiple=True,
    metavar="N=HEX",
    help="What a PCR must be (repeatable; of one PCR: alternatives).",
)
@click.option(
    "--image-sha384",
    "images",
    multiple=True,
    metavar="HEX",
    help="What PCR0 must be (repeatable: alternatives).",
)
@click.option("--allow-debug", is_flag=True, help="Take PCRs of zeros.")
@click.option("--description", default="", metavar="TEXT", help="For people.")
@click.option("--spec", default="SYMMETRIC_DEFAULT", show_default=True, metavar="S")
@click.option("--usage", default="ENCRYPT_DECRYPT", show_default=True, metavar="U")
@click.option("--print-policy", is_flag=True, help="Print the policy, and make no key.")
@click.option(
    "--accept-lock-out",
    is_flag=True,
    help="Make a key whose policy nobody can ever change.",
)
@client_options
def create_key(
    *,
    description: str,
    spec: str,
    usage: str,
    print_policy: bool,
    accept_lock_out: bool,
    as_json: bool,
    **settings: Any,
) -> None:
    """Make a key under a policy that admits one enclave, and print its ARN.

    What to know about the policy is said on standard error.
    """
    policy = _policy(
        **{name: settings.pop(name) for name in _POLICY_SETTINGS if name in settings}
    )
    for note in policy.notes:
        click.echo(f"note: {note}", err=True)
    if print_policy:
        say(str(policy))
        return
    if policy.locks_out and not accept_lock_out:
        raise click.UsageError(
            "nobody could ever change this key's policy: give --policy-administrator,"
            " or --accept-lock-out if that is what you want"
        )
    client = Target(**settings).client()
    key = call_kms(
        client,
        client.create_key,
        policy=str(policy),
        description=description,
        spec=spec,
        usage=usage,
        bypass_policy_lockout_safety_check=policy.locks_out,
    )
    if as_json:
        say_json({"key_id": key.key_id, "arn": key.arn, "spec": key.spec})
    else:
        say(key.arn)


_POLICY_SETTINGS = (
    *("principal", "administrators", "policy_administrators", "encrypters"),
    *("pcrs", "images", "allow_debug"),
)


def _policy(
    *, pcrs: tuple[tuple[int, str], ...], images: tuple[str, ...], **settings: Any
) -> KeyPolicy:
    alternatives: dict[int, list[str]] = {}
    for index, value in pcrs:
        alternatives.setdefault(index, []).append(value)
    try:
        return enclave_key_policy(
            pcrs=alternatives, image_sha384=images or None, **settings
        )
    except ConfigError as problem:
        raise click.UsageError(str(problem)) from None
