"""Every error as a problem document for web clients (RFC 9457), with its headers and without secrets."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from otpkit import (
    OTP,
    CaptchaRejectedError,
    CaptchaRequiredError,
    GatewayRejectedError,
    Guard,
    OTPError,
    Policy,
    Rate,
    RateLimitError,
    RefusedError,
    Template,
    WrongCodeError,
    errors,
)
from otpkit.testing import FailingCaptcha, MovableClock, Outbox, PassingCaptcha, SilentCaptcha
from otpkit.web import MEDIA_TYPE, Problem, plain_problem, problem

PHONE, VISITOR = "+8613800138000", "203.0.113.7"
SECRET = "a secret of these tests, longer than 32 bytes"
TEMPLATE = Template("SMS_1", "otpkit")
DEPLOYED: dict[str, dict[str, Any]] = {  # Options for errors that need other settings than the usual ones.
    "configuration": {"template": {"login": TEMPLATE}},
    "store_unavailable": {"redis": "redis://127.0.0.1:1/0"},
    "blocked": {"policy": Policy(max_consecutive_failures=1)},
    "captcha_required": {"guard": Guard("enforce", PassingCaptcha(), ask="always")},
    "captcha_rejected": {"guard": Guard("enforce", FailingCaptcha(), ask="always")},
    "captcha_unavailable": {"guard": Guard("enforce", SilentCaptcha(), ask="always", fallback="refuse")},
    "refused": {"guard": Guard("enforce", risk=lambda _: "refuse")},
}
LANGUAGES = {"en": "en", "zh": "zh-CN"}
# The numeric parameters are integers of RFC 9651, and the name is one of its strings.
POLICY_FIELD = re.compile(r'"([a-z]+)";q=(\d{1,15});w=(\d{1,15})')
LIMIT_FIELD = re.compile(r'"([a-z]+)";r=0;t=(\d{1,15})')

Provoked = tuple[OTPError, list[str]]


class Site:
    """An OTP of the library, and the values that no document may contain."""

    def __init__(self) -> None:
        self.outbox, self.clock = Outbox(), MovableClock()
        self.tokens: list[str] = []

    def refusal(self, code: str) -> OTPError:
        """Return the error with a code, provoked in a realistic way."""
        arguments = {"redis": "memory://", "gateway": self.outbox, "template": TEMPLATE, "clock": self.clock}
        with OTP(**arguments | {"secret": SECRET} | DEPLOYED.get(code, {})) as otp:
            with pytest.raises(OTPError) as raised:
                getattr(self, code)(otp)
            assert raised.value.code == code
            return raised.value

    def secrets(self) -> list[str]:
        """Return the values that no document may contain."""
        return [SECRET, PHONE[3:], *(message.code for message in self.outbox), *self.tokens]

    def phone(self, otp: OTP) -> None:
        otp.issue(PHONE[:-1])

    def region(self, otp: OTP) -> None:
        otp.issue("+852 6123 4567")

    def rate_limit(self, otp: OTP) -> None:
        otp.issue(PHONE)
        otp.issue(PHONE)

    def blocked(self, otp: OTP) -> None:
        with pytest.raises(WrongCodeError):
            self.wrong_code(otp)
        otp.verify(PHONE, self.outbox[-1].code)

    def malformed_code(self, otp: OTP) -> None:
        otp.issue(PHONE)
        otp.verify(PHONE, f"{self.outbox[-1].code}x")

    def wrong_code(self, otp: OTP) -> None:
        otp.issue(PHONE)
        otp.verify(PHONE, wrong(self.outbox[-1].code))

    def expired_code(self, otp: OTP) -> None:
        otp.verify(PHONE, "271828")

    def invalid_token(self, otp: OTP) -> None:
        otp.check(f"{self._token(otp)}x")

    def expired_token(self, otp: OTP) -> None:
        token = self._token(otp)
        self.clock.advance(86_400)
        otp.redeem(token)

    def used_token(self, otp: OTP) -> None:
        token = self._token(otp)
        otp.redeem(token)
        otp.redeem(token)

    def gateway_rejected(self, otp: OTP) -> None:
        self.outbox.reject_next(GatewayRejectedError(f"No {PHONE}", gateway="g", gateway_code="42", category="account"))
        otp.issue(PHONE)

    def store_unavailable(self, otp: OTP) -> None:
        otp.issue(PHONE)

    def refused(self, otp: OTP) -> None:
        otp.issue(PHONE)

    def captcha_required(self, otp: OTP) -> None:
        otp.issue(PHONE)

    def captcha_rejected(self, otp: OTP) -> None:
        otp.issue(PHONE, captcha="an answer")

    def captcha_unavailable(self, otp: OTP) -> None:
        otp.issue(PHONE, captcha="an answer")

    def configuration(self, otp: OTP) -> None:
        otp.issue(PHONE)

    def _token(self, otp: OTP) -> str:
        otp.issue(PHONE)
        token = otp.verify(PHONE, self.outbox[-1].code).token
        self.tokens.append(token)
        return token


def wrong(code: str) -> str:
    """Return another code."""
    return f"{code[:-1]}{(int(code[-1]) + 1) % 10}"


KINDS = {kind.code: kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, OTPError)}
RAISED = sorted(KINDS.keys() - {"error", "code", "token"})  # These are families of errors.


@pytest.fixture(scope="module", params=RAISED)
def provoked(request: pytest.FixtureRequest) -> Provoked:
    """Return each error that the library raises, and the values that its document may not contain."""
    site = Site()
    return site.refusal(request.param), site.secrets()


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_error_is_a_problem_document_in_both_languages(provoked: Provoked, language: Any) -> None:
    """Its members are those of RFC 9457, and its text is for the visitor."""
    error, _ = provoked
    told = problem(error, language)
    document = json.loads(told.json())
    assert document == told.body
    assert (document["status"], document["code"]) == (told.status, error.code) == (error.status, error.code)
    assert urlsplit(document["type"]).scheme in {"urn", "https"}
    assert document["title"] != "The request failed"
    assert document["detail"] == error.message(language)
    assert bool(re.search(r"[\u4e00-\u9fff]", document["detail"])) == (language == "zh")
    assert told.headers["Content-Language"] == LANGUAGES[language]


def test_no_document_may_be_cached_and_no_header_is_more_than_a_line(provoked: Provoked) -> None:
    """The wait is the same in both places (RFC 9110 §10.2.3)."""
    error, _ = provoked
    told = problem(error)
    assert told.headers["Cache-Control"] == "no-store"
    assert all(re.fullmatch(r"[\x20-\x7e]+", value) for value in told.headers.values())
    wait = error.retry_after
    assert told.headers.get("Retry-After") == (None if wait is None else str(wait))
    assert told.body.get("retry_after") == wait


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_document_holds_a_phone_a_code_or_a_secret(provoked: Provoked, language: Any) -> None:
    """The gateway's text is not in it either: it belongs in the log."""
    error, secrets = provoked
    told = problem(error, language)
    text = told.json().decode() + str(dict(told.headers))
    assert [secret for secret in secrets if secret in text] == []
    assert not re.search(r"\d{6}", text)


