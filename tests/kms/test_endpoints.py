from __future__ import annotations

from functools import cache

import boto3
import pytest
from botocore.endpoint_provider import EndpointProvider

from trionitro import ConfigError
from trionitro.kms import kms_host
from trionitro.kms._endpoints import partition_of

SESSION = boto3.Session()

REGIONS = [
    (partition, region)
    for partition in SESSION.get_available_partitions()
    for region in SESSION.get_available_regions("kms", partition)
    if not region.endswith("-fips")
]


@cache
def rules() -> EndpointProvider:
    """Return botocore's own endpoint rules for KMS."""
    loader = SESSION._session.get_component("data_loader")
    return EndpointProvider(
        loader.load_service_model("kms", "endpoint-rule-set-1"),
        loader.load_data("partitions"),
    )


@pytest.mark.parametrize(("partition", "region"), REGIONS)
def test_every_region_that_botocore_knows_is_in_its_partition(
    partition: str, region: str
) -> None:
    assert partition_of(region).name == partition


@pytest.mark.parametrize(
    "region",
    [
        "us-east-1",
        "us-gov-west-1",
        "cn-north-1",
        "eusc-de-east-1",
        "us-iso-east-1",
        "us-isob-east-1",
        "eu-isoe-west-1",
        "us-isof-south-1",
        "mx-central-1",
        "eu-newest-7",
    ],
)
@pytest.mark.parametrize("fips", [False, True])
@pytest.mark.parametrize("dual_stack", [False, True])
def test_endpoints_are_those_of_botocore(
    region: str, fips: bool, dual_stack: bool
) -> None:
    host = kms_host(region, fips=fips, dual_stack=dual_stack)

    theirs = rules().resolve_endpoint(
        Region=region, UseFIPS=fips, UseDualStack=dual_stack
    )
    assert f"https://{host}" == theirs.url


@pytest.mark.parametrize(
    "region", ["", "eu", "evil.com/", "eu-west-1.evil.com", "EU-WEST-1", "eu-west-1\n"]
)
def test_what_is_no_region_is_refused(region: str) -> None:
    with pytest.raises(ConfigError, match="eu-west-1"):
        kms_host(region)
