"""Both halves on one machine, to try out and to test with. Never in production."""

from __future__ import annotations

from trionitro.sandbox._demo import Step as Step
from trionitro.sandbox._demo import run_demo as run_demo
from trionitro.sandbox._expect import DemoFailedError as DemoFailedError
from trionitro.sandbox._outside import serve_outside as serve_outside
from trionitro.sandbox._processes import LoggedProcess as LoggedProcess
from trionitro.sandbox._processes import run_logged as run_logged
from trionitro.sandbox._world import start_proxy as start_proxy
