"""The door for clients of Twilio Verify, by its official SDKs for Python and Node.js, and by raw requests."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import requests
from support.servers import unavailable
from support.service import KEY, SECRET, TRUSTED_KEY, Served, serving
from twilio.base.exceptions import TwilioRestException
from twilio.rest import Client

from otpkit import AsyncOTP, Budget, ConfigurationError, GatewayRejectedError, Guard, Policy, Template
from otpkit.service import ApiKey, create_app
from otpkit.service.doors import TwilioDoor
from otpkit.settings import read_settings
from otpkit.settings.doors import VerifyService
from otpkit.testing import Outbox

NPM = Path(__file__).parent.parent / "sandbox" / "npm"
ACCOUNT, SERVICE, OTHER_SERVICE = "AC" + "0a" * 16, "VA" + "1b" * 16, "VA" + "2c" * 16
API_KEY = "SK" + "3d" * 16
TOKEN = "token-of-the-twilio-door-0123456789-0123"
SIGNUP = VerifyService.of(
    name="twilio",
    service_sid=SERVICE,
    account_sid=ACCOUNT,
    auth_token=TOKEN,
    purpose="signup",
    api_key_sid=API_KEY,
    ip_rate_limit="end_user_ip",
)
LOGIN = replace(SIGNUP, name="login", service_sid=OTHER_SERVICE, purpose="login")


@pytest.fixture(scope="module")
def stage() -> Iterator[Served]:
    with serving("memory://", namespace="twilio", doors=[TwilioDoor([SIGNUP, LOGIN])]) as served:
        yield served


def client_of(stage: Served, user: str = ACCOUNT, token: str = TOKEN) -> Any:
    """Return the SDK's service, whose only change is the base URL."""
    client = Client(user, token, ACCOUNT, environment={"-": ""})
    client.verify.base_url = stage.base_url
    return client.verify.v2.services(SERVICE)


@pytest.fixture
def service(stage: Served) -> Any:
    return client_of(stage)


def post(
    stage: Served, path: str, body: Any = None, *, auth: tuple[str, str] | None = (ACCOUNT, TOKEN), **more: Any
) -> requests.Response:
    return stage.session.post(f"{stage.base_url}/v2{path}", data=body, auth=auth, timeout=20, **more)


def start(stage: Served, phone: str, **fields: str) -> requests.Response:
    return post(stage, f"/Services/{SERVICE}/Verifications", {"To": phone, "Channel": "sms", **fields})


def check(stage: Served, **fields: str) -> requests.Response:
    return post(stage, f"/Services/{SERVICE}/VerificationCheck", fields)


def problem(answer: requests.Response) -> tuple[int, int]:
    """Return the status and the code of an error, after a check of its shape."""
    body = answer.json()
    assert body.keys() == {"code", "message", "more_info", "status"}, body
    assert body["status"] == answer.status_code
    assert body["more_info"] == f"https://www.twilio.com/docs/errors/{body['code']}"
    assert answer.headers["cache-control"] == "no-store"
    return answer.status_code, body["code"]


def other(code: str) -> str:
    """Return a wrong code."""
    return f"{(int(code) + 1) % 10 ** len(code):0{len(code)}d}"


def refusal(call: Any, **fields: Any) -> tuple[int, int]:
    with pytest.raises(TwilioRestException) as caught:
        call(**fields)
    return caught.value.status, caught.value.code


def test_python_sdk_verifies(stage: Served, service: Any, phone: str) -> None:
    started = service.verifications.create(to=phone, channel="sms")
    code = stage.outbox[-1].code
    assert (started.status, started.valid, started.to, started.channel) == ("pending", False, phone, "sms")
    assert (started.service_sid, started.account_sid) == (SERVICE, ACCOUNT)
    assert started.date_created.tzinfo is not None
    assert started.url == f"{stage.base_url}/v2/Services/{SERVICE}/Verifications/{started.sid}"
    wrong = service.verification_checks.create(to=phone, code=other(code))
    assert (wrong.status, wrong.valid, wrong.sid) == ("pending", False, started.sid)
    approved = service.verification_checks.create(to=phone, code=code)
    assert (approved.status, approved.valid, approved.sid, approved.to) == ("approved", True, started.sid, phone)
    assert refusal(service.verification_checks.create, to=phone, code=code) == (404, 20404)
    assert refusal(service.verifications(started.sid).fetch) == (404, 20404)


