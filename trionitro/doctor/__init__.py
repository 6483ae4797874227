"""What is this machine, what is missing on it, and what is to be done.

:func:`diagnose` looks at files and devices and asks the machine a few questions, all
of them bounded in time and none of them over a vsock; each check then makes one
:class:`Finding` of the :class:`Facts`.

"""

from __future__ import annotations

from trionitro.doctor._diagnose import CHECKS as CHECKS
from trionitro.doctor._diagnose import diagnose as diagnose
from trionitro.doctor._facts import Facts as Facts
from trionitro.doctor._facts import ImageSight as ImageSight
from trionitro.doctor._facts import ModuleSight as ModuleSight
from trionitro.doctor._findings import Case as Case
from trionitro.doctor._findings import Finding as Finding
from trionitro.doctor._findings import Report as Report
from trionitro.doctor._findings import Status as Status
from trionitro.doctor._kind import Kind as Kind
from trionitro.doctor._kind import identify as identify
from trionitro.doctor._probes import Probes as Probes
from trionitro.doctor._probes import SystemProbes as SystemProbes
