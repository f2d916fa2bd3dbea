"""Each captcha at the sandbox, over real HTTP by both transports: right, foreign, late, used and broken answers."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from captcha_lab import (
    APIS,
    CAPTCHAS,
    IP,
    NOW,
    SECRET,
    WITH_ACTION,
    WITH_HOSTNAMES,
    WITH_SCORE,
    check,
    judge,
    sandbox,
    silence_of,
    solved,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.transports import AnyTransport

from otpkit import ConfigurationError
from otpkit import captcha as captchas
from otpkit.captcha import Captcha, CaptchaSilent, Geetest, HCaptcha, ReCaptcha, TencentCaptcha, Turnstile, Verdict
from otpkit.gateways import Credentials
from otpkit.sandbox import Address, Fault, Sandbox, SolvedCaptcha, running
from otpkit.testing import FailingCaptcha, PassingCaptcha, SilentCaptcha
from otpkit.transport.http import Transport, drive

Place = tuple[Sandbox, Address]


@pytest.fixture(scope="module")
def _place() -> Iterator[Place]:
    made = sandbox()
    with running(made) as address:
        yield made, address


@pytest.fixture
def place(_place: Place) -> Place:
    _place[0].reset()
    return _place


@pytest.fixture(params=CAPTCHAS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def made_at(name: str, place: Place) -> Captcha:
    return CAPTCHAS[name](place[1].base_url)


def test_right_answer_passes_once(name: str, place: Place, transport: AnyTransport) -> None:
    captcha = made_at(name, place)
    answer = place[0].solve_captcha(solved(name, captcha))
    first, second = (judge(captcha, answer, transport) for _ in range(2))
    assert (first.passed, first.reason) == (True, "")
    assert (second.passed, second.reason) == (False, "expired")
    assert captcha.single_use
    assert place[0].stats()[APIS[name]]["total"] == 2


def test_answer_of_eight_at_once_passes_once(name: str, place: Place) -> None:
    captcha, shared = made_at(name, place), Transport()
    answer = place[0].solve_captcha(solved(name, captcha))
    with ThreadPoolExecutor(8) as pool:
        verdicts = list(pool.map(lambda _: drive(captcha.verify(answer, check()), shared), range(8)))
    shared.close()
    assert sum(verdict.passed for verdict in verdicts) == 1


def test_late_answer_is_expired(name: str, place: Place, transport: AnyTransport) -> None:
    captcha = made_at(name, place)
    answer = place[0].solve_captcha(solved(name, captcha, age=10_000))
    assert judge(captcha, answer, transport).reason == "expired"


@pytest.mark.parametrize("other", ["another", None])
@pytest.mark.parametrize("name", WITH_ACTION)
def test_answer_for_another_purpose_is_foreign(name: str, other: Any, place: Place, transport: AnyTransport) -> None:
    captcha = made_at(name, place)
    answer = place[0].solve_captcha(solved(name, captcha, action=other))
    assert judge(captcha, answer, transport).reason == "foreign"


@pytest.mark.parametrize("purpose", ["pay/transfer", "注册", "x" * 128, "a b", "\ud800"])
@pytest.mark.parametrize("name", WITH_ACTION)
def test_purpose_that_no_action_can_be_has_a_hash(
    name: str, purpose: str, place: Place, transport: AnyTransport
) -> None:
    captcha = made_at(name, place)
    action = captcha.parameters(purpose)["action"]
    assert isinstance(action, str)
    assert len(action) <= 32
    answer = place[0].solve_captcha(solved(name, captcha, action=action))
    assert judge(captcha, answer, transport, purpose=purpose).passed


@pytest.mark.parametrize("name", ["hcaptcha", "recaptcha enterprise", "aliyun", "tencent", "geetest"])
def test_answer_for_another_site_is_refused(name: str, place: Place, transport: AnyTransport) -> None:
    captcha = made_at(name, place)
    answer = place[0].solve_captcha(solved(name, captcha, site_key="other"))
    assert judge(captcha, answer, transport).reason in {"foreign", "wrong"}


@pytest.mark.parametrize("name", WITH_HOSTNAMES)
def test_answer_of_another_host_is_foreign(name: str, place: Place, transport: AnyTransport) -> None:
    captcha = made_at(name, place)
    captcha.hostnames = frozenset({"www.example.com"})  # type: ignore[attr-defined]
    for hostname, reason in (("www.example.com", ""), ("WWW.example.com", ""), ("evil.example", "foreign")):
        answer = place[0].solve_captcha(solved(name, captcha, hostname=hostname))
        assert judge(captcha, answer, transport).reason == reason


@pytest.mark.parametrize("name", WITH_SCORE)
def test_low_score_does_not_pass(name: str, place: Place, transport: AnyTransport) -> None:
    captcha = made_at(name, place)
    scores = {0.5: "", 0.49: "score", 0: "score", 1: ""}
    for score, reason in scores.items():
        answer = place[0].solve_captcha(solved(name, captcha, score=score))
        assert judge(captcha, answer, transport).reason == reason


@pytest.mark.parametrize(("version", "score"), [("v2", 0.9), ("v3", None)])
def test_keys_of_another_version_are_misconfigured(
    version: Any, score: Any, place: Place, transport: AnyTransport, caplog: pytest.LogCaptureFixture
) -> None:
    """With the keys of v3, every answer is a success: without the score, every bot would pass."""
    captcha = ReCaptcha("sandbox", SECRET, version=version, base_url=place[1].base_url)
    answer = place[0].solve_captcha(SolvedCaptcha("recaptcha", action="login", score=score))
    assert silence_of(captcha, answer, transport, caplog).misconfigured


ODD: dict[str, Any] = {
    "empty": "",
    "None": None,
    "a list": ["token"],
    "a number": 7,
    "bytes": b"token",
    "1 MB": "x" * 1_000_000,
    "a blank": "to ken",
    "a line end": "token\r\nX: y",
    "Chinese": "验证码",
    "half a pair": "\ud800",
    "zero": "\0",
    "deep": "[" * 20_000,
}


@pytest.mark.parametrize("odd", ODD)
def test_what_is_no_answer_is_malformed_and_not_sent(
    name: str, odd: str, place: Place, transport: AnyTransport
) -> None:
    captcha = made_at(name, place)
    if name == "aliyun" and odd == "a blank":
        pytest.skip("its answers may contain blanks")
    assert judge(captcha, ODD[odd], transport) == Verdict(False, "malformed")
    assert place[0].stats()[APIS[name]]["total"] == 0


@given(
    st.one_of(
        st.text(max_size=200),
        st.binary(max_size=50),
        st.none(),
        st.integers(),
        st.lists(st.text(max_size=3), max_size=3),
        st.dictionaries(st.sampled_from(["ticket", "randstr", "lot_number", "gen_time"]), st.text(max_size=9)).map(
            json.dumps
        ),
        st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=100),
    )
)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_answer_gets_a_verdict(name: str, place: Place, odd: Any) -> None:
    """It is never right, and raises nothing."""
    captcha = made_at(name, place)
    verdict = drive(captcha.verify(odd, check()), None)
    assert not verdict.passed
    assert verdict.reason
    captcha.identity(odd if isinstance(odd, str) else "")


@pytest.mark.parametrize("ip", [None, "", "not an address", "2001:db8::7", IP])
def test_any_address_of_the_visitor_is_taken(name: str, ip: str | None, place: Place, transport: AnyTransport) -> None:
    captcha = made_at(name, place)
    answer = place[0].solve_captcha(solved(name, captcha))
    assert judge(captcha, answer, transport, ip=ip).passed


BROKEN = ("http_500", "throttled", "drop", "half", "not_json", "success_false")


@pytest.mark.parametrize("fault", BROKEN)
def test_providers_trouble_is_silence(
    name: str, fault: Any, place: Place, transport: AnyTransport, caplog: pytest.LogCaptureFixture
) -> None:
    captcha = made_at(name, place)
    if fault == "success_false" and name in {"hcaptcha", "recaptcha v2", "recaptcha v3"}:
        pytest.skip("it documents no code for its own trouble")
    place[0].add_fault(Fault(fault, api=APIS[name], sent=False))
    answer = place[0].solve_captcha(solved(name, captcha))
    assert not silence_of(captcha, answer, transport, caplog).misconfigured
    assert judge(captcha, answer, transport).passed


def test_late_response_is_silence(
    name: str, place: Place, transport: AnyTransport, caplog: pytest.LogCaptureFixture
) -> None:
    captcha = made_at(name, place)
    captcha.timeout = (5, 0.3)  # type: ignore[attr-defined]
    place[0].add_fault(Fault("late", api=APIS[name], delay=20))
    began = time.monotonic()
    assert not silence_of(captcha, place[0].solve_captcha(solved(name, captcha)), transport, caplog).misconfigured
    assert time.monotonic() - began < 5


def test_fault_for_any_call_is_not_a_captchas(place: Place, transport: AnyTransport) -> None:
    captcha = made_at("turnstile", place)
    place[0].add_fault(Fault("http_500"))
    assert judge(captcha, place[0].solve_captcha(solved("turnstile", captcha)), transport).passed
    assert len(place[0].faults()) == 1


WRONG_KEYS: dict[str, Any] = {
    "turnstile": lambda url: Turnstile("sandbox", "other", base_url=url),
    "hcaptcha": lambda url: HCaptcha("sandbox", "other", base_url=url),
    "hcaptcha's site key": lambda url: HCaptcha("other", SECRET, base_url=url),
    "recaptcha v2": lambda url: ReCaptcha("sandbox", "other", base_url=url),
    "recaptcha enterprise": lambda url: ReCaptcha(
        "sandbox", api_key="other", project="my-project", version="enterprise", base_url=url
    ),
    "aliyun's secret": lambda url: captchas.AliyunCaptcha("sandbox", "other", scene_id="s", prefix="p", base_url=url),
    "aliyun's id": lambda url: captchas.AliyunCaptcha("other", SECRET, scene_id="s", prefix="p", base_url=url),
    "tencent's secret": lambda url: TencentCaptcha("sandbox", "other", app_id=1, app_secret_key=SECRET, base_url=url),
    "tencent's id": lambda url: TencentCaptcha("other", SECRET, app_id=1, app_secret_key=SECRET, base_url=url),
    "geetest's id": lambda url: Geetest("other", SECRET, base_url=url),
}


@pytest.mark.parametrize("wrong", WRONG_KEYS)
def test_refused_key_is_misconfigured_for_the_doctors_probe(
    wrong: str, place: Place, transport: AnyTransport, caplog: pytest.LogCaptureFixture
) -> None:
    captcha = WRONG_KEYS[wrong](place[1].base_url)
    assert silence_of(captcha, captcha.probe, transport, caplog).misconfigured


def test_probe_with_right_keys_gets_a_verdict(name: str, place: Place, transport: AnyTransport) -> None:
    captcha = made_at(name, place)
    assert not judge(captcha, captcha.probe, transport).passed
    assert place[0].stats()[APIS[name]]["total"] == 1


@pytest.mark.parametrize("kind", ["raises", "returns nothing"])
@pytest.mark.parametrize("name", ["aliyun", "tencent"])
def test_failing_credentials_function_is_silence(
    name: str, kind: str, place: Place, transport: AnyTransport, caplog: pytest.LogCaptureFixture
) -> None:
    def credentials() -> Any:
        if kind == "raises":
            raise OSError(SECRET)

    options: dict[str, Any] = {"credentials": credentials, "base_url": place[1].base_url}
    captcha: Captcha = (
        captchas.AliyunCaptcha(scene_id="s", prefix="p", **options)
        if name == "aliyun"
        else TencentCaptcha(app_id=1, app_secret_key=SECRET, **options)
    )
    assert silence_of(captcha, captcha.probe, transport, caplog).misconfigured


def test_credentials_function_is_asked_for_each_request(place: Place, transport: AnyTransport) -> None:
    asked: list[int] = []

    def credentials() -> Credentials:
        asked.append(1)
        return Credentials("sandbox", SECRET, "a-token")

    captcha = captchas.AliyunCaptcha(scene_id="s", prefix="p", credentials=credentials, base_url=place[1].base_url)
    for _ in range(2):
        assert judge(captcha, place[0].solve_captcha("aliyun-captcha"), transport).passed
    assert len(asked) == 2


def test_emergency_ticket_of_tencent_is_wrong(place: Place, transport: AnyTransport) -> None:
    """Anybody can write one."""
    answer = json.dumps({"ticket": "trerror_1001_190000001_1700000000", "randstr": "@abc"})
    assert judge(made_at("tencent", place), answer, transport).reason == "wrong"


def test_spelling_of_json_keeps_its_identity(place: Place) -> None:
    for name in ("tencent", "geetest"):
        captcha = made_at(name, place)
        answer = place[0].solve_captcha(solved(name, captcha))
        other = json.dumps({"more": 1, **json.loads(answer)}, indent=3)
        assert other != answer
        assert captcha.identity(other) == captcha.identity(answer) != answer


def test_public_test_key_of_turnstile_passes_with_any_action(transport: AnyTransport) -> None:
    secret = "1x0000000000000000000000000000000AA"
    made = sandbox(captcha_secret=secret)
    with running(made) as address:
        captcha = Turnstile("1x00000000000000000000AA", secret, hostnames="x.example", base_url=address.base_url)
        answer = made.solve_captcha(SolvedCaptcha("turnstile", action="test"))
        assert captcha.uses_test_keys
        assert judge(captcha, answer, transport).passed


def test_parameters_are_json_without_secrets(name: str, place: Place) -> None:
    captcha = made_at(name, place)
    shown = json.dumps(captcha.parameters("login"))
    assert SECRET not in shown + repr(captcha)
    assert json.loads(shown)["provider"] == captcha.name
    assert captcha.origins
    origins = set(captcha.origins) - {captcha.base_url}  # A sandbox serves the script itself.
    assert all(each.startswith("https://") and each.count("/") == 2 for each in origins)
    place_of_script = json.loads(shown)["script"].split("/")[2]
    assert any(place_of_script.endswith(each.split("/")[2].lstrip("*")) for each in captcha.csp["script-src"])


BAD: dict[str, tuple[Any, set[str]]] = {
    "turnstile": (
        lambda: Turnstile("", "", hostnames="a b/c", base_url="http://x.example", timeout=0),
        {"site_key", "secret_key", "hostnames", "base_url", "timeout"},
    ),
    "hcaptcha": (lambda: HCaptcha("a b", None, hostnames=[7]), {"site_key", "secret_key", "hostnames"}),  # type: ignore[arg-type, list-item]
    "recaptcha": (
        lambda: ReCaptcha("k", version="v4", min_score=2, domain="x"),
        {  # type: ignore[arg-type]
            "secret_key",
            "version",
            "min_score",
            "domain",
        },
    ),
    "enterprise": (lambda: ReCaptcha("k", "s", version="enterprise", project="/"), {"api_key", "project"}),
    "aliyun": (
        lambda: captchas.AliyunCaptcha(scene_id="", prefix="", region="us"),
        {  # type: ignore[arg-type]
            "access_key_id",
            "access_key_secret",
            "scene_id",
            "prefix",
            "region",
            "base_url",
        },
    ),
    "tencent": (
        lambda: TencentCaptcha(app_id=True, app_secret_key=""),
        {"secret_id", "secret_key", "app_id", "app_secret_key"},
    ),
    "geetest": (lambda: Geetest("", "", proxy="://"), {"captcha_id", "captcha_key", "proxy"}),
    "proof of work": (lambda: captchas.ProofOfWork(0, ttl=1, format=3), {"difficulty", "ttl", "format"}),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_arguments_are_all_named(name: str) -> None:
    build, fields = BAD[name]
    with pytest.raises(ConfigurationError) as caught:
        build()
    assert {each.field for each in caught.value.problems} == fields


def test_clock_of_the_check_signs(place: Place, transport: AnyTransport) -> None:
    """Alibaba Cloud and Tencent Cloud refuse a request of another time: that is the deployment's fault."""
    for name in ("aliyun", "tencent"):
        captcha = made_at(name, place)
        answer = place[0].solve_captcha(solved(name, captcha))
        with pytest.raises(CaptchaSilent) as caught:
            judge(captcha, answer, transport, now_ms=int((NOW - 3600) * 1000))
        assert caught.value.misconfigured


