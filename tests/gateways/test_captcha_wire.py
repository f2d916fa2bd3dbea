"""The bytes of each captcha's request, and answers that no provider documents."""

from __future__ import annotations

import hmac
import json
from typing import Any

import pytest
from captcha_lab import CAPTCHAS, IP, PURPOSE, SECRET, check, judge, silence_of
from hypothesis import given, settings
from hypothesis import strategies as st
from support.transports import AnyTransport
from wire_server import Request, WireServer, drip, drop, raw, refusing_port, reply, reset, silence

from otpkit.captcha import Captcha, CaptchaSilent, Verdict
from otpkit.effects import HttpRequest, HttpResponse

TOKEN = "a-token+of/a=visitor"
TICKET = {"ticket": TOKEN, "randstr": "@abc"}
LOT = {"lot_number": "lot", "captcha_output": "out==", "pass_token": "pass", "gen_time": "1700000000"}
ANSWERS = {**dict.fromkeys(CAPTCHAS, TOKEN), "tencent": json.dumps(TICKET), "geetest": json.dumps(LOT)}
HEAD = b"HTTP/1.1 200 X\r\nContent-Type: application/json\r\n"


@pytest.fixture(params=CAPTCHAS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def request_of(name: str, transport: AnyTransport, path: str = "", **changes: Any) -> Request:
    """Return the request that a captcha makes."""
    with WireServer(reply({})) as server:
        with pytest.raises(CaptchaSilent):
            judge(CAPTCHAS[name](server.url + path), ANSWERS[name], transport, **changes)
        (request,) = server.requests
    return request


PATHS = {
    "turnstile": "/turnstile/v0/siteverify",
    "hcaptcha": "/siteverify",
    "recaptcha v2": "/recaptcha/api/siteverify",
    "recaptcha v3": "/recaptcha/api/siteverify",
    "recaptcha enterprise": "/v1/projects/my-project/assessments",
    "aliyun": "/",
    "tencent": "/",
    "geetest": "/validate",
}


def test_request_is_a_post_without_secrets_in_its_url(name: str, transport: AnyTransport) -> None:
    request = request_of(name, transport, "/behind/a/proxy")
    assert request.line.startswith(f"POST /behind/a/proxy{PATHS[name]}")
    assert request.query == ("captcha_id=sandbox" if name == "geetest" else "")
    assert SECRET not in request.line
    assert TOKEN not in request.line
    assert "cookie" not in request.headers


@pytest.mark.parametrize("name", ["turnstile", "hcaptcha", "recaptcha v2", "recaptcha v3"])
def test_form_of_siteverify(name: str, transport: AnyTransport) -> None:
    site = {"sitekey": "sandbox"} if name == "hcaptcha" else {}
    form = {"secret": SECRET, "response": TOKEN, **site}
    assert request_of(name, transport).form == {**form, "remoteip": IP}
    assert request_of(name, transport, ip=None).form == form


def test_json_of_an_assessment(transport: AnyTransport) -> None:
    request = request_of("recaptcha enterprise", transport)
    event = {"token": TOKEN, "siteKey": "sandbox", "expectedAction": PURPOSE, "userIpAddress": IP}
    assert request.json == {"event": event}
    assert request.headers["x-goog-api-key"] == SECRET


def test_form_of_aliyun(transport: AnyTransport) -> None:
    request = request_of("aliyun", transport)
    assert request.form == {"CaptchaVerifyParam": TOKEN, "SceneId": "scene"}
    assert request.headers["x-acs-action"] == "VerifyIntelligentCaptcha"
    assert request.headers["x-acs-date"] == "2027-01-15T08:00:00Z"
    assert "content-type;host;" in request.headers["authorization"]


@pytest.mark.parametrize(("ip", "sent"), [(IP, IP), (None, "0.0.0.0"), ("nonsense", "0.0.0.0")])
def test_json_of_tencent(ip: str | None, sent: str, transport: AnyTransport) -> None:
    request = request_of("tencent", transport, ip=ip)
    assert request.json == {
        "CaptchaType": 9,
        "Ticket": TOKEN,
        "Randstr": "@abc",
        "UserIp": sent,
        "CaptchaAppId": 190000001,
        "AppSecretKey": SECRET,
    }
    assert "/captcha/tc3_request" in request.headers["authorization"]


def test_form_of_geetest(transport: AnyTransport) -> None:
    """The vector of sign_token is made as the document's code makes it."""
    signed = hmac.new(SECRET.encode(), b"lot", digestmod="SHA256").hexdigest()
    assert request_of("geetest", transport).form == {**LOT, "sign_token": signed}


FAULTS = {
    "dropped": drop,
    "reset": reset,
    "slow": silence,
    "dripping": drip(HEAD + b"Content-Length: 9999\r\n\r\n", b" "),
    "half a body": raw(HEAD + b'Content-Length: 99\r\n\r\n{"success":'),
    "no HTTP": raw(b"hello\r\n\r\n"),
    "65 KB": reply(json.dumps({"success": True, "x": "x" * 65_536})),
    "500": reply({"success": True}, 500),
    "502": reply("<html>", 502),
    "503": reply("", 503),
    "429": reply({"success": True}, 429),
    "302": reply("", 302, {"Location": "/elsewhere"}),
    "304": reply("", 304),
    "empty": reply(""),
    "a page": reply("<html>"),
    "null": reply("null"),
    "a list": reply([True]),
    "an empty object": reply({}),
    "deep": reply("[" * 30_000),
    "not UTF-8": reply(b"\xff\xfe"),
    "other types": reply(
        {"success": 1, "result": True, "Result": {"VerifyResult": "true"}, "Response": {"CaptchaCode": True}}
        | {"tokenProperties": {"valid": "true"}}
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_answer_that_is_none_is_silence_after_one_request(
    name: str, fault: str, transport: AnyTransport, caplog: pytest.LogCaptureFixture
) -> None:
    with WireServer(FAULTS[fault]) as server:
        captcha = CAPTCHAS[name](server.url)
        captcha.timeout = (5, 0.3 if fault in {"slow", "dripping"} else 5)  # type: ignore[attr-defined]
        assert not silence_of(captcha, ANSWERS[name], transport, caplog).misconfigured
    assert len(server.requests) == 1


def test_refused_connection_is_silence(name: str, transport: AnyTransport, caplog: pytest.LogCaptureFixture) -> None:
    with refusing_port() as port:
        captcha = CAPTCHAS[name](f"http://127.0.0.1:{port}")
        assert "no connection" in silence_of(captcha, ANSWERS[name], transport, caplog).problem


words = st.sampled_from(
    [
        *("success", "error-codes", "hostname", "action", "score", "Result", "VerifyResult", "VerifyCode", "Code"),
        *("Response", "Error", "CaptchaCode", "EvilLevel", "tokenProperties", "valid", "invalidReason"),
        *("riskAnalysis", "status", "result", "reason", "code", "error", "details", "fail", "T001", PURPOSE),
    ]
)
values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-2, 101), st.floats(), words, st.text(max_size=3)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(words, inner, max_size=5)),
    max_leaves=12,
)


