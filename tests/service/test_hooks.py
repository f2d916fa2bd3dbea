"""The doors for systems that make their own codes: what they send, signed by the public library, over a socket."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import requests
from standardwebhooks import Webhook
from support.service import KEY, PHONE, SECRET, TEMPLATE, Served, serving

from otpkit import AsyncOTP, Budget, ConfigurationError, Guard, Policy
from otpkit.errors import GatewayRejectedError
from otpkit.guard.rule import Rule
from otpkit.service import ApiKey, create_app
from otpkit.service.doors import HookDoor
from otpkit.settings import read_settings
from otpkit.settings.hooks import Hook
from otpkit.testing import Outbox

OLD, NEW, FOREIGN = (f"whsec_{b64encode(sha256(name).digest()).decode()}" for name in (b"old", b"new", b"foreign"))
HOOK_KEY, NEXT_KEY = "key-of-the-kratos-hook-0123456789-01", "next-of-the-kratos-hook-0123456789-1"
SUPABASE = Hook.of(name="supabase", format="supabase", template="login", secret=[f"v1,{OLD}", f"v1,{NEW}"])
SIGNED = Hook.of(name="signed", format="generic", template="login", templates={"welcome": "signup"}, secret=[OLD])
KRATOS = Hook.of(name="kratos", format="kratos", template="login", key=[HOOK_KEY, NEXT_KEY])
LOGTO = Hook.of(name="logto", format="logto", template="login", key=[f"{HOOK_KEY}-logto"], visitor_ip=True)
AUTHENTIK = Hook.of(name="authentik", format="authentik", template="login", key=[f"{HOOK_KEY}-authentik"], minutes=9)
HOOKS = (SUPABASE, SIGNED, KRATOS, LOGTO, AUTHENTIK)


@pytest.fixture(scope="module")
def stage() -> Iterator[Served]:
    with serving("memory://", namespace="hooks", doors=[HookDoor(HOOKS)]) as served:
        yield served


def supabase_body(phone: str = PHONE, code: str = "561166", **sms: str) -> dict[str, Any]:
    """Return the input of Supabase Auth's hook, as its documentation and `SendSMSInput` have it."""
    return {
        "metadata": {
            "uuid": "8f2c4b1e-6f0e-4a51-9a0e-0d5b1f2b9d11",
            "time": "2026-12-01T12:00:00Z",
            "name": "send-sms",
            "ip_address": "198.51.100.7",
        },
        "user": {
            "id": "6481a5c1-3d37-4a56-9f6a-bee08c554965",
            "aud": "authenticated",
            "role": "authenticated",
            "email": "",
            "phone": phone.removeprefix("+"),  # Supabase Auth stores phones without a plus.
            "app_metadata": {"provider": "phone", "providers": ["phone"]},
            "user_metadata": {},
            "is_anonymous": False,
        },
        "sms": {"otp": code, **sms},
    }


def signed(body: bytes, secret: str = OLD, its_id: str = "msg_1", at: datetime | None = None) -> dict[str, str]:
    """Return the headers of a body, by the public library."""
    at = at or datetime.now(UTC)
    signature = Webhook(secret).sign(its_id, at, body.decode("utf-8", "replace"))
    return {"webhook-id": its_id, "webhook-timestamp": str(int(at.timestamp())), "webhook-signature": signature}


def post(stage: Served, name: str, body: Any, headers: Mapping[str, str] | None = None, **more: Any) -> Any:
    """POST a body with headers, or signed. Return the answer."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"content-type": "application/json"} | dict(signed(data, **more) if headers is None else headers)
    return stage.session.post(f"{stage.base_url}/hooks/{name}", data=data, headers=headers, timeout=20)


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def problem(answer: requests.Response) -> tuple[int, str]:
    """Return the status and the code of a problem document, after a check of its shape."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    assert answer.headers["cache-control"] == "no-store"
    return answer.status_code, answer.json()["code"]


def supabase_error(answer: requests.Response) -> tuple[int, int]:
    """Return the status, and the one that Supabase Auth answers with."""
    assert answer.headers["content-type"] == "application/json"  # Supabase Auth reads no other.
    error = answer.json()["error"]
    assert error.keys() == {"http_code", "message"}
    assert error["message"]  # Without one, Supabase Auth sees no error.
    return answer.status_code, error["http_code"]


def test_supabase_sends_its_code(stage: Served, phone: str) -> None:
    answer = post(stage, "supabase", supabase_body(phone))
    assert (answer.status_code, answer.json()) == (200, {})
    assert answer.headers["content-type"] == "application/json"
    message = stage.outbox[-1]
    assert (message.phone, message.code, message.params["code"]) == (phone, "561166", "561166")