def test_base64_of_nothing_is_no_answer() -> None:
    pow_ = captchas.ProofOfWork().bind_key(b"k" * 32)
    for odd in (base64.b64encode(b"{}").decode(), base64.b64encode(b"[]").decode(), "", "=", "eyJ9"):
        assert drive(pow_.verify(odd, check())).reason == "malformed"


@pytest.mark.parametrize(
    ("captcha", "answer", "verdict"),
    [
        (PassingCaptcha(), "anything", Verdict(True)),
        (PassingCaptcha(), "", Verdict(False, "malformed")),
        (FailingCaptcha(), "anything", Verdict(False, "wrong")),
    ],
)
def test_captchas_of_the_testing_kit(captcha: Captcha, answer: str, verdict: Verdict) -> None:
    assert drive(captcha.verify(answer, check())) == verdict
    assert captcha.parameters("login") == {"provider": captcha.name, "field": "captcha"}
    assert captcha.bind_key(b"k" * 32) is captcha
    assert (captcha.origins, captcha.identity("x"), captcha.single_use) == ((), "x", False)


@pytest.mark.parametrize("misconfigured", [True, False])
def test_silent_captcha_of_the_testing_kit(misconfigured: bool) -> None:
    with pytest.raises(CaptchaSilent) as caught:
        drive(SilentCaptcha(misconfigured=misconfigured).verify("x", check()))
    assert caught.value.misconfigured == misconfigured


