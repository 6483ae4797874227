"""Where the parent has AWS credentials from, as ``[credentials]`` names it."""

from __future__ import annotations

from collections.abc import Mapping

from trionitro._exceptions import ConfigError
from trionitro.kms import (
    ContainerCredentials,
    CredentialProvider,
    EnvironmentCredentials,
    ImdsCredentials,
    RefreshingCredentials,
    default_credentials,
)

__all__ = ["provider_of"]


def provider_of(source: str, environ: Mapping[str, str]) -> CredentialProvider:
    """Find a source of credentials.

    Args:
      source: ``auto``, ``environment``, ``container`` or ``imds``.
      environ: the parent's environment.

    Raises:
      ConfigError: if the environment has nothing of the sort.

    """
    match source:
        case "environment":
            return EnvironmentCredentials(environ)
        case "container":
            container = ContainerCredentials.from_environment(environ)
            if container is None:
                raise ConfigError(
                    "[credentials] wants those of a container, and there is no"
                    " AWS_CONTAINER_CREDENTIALS_FULL_URI in the environment: set it, or"
                    ' write source = "imds"'
                )
            return RefreshingCredentials(container)
        case "imds":
            return RefreshingCredentials(ImdsCredentials())
        case _:
            return default_credentials(environ)
