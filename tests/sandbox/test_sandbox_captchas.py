"""The captchas' verification: the official SDKs, as strict as the providers, and answers made by the interface."""

from __future__ import annotations

import json
from typing import Any
from unittest import mock

import pytest
import requests
from alibaba_client import Alibaba, AlibabaCloudException
from alibabacloud_captcha20230305 import models as aliyun
from alibabacloud_captcha20230305.client import Client as AliyunCaptcha
from alibabacloud_tea_openapi.utils_models import Config
from sandbox_client import Client
from tencentcloud.captcha.v20190722 import models as tencent
from tencentcloud.captcha.v20190722.captcha_client import CaptchaClient
from tencentcloud.common import abstract_client
from tencentcloud.common.credential import Credential
from tencentcloud.common.exception.tencent_cloud_sdk_exception import TencentCloudSDKException
from tencentcloud.common.profile.client_profile import ClientProfile
from tencentcloud.common.profile.http_profile import HttpProfile

from otpkit import ConfigurationError
from otpkit.sandbox import Fault, Sandbox, SolvedCaptcha

SECRET = "sandbox-secret"


def verify_at_aliyun(client: Client, answer: str | None, scene: str | None = "scene", secret: str = SECRET) -> Any:
    """Verify an answer by Alibaba Cloud's SDK, and return the response's body."""
    endpoint = f"{client.address.host}:{client.address.port}"
    sdk = AliyunCaptcha(Config(endpoint=endpoint, protocol="http", access_key_id="sandbox", access_key_secret=secret))
    request = aliyun.VerifyIntelligentCaptchaRequest(captcha_verify_param=answer, scene_id=scene)
    runtime = Alibaba(client).runtime()
    return sdk.verify_intelligent_captcha_with_options(request, runtime).body.to_map()


def verify_at_tencent(client: Client, answer: str, secret: str = SECRET, **changes: Any) -> dict[str, Any]:
    """Verify a ticket by Tencent Cloud's SDK, and return the response."""
    http = HttpProfile(protocol="http", endpoint=f"{client.address.host}:{client.address.port}", reqTimeout=5)
    sdk = CaptchaClient(Credential("sandbox", secret), "", ClientProfile(httpProfile=http))
    found = json.loads(answer)
    fields = {
        "CaptchaType": 9,
        "Ticket": found["ticket"],
        "UserIp": "203.0.113.7",
        "Randstr": found["randstr"],
        "CaptchaAppId": 190000001,
        "AppSecretKey": SECRET,
        **changes,
    }
    request = tencent.DescribeCaptchaResultRequest()
    request._deserialize({name: value for name, value in fields.items() if value is not None})
    with mock.patch.object(abstract_client.time, "time", mock.Mock(return_value=client.clock.now)):
        decoded: dict[str, Any] = json.loads(sdk.DescribeCaptchaResult(request).to_json_string())
    return decoded


def test_sdk_of_aliyun_verifies_once(client: Client) -> None:
    answer = client.sandbox.solve_captcha("aliyun-captcha")
    codes = [verify_at_aliyun(client, answer)["Result"]["VerifyCode"] for _ in range(2)]
    assert codes == ["T001", "F018"]
    assert verify_at_aliyun(client, "nonsense")["Result"] == {"VerifyResult": False, "VerifyCode": "F003"}


def test_sdk_of_aliyun_sees_another_scene_and_a_late_answer(client: Client) -> None:
    foreign = client.sandbox.solve_captcha(SolvedCaptcha("aliyun-captcha", site_key="other"))
    assert verify_at_aliyun(client, foreign)["Result"]["VerifyCode"] == "F012"
    late = client.sandbox.solve_captcha("aliyun-captcha")
    client.clock.now += 91
    assert verify_at_aliyun(client, late)["Result"]["VerifyCode"] == "F019"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"answer": "x", "secret": "other"}, "SignatureDoesNotMatch"),
        ({"answer": None}, "MissingCaptchaVerifyParam"),
        ({"answer": "x", "scene": None}, "MissingSceneId"),
    ],
)
def test_sdk_of_aliyun_sees_refusals(client: Client, arguments: dict[str, Any], code: str) -> None:
    with pytest.raises(AlibabaCloudException) as caught:
        verify_at_aliyun(client, **arguments)
    assert caught.value.code == code


def test_sdk_of_tencent_verifies_once(client: Client) -> None:
    answer = client.sandbox.solve_captcha("tencent-captcha")
    codes = [verify_at_tencent(client, answer)["CaptchaCode"] for _ in range(2)]
    assert codes == [1, 9]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"Ticket": "nonsense"}, 15),
        ({"Ticket": "trerror_1001_190000001_1"}, 21),
        ({"Randstr": "@x"}, 7),
        ({"CaptchaAppId": 5}, 16),
        ({"AppSecretKey": "other"}, 100),
    ],
)
def test_sdk_of_tencent_sees_refusals(client: Client, changes: dict[str, Any], code: int) -> None:
    answer = client.sandbox.solve_captcha(SolvedCaptcha("tencent-captcha", site_key="190000001"))
    assert verify_at_tencent(client, answer, **changes)["CaptchaCode"] == code
    assert verify_at_tencent(client, answer)["CaptchaCode"] == 1


