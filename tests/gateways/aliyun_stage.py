"""Shared parts of the tests of Aliyun's two gateways: credentials, messages, and the secrets that must not leak."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256

import pytest
from leaks import errors_of, reachable_text
from wire_server import Act, Request, drop, raw, reply, reset

from otpkit.errors import GatewayRejectedError
from otpkit.gateways.aliyun.signing import read_authorization, signature

CODE, NUMBER, SEND_ID = "730452", "13800138000", "Zm9vYmFyYmF6cXV4MTIzNA"
KEY, SECRET, TOKEN = "LTAI-the-key", "s3cr3t-of-the-key", "CAIS-the-sts-token"
GOSSIP = f"{NUMBER} {CODE} {SECRET}"

# Answers that leave the outcome of every call uncertain.
UNCERTAIN_ACTS = [
    pytest.param(reply({"Message": "OK", "BizId": "1^2"}), id="no Code"),
    pytest.param(reply({"Code": None}), id="Code null"),
    pytest.param(reply({"Code": True}), id="Code true"),
    pytest.param(reply({"Code": "ok"}), id="Code in lower case"),
    pytest.param(reply({"Code": "OK "}), id="Code with a blank"),
    pytest.param(reply({"Code": "isp.SYSTEM_ERROR"}), id="the provider's fault"),
    pytest.param(reply({"Code": "isp.GATEWAY_ERROR"}, 400), id="the provider's fault as 400"),
    pytest.param(reply({"Code": "isp.UNKNOWN"}), id="an unknown fault"),
    pytest.param(reply({"Code": "isv.SOMETHING_NEW"}), id="an unknown code"),
    pytest.param(reply({"Code": "SignatureNonceUsed"}, 400), id="somebody repeated our request"),
    pytest.param(reply(""), id="empty"),
    pytest.param(reply("<html>"), id="not JSON"),
    pytest.param(reply("[" * 100_000), id="nested without end"),
    pytest.param(reply('"OK"'), id="JSON, but no object"),
    pytest.param(reply([{"Code": "OK"}]), id="a list"),
    pytest.param(reply(b'{"Code": "OK", "Message": "\xff"}'), id="not UTF-8"),
    pytest.param(reply({"Code": "OK"}, 201), id="201"),
    pytest.param(reply({"Code": "OK"}, 302, {"Location": "/"}), id="302"),
    pytest.param(reply({"Code": "isv.AMOUNT_NOT_ENOUGH"}, 500), id="500 with a code"),
    pytest.param(reply({"Code": "ServiceUnavailable"}, 503), id="503"),
    pytest.param(reply({"Code": "Throttling.User"}, 503), id="throttled by 503"),
    pytest.param(drop, id="dropped"),
    pytest.param(reset, id="reset"),
    pytest.param(raw(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"), id="half an answer"),
]


def refusal_of(call: Callable[[], object], gateway: str) -> GatewayRejectedError:
    """Return the rejection that a call raises, and check that it leads to no secret."""
    with pytest.raises(GatewayRejectedError) as caught:
        call()
    error = caught.value
    assert error.gateway == gateway
    assert list(errors_of(error)) == [error]
    for secret in (CODE, SECRET, TOKEN):
        assert secret not in reachable_text(error)
    assert NUMBER not in f"{error} {error!r} {error.args} {error.gateway_code}"
    return error


def assert_signed(request: Request, secret: str = SECRET) -> None:
    """Check a request's signature from its bytes, as a server would."""
    said = read_authorization(request.headers["authorization"])
    assert said is not None
    assert said.access_key_id == KEY
    assert {name for name in request.headers if name.startswith("x-acs-")} | {"host"} <= set(said.signed_headers)
    empty = sha256(b"").hexdigest()
    assert request.headers["x-acs-content-sha256"] == empty
    assert said.signature == signature(
        "POST", request.path, request.params, request.headers, said.signed_headers, empty, secret
    )


def at_send(act: Act, *then: Act) -> tuple[Act, ...]:
    """Answer the send by `act`, and the query after it by `then`, by default with an empty page."""
    nothing = reply({"Code": "OK", "TotalCount": 0, "SmsSendDetailDTOs": {"SmsSendDetailDTO": []}})
    return (act, *(then or (nothing,)))
