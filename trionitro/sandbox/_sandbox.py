"""Both halves of a manifest on this machine, from the first file to the last.

::

    application   enclave's half                    parent's half          outside
                  -> tcp://127.0.0.N:PORT -> vsock -> tcp://HOST:PORT  ->  HOST, KMS
    `-- in network, mount, PID and UTS namespaces --'  `-- this machine --'

The vsock is :class:`~trionitro.vsock.LocalVsock`, the security module and KMS are
emulators in this process. Everything else is what runs in production.

"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import attrs
import trio

from trionitro._control import Lines, State
from trionitro._exceptions import CannotStartError, ConfigError
from trionitro.abc import VsockNetwork
from trionitro.attestation import parse_roots
from trionitro.kms import CredentialProvider
from trionitro.manifest import Plan, make_plan, read_manifest
from trionitro.nsm import ZERO_PCR
from trionitro.parent import Collector, ParentHalf
from trionitro.sandbox._enclave_process import EnclaveProcess
from trionitro.sandbox._kms_stand_in import KmsStandIn, kms_is_wanted
from trionitro.sandbox._measurements import measurements_of
from trionitro.sandbox._place import Place
from trionitro.sandbox._signals import run_obeying_signals
from trionitro.testing import NsmEmulator, serve_nsm
from trionitro.vsock import LocalVsock

__all__ = ["SandboxConfig", "half_on", "read_sandbox_plan", "run_sandbox"]


def read_sandbox_plan(manifest: str, command: Sequence[str] = ()) -> Plan:
    """Read a manifest and plan it, with another command if one is given.

    That is run once, whatever the manifest says about restarts.

    Raises:
      ConfigError: if the manifest, or the command, makes no sense.

    """
    read = read_manifest(manifest)
    if command:
        enclave = attrs.evolve(read.enclave, command=tuple(command), restart="never")
        read = attrs.evolve(read, enclave=enclave)
    try:
        return make_plan(read)
    except ConfigError as problem:
        raise ConfigError(f"{manifest}: {problem}") from None


@attrs.frozen(kw_only=True)
class SandboxConfig:
    """One sandbox.

    Attributes:
      plan: the enclave's.
      inside: returns the command line of the enclave's half, for the sandbox's
          directory.
      provider_of: finds whose AWS credentials the enclave gets, by ``source`` of
          ``[credentials]``; not asked where KMS is emulated.
      kms_keys: a file of keys for the emulated KMS; None for a key of its own.
      environ: our own environment, most of which the application has too.

    """

    plan: Plan
    inside: Callable[[Path], Sequence[str]]
    provider_of: Callable[[str], CredentialProvider]
    kms_keys: str | None = None
    environ: Mapping[str, str] = attrs.field(repr=False)


async def run_sandbox(config: SandboxConfig) -> int:
    """Run both halves until the application ends.

    SIGINT, SIGTERM and SIGHUP stop the application; a second one ends everything at
    once. Whatever way it ends, no process, mount, namespace or file is left.

    Returns:
      The application's exit code, as a shell has it.

    Raises:
      ConfigError: if the manifest's ``[sandbox]`` can't be.
      CannotStartError: if one of the halves can't start here.
      KeyboardInterrupt: if a signal ended it at once.

    """
    return await run_obeying_signals(
        "trionitro-sandbox-", functools.partial(_Sandbox.make, config)
    )


@attrs.frozen(kw_only=True)
class _Sandbox:
    """What there is of it, put together but not started."""

    _place: Place
    _nsm: NsmEmulator
    _kms: KmsStandIn | None
    _half: ParentHalf
    _enclave: EnclaveProcess

    @classmethod
    async def make(cls, config: SandboxConfig, directory: Path) -> _Sandbox:
        """Write the files and put it together, which reads some."""
        return await trio.to_thread.run_sync(cls._make, config, Place(directory))

    @classmethod
    def _make(cls, config: SandboxConfig, place: Place) -> _Sandbox:
        plan = config.plan
        measurements = measurements_of(plan)
        nsm = NsmEmulator(measurements)
        kms = None
        if kms_is_wanted(plan, config.kms_keys):
            kms = KmsStandIn.make(
                plan,
                directory=place.directory,
                roots=parse_roots(nsm.root_pem),
                pcr0=measurements.pcrs().get(0, ZERO_PCR),
                keys=config.kms_keys,
            )
        place.write_files(plan)
        if kms is not None:
            place.write_trust(kms.emulator.ca_pem)
        return cls(
            place=place,
            nsm=nsm,
            kms=kms,
            half=half_on(
                plan,
                kms=kms,
                provider_of=config.provider_of,
                network=LocalVsock(place.vsock, plan.manifest.enclave.parent_cid),
                collector=_QuietCollector(plan.manifest.enclave.name),
            ),
            enclave=EnclaveProcess(
                command=config.inside(place.directory),
                environment=place.environment(plan, config.environ),
            ),
        )

    async def run(self) -> int:
        """Run both halves, and return the enclave's exit code."""
        async with trio.open_nursery() as services:
            try:
                await services.start(serve_nsm, self._nsm, self._place.nsm)
                if self._kms is not None:
                    await services.start(self._kms.serve)
            except OSError as exc:
                raise CannotStartError(exc.strerror or str(exc)) from exc
            await services.start(self._half.serve)
            code = await self._enclave.run()
            services.cancel_scope.cancel()
        return code

    def stop(self) -> bool:
        """Stop the enclave's half, which always obeys."""
        self._enclave.stop()
        return True


class _QuietCollector(Collector):
    """Hears an enclave that can be heard anyway: it writes where we do."""

    def state(self, state: State) -> None:
        """Note how far it is."""
        self.phase = state.phase

    def lines(self, lines: Lines) -> None:
        """Drop lines: they are on the console."""


def half_on(
    plan: Plan,
    *,
    kms: KmsStandIn | None,
    provider_of: Callable[[str], CredentialProvider],
    network: VsockNetwork,
    collector: Collector,
) -> ParentHalf:
    """Return the parent's half of a plan, whose enclave somebody else starts.

    Args:
      plan: the enclave's.
      kms: what stands in for KMS, if anything does: credentials are for that then.
      provider_of: finds whose AWS credentials the enclave gets otherwise.
      network: the vsock.
      collector: hears the enclave.

    """
    credentials, provider = plan.manifest.credentials, None
    if kms is not None:
        plan, provider = kms.redirected, kms.provider
    elif credentials is not None:
        provider = provider_of(credentials.source)
    return ParentHalf(
        # Nothing is started with nitro-cli, whatever the manifest has for it.
        plan=attrs.evolve(plan, manifest=attrs.evolve(plan.manifest, image=None)),
        network=network,
        provider=provider,
        collector=collector,
    )