def test_supabase_retries_with_another_id_and_the_same_body(stage: Served, phone: str) -> None:
    """It signs each of its attempts anew. The second message of the visitor is another body."""
    body, sent = supabase_body(phone), len(stage.outbox)
    answers = [post(stage, "supabase", body, its_id=its_id) for its_id in ("msg_1", "msg_2", "msg_1")]
    assert [(each.status_code, each.json()) for each in answers] == [(200, {})] * 3
    assert len(stage.outbox) == sent + 1
    assert supabase_error(post(stage, "supabase", supabase_body(phone, "561167"))) == (200, 429)


def test_supabase_confirms_a_new_phone_at_that_phone(stage: Served, phone: str) -> None:
    """`user.phone` is the old one until the code of the new one is typed."""
    post(stage, "supabase", supabase_body(OTHER) | {"sms": {"otp": "561166", "phone": phone}})
    assert stage.outbox[-1].phone == phone


OTHER = "+8613900139000"


def test_each_secret_of_a_rotation_is_right(stage: Served, phone: str) -> None:
    """Supabase Auth writes a comma and a blank between the signatures of several secrets, the standard a blank."""
    data = json.dumps(supabase_body(phone)).encode()
    headers = signed(data, NEW)
    foreign = signed(data, FOREIGN)["webhook-signature"]
    for separator in (" ", ", ", "  "):
        for other in (foreign, "v1a,AA==", "v1", "v1,AA", "v1,a,b", "v2,é".encode().decode("latin-1")):
            both = headers | {"webhook-signature": separator.join((other, headers["webhook-signature"]))}
            assert post(stage, "supabase", data, both).status_code == 200, both
    assert stage.outbox[-1].phone == phone


@pytest.mark.parametrize("name", ["supabase", "signed"])
def test_wrong_signature_sends_nothing(stage: Served, name: str, phone: str) -> None:
    body = supabase_body(phone) if name == "supabase" else {"phone": phone, "code": "561166"}
    data, sent = json.dumps(body).encode(), len(stage.outbox)
    right = signed(data)
    wrong = [
        signed(data, FOREIGN),
        signed(data + b" "),
        signed(data, at=datetime.now(UTC) - timedelta(minutes=6)),
        signed(data, at=datetime.now(UTC) + timedelta(minutes=6)),
        right | {"webhook-id": "msg_2"},
        right | {"webhook-timestamp": "nan"},
        right | {"webhook-timestamp": "9" * 400},
        right | {"webhook-signature": "v1,"},
        right | {"webhook-signature": "v1,!,,, v2"},
        right | {"webhook-signature": right["webhook-signature"].replace("v1,", "v1a,")},
        {key: value for key, value in right.items() if key != "webhook-id"},
        bearer(HOOK_KEY),
        {},
    ]
    for headers in wrong:
        answer = post(stage, name, data, headers)
        assert (supabase_error if name == "supabase" else problem)(answer)[0] == 401, headers
    assert len(stage.outbox) == sent


def test_signed_request_is_sent_once(stage: Served, phone: str) -> None:
    """A replay of the signed request is answered as the first. The word for the template is one that is mapped."""
    body, sent = {"phone": phone, "code": "a1B2", "template": "welcome", "unknown": [1]}, len(stage.outbox)
    first, again = (post(stage, "signed", body, its_id="msg_7") for _ in range(2))
    assert (first.status_code, first.json()) == (again.status_code, again.json())
    assert first.json() == {"id": stage.outbox[-1].send_id, "delivery": "accepted"}
    assert problem(post(stage, "signed", body, its_id="msg_8")) == (429, "rate_limit")
    assert len(stage.outbox) == sent + 1


def test_kratos_sends_what_its_jsonnet_renders(stage: Served, phone: str) -> None:
    """Its courier repeats a message whose answer it missed, with the same body."""
    body = {
        "recipient": phone,
        "template_type": "login_code_valid",
        "template_data": {"login_code": "290316", "expires_in_minutes": 15},
    }
    sent = len(stage.outbox)
    for key in (HOOK_KEY, NEXT_KEY):
        assert post(stage, "kratos", body, bearer(key)).status_code == 200
    assert [message.code for message in stage.outbox[sent:]] == ["290316"]
    assert problem(post(stage, "kratos", body, bearer(KEY))) == (401, "unauthorized")
    assert problem(post(stage, "kratos", body)) == (401, "unauthorized")
    # A message without a code, such as that a key was added.
    none = body | {"template_type": "authenticator_key_added", "template_data": {"to": phone}}
    assert problem(post(stage, "kratos", none, bearer(HOOK_KEY))) == (422, "invalid_request")
    named = body | {"template_data": {f"{phone}_code": "1 2", "\ud800_code": 7}}  # An error repeats no name either.
    answer = post(stage, "kratos", named, bearer(HOOK_KEY))
    assert problem(answer) == (422, "invalid_request")
    assert phone not in answer.text


