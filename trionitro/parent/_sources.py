"""Where the parent has AWS credentials from, as ``[credentials]`` names it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from trionitro._exceptions import ConfigError

if TYPE_CHECKING:
    from trionitro.kms import CredentialProvider

__all__ = ["provider_of"]


def provider_of(source: str, environ: Mapping[str, str]) -> CredentialProvider:
    """Find a source of credentials.

    Args:
      source: ``auto``, ``environment``, ``container`` or ``imds``.
      environ: the parent's environment.

    Raises:
      ConfigError: if the environment has nothing of the sort.

    """
    # A parent that gives none out starts without our KMS.
    from trionitro import kms  # noqa: PLC0415

    match source:
        case "environment":
            return kms.EnvironmentCredentials(environ)
        case "container":
            container = kms.ContainerCredentials.from_environment(environ)
            if container is None:
                raise ConfigError(
                    "[credentials] wants those of a container, and there is no"
                    " AWS_CONTAINER_CREDENTIALS_FULL_URI in the environment: set it, or"
                    ' write source = "imds"'
                )
            return kms.RefreshingCredentials(container)
        case "imds":
            return kms.RefreshingCredentials(kms.ImdsCredentials())
        case _:
            return kms.default_credentials(environ)
