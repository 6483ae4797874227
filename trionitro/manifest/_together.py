"""Several manifests on one parent: do they leave each other alone?"""

from __future__ import annotations

import itertools
from collections.abc import Mapping

from trionitro._exceptions import ConfigError
from trionitro.manifest._claims import Claims, Entry
from trionitro.manifest._plan import Plan
from trionitro.manifest._planner import overlap

__all__ = ["check_together"]


def check_together(plans: Mapping[str, Plan]) -> None:
    """Check that several plans can be carried out on one parent.

    Args:
      plans: by the names of their files.

    Raises:
      ConfigError: if two of them want the same; both files are named.

    """
    names = Claims("the name", "give one of them another")
    cids = Claims("the CID", "give one of them another")
    ports = Claims("the parent's vsock port", "give one of them another vsock_port")
    for file, plan in plans.items():
        enclave = plan.manifest.enclave
        names.take(enclave.name, Entry(file, "name"))
        cids.take(enclave.cid, Entry(file, enclave.name))
        for link in plan.links:
            if link.direction == "out":
                ports.take(link.vsock_port, Entry(file, link.place))
    for (one, first), (other, second) in itertools.combinations(plans.items(), 2):
        _check_listens(one, first, other, second)


def _check_listens(one: str, first: Plan, other: str, second: Plan) -> None:
    for ours, theirs in itertools.product(
        first.manifest.ingress, second.manifest.ingress
    ):
        if overlap(ours.listen, theirs.listen):
            raise ConfigError(
                f"{one} listens on {ours.listen} and {other} on {theirs.listen}, which"
                " is the same on the parent: give one of them another port"
            )