def test_python_sdk_fetches_and_cancels(stage: Served, service: Any, phone: str) -> None:
    started = service.verifications.create(to=phone, channel="sms", locale="en", tags='{"a": "b"}')
    assert service.verifications(started.sid).fetch().status == "pending"
    assert refusal(service.verifications(started.sid).update, status="approved") == (400, 60200)
    assert service.verifications(started.sid).update(status="canceled").status == "canceled"
    code = stage.outbox[-1].code
    assert refusal(service.verification_checks.create, verification_sid=started.sid, code=code) == (404, 20404)


def test_api_key_is_a_user_name(stage: Served, phone: str) -> None:
    assert client_of(stage, API_KEY).verifications.create(to=phone, channel="sms").status == "pending"
    assert refusal(client_of(stage, API_KEY[:-1] + "0").verifications.create, to=phone, channel="sms") == (401, 20003)


def test_node_sdk_verifies(stage: Served, phone: str) -> None:
    node = shutil.which("node")
    if node is None:
        unavailable("node is not installed")
    if not (NPM / "node_modules" / "twilio").is_dir():
        unavailable(f"the SDK is not installed; run: npm ci --ignore-scripts --prefix {NPM}")
    command = [node, str(NPM / "verify.js"), stage.base_url, ACCOUNT, TOKEN, SERVICE, phone]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as program:
        assert program.stdout is not None
        line = program.stdout.readline()
        out, err = program.communicate(f"{stage.outbox[-1].code}\n" if line == "started\n" else "", timeout=60)
    assert program.returncode == 0, line + out + err

    def error(status: int, code: int) -> dict[str, Any]:
        return {"status": status, "code": code, "moreInfo": f"https://www.twilio.com/docs/errors/{code}"}

    assert json.loads(out) == {
        "started": ["pending", False, phone, "sms"],
        "dated": True,
        "wrong": ["pending", False],
        "fetched": ["pending", True],
        "approved": ["approved", True, True],
        "ended": error(404, 20404),
        "email": error(400, 60223),
        "factors": error(404, 20404),
    }


def test_resend_keeps_the_sid_and_the_code(phone: str) -> None:
    with serving(
        "memory://", "resend", otp_options={"policy": Policy(sends="9/hour")}, doors=[TwilioDoor([SIGNUP])]
    ) as stage:
        sids = {start(stage, phone).json()["sid"] for _ in range(2)}
        assert len(sids) == 1
        assert len({message.code for message in stage.outbox}) == 1


def test_sid_of_one_service_means_nothing_to_another(stage: Served, phone: str) -> None:
    sid = start(stage, phone).json()["sid"]
    path = f"{stage.base_url}/v2/Services/{{}}/Verifications/{sid}"
    statuses = [
        stage.session.get(path.format(each), auth=(ACCOUNT, TOKEN), timeout=20).status_code
        for each in (SERVICE, OTHER_SERVICE)
    ]
    assert statuses == [200, 404]


def test_sid_shows_no_number(stage: Served, phone: str) -> None:
    sid = start(stage, phone).json()["sid"]
    assert int(phone[1:]).to_bytes(7, "big").hex() not in sid
    assert phone[1:] not in sid


def test_purposes_of_services_are_apart(stage: Served, phone: str) -> None:
    start(stage, phone)
    fields = {"To": phone, "Code": stage.outbox[-1].code}
    assert problem(post(stage, f"/Services/{OTHER_SERVICE}/VerificationCheck", fields)) == (404, 20404)


def test_last_wrong_code_ends_the_verification(stage: Served, phone: str) -> None:
    start(stage, phone)
    code = stage.outbox[-1].code
    statuses = [check(stage, To=phone, Code=other(code)).json()["status"] for _ in range(5)]
    assert statuses == ["pending"] * 4 + ["max_attempts_reached"]
    assert problem(check(stage, To=phone, Code=code)) == (404, 20404)