def test_an_errors_evidence_is_in_its_document() -> None:
    """A client can decide from it: another attempt, or another code."""
    assert problem(Site().refusal("wrong_code")).body["attempts_left"] == 4
    used_up = problem(WrongCodeError(attempts_left=0)).body
    assert (used_up["attempts_left"], used_up["code"]) == (0, "wrong_code")
    assert used_up["detail"] == "That code is not right, and there are no attempts left. Please request a new one."
    assert problem(Site().refusal("gateway_rejected")).body["category"] == "account"
    for code, provider in {"captcha_required": "passing", "captcha_rejected": "failing"}.items():
        asked = problem(Site().refusal(code)).body
        assert asked["provider"] == provider
        assert asked["parameters"] == {"provider": provider, "field": "captcha"}
    limited = problem(Site().refusal("rate_limit")).body
    assert limited["type"] == "https://iana.org/assignments/http-problem-types#quota-exceeded"
    assert (limited["violated-policies"], limited["scope"], limited["code_is_live"]) == (["phone"], "phone", True)


@pytest.mark.parametrize("language", LANGUAGES)
def test_visitor_is_not_told_what_the_guard_found(language: Any) -> None:
    """A server of the site's is: it has the reasons, and the scopes by their names."""
    inner = ("range", "guard_ip", "net", "the-word-of-the-judgement", "guesses")
    errors: list[OTPError] = [
        CaptchaRequiredError(provider="passing", reasons=inner),
        CaptchaRejectedError(provider="passing", reasons=inner),
        RefusedError(reasons=inner),
        RateLimitError(scope="range", retry_after=60),
        RateLimitError(scope="guard_ip", retry_after=60),
    ]
    seen = []
    for error in errors:
        told, trusted = problem(error, language), problem(error, language, for_server=True)
        text = told.json().decode() + str(dict(told.headers))
        assert [word for word in inner if re.search(rf"\b{word}\b", text)] == [], text
        if isinstance(error, RateLimitError):
            assert (trusted.body["scope"], trusted.body["violated-policies"]) == (error.scope, [error.scope])
            assert f'"{error.scope}"' in trusted.headers["RateLimit"]
            seen.append(told)
        else:
            assert trusted.body["reasons"] == list(inner)
    assert seen[0] == seen[1], "A range and an address are told apart by nothing."
    assert seen[0].body["scope"] == "guard"


def test_every_error_has_a_type_of_its_own() -> None:
    """Their titles differ too."""
    told = [problem(KINDS[code]()).body for code in RAISED]
    assert len({document["type"] for document in told}) == len({document["title"] for document in told}) == len(RAISED)


