from __future__ import annotations

import json

import attrs
import pytest
from trio.testing import MockClock

from tests.kms.servers import serving
from tests.kms.test_credentials import ANSWER
from trionitro._http_server import HttpRequest, HttpResponse
from trionitro.kms import CredentialsUnavailableError, ImdsCredentials

ROLE_PATH = "/latest/meta-data/iam/security-credentials/"


@attrs.define
class FakeImds:
    """The metadata service of an instance with a role."""

    token: bytes = b"dG9rZW4="
    role: bytes = b"signer"
    token_status: int = 200
    credentials: bytes = json.dumps({"Code": "Success", **ANSWER}).encode()

    async def respond(self, request: HttpRequest) -> HttpResponse:
        """Answer one request."""
        if request.target == "/latest/api/token":
            assert request.method == "PUT"
            assert request.headers["x-aws-ec2-metadata-token-ttl-seconds"] == "21600"
            return HttpResponse(status=self.token_status, body=self.token)
        if request.headers.get("x-aws-ec2-metadata-token") != self.token.decode():
            return HttpResponse(status=401)
        answers = {ROLE_PATH: self.role, f"{ROLE_PATH}signer": self.credentials}
        return HttpResponse(body=answers[request.target])


async def test_the_instance_s_role_is_asked_for_with_a_token() -> None:
    async with serving(FakeImds().respond) as served:
        credentials = await ImdsCredentials(network_backend=served.backend).get()

    assert credentials.access_key_id == "ASIAEXAMPLE"
    assert credentials.session_token == "the-token"
    assert served.requests[0].headers["host"] == "169.254.169.254"


@pytest.mark.parametrize(
    ("imds", "word"),
    [
        (FakeImds(token_status=403), "403"),
        (FakeImds(token=b"a\r\nb"), "no token"),
        (FakeImds(token=b""), "no token"),
        (FakeImds(role=b"../../evil"), "no role"),
        (FakeImds(role=b""), "no role"),
        (FakeImds(role="ros\u00e9".encode()), "no role"),
        (FakeImds(credentials=b'{"Code": "Failed", "Message": "gone"}'), "gone"),
    ],
)
async def test_what_is_wrong_is_told(
    autojump_clock: MockClock, imds: FakeImds, word: str
) -> None:
    with pytest.RaisesGroup(
        pytest.RaisesExc(CredentialsUnavailableError, match=f"169.254.169.254.*{word}"),
        flatten_subgroups=True,
    ):
        async with serving(imds.respond) as served:
            await ImdsCredentials(network_backend=served.backend).get()