def test_repeated_start_is_limited(stage: Served, phone: str) -> None:
    start(stage, phone)
    again = start(stage, phone)
    assert problem(again) == (429, 60212)
    assert int(again.headers["retry-after"]) > 0


def test_used_up_sends_are_max_send_attempts(phone: str) -> None:
    options = {"policy": Policy(sends="1/hour")}
    with serving("memory://", "sends", otp_options=options, doors=[TwilioDoor([SIGNUP])]) as stage:
        start(stage, phone)
        assert problem(start(stage, phone)) == (429, 60203)


def test_wrong_codes_are_max_check_attempts(phone: str) -> None:
    options = {"policy": Policy(sends="9/hour", failures="3/hour", device_failures=0)}
    with serving("memory://", "failures", otp_options=options, doors=[TwilioDoor([SIGNUP])]) as stage:
        start(stage, phone)
        code = stage.outbox[-1].code
        for _ in range(3):
            check(stage, To=phone, Code=other(code))
        assert problem(check(stage, To=phone, Code=code)) == (429, 60202)
        assert problem(start(stage, phone)) == (429, 60202)


@pytest.mark.parametrize("fields", [{"DeviceIp": "8.8.8.8"}, {"RateLimits": '{"end_user_ip": "8.8.8.8"}'}])
def test_visitor_address_is_counted(fields: dict[str, str]) -> None:
    options = {"policy": Policy(ip_sends="1/hour")}
    with serving("memory://", "address", otp_options=options, doors=[TwilioDoor([SIGNUP])]) as stage:
        assert start(stage, "+8613900000001", **fields).status_code == 201
        assert problem(start(stage, "+8613900000002", **fields)) == (429, 20429)


def test_landline_gets_no_message() -> None:
    options = {"policy": Policy(regions={"GB"}, default_region="GB")}
    with serving("memory://", "landline", otp_options=options, doors=[TwilioDoor([SIGNUP])]) as stage:
        assert problem(start(stage, "+442079460000")) == (403, 60205)
        assert len(stage.outbox) == 0


def test_call_is_a_voice_message(phone: str) -> None:
    class Voice(Outbox):
        channels = frozenset({"sms", "voice"})

    gateway = Voice()
    with serving("memory://", "voice", gateway, doors=[TwilioDoor([SIGNUP])]) as stage:
        answer = start(stage, phone, Channel="call").json()
        assert (answer["channel"], gateway[-1].channel) == ("call", "voice")
        # With two channels, the one of an earlier message is not known.
        assert check(stage, To=phone, Code=gateway[-1].code).json()["channel"] is None


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"To": ""}, (400, 60200)),
        ({"To": "nonsense"}, (400, 60200)),
        ({"To": "+"}, (400, 60200)),
        ({"To": "13800138000"}, (400, 60200)),
        ({"To": "+86138\x00"}, (400, 60200)),
        ({"To": "+" + "1" * 5000}, (400, 60200)),
        ({"To": "+861012345678"}, (400, 60200)),
        ({"To": "+14155550100"}, (403, 60605)),
        ({"Channel": ""}, (400, 60200)),
        ({"Channel": "pigeon"}, (400, 60200)),
        ({"Channel": "call"}, (400, 60223)),
        ({"Channel": "email"}, (400, 60223)),
        ({"Channel": "whatsapp"}, (400, 60223)),
        ({"Channel": "sna"}, (400, 60223)),
        ({"Channel": "auto"}, (400, 60223)),
        ({"CustomCode": "123456"}, (403, 60204)),
        ({"CustomFriendlyName": "shop"}, (403, 60204)),
        ({"TemplateSid": "HJ" + "0" * 32}, (403, 60204)),
        ({"Amount": "5", "Payee": "shop"}, (403, 60204)),
        ({"DeviceIp": "nonsense"}, (400, 60200)),
        ({"RateLimits": "nonsense"}, (400, 60200)),
        ({"RateLimits": "[" * 3000}, (400, 60200)),
        ({"RateLimits": '{"end_user_ip": 1}'}, (400, 60200)),
        ({"RateLimits": '{"other": "1.2.3.4"}'}, (400, 60200)),
        ({"RateLimits": '{"end_user_ip": "nonsense"}'}, (400, 60200)),
    ],
)
def test_wrong_start_sends_nothing(
    stage: Served, phone: str, fields: dict[str, str], expected: tuple[int, int]
) -> None:
    before = len(stage.outbox)
    answer = start(stage, phone, **fields)
    assert problem(answer) == expected, answer.text
    assert len(stage.outbox) == before
    assert not any(value in answer.text for value in fields.values() if len(value) > 8)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"Code": ""}, (400, 60200)),
        ({"Code": "123456"}, (400, 60200)),
        ({"Code": "123", "To": "+8613800138000"}, (400, 60200)),
        ({"Code": "12345678901", "To": "+8613800138000"}, (400, 60200)),
        ({"Code": "letters", "To": "+8613800138000"}, (400, 60200)),
        ({"Code": "123456", "To": "nonsense"}, (400, 60200)),
        ({"Code": "123456", "To": "+8613800138999"}, (404, 20404)),
        ({"Code": "123456", "VerificationSid": "VE" + "0" * 32}, (404, 20404)),
        ({"Code": "123456", "VerificationSid": "nonsense"}, (404, 20404)),
        ({"Code": "123456", "To": "+8613800138000", "Amount": "5"}, (403, 60204)),
    ],
)
def test_wrong_check_is_refused(stage: Served, fields: dict[str, str], expected: tuple[int, int]) -> None:
    assert problem(check(stage, **fields)) == expected


