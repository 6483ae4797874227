"""Where KMS is: the endpoint of each region, in every partition.

Source: the endpoint rules and ``partitions.json`` of botocore. No I/O here.

"""

from __future__ import annotations

import re
from typing import Final

import attrs

from trionitro._exceptions import ConfigError

__all__ = ["Partition", "kms_host", "partition_of"]


@attrs.frozen
class Partition:
    """A world of AWS for itself: its regions, and the names in it.

    Attributes:
      name: as ARNs have it, ``"aws-cn"``.
      regions: how its regions' names begin.
      suffix: what the names of its endpoints end in.
      dual_stack_suffix: the same for endpoints that IPv6 reaches as well.

    """

    name: str
    regions: re.Pattern[str]
    suffix: str
    dual_stack_suffix: str


def _partition(name: str, regions: str, suffix: str, dual_stack: str) -> Partition:
    return Partition(name, re.compile(rf"(?:{regions})-\w+-\d+"), suffix, dual_stack)


_COMMERCIAL: Final = _partition(
    "aws", "us|eu|ap|sa|ca|me|af|il|mx", "amazonaws.com", "api.aws"
)

_PARTITIONS: Final = (
    _partition("aws-us-gov", "us-gov", "amazonaws.com", "api.aws"),
    _partition("aws-cn", "cn", "amazonaws.com.cn", "api.amazonwebservices.com.cn"),
    _partition("aws-eusc", "eusc-de", "amazonaws.eu", "api.amazonwebservices.eu"),
    _partition("aws-iso", "us-iso", "c2s.ic.gov", "api.aws.ic.gov"),
    _partition("aws-iso-b", "us-isob", "sc2s.sgov.gov", "api.aws.scloud"),
    _partition("aws-iso-e", "eu-isoe", "cloud.adc-e.uk", "api.cloud-aws.adc-e.uk"),
    _partition("aws-iso-f", "us-isof", "csp.hci.ic.gov", "api.aws.hci.ic.gov"),
    _COMMERCIAL,
)

#: Nothing that would make another host, or another scope, of a name.
_REGION: Final = re.compile(r"[a-z]{2,8}(?:-[a-z]{1,12}){1,3}-\d{1,2}", re.ASCII)


def partition_of(region: str) -> Partition:
    """Return the partition that ``region`` is in.

    A region that is newer than this table is taken for one of the partition "aws",
    as AWS's SDKs do.

    Raises:
      ConfigError: if it can't be a region.

    """
    if not _REGION.fullmatch(region):
        raise ConfigError(f"{region!r} is no region; write for example eu-west-1")
    return next(
        (found for found in _PARTITIONS if found.regions.fullmatch(region)),
        _COMMERCIAL,
    )


def kms_host(region: str, *, fips: bool = False, dual_stack: bool = False) -> str:
    """Return the name of a region's KMS endpoint.

    Args:
      region: for example ``"us-gov-west-1"``.
      fips: the endpoint whose cryptography is validated under FIPS 140.
      dual_stack: the endpoint that IPv6 reaches as well.

    Raises:
      ConfigError: if ``region`` can't be one.

    """
    partition = partition_of(region)
    suffix = partition.dual_stack_suffix if dual_stack else partition.suffix
    return f"kms{'-fips' if fips else ''}.{region}.{suffix}"
