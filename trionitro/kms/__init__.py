"""KMS through the proxy, with the enclave's attestation.

:class:`KmsClient` calls KMS; :class:`SealedStore` keeps secrets on a volume with its
help; :func:`enclave_key_policy` writes the policies under which only an enclave gets
at them. Credentials come from a :class:`CredentialProvider`.

"""

from __future__ import annotations

from trionitro.kms._answers import KmsError as KmsError
from trionitro.kms._arn import Principal as Principal
from trionitro.kms._arn import parse_principal as parse_principal
from trionitro.kms._client import KmsClient as KmsClient
from trionitro.kms._clock import utc_now as utc_now
from trionitro.kms._container import ContainerCredentials as ContainerCredentials
from trionitro.kms._credentials import Credentials as Credentials
from trionitro.kms._credentials import (
    CredentialsUnavailableError as CredentialsUnavailableError,
)
from trionitro.kms._credentials import encode_credentials as encode_credentials
from trionitro.kms._denial import explain_denial as explain_denial
from trionitro.kms._endpoints import kms_host as kms_host
from trionitro.kms._http import EndpointBackend as EndpointBackend
from trionitro.kms._http import StreamBackend as StreamBackend
from trionitro.kms._http import TcpBackend as TcpBackend
from trionitro.kms._http import VsockBackend as VsockBackend
from trionitro.kms._imds import ImdsCredentials as ImdsCredentials
from trionitro.kms._key_policy import KeyPolicy as KeyPolicy
from trionitro.kms._key_policy import enclave_key_policy as enclave_key_policy
from trionitro.kms._providers import CredentialProvider as CredentialProvider
from trionitro.kms._providers import EnvironmentCredentials as EnvironmentCredentials
from trionitro.kms._providers import StaticCredentials as StaticCredentials
from trionitro.kms._recipient import Attester as Attester
from trionitro.kms._records import DataKey as DataKey
from trionitro.kms._records import DataKeyPair as DataKeyPair
from trionitro.kms._records import Decrypted as Decrypted
from trionitro.kms._records import Encrypted as Encrypted
from trionitro.kms._records import KeyMetadata as KeyMetadata
from trionitro.kms._records import SharedSecret as SharedSecret
from trionitro.kms._refreshing import RefreshingCredentials as RefreshingCredentials
from trionitro.kms._refreshing import default_credentials as default_credentials
from trionitro.kms._sealed import NoSuchSecretError as NoSuchSecretError
from trionitro.kms._sealed import RollbackError as RollbackError
from trionitro.kms._sealed import SealedSecret as SealedSecret
from trionitro.kms._sealed import SealedStore as SealedStore
from trionitro.kms._sealed_format import SealedError as SealedError
from trionitro.kms._urls import is_loopback as is_loopback
