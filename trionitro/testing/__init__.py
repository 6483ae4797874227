"""What tests of enclaves and proxies are made of: a world that fits in a process."""

from __future__ import annotations

from trionitro.testing._attestation_issuer import AttestationIssuer as AttestationIssuer
from trionitro.testing._attestation_issuer import MapForm as MapForm
from trionitro.testing._cancellation import cancel_at_every_step as cancel_at_every_step
from trionitro.testing._contracts import check_vsock_network as check_vsock_network
from trionitro.testing._firecracker import FirecrackerMachine as FirecrackerMachine
from trionitro.testing._kms import EnvelopeShape as EnvelopeShape
from trionitro.testing._kms import KmsEmulator as KmsEmulator
from trionitro.testing._kms import KmsEvent as KmsEvent
from trionitro.testing._kms import load_kms_access_keys as load_kms_access_keys
from trionitro.testing._kms import load_kms_keys as load_kms_keys
from trionitro.testing._memory_stream import Faults as Faults
from trionitro.testing._memory_vsock import MemoryVsock as MemoryVsock
from trionitro.testing._nsm_contract import check_nsm_device as check_nsm_device
from trionitro.testing._nsm_emulator import NsmEmulator as NsmEmulator
from trionitro.testing._nsm_server import serve_nsm as serve_nsm
from trionitro.testing._pcr_bank import BootMeasurements as BootMeasurements
from trionitro.testing._resigning_nsm import ResigningNsm as ResigningNsm
from trionitro.testing._vhost_guest import VhostUserGuest as VhostUserGuest