LIMITED = {
    "phone": (Policy(sends="1/minute"), "phone", 1, 60),
    "failures": (Policy(sends="9/day", failures="2/10 minutes"), "failures", 2, 600),
    "an address": (Policy(sends="9/day", ip_sends="1/hour"), "ip", 1, 3600),
    "region": (Policy(sends="9/day", region_sends={"CN": "1/hour"}), "region", 1, 3600),
    "total": (Policy(sends="9/day", total_sends="1/2 hours"), "total", 1, 7200),
}


@pytest.mark.parametrize("limit", LIMITED)
def test_a_limit_is_told_by_the_rate_that_is_used_up(limit: str) -> None:
    """The format is that of the RateLimit header fields (draft-ietf-httpapi-ratelimit-headers §3, §4)."""
    policy, scope, quota, window_s = LIMITED[limit]
    outbox = Outbox()
    with OTP("memory://", outbox, TEMPLATE, SECRET, policy=policy, clock=MovableClock()) as otp:
        otp.issue(PHONE, ip=VISITOR)
        if scope == "failures":
            for step in range(quota):
                with pytest.raises(WrongCodeError):
                    otp.verify(PHONE, f"{(int(outbox[-1].code) + 1 + step) % 10**6:06d}")
        with pytest.raises(RateLimitError) as refused:
            otp.issue(PHONE, ip=VISITOR)
    headers = problem(refused.value).headers
    policy_field, limit_field = (
        POLICY_FIELD.fullmatch(headers["RateLimit-Policy"]),
        LIMIT_FIELD.fullmatch(headers["RateLimit"]),
    )
    assert policy_field
    assert policy_field.groups() == (scope, str(quota), str(window_s))
    assert limit_field
    assert limit_field.groups() == (scope, headers["Retry-After"])
    assert 0 < int(headers["Retry-After"]) <= window_s


def test_a_gateways_limit_has_no_policy_to_tell() -> None:
    """Only the wait is known."""
    site = Site()
    site.outbox.reject_next(GatewayRejectedError("no", gateway="g", category="rate_limit", retry_after=90))
    with OTP("memory://", site.outbox, TEMPLATE, SECRET) as otp, pytest.raises(RateLimitError) as it:
        otp.issue(PHONE)
    headers = problem(it.value).headers
    assert headers["RateLimit"] == '"gateway";r=0;t=90'
    assert "RateLimit-Policy" not in headers


def test_a_limit_of_unknown_length_is_told_by_its_policy_alone() -> None:
    """The wait is unknown."""
    headers = problem(RateLimitError("x", scope="ip", rate=Rate(100, 3600))).headers
    assert headers["RateLimit-Policy"] == '"ip";q=100;w=3600'
    assert not {"RateLimit", "Retry-After"} & set(headers)


@pytest.mark.parametrize("text", ["\ud800", "\x00\r\nSet-Cookie: a=b", "1" * 2**20, '"}{', "验证码"])
def test_a_document_is_json_for_any_text(text: str) -> None:
    """The document may contain a client's text, including lone surrogates."""
    told = plain_problem(400, "odd", "Odd", text, evidence={"given": text})
    assert json.loads(told.json()) == told.body


@contextmanager
def served(otp: OTP) -> Iterator[str]:
    """Serve one endpoint as in a user's own framework, and yield its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            try:
                otp.issue(self.rfile.read(int(self.headers["Content-Length"])).decode())
                self._answer(Problem(202, {}, {}), "application/json")
            except OTPError as error:
                self._answer(problem(error, "zh"), MEDIA_TYPE)

        def _answer(self, told: Problem, media_type: str) -> None:
            self.send_response(told.status)
            for name, value in {**told.headers, "Content-Type": media_type}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(told.json())

        def log_message(self, *_: Any) -> None:
            """Log nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


def test_a_client_reads_the_limit_over_http() -> None:
    """The second of two requests gets the limit, the wait, and the language."""
    with (
        OTP("memory://", Outbox(), TEMPLATE, SECRET, clock=MovableClock()) as otp,
        served(otp) as url,
    ):
        first, second, odd = (requests.post(url, data=phone, timeout=10) for phone in (PHONE, PHONE, "１３８"))
    assert (first.status_code, second.status_code, odd.status_code) == (202, 429, 422)
    assert second.headers["Content-Type"] == "application/problem+json"
    assert second.headers["RateLimit-Policy"] == '"phone";q=1;w=60'
    assert second.headers["RateLimit"] == '"phone";r=0;t=60'
    assert second.headers["Retry-After"] == "60"
    assert second.headers["Content-Language"] == "zh-CN"
    assert second.json()["detail"] == "操作太频繁，请 60 秒后再试。"
    assert odd.json()["type"] == "urn:otpkit:problem:phone"
    assert not {"RateLimit", "RateLimit-Policy", "Retry-After"} & set(odd.headers)
