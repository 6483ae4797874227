"""One file for both halves, and all that follows from it.

``nitro.toml`` says what an enclave is and what it talks to. :func:`read_manifest`
reads it, and :func:`make_plan` works out the rest: addresses, ports, hosts, routes,
the allowlist. Both do nothing to the machine.

"""

from __future__ import annotations

from trionitro.manifest._checks import HEARTBEAT_PORT as HEARTBEAT_PORT
from trionitro.manifest._digest import digest_of as digest_of
from trionitro.manifest._files import File as File
from trionitro.manifest._files import render_files as render_files
from trionitro.manifest._links import HostsLine as HostsLine
from trionitro.manifest._links import Link as Link
from trionitro.manifest._links import PlannedVolume as PlannedVolume
from trionitro.manifest._manifest import parse_manifest as parse_manifest
from trionitro.manifest._manifest import read_manifest as read_manifest
from trionitro.manifest._manifest import read_manifest_text as read_manifest_text
from trionitro.manifest._plan import Plan as Plan
from trionitro.manifest._plan import make_plan as make_plan
from trionitro.manifest._plan import parse_plan as parse_plan
from trionitro.manifest._plan import read_plan as read_plan
from trionitro.manifest._tables import Control as Control
from trionitro.manifest._tables import Credentials as Credentials
from trionitro.manifest._tables import Egress as Egress
from trionitro.manifest._tables import Enclave as Enclave
from trionitro.manifest._tables import Image as Image
from trionitro.manifest._tables import Ingress as Ingress
from trionitro.manifest._tables import Kubernetes as Kubernetes
from trionitro.manifest._tables import Logs as Logs
from trionitro.manifest._tables import Manifest as Manifest
from trionitro.manifest._tables import Restart as Restart
from trionitro.manifest._tables import Sandbox as Sandbox
from trionitro.manifest._tables import Volume as Volume
from trionitro.manifest._together import check_together as check_together