def test_code_of_another_length_stays_pending(stage: Served, phone: str) -> None:
    start(stage, phone)
    code = stage.outbox[-1].code
    for _ in range(9):  # Nothing is counted.
        assert check(stage, To=phone, Code="1234").json()["status"] == "pending"
    assert check(stage, To=phone, Code=code).json()["status"] == "approved"


def test_sid_and_number_must_agree(stage: Served, phone: str) -> None:
    sid = start(stage, phone).json()["sid"]
    code = stage.outbox[-1].code
    assert problem(check(stage, To="+8613800138777", VerificationSid=sid, Code=code)) == (404, 20404)
    assert check(stage, To=phone, VerificationSid=sid, Code=code).json()["status"] == "approved"


@pytest.mark.parametrize(
    "auth",
    [
        None,
        (ACCOUNT, "wrong"),
        (ACCOUNT, ""),
        ("", TOKEN),
        ("AC" + "0" * 32, TOKEN),
        (ACCOUNT, TOKEN + "x"),
        ("é", "é"),
    ],
)
def test_wrong_credentials_are_refused(stage: Served, phone: str, auth: tuple[str, str] | None) -> None:
    before = len(stage.outbox)
    encoded = None if auth is None else tuple(each.encode() for each in auth)
    answer = post(stage, f"/Services/{SERVICE}/Verifications", {"To": phone, "Channel": "sms"}, auth=encoded)  # type: ignore[arg-type]
    assert problem(answer) == (401, 20003)
    assert answer.headers["www-authenticate"].startswith("Basic")
    assert len(stage.outbox) == before


def test_wrong_credentials_are_audited() -> None:
    """The first is written at once. A request without credentials is no rejected key."""
    with serving("memory://", "audited", doors=[TwilioDoor([SIGNUP])]) as stage:
        post(stage, f"/Services/{SERVICE}/Verifications", {}, auth=None)
        for _ in range(3):
            post(stage, f"/Services/{SERVICE}/Verifications", {}, auth=(ACCOUNT, "wrong"))
        deadline = time.monotonic() + 20
        while not (entries := stage.post("/v1/audit", {}, key=TRUSTED_KEY).json()["entries"]):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert [(each["action"], each["count"]) for each in entries] == [("key_rejected", 1)]


def test_weak_token_is_found_on_use(phone: str) -> None:
    """Its digest does not show that it is short."""
    weak = replace(SIGNUP, token_digest=sha256(b"weak").digest())
    with serving("memory://", "weak", doors=[TwilioDoor([weak])]) as stage:
        answer = post(
            stage, f"/Services/{SERVICE}/Verifications", {"To": phone, "Channel": "sms"}, auth=(ACCOUNT, "weak")
        )
        assert problem(answer) == (500, 20500)
        assert len(stage.outbox) == 0


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (GatewayRejectedError("", category="connection"), (503, 20503)),
        (GatewayRejectedError("", category="account"), (503, 20503)),
        (GatewayRejectedError("", category="number"), (400, 60200)),
        (GatewayRejectedError("", category="rate_limit", retry_after=30), (429, 20429)),
    ],
)
def test_rejection_by_gateway_has_a_code(
    stage: Served, phone: str, error: GatewayRejectedError, expected: tuple[int, int]
) -> None:
    stage.outbox.reject_next(error)
    assert problem(start(stage, phone)) == expected