def test_logto_and_authentik_are_understood(stage: Served, phone: str) -> None:
    logto = {"to": phone[1:], "type": "SignIn", "payload": {"code": "112233", "locale": "en"}, "ip": "198.51.100.9"}
    assert post(stage, "logto", logto, bearer(f"{HOOK_KEY}-logto")).status_code == 200
    assert (stage.outbox[-1].phone, stage.outbox[-1].code) == (phone, "112233")
    assert problem(post(stage, "logto", logto | {"ip": "nowhere"}, bearer(f"{HOOK_KEY}-logto")))[0] == 422
    authentik = {"From": "shop", "To": OTHER, "Body": "445566", "Message": "Use this code: 445566"}
    again = bearer(f"{HOOK_KEY}-authentik") | {"idempotency-key": "one"}
    answers = [post(stage, "authentik", authentik, again) for _ in range(2)]
    assert answers[0].json() == answers[1].json()
    assert (stage.outbox[-1].phone, stage.outbox[-1].code) == (OTHER, "445566")


def test_odd_bodies_send_nothing(stage: Served) -> None:
    sent = len(stage.outbox)
    odd = [
        b"",
        b"null",
        b"[]",
        b'"\xff"',
        b"[" * 5_000,
        b'{"user": [], "sms": "x"}',
        b'{"user": {"phone": 7}, "sms": {"otp": "561166"}}',
        b'{"user": {"phone": ""}, "sms": {"otp": "561166"}}',
        b'{"user": {"phone": "8613800138000"}, "sms": {"otp": 561166}}',
        b'{"user": {"phone": "8613800138000"}, "sms": {"otp": "561 166"}}',
        b'{"user": {"phone": "\\ud800"}, "sms": {"otp": "561166"}}',
    ]
    for body in odd:
        answer = post(stage, "supabase", body)
        status = supabase_error(answer)
        assert status in {(400, 400), (422, 422), (401, 401), (200, 422)}, body
        assert "561166" not in answer.text
    for body in (
        b"{}",
        b'{"phone": "nonsense", "code": "1234"}',
        b'{"phone": "13800138000", "code": "1234", "minutes": 0}',
    ):
        assert problem(post(stage, "signed", body))[0] == 422
    big = json.dumps(supabase_body() | {"filling": "x" * 1_000_000}).encode()
    assert supabase_error(post(stage, "supabase", big)) == (413, 413)
    assert supabase_error(post(stage, "supabase", supabase_body(), {"content-type": "text/plain"})) == (415, 415)
    assert stage.get("/hooks/supabase").status_code == 405
    assert stage.post("/hooks/another", {}).status_code == 404
    assert len(stage.outbox) == sent


def test_errors_of_the_call_reach_the_visitor_of_supabase(phone: str) -> None:
    """Supabase Auth passes on the status and the sentence of an answer of 200."""
    options = {"policy": Policy(sends="32/day"), "guard": Guard(mode="enforce", rule=Rule(range_floor=1))}
    with serving("memory://", namespace="errors", otp_options=options, doors=[HookDoor([SUPABASE])]) as stage:
        foreign = supabase_body("+14155550100")
        assert supabase_error(post(stage, "supabase", foreign)) == (200, 422)
        stage.outbox.reject_next(GatewayRejectedError("asked", gateway="outbox", category="account"))
        assert supabase_error(post(stage, "supabase", supabase_body(phone))) == (200, 502)
        stage.outbox.lose_next()
        assert post(stage, "supabase", supabase_body(phone)).json() == {}  # After a rejection, the body may be sent.
        assert supabase_error(post(stage, "supabase", supabase_body(phone, "561167"))) == (200, 403)


def test_budget_of_a_hook_and_visitors_addresses(phone: str) -> None:
    """The hook's name is the budget's key. Its system says what the visitor's address is, if the settings trust it."""
    hook = Hook.of(name="shop", format="generic", template="login", secret=[OLD], visitor_ip=True)
    options = {
        "policy": Policy(sends="32/day", ip_sends="1/hour"),
        "budgets": [Budget("0.1 CNY/day", key="shop", hourly=1, keep=0)],
        "prices": {"CN": "0.05 CNY"},
    }
    with serving("memory://", namespace="money", otp_options=options, doors=[HookDoor([hook])]) as stage:
        body = {"phone": phone, "code": "1234", "ip": "198.51.100.7"}
        assert post(stage, "shop", body, its_id="1").status_code == 200
        assert post(stage, "shop", body, its_id="2").json()["scope"] == "ip"
        assert post(stage, "shop", body | {"ip": "198.51.100.8"}, its_id="3").status_code == 200
        assert post(stage, "shop", body | {"ip": ""}, its_id="4").json()["scope"] == "budget"


