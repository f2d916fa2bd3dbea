"""The answers of the operations over HTTP."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
import requests
from support.service import KEY, OTHER_KEY, SECRET, TEMPLATE, Served, serving

from otpkit import AsyncOTP, ConfigurationError, Policy
from otpkit.errors import GatewayRejectedError
from otpkit.service import ApiKey, create_app
from otpkit.testing import Outbox


def wrong(code: str) -> str:
    """Return another code."""
    return f"{code[:-1]}{(int(code[-1]) + 1) % 10}"


def refusal(answer: requests.Response, status: int, code: str) -> dict[str, Any]:
    """Return a problem document, after a check that the answer is one."""
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-language"] in {"en", "zh-CN"}
    found: dict[str, Any] = answer.json()
    assert (found["status"], found["code"]) == (status, code)
    assert {"type", "title", "detail"} <= found.keys()
    return found


def test_a_number_is_verified_from_beginning_to_end(stage: Served, phone: str) -> None:
    issued = stage.post("/v1/challenges", {"phone": phone})
    assert issued.status_code == 201
    assert issued.headers["cache-control"] == "no-store"
    challenge = issued.json()
    assert (challenge["phone"], challenge["purpose"], challenge["delivery"]) == (phone, "signup", "accepted")
    assert (challenge["expires_in"], challenge["resend_in"]) == (300, 60)
    expires = datetime.fromisoformat(challenge["expires_at"])
    assert expires.tzinfo is not None
    assert abs((expires - datetime.now(UTC)).total_seconds() - 300) < 30

    assert stage.post("/v1/challenges/status", {"phone": phone}).json()["id"] == challenge["id"]
    delivery = stage.post("/v1/challenges/delivery", {"phone": phone}).json()
    assert (delivery["state"], delivery["gateway"]) == ("delivered", "outbox")

    verified = stage.post("/v1/verifications", {"phone": phone, "code": stage.outbox[-1].code})
    assert verified.status_code == 200
    proof = verified.json()
    assert (proof["phone"], proof["fixed"]) == (phone, False)

    redeemed = stage.post("/v1/proofs/redeem", {"token": proof["token"], "phone": phone})
    assert (redeemed.status_code, redeemed.json()["id"]) == (200, proof["id"])
    refusal(stage.post("/v1/proofs/redeem", {"token": proof["token"]}), 409, "used_token")
    refusal(stage.post("/v1/challenges/status", {"phone": phone}), 404, "no_challenge")


def test_a_wrong_code_is_counted_and_says_what_is_left(stage: Served, phone: str) -> None:
    code = stage.issue(phone)
    for left in (4, 3):
        found = refusal(stage.post("/v1/verifications", {"phone": phone, "code": wrong(code)}), 409, "wrong_code")
        assert found["attempts_left"] == left
    assert stage.post("/v1/verifications", {"phone": phone, "code": code}).status_code == 200
    refusal(stage.post("/v1/verifications", {"phone": phone, "code": code}), 409, "expired_code")


def test_device_may_use_what_is_kept_from_strangers(phone: str) -> None:
    """The token of a verification, in the body of later requests; a wrong one counts as none."""
    with serving("memory://", otp_options={"policy": Policy(sends="3/day", device_sends="1/day")}) as stage:
        device = stage.post("/v1/verifications", {"phone": phone, "code": stage.issue(phone)}).json()["device"]
        stage.issue(phone)
        for given in ({}, {"device": "junk"}, {"device": "x" * 10_000}, {"device": None}):
            refusal(stage.post("/v1/challenges", {"phone": phone, **given}), 429, "rate_limit")
        refusal(stage.post("/v1/challenges", {"phone": phone, "device": [device]}), 422, "invalid_request")
        assert stage.post("/v1/challenges", {"phone": phone, "device": device}).json()["sends_left"] == 0
        proof = stage.post("/v1/verifications", {"phone": phone, "code": stage.outbox[-1].code, "device": device})
        redeemed = stage.post("/v1/proofs/redeem", {"token": proof.json()["token"]}).json()
        assert redeemed["device"] is None


def test_a_limit_has_its_scope_and_wait_in_the_clients_language(stage: Served, phone: str) -> None:
    stage.issue(phone)
    answer = stage.post("/v1/challenges", {"phone": phone}, headers={"Accept-Language": "zh-CN,zh;q=0.9,en;q=0.8"})
    found = refusal(answer, 429, "rate_limit")
    assert 0 < int(answer.headers["retry-after"]) <= 60
    assert answer.headers["ratelimit"] == f'"phone";r=0;t={answer.headers["retry-after"]}'
    assert (found["scope"], found["code_is_live"], found["retry_after"]) == (
        "phone",
        True,
        int(answer.headers["retry-after"]),
    )
    assert "再试" in found["detail"]
    assert answer.headers["content-language"] == "zh-CN"


def test_a_message_that_may_be_on_its_way_is_202_and_its_code_works(stage: Served, phone: str) -> None:
    stage.outbox.lose_next()
    answer = stage.post("/v1/challenges", {"phone": phone})
    assert (answer.status_code, answer.json()["delivery"]) == (202, "uncertain")


def test_a_gateways_refusal_is_502_with_its_category(stage: Served, phone: str) -> None:
    stage.outbox.reject_next(GatewayRejectedError("no money: 123456", gateway="outbox", category="account"))
    answer = stage.post("/v1/challenges", {"phone": phone})
    assert refusal(answer, 502, "gateway_rejected")["category"] == "account"
    assert "123456" not in answer.text
    stage.issue(phone)  # No send was counted.


def test_a_request_sent_twice_with_one_key_has_one_effect_and_one_answer(stage: Served, phone: str) -> None:
    once = {"Idempotency-Key": f"form-{phone}"}
    first, second = (stage.post("/v1/challenges", {"phone": phone}, headers=once) for _ in range(2))
    assert (first.json()["replayed"], second.json()["replayed"]) == (False, True)
    assert first.json()["id"] == second.json()["id"]
    code = stage.outbox[-1].code
    assert [message.phone for message in stage.outbox].count(phone) == 1

    proofs = [stage.post("/v1/verifications", {"phone": phone, "code": code}, headers=once).json() for _ in range(2)]
    assert proofs[0]["id"] == proofs[1]["id"]
    form = {"token": proofs[0]["token"]}
    assert [proof["replayed"] for proof in proofs] == [False, False]
    answers = [stage.post("/v1/proofs/redeem", form, headers=once) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert [answer.json()["replayed"] for answer in answers] == [False, True]
    refusal(stage.post("/v1/proofs/redeem", form), 409, "used_token")
    refusal(stage.post("/v1/proofs/redeem", form | {"request": "fields"}, headers=once), 409, "used_token")


def test_a_key_is_good_for_one_request(stage: Served, phone: str) -> None:
    once = {"Idempotency-Key": "fixed"}
    token = stage.token(phone)
    bodies = [{"token": token, "request": request} for request in ("fields", "fields", "other fields", None)]
    answers = [stage.post("/v1/proofs/redeem", body, headers=once) for body in bodies]
    assert [answer.status_code for answer in answers] == [200, 200, 409, 409]
    assert [answer.json()["replayed"] for answer in answers[:2]] == [False, True]
    refusal(answers[2], 409, "used_token")


@pytest.mark.parametrize("request_", [7, ["fields"], {"name": "Ada"}, "x" * 513])
def test_a_request_that_is_no_short_text_is_refused(stage: Served, phone: str, request_: Any) -> None:
    token = stage.token(phone)
    found = refusal(stage.post("/v1/proofs/redeem", {"token": token, "request": request_}), 422, "invalid_request")
    assert found["errors"][0]["pointer"] == "#/request"
    assert stage.post("/v1/proofs/redeem", {"token": token}).status_code == 200


@pytest.mark.parametrize("missing", [None, "", " "])
def test_a_phone_that_is_null_or_empty_is_not_the_tokens(stage: Served, phone: str, missing: str | None) -> None:
    token = stage.token(phone)
    refusal(stage.post("/v1/proofs/redeem", {"token": token, "phone": missing}), 409, "invalid_token")
    assert stage.post("/v1/proofs/redeem", {"token": token}).json()["phone"] == phone


@pytest.mark.parametrize("key", ["", "x" * 256, "a b", "caf\u00e9", "a\tb"])
def test_a_key_that_is_none_is_refused(stage: Served, phone: str, key: str) -> None:
    answer = stage.post("/v1/challenges", {"phone": phone}, headers={"Idempotency-Key": key.encode("latin-1")})  # type: ignore[dict-item]
    assert refusal(answer, 422, "invalid_request")["errors"] == [{"pointer": "Idempotency-Key", "kind": "value_error"}]


def test_a_code_is_worth_nothing_with_another_purpose_bind_or_phone(stage: Served, phone: str) -> None:
    code = stage.issue(phone, purpose="login", bind="session-1")
    body = {"phone": phone, "code": code, "purpose": "login", "bind": "session-1"}
    for other in ({"purpose": "signup"}, {"bind": ""}, {"bind": "session-2"}, {"phone": f"{phone[:-1]}x"[:-1] + "0"}):
        if body | other != body:
            refusal(stage.post("/v1/verifications", body | other), 409, "expired_code")
    token = stage.post("/v1/verifications", body).json()["token"]
    redeem = {"token": token, "purpose": "login", "bind": "session-1", "phone": phone}
    for other in ({"purpose": "signup"}, {"bind": "x"}, {"phone": "+8613900000000"}, {"token": token[:-3] + "abc"}):
        refusal(stage.post("/v1/proofs/redeem", redeem | other), 409, "invalid_token")
    assert stage.post("/v1/proofs/redeem", redeem).status_code == 200


def test_a_revoked_code_is_dead(stage: Served, phone: str) -> None:
    code = stage.issue(phone)
    for _ in range(2):
        revoked = stage.post("/v1/challenges/revoke", {"phone": phone})
        assert (revoked.status_code, revoked.content) == (204, b"")
    refusal(stage.post("/v1/verifications", {"phone": phone, "code": code}), 409, "expired_code")


def test_values_of_the_templates_variables_reach_the_message(stage: Served, phone: str) -> None:
    stage.issue(phone, params={"product": "商城"})
    assert stage.outbox[-1].params["product"] == "商城"


@pytest.mark.parametrize("params", [{"code": "000000"}, {"prodcut": "x"}, {"product": "a\nb"}, {"product": "x" * 65}])
def test_values_that_the_template_does_not_take_are_refused(stage: Served, phone: str, params: dict[str, str]) -> None:
    found = refusal(stage.post("/v1/challenges", {"phone": phone, "params": params}), 422, "invalid_request")
    assert found["errors"][0]["pointer"] == "#/params"


def test_a_call_is_refused_where_no_gateway_calls(stage: Served, phone: str) -> None:
    found = refusal(stage.post("/v1/challenges", {"phone": phone, "channel": "voice"}), 422, "invalid_request")
    assert found["errors"] == [{"pointer": "#/channel", "kind": "value_error"}]


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer ", f"Basic {KEY}", f"Bearer {KEY}x", "Bearer \xff", KEY]
)
def test_without_a_known_key_nothing_is_done(stage: Served, phone: str, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header.encode("latin-1")}
    answer = stage.post("/v1/challenges", {"phone": phone}, key=None, headers=headers)  # type: ignore[arg-type]
    refusal(answer, 401, "unauthorized")
    assert answer.headers["www-authenticate"] == "Bearer"
    assert not [message for message in stage.outbox if message.phone == phone]


def test_a_key_is_good_for_its_purposes_alone(stage: Served, phone: str) -> None:
    refusal(stage.post("/v1/challenges", {"phone": phone, "purpose": "payment"}), 403, "forbidden")
    refusal(stage.post("/v1/challenges", {"phone": phone}, key=OTHER_KEY), 403, "forbidden")
    assert stage.post("/v1/challenges", {"phone": phone}, headers={"authorization": f"bearer {KEY}"}).status_code == 201


@pytest.mark.parametrize(
    ("fields", "pointer", "kind"),
    [
        ({"code": True}, "#/code", "string_type"),
        ({"code": 123456}, "#/code", "string_type"),
        ({"code": ["1", "2"]}, "#/code", "string_type"),
        ({"code": {"$ne": ""}}, "#/code", "string_type"),
        ({"code": None}, "#/code", "string_type"),
        ({"phone": 13800138000}, "#/phone", "string_type"),
        ({"purpose": ""}, "#/purpose", "string_too_short"),
        ({"purpose": "x" * 129}, "#/purpose", "string_too_long"),
        ({"bind": None}, "#/bind", "string_type"),
        ({"bind": "x" * 513}, "#/bind", "string_too_long"),
        ({"ip": "fe80::1%eth0"}, "#/ip", "value_error"),
        ({"ip": "127.1"}, "#/ip", "value_error"),
        ({"ip": 1}, "#/ip", "string_type"),
        ({"captcha": "x"}, "#/captcha", "extra_forbidden"),
        ({"13800138000": "654321"}, "#/*", "extra_forbidden"),
    ],
)
def test_wrong_fields_are_named_and_nothing_of_them_is_repeated(
    stage: Served, phone: str, fields: dict[str, Any], pointer: str, kind: str
) -> None:
    answer = stage.post("/v1/verifications", {"phone": phone, "code": "654321"} | fields)
    assert refusal(answer, 422, "invalid_request")["errors"] == [{"pointer": pointer, "kind": kind}]
    for secret in ("654321", "123456", "13800138000", phone[3:]):
        assert secret not in answer.text


def test_an_answer_is_short_however_much_is_wrong(stage: Served, phone: str) -> None:
    answer = stage.post("/v1/challenges", {"phone": phone} | {f"x{n}": 1 for n in range(1_000)})
    assert len(refusal(answer, 422, "invalid_request")["errors"]) == 10


def test_where_gateways_only_call_everything_works_by_calls() -> None:
    class Voice(Outbox):
        channels = frozenset({"voice"})

    outbox = Voice()
    with serving("memory://", gateway=outbox) as stage:
        channel = stage.get("/openapi.json").json()["components"]["schemas"]["ChallengeRequest"]["properties"][
            "channel"
        ]
        assert channel["enum"] == ["sms", "voice"]
        phone = "+8613800138000"
        assert stage.post("/v1/challenges", {"phone": phone, "channel": "voice"}).status_code == 201
        assert outbox[-1].channel == "voice"
        assert stage.post("/v1/verifications", {"phone": phone, "code": outbox[-1].code}).status_code == 200
        assert stage.post("/v1/challenges", {"phone": "+8613800138001"}).status_code == 201


def test_what_is_no_phone_and_no_code_is_told_to_the_person(stage: Served, phone: str) -> None:
    chinese = {"Accept-Language": "zh"}
    answer = stage.post("/v1/challenges", {"phone": "12345"}, headers=chinese)
    assert refusal(answer, 422, "phone")["detail"] == "请输入正确的手机号码。"
    refusal(stage.post("/v1/challenges", {"phone": "+14155550123"}), 422, "region")
    for code in ("12345", "12345\n6", "123456\n", "x" * 10_000):
        refusal(stage.post("/v1/verifications", {"phone": phone, "code": code}), 422, "malformed_code")


@pytest.mark.parametrize("spelled", ["{0}", "0086{0}", " {0} ", "+86 {0}", "86-{0}", "(86){0}"])
def test_every_spelling_of_a_number_is_one_phone(stage: Served, phone: str, spelled: str) -> None:
    code = stage.issue(phone)
    answer = stage.post("/v1/verifications", {"phone": spelled.format(phone[3:]), "code": f" {code[:3]}-{code[3:]}"})
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("sent", "kind", "status", "code"),
    [
        (b"", "application/json", 400, "invalid_json"),
        (b"{", "application/json", 400, "invalid_json"),
        (b'{"phone": "\xff"}', "application/json", 400, "invalid_json"),
        (b'{"phone": "\\ud800"}', "application/json", 400, "invalid_json"),
        (b"[" * 16_000, "application/json", 400, "invalid_json"),
        (b"null", "application/json", 422, "invalid_request"),
        (b"[]", "application/json", 422, "invalid_request"),
        (b'{"phone": NaN}', "application/json", 422, "invalid_request"),
        (b"{}", "application/json; charset=utf-8", 422, "invalid_request"),
        (b"{}", "application/json; charset=gbk", 415, "unsupported_media_type"),
        (b"{}", "text/json", 415, "unsupported_media_type"),
        (b"phone=1", "application/x-www-form-urlencoded", 415, "unsupported_media_type"),
    ],
)
def test_what_is_no_json_is_refused(stage: Served, sent: bytes, kind: str, status: int, code: str) -> None:
    refusal(stage.post("/v1/challenges", data=sent, headers={"Content-Type": kind}), status, code)


def test_other_paths_and_methods_are_refused_by_problems_too(stage: Served) -> None:
    refusal(stage.get("/nothing"), 404, "not_found")
    refusal(stage.get("/v1/challenges/"), 404, "not_found")
    answer = stage.get("/v1/challenges")
    refusal(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "POST"
    assert set(stage.post("/healthz").headers["allow"].split(", ")) == {"GET", "HEAD"}


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_a_load_balancer_may_ask_by_head(stage: Served, path: str) -> None:
    answer = stage.session.head(stage.base_url + path, timeout=20)
    assert (answer.status_code, answer.content) == (200, b"")


def test_without_a_store_nothing_is_granted_and_the_process_lives(phone: str) -> None:
    with serving("redis://127.0.0.1:1/0") as stage:
        refusal(stage.post("/v1/challenges", {"phone": phone}), 503, "store_unavailable")
        assert not stage.outbox
        refusal(stage.get("/readyz"), 503, "store_unavailable")
        assert stage.get("/healthz").json() == {"status": "ok"}


def test_it_is_ready_when_the_store_answers(stage: Served) -> None:
    assert (stage.get("/readyz").status_code, stage.get("/readyz").json()) == (200, {"status": "ok"})


def test_forty_double_clicks_send_one_message_and_give_one_proof(stage: Served, phone: str) -> None:
    with ThreadPoolExecutor(20) as pool:
        issued = list(pool.map(lambda _: post(stage, "/v1/challenges", {"phone": phone}), range(40)))
        assert sorted({answer.status_code for answer in issued}) == [201, 429]
        assert [answer.status_code for answer in issued].count(201) == 1
        assert [message.phone for message in stage.outbox].count(phone) == 1
        body = {"phone": phone, "code": next(m.code for m in stage.outbox if m.phone == phone)}
        verified = list(pool.map(lambda _: post(stage, "/v1/verifications", body), range(40)))
        assert [answer.status_code for answer in verified].count(200) == 1
        token = next(answer.json()["token"] for answer in verified if answer.status_code == 200)
        redeemed = list(pool.map(lambda _: post(stage, "/v1/proofs/redeem", {"token": token}), range(40)))
        assert [answer.status_code for answer in redeemed].count(200) == 1


def post(stage: Served, path: str, body: dict[str, str]) -> requests.Response:
    """POST on a connection of its own: threads can't share a session."""
    return requests.post(stage.base_url + path, json=body, headers={"Authorization": f"Bearer {KEY}"}, timeout=20)


