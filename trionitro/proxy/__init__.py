"""Proxies: any endpoint to any endpoint, for both halves and all directions.

``python -m trionitro.proxy`` is this package as a program. In a program of your own,
:class:`Proxy` is the same thing as one task, and :func:`dial` and
:func:`~trionitro.relay` are its two halves.

"""

from __future__ import annotations

from trionitro.proxy._allowlist import NO_ALLOWLIST as NO_ALLOWLIST
from trionitro.proxy._allowlist import Allowlist as Allowlist
from trionitro.proxy._allowlist import Decision as Decision
from trionitro.proxy._allowlist import Rule as Rule
from trionitro.proxy._allowlist import TargetPolicy as TargetPolicy
from trionitro.proxy._config import ProxyFile as ProxyFile
from trionitro.proxy._config import read_config as read_config
from trionitro.proxy._connection import Surroundings as Surroundings
from trionitro.proxy._dial import DialError as DialError
from trionitro.proxy._dial import dial as dial
from trionitro.proxy._dial import judge_addresses as judge_addresses
from trionitro.proxy._drop_in import parse_go_duration as parse_go_duration
from trionitro.proxy._drop_in import parse_go_uint as parse_go_uint
from trionitro.proxy._drop_in import vscproxy_config as vscproxy_config
from trionitro.proxy._drop_in import vsock_proxy_config as vsock_proxy_config
from trionitro.proxy._metrics import Metrics as Metrics
from trionitro.proxy._route import Family as Family
from trionitro.proxy._route import ProxyConfig as ProxyConfig
from trionitro.proxy._route import Route as Route
from trionitro.proxy._run import run_proxy as run_proxy
from trionitro.proxy._server import Proxy as Proxy