SETTINGS = """
redis_url = "memory://"
secret = "{secret}"
gateway = "webhook"
webhook.url = "https://example.com/sms"
webhook.secret = "{secret}"
[templates.login]
code = "T1"
[keys.shop]
key = "{key}"
purposes = ["login"]
{tables}
"""


def problems_of(tmp_path: Path, tables: str, **environ: str) -> str:
    """Return the problems of settings with these tables, one a line."""
    path = tmp_path / "otpkit.toml"
    path.write_text(SETTINGS.format(key=KEY, secret=SECRET, tables=tables))
    with pytest.raises(ConfigurationError) as refused:
        read_settings(environ, str(path), serves=True)
    return "\n".join(str(each.problem) for each in refused.value.problems)


def test_settings_of_hooks_are_read(tmp_path: Path) -> None:
    """A secret is one text or a list, and all of the tables may be in the file of a secret."""
    path = tmp_path / "otpkit.toml"
    tables = f"""[hooks.supabase]
format = "supabase"
template = "login"
secret = "v1,{OLD}"
[hooks.ids]
format = "kratos"
template = "login"
templates = {{ recovery_code_valid = "login" }}
key_sha256 = ["{sha256(HOOK_KEY.encode()).hexdigest()}", "{sha256(NEXT_KEY.encode()).hexdigest()}"]
minutes = 15
"""
    path.write_text(SETTINGS.format(key=KEY, secret=SECRET, tables=tables))
    supabase, ids = read_settings({}, str(path), serves=True).hooks
    assert (supabase.secrets, supabase.keys) == ((f"v1,{OLD}",), ())
    assert (len(ids.keys), ids.minutes, dict(ids.templates)) == (2, 15, {"recovery_code_valid": "login"})
    assert OLD not in repr(supabase)
    secret = tmp_path / "hooks.json"
    secret.write_text(json.dumps({"one": {"format": "generic", "template": "login", "secret": [OLD, NEW]}}))
    secret.chmod(0o400)
    (one,) = read_settings({"OTPKIT_HOOKS_FILE": str(secret)}, str(path), serves=True).hooks
    assert one.secrets == (OLD, NEW)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"format": "supabse"}, "did you mean"),
        ({"template": "signup"}, "which no template serves"),
        ({"templates": {"x": "nothing"}}, "which no template serves"),
        ({"secret": "whsec_short"}, "24 to 64 random bytes"),
        ({"secret": []}, "one of secret, key and key_sha256"),
        ({"key": HOOK_KEY}, "one of secret, key and key_sha256"),
        ({"secret": [], "key": HOOK_KEY, "format": "supabase"}, "Supabase signs"),
        ({"secret": [], "key": KEY}, "the key of another client"),
        ({"secret": [], "key": "short"}, "at least 32"),
        ({"minutes": 0}, "whole number"),
        ({"scret": "x"}, "did you mean"),
        ({"secret": 5}, "hooks.ids.secret must be a text, or a list of texts"),
        ({"key_sha256": [5]}, "must be a text"),
        ({"templates": ["x"]}, "hooks.ids.templates must be a table"),
    ],
)
def test_wrong_settings_are_named(tmp_path: Path, fields: dict[str, Any], expected: str) -> None:
    hook = {"format": "generic", "template": "login", "secret": OLD} | fields
    found = problems_of(tmp_path, "", OTPKIT_HOOKS=json.dumps({"ids": hook}))
    assert expected in found
    assert "hook" in found
    assert HOOK_KEY not in found


def test_names_of_hooks_are_their_own(tmp_path: Path) -> None:
    hook = {"format": "generic", "template": "login", "secret": OLD}
    assert "the same name 'shop'" in problems_of(tmp_path, "", OTPKIT_HOOKS=json.dumps({"shop": hook}))
    assert "name of a hook" in problems_of(tmp_path, "", OTPKIT_HOOKS=json.dumps({"a/b": hook}))
    otp = AsyncOTP("memory://", Outbox(), {"login": TEMPLATE}, SECRET)
    unserved = Hook.of(name="hook", format="generic", template="nothing", secret=[OLD])
    with pytest.raises(ConfigurationError, match="template"):
        create_app(otp, [ApiKey.of("shop", KEY, ["login"])], doors=[HookDoor([unserved])])
