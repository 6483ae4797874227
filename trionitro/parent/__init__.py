"""The parent's half: what it does for its enclaves.

:func:`run_parent` is ``trionitro parent``: routes, credentials, the enclave's log and
exit code, and its start and end where the manifest has an image.

"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from trionitro.parent._collector import Collector as Collector
from trionitro.parent._collector import exit_code_of as exit_code_of
from trionitro.parent._collector import printable as printable
from trionitro.parent._half import ParentHalf as ParentHalf
from trionitro.parent._nitro_cli import NitroCli as NitroCli
from trionitro.parent._nitro_cli import NitroCliError as NitroCliError
from trionitro.parent._nitro_cli import RunningEnclave as RunningEnclave
from trionitro.parent._run import run_parent as run_parent
from trionitro.parent._sources import provider_of as provider_of

if TYPE_CHECKING:
    from trionitro.parent._credentials import BrokerConfig as BrokerConfig
    from trionitro.parent._credentials import CredentialBroker as CredentialBroker
    from trionitro.parent._credentials import (
        run_credential_broker as run_credential_broker,
    )


def __getattr__(name: str) -> object:
    """Import what gives credentials out, and with it our KMS, when it is wanted.

    It is more than a third of the time in which a parent without any would start.

    """
    if name in {"BrokerConfig", "CredentialBroker", "run_credential_broker"}:
        return getattr(importlib.import_module("trionitro.parent._credentials"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