def test_guard_refuses_with_a_code(phone: str) -> None:
    options = {"guard": Guard(mode="enforce", risk=lambda _: "refuse")}
    with serving("memory://", "guard", otp_options=options, doors=[TwilioDoor([SIGNUP])]) as stage:
        assert problem(start(stage, phone)) == (403, 60410)
        assert len(stage.outbox) == 0


def test_spent_budget_has_a_code(phone: str) -> None:
    options = {"budgets": [Budget("0.01 CNY/day", key="twilio")], "prices": {"CN": "0.05 CNY"}}
    with serving("memory://", "budget", otp_options=options, doors=[TwilioDoor([SIGNUP])]) as stage:
        assert problem(start(stage, phone)) == (429, 20429)
        assert len(stage.outbox) == 0


@pytest.mark.parametrize("header", ["Basic", "Basic !!!", "Basic bm9jb2xvbg==", f"Bearer {TOKEN}", "Basic \xff"])
def test_unreadable_credentials_are_refused(stage: Served, header: str) -> None:
    answer = post(stage, f"/Services/{SERVICE}/Verifications", {}, auth=None, headers={"Authorization": header})
    assert problem(answer) == (401, 20003)


@pytest.mark.parametrize("path", ["/Services/VA" + "0" * 32 + "/Verifications", "/Services/nonsense/VerificationCheck"])
def test_unknown_service_is_not_found(stage: Served, path: str) -> None:
    assert problem(post(stage, path, {"To": "+8613800138000", "Code": "123456"})) == (404, 20404)


@pytest.mark.parametrize(
    "path",
    ["/Services", f"/Services/{SERVICE}", f"/Services/{SERVICE}/RateLimits", "/Attempts", "/Forms/form-push", "/a//b/"],
)
def test_other_resources_are_not_found(stage: Served, path: str) -> None:
    answer = post(stage, path, {})
    assert problem(answer) == (404, 20404)
    assert "Verifications and VerificationCheck" in answer.json()["message"]
    assert problem(post(stage, path, {}, auth=None)) == (401, 20003)


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
def test_other_methods_are_not_allowed(stage: Served, method: str) -> None:
    url = f"{stage.base_url}/v2/Services/{SERVICE}/VerificationCheck"
    answer = stage.session.request(method, url, auth=(ACCOUNT, TOKEN), timeout=20)
    assert problem(answer) == (405, 20004)
    assert answer.headers["allow"] == "POST"


def test_json_is_refused(stage: Served, phone: str) -> None:
    answer = post(stage, f"/Services/{SERVICE}/Verifications", json={"To": phone, "Channel": "sms"})
    assert problem(answer) == (415, 60200)
    assert "x-www-form-urlencoded" in answer.json()["message"]


FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"To=" + b"1" * 1_048_576, (413, 60200)),
        (b"To=" + b"1" * 70_000, (413, 60200)),
        (b"To=%ff", (400, 60200)),
        (b"\xff", (400, 60200)),
        (b"To=a&To=b", (400, 60200)),
        (b"&".join(b"a%d=1" % number for number in range(100)), (400, 60200)),
        (b"", (400, 60200)),
    ],
)
def test_unreadable_body_is_refused(stage: Served, body: bytes, expected: tuple[int, int]) -> None:
    before = len(stage.outbox)
    answer = post(stage, f"/Services/{SERVICE}/Verifications", body, headers=FORM)
    assert problem(answer) == expected
    assert len(stage.outbox) == before


def test_token_opens_no_other_path(stage: Served, phone: str) -> None:
    assert stage.post("/v1/challenges", {"phone": phone}, key=TOKEN).status_code == 401


