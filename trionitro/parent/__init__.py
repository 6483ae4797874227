"""The parent's half: what it does for its enclaves besides proxying."""

from __future__ import annotations

from trionitro.parent._credentials import BrokerConfig as BrokerConfig
from trionitro.parent._credentials import CredentialBroker as CredentialBroker
from trionitro.parent._credentials import run_credential_broker as run_credential_broker
