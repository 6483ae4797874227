"""``trionitro doctor``: what this machine is, what is missing, what to do."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any, Final

import click

from trionitro._cli._options import (
    FILE,
    network_for,
    nsm_device_for,
    nsm_option,
    vsock_option,
)
from trionitro._cli._output import in_red, say, say_json
from trionitro._cli._run import run_async
from trionitro._exceptions import ConfigError
from trionitro.doctor import Finding, Kind, Report, SystemProbes, diagnose
from trionitro.manifest import read_plan

__all__ = ["doctor"]

_KINDS: Final[dict[Kind, str]] = {
    "parent": "a parent instance",
    "enclave": "an enclave",
    "vm": "a virtual machine, neither a parent nor an enclave",
    "machine": "a plain machine, neither a parent nor an enclave",
}


@click.command()
@click.argument("manifest", type=FILE, metavar="[NITRO.TOML]", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@click.option(
    "--allowlist",
    type=FILE,
    metavar="FILE",
    help="Check this allowlist, too.  [default: the parent's vsock-proxy.yaml]",
)
@vsock_option
@nsm_option
@click.pass_context
def doctor(
    ctx: click.Context,
    manifest: str | None,
    *,
    as_json: bool,
    allowlist: str | None,
    vsock: str | None,
    nsm: str | None,
) -> None:
    """Say what this machine is, what is missing on it, and what to do.

    With a manifest it also checks what that needs here: ports, names, the image,
    memory, addresses. Nothing is changed, and no vsock is connected to.

    The exit code is 1 if anything is a problem.
    """
    probes = SystemProbes(network=network_for(vsock), device=nsm_device_for(nsm))
    try:
        plan = None if manifest is None else read_plan(manifest)
    except ConfigError as problem:
        raise click.UsageError(str(problem)) from None
    report = run_async(
        functools.partial(diagnose, probes, plan=plan, allowlist=allowlist)
    )
    if as_json:
        say_json(_as_json(report))
    else:
        say("\n".join(_as_text(report)))
    ctx.exit(0 if report.is_healthy else 1)


def _as_json(report: Report) -> dict[str, Any]:
    return {
        "kind": report.kind,
        "reason": report.reason,
        "healthy": report.is_healthy,
        "digest": None if report.digest is None else report.digest.hex(),
        "findings": [
            {
                "check": finding.check,
                "status": finding.status,
                "found": finding.found,
                "remedy": finding.remedy or None,
            }
            for finding in report.findings
        ],
    }


def _as_text(report: Report) -> Iterator[str]:
    yield f"This is {_KINDS[report.kind]}: {report.reason}."
    yield ""
    width = max(len(finding.check) for finding in report.findings)
    for finding in report.findings:
        yield from _finding_as_text(finding, width)
    yield ""
    yield _summary(report)


def _finding_as_text(finding: Finding, width: int) -> Iterator[str]:
    status = finding.status.ljust(len("problem"))
    if finding.status == "problem":
        status = in_red(status)
    yield f"{status}  {finding.check.ljust(width)}  {finding.found}"
    if finding.remedy:
        indent = " " * (len("problem") + 2 + width + 2)
        yield f"{indent}→ {finding.remedy}"


def _summary(report: Report) -> str:
    problems, warnings = report.count("problem"), report.count("warning")
    unknown = report.count("unknown")
    parts = [_counted(problems, "problem"), _counted(warnings, "warning")]
    if unknown:
        parts.append(f"{unknown} that couldn't be looked at")
    return f"{', '.join(parts)}."


def _counted(number: int, noun: str) -> str:
    return f"{number or 'no'} {noun}{'' if number == 1 else 's'}"
