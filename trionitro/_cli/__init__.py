"""The commands: the only place that prints, reads arguments, or exits."""

from __future__ import annotations

from trionitro._cli._main import main as main
from trionitro._cli._main import main_proxy as main_proxy