def test_door_is_shut_by_default(phone: str) -> None:
    with serving("memory://", "shut") as stage:
        answer = start(stage, phone)
        assert answer.status_code == 404
        assert answer.headers["content-type"] == "application/problem+json"


def test_document_describes_no_door(stage: Served) -> None:
    assert not any(path.startswith("/v2") for path in stage.get("/openapi.json").json()["paths"])


TABLE = {"service_sid": SERVICE, "account_sid": ACCOUNT, "auth_token": TOKEN, "purpose": "signup"}
SETTINGS = {
    "OTPKIT_REDIS_URL": "memory://",
    "OTPKIT_SECRET": "a-secret-of-the-settings-0123456789-abcdef",
    "OTPKIT_GATEWAY": "console",
    "OTPKIT_DEVELOPMENT": "1",
    "OTPKIT_TEMPLATES": json.dumps({"signup": {"code": "SMS_1", "sign_name": "otpkit"}}),
    "OTPKIT_API_KEYS": json.dumps({"shop": {"key": "key-of-the-shop-0123456789-0123456789", "purposes": ["signup"]}}),
}


def settings_with(*tables: dict[str, Any], name: str = "twilio") -> Any:
    named = {f"{name}{number or ''}": table for number, table in enumerate(tables)}
    return read_settings(SETTINGS | {"OTPKIT_TWILIO_VERIFY": json.dumps(named)}, serves=True)


def test_settings_hold_services() -> None:
    [found] = settings_with(TABLE).verify_services
    assert (found.name, found.service_sid, found.purpose) == ("twilio", SERVICE, "signup")
    assert found.token_digest == sha256(TOKEN.encode()).digest()
    assert TOKEN not in repr(found)
    digest = {**TABLE, "auth_token_sha256": sha256(TOKEN.encode()).hexdigest()}
    del digest["auth_token"]
    assert settings_with(digest).verify_services == (found,)
    assert read_settings(SETTINGS, serves=True).verify_services == ()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"service_sid": "VA1"}, "service_sid must be VA"),
        ({"account_sid": SERVICE}, "account_sid must be AC"),
        ({"api_key_sid": "nonsense"}, "api_key_sid must be SK"),
        ({"auth_token": "short"}, "at least 32"),
        ({"auth_token": None}, "one of auth_token and auth_token_sha256"),
        ({"auth_token_sha256": "0" * 64}, "one of auth_token and auth_token_sha256"),
        ({"purpose": "signin"}, "no template serves"),
        ({"purpose": ""}, "purpose must be a text"),
        ({"ip_rate_limit": "a b"}, "unique name"),
        ({"servce_sid": SERVICE}, "did you mean service_sid?"),
    ],
)
def test_wrong_settings_are_named(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        settings_with({**TABLE, **changes})
    assert words in str(caught.value)
    assert TOKEN not in str(caught.value)


def test_budget_may_be_of_a_service() -> None:
    budgets = {"OTPKIT_BUDGETS": json.dumps([{"amount": "30 CNY/day", "key": "twilio"}])}
    prices = {"OTPKIT_PRICES": json.dumps({"CN": "0.05 CNY"})}
    services = {"OTPKIT_TWILIO_VERIFY": json.dumps({"twilio": TABLE})}
    [budget] = read_settings(SETTINGS | budgets | prices | services, serves=True).otp["budgets"]
    assert budget.key == "twilio"
    with pytest.raises(ConfigurationError, match="is for no API key"):
        read_settings(SETTINGS | budgets | prices, serves=True)


def test_services_are_distinct() -> None:
    for wrong in (lambda: settings_with(TABLE, TABLE), lambda: settings_with(TABLE, name="shop")):
        with pytest.raises(ConfigurationError, match="same"):
            wrong()
    with pytest.raises(ConfigurationError, match="the token of an API key"):
        settings_with({**TABLE, "auth_token": "key-of-the-shop-0123456789-0123456789"})


def test_door_needs_a_template() -> None:
    template = Template("SMS_1", "otpkit")
    otp = AsyncOTP("memory://", Outbox(), {"signup": template}, SECRET)
    with pytest.raises(ConfigurationError, match="login"):
        create_app(otp, [ApiKey.of("shop", KEY, ["signup"])], doors=[TwilioDoor([LOGIN])])
