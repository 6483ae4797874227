"""Both halves on one machine, to try out and to test with. Never in production."""

from __future__ import annotations

from trionitro.sandbox._demo import Step as Step
from trionitro.sandbox._demo import run_demo as run_demo
from trionitro.sandbox._expect import DemoFailedError as DemoFailedError
from trionitro.sandbox._inside import parent_link as parent_link
from trionitro.sandbox._inside import run_inside as run_inside
from trionitro.sandbox._kms_stand_in import KmsStandIn as KmsStandIn
from trionitro.sandbox._kms_stand_in import kms_is_wanted as kms_is_wanted
from trionitro.sandbox._outside import serve_outside as serve_outside
from trionitro.sandbox._place import TRUST_VARIABLES as TRUST_VARIABLES
from trionitro.sandbox._place import Place as Place
from trionitro.sandbox._place import trust_bundle as trust_bundle
from trionitro.sandbox._processes import LoggedProcess as LoggedProcess
from trionitro.sandbox._processes import run_logged as run_logged
from trionitro.sandbox._sandbox import SandboxConfig as SandboxConfig
from trionitro.sandbox._sandbox import half_on as half_on
from trionitro.sandbox._sandbox import read_sandbox_plan as read_sandbox_plan
from trionitro.sandbox._sandbox import run_sandbox as run_sandbox
from trionitro.sandbox._signals import Stoppable as Stoppable
from trionitro.sandbox._signals import run_obeying_signals as run_obeying_signals
from trionitro.sandbox._world import start_proxy as start_proxy