def test_an_internal_error_is_not_shown_to_clients(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Outbox):
        def trace(self, *args: Any) -> Any:
            raise ZeroDivisionError(f"the code is {self[-1].code}")

    gateway = Broken()
    with serving("memory://", gateway=gateway) as stage:
        phone = "+8613800138000"
        assert stage.post("/v1/challenges", {"phone": phone}).status_code == 201
        answer = stage.post("/v1/challenges/delivery", {"phone": phone})
        refusal(answer, 500, "error")
        assert stage.get("/healthz").status_code == 200
    logged = [record.getMessage() for record in caplog.records if record.name == "otpkit.service"]
    assert len(logged) == 1
    assert logged[0].startswith("A request failed with ZeroDivisionError (")
    for secret in (gateway[-1].code, phone[3:], "Traceback"):
        assert secret not in answer.text + logged[0]


def test_a_purpose_that_no_template_serves_is_refused_at_the_start() -> None:
    otp = AsyncOTP("memory://", Outbox(), {"login": TEMPLATE}, SECRET)
    create_app(otp, [ApiKey.of("shop", KEY, ["login"])])
    with pytest.raises(ConfigurationError, match="no template for the purpose 'signup'"):
        create_app(otp, [ApiKey.of("shop", KEY, ["login", "signup"])])


def test_a_code_of_another_system_is_sent(stage: Served, phone: str) -> None:
    """A repeat sends nothing, the phone's limits hold, and nothing can be verified."""
    body, headers = {"phone": phone, "code": "aB12", "minutes": 10}, {"Idempotency-Key": f"send-{phone}"}
    first, again = (stage.post("/v1/send", body, headers=headers) for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() | {"replayed": True} == again.json() | {"resend_in": first.json()["resend_in"]}
    assert (stage.outbox[-1].code, stage.outbox[-1].send_id) == ("aB12", first.json()["id"])
    refusal(stage.post("/v1/challenges/status", {"phone": phone}), 404, "no_challenge")
    found = refusal(stage.post("/v1/send", body), 429, "rate_limit")
    assert (found["scope"], found["code_is_live"]) == ("phone", False)
    for bad in ({"code": "123"}, {"code": "12345\n"}, {"minutes": 0}, {"bind": "session"}):
        refusal(stage.post("/v1/send", body | bad), 422, "invalid_request")
    refusal(stage.post("/v1/send", body | {"purpose": "transfer"}), 403, "forbidden")
