"""Alibaba Cloud's own SDKs are the oracle: they make the same request with the same signature for the same call."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import pytest
from aliyun_stage import KEY, NUMBER, SECRET, SEND_ID, TOKEN, assert_signed
from wire_server import Request, WireServer, reply

from otpkit.gateways import Aliyun, AliyunVoice, Message
from otpkit.gateways.aliyun.api import VERSION
from otpkit.gateways.aliyun.calls import day_begins
from otpkit.gateways.aliyun.signing import Authorization, authorization, read_authorization, signature, signed_headers
from otpkit.gateways.china_time import SHANGHAI
from otpkit.gateways.credentials import Credentials
from otpkit.template import Template
from otpkit.transport.http import drive

# Newer Pythons warn about the SDKs' code. otpkit does not call it.
pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utc:DeprecationWarning")

HARD = [
    pytest.param("验证码", id="Chinese"),
    pytest.param(" a  b ", id="blanks"),
    pytest.param("+86+", id="plus"),
    pytest.param("~", id="tilde"),
    pytest.param("*", id="asterisk"),
    pytest.param("100% %20 %E9", id="percent"),
    pytest.param("😀👩‍👩‍👧", id="emoji"),
    pytest.param("", id="empty"),
    pytest.param("a=b&c=d?e#f/g;h,i:j@k", id="reserved"),
    pytest.param("-_.!'()[]{}|\\^`<>\"", id="other marks"),
    pytest.param("é́ŀ\u00a0ＡＢ", id="accents and full width"),
]
NOON = datetime(2026, 5, 25, 4, tzinfo=UTC)
EMPTY = sha256(b"").hexdigest()


def capture(call: Callable[[WireServer], object], answer: dict[str, Any] | None = None) -> Request:
    """Return the one request that a call sends."""
    with WireServer(reply(answer or {"Code": "OK"})) as server:
        call(server)
        (request,) = server.requests
    return request


def config_of(server: WireServer, token: str | None) -> Any:
    from alibabacloud_tea_openapi.utils_models import Config

    return Config(
        access_key_id=KEY,
        access_key_secret=SECRET,
        security_token=token,
        endpoint=f"127.0.0.1:{server.port}",
        protocol="http",
    )


def sms_sdk(call: str, token: str | None = None, **fields: Any) -> Request:
    from alibabacloud_dysmsapi20170525 import client, models

    request = getattr(models, "".join(part.title() for part in call.split("_")) + "Request")(**fields)
    return capture(lambda server: getattr(client.Client(config_of(server, token)), call)(request))


def voice_sdk(call: str, **fields: Any) -> Request:
    from alibabacloud_dyvmsapi20170525 import client, models

    request = getattr(models, "".join(part.title() for part in call.split("_")) + "Request")(**fields)
    return capture(lambda server: getattr(client.Client(config_of(server, None)), call)(request))


def require_our_signature_is_its(request: Request) -> None:
    """Sign the SDK's request by otpkit's functions, with its date, nonce and headers."""
    said = read_authorization(request.headers["authorization"])
    assert said is not None
    ours = signature("POST", request.path, request.params, request.headers, said.signed_headers, EMPTY, SECRET)
    assert authorization(Authorization(KEY, said.signed_headers, ours)) == request.headers["authorization"]


def require_same_call(ours: Request, its: Request) -> None:
    """Check that two requests are equal, and sign the same headers among those that both have."""
    assert_signed(ours)
    require_our_signature_is_its(its)
    assert (ours.line.split()[0], ours.path, ours.params) == (its.line.split()[0], its.path, its.params)
    for name in ("accept", "x-acs-action", "x-acs-version", "x-acs-content-sha256", "content-length"):
        assert ours.headers[name] == its.headers[name]
    signed = [read_authorization(request.headers["authorization"]) for request in (ours, its)]
    assert signed[0] is not None
    assert signed[1] is not None
    assert set(signed[0].signed_headers) <= set(signed[1].signed_headers)
    # The other headers that the SDK signs describe the SDK: the source of its credentials, and the key's id again.
    more = set(signed[1].signed_headers) - set(signed[0].signed_headers)
    assert more <= {"x-acs-credentials-provider", "x-acs-accesskey-id"}


def json_of(params: dict[str, str]) -> str:
    return json.dumps(params, ensure_ascii=False, separators=(",", ":"))


@pytest.mark.parametrize("value", HARD)
@pytest.mark.parametrize("token", [None, TOKEN])
def test_send_sms_is_the_sdks(value: str, token: str | None) -> None:
    """The template's variables may have any value. The credentials may be permanent or temporary."""
    template = Template("SMS_10000", "阿里大鱼", {"code": "{code}", "product": "p"})
    params = {"code": "730452", "product": value}
    message = Message(f"+86{NUMBER}", "730452", template, params, SEND_ID, NOON)
    ours = capture(lambda server: drive(Aliyun(KEY, SECRET, security_token=token, base_url=server.url).send(message)))
    its = sms_sdk(
        "send_sms",
        token,
        phone_numbers=NUMBER,
        sign_name="阿里大鱼",
        template_code="SMS_10000",
        template_param=json_of(params),
        out_id=SEND_ID,
    )
    require_same_call(ours, its)


