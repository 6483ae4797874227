"""An enclave's half in a virtual machine, and the parent's half here.

::

    application   enclave's half                   parent's half          outside
                  -> tcp://127.0.0.N:PORT -> vsock -> tcp://HOST:PORT  ->  HOST
    `--- a Linux of its own, in QEMU --------'  `--- this process ----'

The vsock is the kernel's in the guest, and :class:`~trionitro.vsock.VhostUserVsock`
here. The security module is the kernel's in the guest, and QEMU's.

"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path

import attrs
import structlog
import trio

from trionitro._exceptions import CannotStartError
from trionitro.enclave import Console
from trionitro.kms import CredentialProvider
from trionitro.manifest import Plan
from trionitro.parent import ParentHalf
from trionitro.sandbox import half_on, run_obeying_signals
from trionitro.vm._archive import pack
from trionitro.vm._files import Files, copy_all
from trionitro.vm._job import job_script, write_job
from trionitro.vm._kit import Kit
from trionitro.vm._listening import ConsoleCollector
from trionitro.vm._machine import Machine
from trionitro.vm._screen import Screen
from trionitro.vm._stand_ins import StandIns
from trionitro.vm._watched_guest import WatchedGuest
from trionitro.vsock import VhostUserVsock

__all__ = ["VmConfig", "run_vm"]

_log = structlog.get_logger("trionitro.vm")


@attrs.frozen(kw_only=True)
class VmConfig:
    """One virtual machine with an enclave's half in it.

    Attributes:
      plan: the enclave's.
      manifest: the text that the plan was read from.
      kit: what the guest is booted from; with this package in it.
      files: the application's.
      provider_of: finds whose AWS credentials the enclave gets, by ``source`` of
          ``[credentials]``; not asked where KMS is emulated.
      kms_keys: a file of keys for the emulated KMS; None for a key of its own.
      settings: options of ``trionitro enclave`` in the guest.
      memory_mib: how much memory the guest has; all of its files are in it too.
      processors: how many it has.
      boot_timeout: seconds that it may take to boot, until its half and this one know
          of each other.
      shows_screen: whether its serial console is shown on standard error.

    """

    plan: Plan
    manifest: str = attrs.field(repr=False)  # it may hold secrets
    kit: Kit
    files: tuple[Files, ...] = ()
    provider_of: Callable[[str], CredentialProvider]
    kms_keys: str | None = None
    settings: Sequence[str] = ()
    memory_mib: int = 1024
    processors: int = 2
    boot_timeout: float = 300.0
    shows_screen: bool = False


async def run_vm(config: VmConfig) -> int:
    """Run both halves until the application ends.

    SIGINT, SIGTERM and SIGHUP stop the application; a second one, or one before it
    runs, ends everything at once. Whatever way it ends, no process and no file is
    left.

    Returns:
      The application's exit code, as a shell has it.

    Raises:
      ConfigError: if the files, or the manifest's ``[sandbox]``, can't be.
      CannotStartError: if one of the halves can't start, or the guest breaks.
      KeyboardInterrupt: if a signal ended it at once.

    """
    return await run_obeying_signals(
        "trionitro-vm-", functools.partial(_Vm.make, config)
    )


@attrs.frozen(kw_only=True)
class _Vm:
    """What there is of it, put together but not started."""

    _network: VhostUserVsock
    _stand_ins: StandIns | None
    _console: Console
    _guest: WatchedGuest
    _half: ParentHalf

    @classmethod
    async def make(cls, config: VmConfig, directory: Path) -> _Vm:
        """Write the files and put it together."""
        return await trio.to_thread.run_sync(cls._make, config, directory)

    @classmethod
    def _make(cls, config: VmConfig, directory: Path) -> _Vm:
        enclave = config.plan.manifest.enclave
        console = Console()
        collector = ConsoleCollector(enclave.name, console)
        network = VhostUserVsock(
            directory / "vsock.sock", guest_cid=enclave.cid, cid=enclave.parent_cid
        )
        place = _Place.make(directory)
        stand_ins = place.fill(config)
        return cls(
            network=network,
            stand_ins=stand_ins,
            console=console,
            guest=WatchedGuest(
                machine=_machine_of(config, network, place),
                work=place.work,
                collector=collector,
                screen=Screen(console if config.shows_screen else None),
                boot_timeout=config.boot_timeout,
            ),
            half=half_on(
                config.plan,
                kms=None if stand_ins is None else stand_ins.kms,
                provider_of=config.provider_of,
                network=network,
                collector=collector,
            ),
        )

    async def run(self) -> int:
        """Run both halves, and return the enclave's exit code."""
        async with trio.open_nursery() as services:
            services.start_soon(self._console.serve)
            try:
                await services.start(self._network.serve)
                if self._stand_ins is not None:
                    _log.warning("attestation documents are signed by an emulator")
                    await services.start(self._stand_ins.kms.serve)
            except OSError as exc:
                raise CannotStartError(exc.strerror or str(exc)) from exc
            await services.start(self._half.serve)
            code = await self._guest.run()
            await self._console.finish()
            services.cancel_scope.cancel()
        return code

    def stop(self) -> bool:
        """Have the application stopped, if there is an enclave's half by now."""
        return self._half.request_stop()


@attrs.frozen
class _Place:
    """The directory of one virtual machine.

    Attributes:
      directory: where it is.
      work: the job, which only root can read in the guest.
      tree: files that the guest has beside those of its kit.

    """

    directory: Path
    work: Path
    tree: Path

    @classmethod
    def make(cls, directory: Path) -> _Place:
        """Make the directories."""
        place = cls(directory, directory / "work", directory / "tree")
        place.work.mkdir(mode=0o700)
        place.tree.mkdir()
        return place

    @property
    def overlay(self) -> Path:
        """The archive of ``tree``."""
        return self.directory / "overlay.cpio"

    def fill(self, config: VmConfig) -> StandIns | None:
        """Write all files, and return what stands in for what isn't there."""
        plan = config.plan
        stand_ins = StandIns.if_wanted(
            plan,
            directory=self.directory,
            files=copy_all(config.files, self.tree),
            kms_keys=config.kms_keys,
        )
        if stand_ins is not None:
            stand_ins.write_files(self.work, self.tree)
        home = self.tree / plan.manifest.enclave.directory.lstrip("/")
        home.mkdir(parents=True, exist_ok=True)
        script = job_script(plan, settings=config.settings)
        write_job(self.work, script, config.manifest)
        pack(self.tree, self.overlay, self.directory / "pack.log")
        return stand_ins


def _machine_of(config: VmConfig, network: VhostUserVsock, place: _Place) -> Machine:
    archives = (*config.kit.archives, place.overlay)
    return Machine(
        kit=attrs.evolve(config.kit, archives=archives),
        processors=config.processors,
        memory_mib=config.memory_mib,
        vsock=Path(network.socket_path),
    )