def judged(captcha: Captcha, answer: str, body: object, status: int) -> Verdict | CaptchaSilent:
    """Give the flow a response, and return what comes of it."""
    flow = captcha.verify(answer, check())
    assert isinstance(next(flow), HttpRequest)
    try:
        flow.send(HttpResponse(status, {}, json.dumps(body)))
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]
    except CaptchaSilent as silent:
        return silent
    raise AssertionError("a second request")


def says_passed(name: str, body: Any) -> bool:
    """Return whether a response says in so many words that the answer is right."""
    match name:
        case "aliyun":
            return body["Result"]["VerifyResult"] is True
        case "tencent":
            return body["Response"]["CaptchaCode"] == 1 and body["Response"].get("EvilLevel") != 100
        case "geetest":
            return body["result"] == "success"
        case "recaptcha enterprise":
            token = body["tokenProperties"]
            return token["valid"] is True and token["action"] == PURPOSE and body["riskAnalysis"]["score"] >= 0.5
    has_action = name == "hcaptcha" or name == "recaptcha v2" or body["action"] == PURPOSE
    return body["success"] is True and has_action and (name != "recaptcha v3" or body["score"] >= 0.5)


RIGHT: dict[str, dict[str, Any]] = {
    "turnstile": {"success": True, "action": PURPOSE},
    "hcaptcha": {"success": True},
    "recaptcha v2": {"success": True},
    "recaptcha v3": {"success": True, "action": PURPOSE, "score": 0.9},
    "recaptcha enterprise": {
        "tokenProperties": {"valid": True, "action": PURPOSE},
        "riskAnalysis": {"score": 0.9},
    },
    "aliyun": {"Code": "Success", "Result": {"VerifyResult": True, "VerifyCode": "T001"}},
    "tencent": {"Response": {"CaptchaCode": 1, "EvilLevel": 0}},
    "geetest": {"status": "success", "result": "success", "reason": ""},
}


@pytest.mark.parametrize("status", [200, 201, 204, 302, 304, 400, 401, 403, 404, 429, 500, 503])
def test_only_a_200_passes(name: str, status: int) -> None:
    """A proxy's page or a redirect is no provider's word."""
    found = judged(CAPTCHAS[name]("http://127.0.0.1:1"), ANSWERS[name], RIGHT[name], status)
    assert (isinstance(found, Verdict) and found.passed) == (status == 200)


@pytest.mark.parametrize("status", [200, 400, 403])
@given(body=st.dictionaries(words, values, max_size=6))
@settings(max_examples=150, deadline=None)
def test_odd_answer_is_a_verdict_or_silence(status: int, body: dict[str, Any]) -> None:
    """It passes nobody, unless it says so in so many words."""
    for name in CAPTCHAS:
        found = judged(CAPTCHAS[name]("http://127.0.0.1:1"), ANSWERS[name], body, status)
        if isinstance(found, Verdict) and found.passed:
            assert status == 200
            assert says_passed(name, body)