@pytest.mark.parametrize(
    ("changes", "code"),
    [({"secret": "other"}, "AuthFailure.SignatureFailure"), ({"UserIp": None}, "MissingParameter")],
)
def test_sdk_of_tencent_sees_errors(client: Client, changes: dict[str, Any], code: str) -> None:
    with pytest.raises(TencentCloudSDKException) as caught:
        verify_at_tencent(client, client.sandbox.solve_captcha("tencent-captcha"), **changes)
    assert caught.value.code == code


def post(client: Client, path: str, **options: Any) -> Any:
    return client.session.post(client.address.base_url + path, timeout=10, **options)


@pytest.mark.parametrize(
    ("form", "code"),
    [
        ({}, "missing-input-secret"),
        ({"secret": "other", "response": "x"}, "invalid-input-secret"),
        ({"secret": SECRET}, "missing-input-response"),
        ({"secret": SECRET, "response": "x"}, "invalid-input-response"),
    ],
)
@pytest.mark.parametrize("path", ["/turnstile/v0/siteverify", "/siteverify", "/recaptcha/api/siteverify"])
def test_siteverify_refuses_as_documented(client: Client, path: str, form: dict[str, str], code: str) -> None:
    reply = post(client, path, data=form)
    assert (reply.status_code, reply.json()) == (200, {"success": False, "error-codes": [code]})
    assert client.session.get(client.address.base_url + path, timeout=10).json()["error-codes"] == ["bad-request"]


def test_turnstile_takes_json_too(client: Client) -> None:
    answer = client.sandbox.solve_captcha(SolvedCaptcha("turnstile", action="login", hostname="a.example"))
    found = post(client, "/turnstile/v0/siteverify", json={"secret": SECRET, "response": answer}).json()
    assert found["success"] is True
    assert (found["action"], found["hostname"]) == ("login", "a.example")
    broken = post(client, "/turnstile/v0/siteverify", data="{", headers={"Content-Type": "application/json"})
    assert broken.json()["error-codes"] == ["bad-request"]


def test_answers_of_the_interface_are_right(client: Client) -> None:
    made = post(client, "/api/captchas", json={"provider": "hcaptcha", "hostname": "a.example"})
    assert made.status_code == 201
    form = {"secret": SECRET, "response": made.json()["answer"], "sitekey": "sandbox"}
    assert post(client, "/siteverify", data=form).json()["hostname"] == "a.example"
    assert post(client, "/siteverify", data=form).json()["error-codes"] == ["already-seen-response"]


@pytest.mark.parametrize(
    "body",
    [
        [],
        {},
        {"provider": "pigeon"},
        {"provider": ["turnstile"]},
        {"provider": "turnstile", "wings": 2},
        {"provider": "turnstile", "age": "1"},
        {"provider": "turnstile", "score": True},
        {"provider": "turnstile", "hostname": None},
        {"provider": "turnstile", "action": 7},
    ],
)
def test_interface_refuses_what_is_no_captcha(client: Client, body: object) -> None:
    reply = post(client, "/api/captchas", json=body)
    assert reply.status_code == 422
    assert reply.json()["error"]


def test_pages_of_other_sites_get_no_answers(client: Client) -> None:
    """They could try them at the site that is being developed."""
    reply = post(client, "/api/captchas", json={"provider": "turnstile"}, headers={"Origin": "https://evil.example"})
    assert reply.status_code == 403


def test_a_fault_of_a_captcha_names_its_call(client: Client) -> None:
    queued = {"fault": "reject", "api": "turnstile.siteverify", "code": "internal-error"}
    assert post(client, "/api/faults", json=queued).status_code == 201
    form = {"secret": SECRET, "response": client.sandbox.solve_captcha("turnstile")}
    assert post(client, "/turnstile/v0/siteverify", data=form).json()["error-codes"] == ["internal-error"]
    assert post(client, "/turnstile/v0/siteverify", data=form).json()["success"] is True


@pytest.mark.parametrize("sent", [True, False])
def test_a_dropped_response_uses_the_answer_up_or_not(client: Client, sent: bool) -> None:
    client.sandbox.add_fault(Fault("drop", api="turnstile.siteverify", sent=sent))
    form = {"secret": SECRET, "response": client.sandbox.solve_captcha("turnstile")}
    with pytest.raises(requests.ConnectionError):
        post(client, "/turnstile/v0/siteverify", data=form)
    assert post(client, "/turnstile/v0/siteverify", data=form).json()["success"] is not sent


def test_a_receipts_fault_is_of_no_captcha() -> None:
    with pytest.raises(ConfigurationError, match="only applies to"):
        Fault("receipt_failed", api="turnstile.siteverify")


def test_a_captcha_has_no_phone() -> None:
    with pytest.raises(ConfigurationError, match="no phone"):
        Fault("http_500", api="turnstile.siteverify", phone="13800138000")


def test_the_oldest_answers_are_dropped() -> None:
    made = Sandbox()
    first = made.solve_captcha("turnstile")
    for _ in range(10_000):
        made.solve_captcha("turnstile")
    assert made.find_captcha("turnstile", first) == (None, "unknown")