def test_a_captcha_is_imported_when_it_is_used() -> None:
    script = """
import sys
from otpkit import captcha
assert not {name for name in sys.modules if name.startswith("otpkit.captcha.")} - {"otpkit.captcha.base"}
assert {"Captcha", "CaptchaCheck", "CaptchaSilent", "Verdict", *captcha.CLASSES.values()} == set(captcha.__all__)
captcha.Geetest
assert "otpkit.captcha.geetest" in sys.modules and "otpkit.captcha.aliyun" not in sys.modules
try:
    captcha.Pigeon
except AttributeError as error:
    assert "Pigeon" in str(error)
else:
    raise SystemExit("an unknown name")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_names_of_captchas_are_those_of_the_registry() -> None:
    for name, kind in captchas.CLASSES.items():
        assert getattr(captchas, kind).name == name


def test_script_of_turnstile_is_cloudflares_or_a_sandboxs() -> None:
    """A proxy of the application's own is not there for visitors."""
    for base_url, origin in (
        ("https://challenges.cloudflare.com", "https://challenges.cloudflare.com"),
        ("https://proxy.internal/cf", "https://challenges.cloudflare.com"),
        ("http://127.0.0.1:8025", "http://127.0.0.1:8025"),
    ):
        captcha = Turnstile("site", SECRET, base_url=base_url)
        assert captcha.parameters("login")["script"] == f"{origin}/turnstile/v0/api.js"
        assert captcha.origins == (origin,)