@pytest.mark.parametrize("value", HARD)
def test_any_text_anywhere_is_signed_as_the_sdk_signs_it(value: str) -> None:
    """The text may also be a whole parameter or empty. otpkit's own request then has the same signature."""
    its = sms_sdk("send_sms", phone_numbers=value, sign_name=value, template_code=value, out_id=value)
    require_our_signature_is_its(its)
    said = read_authorization(its.headers["authorization"])
    assert said is not None
    headers = signed_headers(
        Credentials(KEY, SECRET),
        action="SendSms",
        version=VERSION,
        host=its.headers["host"],
        params=its.params,
        date=datetime.fromisoformat(its.headers["x-acs-date"]),
        nonce=its.headers["x-acs-signature-nonce"],
        user_agent=its.headers["user-agent"],
    )
    for name, header in headers.items():
        if name != "authorization":
            assert its.headers[name] == header


def test_query_send_details_is_the_sdks() -> None:
    """The biz_id contains ^, which must be encoded."""
    day = datetime.now(SHANGHAI).date()
    rows = {"Code": "OK", "SmsSendDetailDTOs": {"SmsSendDetailDTO": []}}
    ours = capture(
        lambda server: Aliyun(KEY, SECRET, base_url=server.url).query_send_details(NUMBER, day, biz_id="1^2"), rows
    )
    its = sms_sdk(
        "query_send_details",
        phone_number=NUMBER,
        send_date=day.strftime("%Y%m%d"),
        page_size=50,
        current_page=1,
        biz_id="1^2",
    )
    require_same_call(ours, its)


@pytest.mark.parametrize("value", HARD)
def test_single_call_by_tts_is_the_sdks(value: str) -> None:
    """The template's variables may have any value."""
    params = {"code": "730452", "product": value}
    options = {"called_show_number": "057112345678", "play_times": 2, "volume": 80, "speed": -10}
    ours = capture(
        lambda server: AliyunVoice(KEY, SECRET, base_url=server.url, **options).single_call_by_tts(
            NUMBER, tts_code="TTS_1", params=params, out_id="签名 +~"
        )
    )
    its = voice_sdk(
        "single_call_by_tts",
        called_number=NUMBER,
        tts_code="TTS_1",
        tts_param=json_of(params),
        out_id="签名 +~",
        **options,
    )
    require_same_call(ours, its)


def test_single_call_by_voice_is_the_sdks() -> None:
    """The parameter is a file's id."""
    ours = capture(
        lambda server: AliyunVoice(KEY, SECRET, base_url=server.url, play_times=1).single_call_by_voice(
            NUMBER, voice_code="2d4c-4e78.wav", out_id="x"
        )
    )
    its = voice_sdk("single_call_by_voice", called_number=NUMBER, voice_code="2d4c-4e78.wav", out_id="x", play_times=1)
    require_same_call(ours, its)


def test_query_call_detail_by_call_id_is_the_sdks() -> None:
    """The day is in milliseconds."""
    day = datetime.now(SHANGHAI).date()
    ours = capture(
        lambda server: AliyunVoice(KEY, SECRET, base_url=server.url).query_call_detail_by_call_id("1^2", query_date=day)
    )
    its = voice_sdk("query_call_detail_by_call_id", call_id="1^2", prod_id=11010000138001, query_date=day_begins(day))
    require_same_call(ours, its)


def test_click_to_dial_says_what_the_older_sdk_says() -> None:
    """The older SDK signs in the query. The parameters, the name and the version of the call are the same."""
    from aliyunsdkcore.client import AcsClient
    from aliyunsdkdyvmsapi.request.v20170525.ClickToDialRequest import ClickToDialRequest

    fields = {
        "CallerNumber": NUMBER,
        "CalledNumber": "13900139000",
        "CallerShowNumber": "057112345678",
        "CalledShowNumber": "057187654321",
        "SessionTimeout": "60",
        "RecordFlag": "true",
        "OutId": "签名 +~",
    }

    def dial(server: WireServer) -> None:
        request = ClickToDialRequest()
        request.set_endpoint(f"127.0.0.1:{server.port}")
        request.set_protocol_type("http")
        for name, value in fields.items():
            getattr(request, f"set_{name}")(value)
        AcsClient(KEY, SECRET, "cn-hangzhou").do_action_with_exception(request)

    its = capture(dial)
    ours = capture(
        lambda server: AliyunVoice(KEY, SECRET, base_url=server.url).click_to_dial(
            caller_number=NUMBER,
            called_number="13900139000",
            caller_show_number="057112345678",
            called_show_number="057187654321",
            session_timeout=60,
            record=True,
            out_id="签名 +~",
        )
    )
    assert_signed(ours)
    assert ours.params == fields
    assert fields.items() <= its.params.items()
    assert ours.line.split()[0] == its.line.split()[0] == "POST"
    assert (its.params["Action"], its.params["Version"]) == ("ClickToDial", VERSION)
    for name in ("x-acs-action", "x-acs-version"):
        assert ours.headers[name] == its.headers[name]
