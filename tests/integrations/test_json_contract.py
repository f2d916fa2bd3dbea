"""The JSON calls give the same answers in FastAPI, Flask and Django REST framework, over sockets."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import Annotated, Any

import django_site
import flask
import pytest
import requests
from django.core.handlers.wsgi import WSGIHandler
from django.test import override_settings
from django.urls import include, path
from fastapi import Depends, FastAPI, Header
from pydantic import BaseModel
from rest_framework import serializers
from rest_framework.decorators import api_view
from rest_framework.generics import CreateAPIView
from rest_framework.response import Response
from rest_framework.throttling import SimpleRateThrottle
from served_apps import SECRET, TEMPLATE, on_uvicorn, on_werkzeug
from starlette.middleware.sessions import SessionMiddleware

from otpkit import OTP, AsyncOTP, GatewayRejectedError, Guard, Policy, Proof, RiskContext
from otpkit.integrations import fastapi as in_fastapi
from otpkit.integrations import flask as in_flask
from otpkit.integrations.django.rest import HasPhoneProof, VerifiedPhoneMixin, phone_urls, redeem
from otpkit.testing import MovableClock, Outbox, PassingCaptcha

_numbers = count(13400000000)
JSON = {"Content-Type": "application/json"}
CHALLENGES, STATUS, VERIFICATIONS = (
    "/api/signup/challenges",
    "/api/signup/challenges/status",
    "/api/signup/verifications",
)


def judge(context: RiskContext) -> str:
    return "captcha" if context.purpose == "guarded" and not context.known else "allow"


def is_known(request: Any, phone: str) -> bool:
    return bool(request.headers.get("User-Agent") == "ours")


OPTIONS: dict[str, Any] = {
    "policy": Policy(regions={"CN", "US"}, default_region="CN", sends=("1/minute", "3/day")),
    "guard": Guard("enforce", PassingCaptcha(), risk=judge),
}


async def device_in_fastapi(device: Annotated[str, Header()] = "") -> str:
    return device


def device_in_flask() -> str:
    return flask.request.headers.get("Device", "")


def device_in_django(request: Any) -> str:
    return str(request.headers.get("Device", ""))


class Account(BaseModel):
    name: str


@contextlib.contextmanager
def on_fastapi(outbox: Outbox, clock: MovableClock) -> Iterator[str]:
    otp = AsyncOTP("memory://", outbox, TEMPLATE, SECRET, clock=clock, **OPTIONS)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with otp:
            yield

    app = FastAPI(lifespan=lifespan)
    app.add_middleware(SessionMiddleware, secret_key=SECRET)
    phones = in_fastapi.PhoneVerification(otp, known=is_known)
    phones.install(app)
    app.include_router(phones.router("signup"), prefix="/api/signup")
    app.include_router(phones.router("guarded"), prefix="/api/guarded")
    app.include_router(phones.router("quiet", discreet=True), prefix="/api/quiet")
    app.include_router(phones.router("device", bind=device_in_fastapi), prefix="/api/device")

    @app.post("/paid")
    async def pay(proof: Annotated[Proof, Depends(in_fastapi.verified_phone("device", bind=device_in_fastapi))]) -> str:
        return proof.phone

    @app.post("/accounts", status_code=201)
    async def create(account: Account, proof: in_fastapi.VerifiedPhone) -> dict[str, str]:
        return {"name": account.name, "phone": proof.phone}

    with on_uvicorn(app) as url:
        yield url


@contextlib.contextmanager
def on_flask(outbox: Outbox, clock: MovableClock) -> Iterator[str]:
    app = flask.Flask(__name__)
    app.secret_key = SECRET
    with OTP("memory://", outbox, TEMPLATE, SECRET, clock=clock, **OPTIONS) as otp:
        phones = in_flask.PhoneVerification(app, otp, known=is_known)
        app.register_blueprint(phones.json_blueprint("signup"))
        app.register_blueprint(phones.json_blueprint("guarded"))
        app.register_blueprint(phones.json_blueprint("quiet", discreet=True))
        app.register_blueprint(phones.json_blueprint("device", bind=device_in_flask))

        @app.post("/paid")
        def pay() -> Any:
            return flask.jsonify(phones.redeem("device", bind=device_in_flask).phone)

        @app.post("/accounts")
        def create() -> Any:
            if "name" not in flask.request.get_json():
                return {}, 422
            proof = phones.redeem(idempotency_key=flask.request.headers.get("Idempotency-Key"))
            return {"name": flask.request.get_json()["name"], "phone": proof.phone}, 201

        with on_werkzeug(app) as url:
            yield url


class AccountSerializer(VerifiedPhoneMixin, serializers.Serializer[Any]):
    name = serializers.CharField()

    def create(self, validated_data: dict[str, str]) -> dict[str, str]:
        return validated_data

    def to_representation(self, instance: dict[str, str]) -> dict[str, str]:
        return instance


class CreateAccount(CreateAPIView):  # type: ignore[type-arg]
    authentication_classes = ()
    permission_classes = (HasPhoneProof,)
    serializer_class = AccountSerializer


@api_view(["POST"])
def pay(request: Any) -> Response:
    return Response(redeem(request, "device", bind=device_in_django).phone)


urlpatterns = [
    path("paid", pay),
    path("api/signup/", include(phone_urls("signup"))),
    path("api/guarded/", include(phone_urls("guarded", known=is_known))),
    path("api/quiet/", include(phone_urls("quiet", discreet=True))),
    path("api/device/", include(phone_urls("device", bind=device_in_django))),
    path("accounts", CreateAccount.as_view()),
]


def setting(outbox: Outbox, clock: MovableClock) -> dict[str, Any]:
    options = {name.upper(): value for name, value in OPTIONS.items()}
    return {"REDIS": "memory://", "GATEWAY": outbox, "TEMPLATE": TEMPLATE, "SECRET": SECRET, "CLOCK": clock, **options}


@contextlib.contextmanager
def on_django(outbox: Outbox, clock: MovableClock) -> Iterator[str]:
    changed = override_settings(
        ALLOWED_HOSTS=["127.0.0.1"],
        MIDDLEWARE=[
            "otpkit.integrations.django.middleware.PhoneErrorMiddleware",
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.middleware.csrf.CsrfViewMiddleware",
        ],
        OTPKIT=setting(outbox, clock),
        REST_FRAMEWORK={"DEFAULT_AUTHENTICATION_CLASSES": []},
        ROOT_URLCONF=__name__,
        SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",  # The database is of another thread.
    )
    with changed, on_werkzeug(WSGIHandler()) as url:
        yield url


@dataclass
class Api:
    """An application, and the session of one client."""

    url: str
    outbox: Outbox
    session: requests.Session

    def post(self, where: str, body: Any = None, **headers: str) -> requests.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.session.post(f"{self.url}{where}", json=body, headers=named, timeout=20)

    def raw(self, where: str, data: Any, **headers: str) -> requests.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.session.post(f"{self.url}{where}", data=data, headers=named, timeout=20)

    def code(self, phone: str) -> str:
        return next(message.code for message in reversed(list(self.outbox)) if message.phone == phone)

    def other(self) -> Api:
        """Return another client of the application."""
        return Api(self.url, self.outbox, requests.Session())


FRAMEWORKS = {"fastapi": on_fastapi, "flask": on_flask, "django": on_django}


@pytest.fixture(scope="module")
def served() -> Iterator[dict[str, tuple[str, Outbox]]]:
    with contextlib.ExitStack() as stack:
        found = {}
        for name, serve in FRAMEWORKS.items():
            outbox = Outbox()
            found[name] = (stack.enter_context(serve(outbox, MovableClock())), outbox)
        yield found


def other_than(code: str) -> str:
    return f"{code[:-1]}{(int(code[-1]) + 1) % 10}"


Story = Callable[[Api, str], Iterator[requests.Response]]
STORIES: dict[str, Story] = {}


def story(make: Story) -> Story:
    """Add a story: the requests of one client, and the answers to compare."""
    STORIES[make.__name__] = make
    return make


@story
def sign_up(api: Api, phone: str) -> Iterator[requests.Response]:
    yield api.post(CHALLENGES, {"phone": phone})
    yield api.post(STATUS, {"phone": phone})
    yield api.post(VERIFICATIONS, {"phone": phone, "code": other_than(api.code(phone))})
    right = api.post(VERIFICATIONS, {"phone": phone, "code": f" {api.code(phone)[:3]}-{api.code(phone)[3:]}"})
    yield right
    token = right.json()["token"]
    yield api.post(STATUS, {"phone": phone, "device": right.json()["device"]})
    yield api.post("/accounts", {"name": "Ada"})
    yield api.post("/accounts", {"name": "Ada"}, Phone_Proof=f"{token}x")
    yield api.other().post("/accounts", {"name": "Ada"}, Phone_Proof=token)
    assert api.post("/accounts", {}, Phone_Proof=token).status_code in {400, 422}, "It uses up no proof."
    yield api.post("/accounts", {"name": "Ada"}, Phone_Proof=token, Idempotency_Key="one")
    yield api.post("/accounts", {"name": "Ada"}, Phone_Proof=token)


@story
def limited(api: Api, phone: str) -> Iterator[requests.Response]:
    api.post(CHALLENGES, {"phone": phone})
    for language in ("", "en", "zh", "zh-TW,zh;q=0.5", "de"):
        yield api.post(CHALLENGES, {"phone": phone}, Accept_Language=language)
    yield api.other().post(CHALLENGES, {"phone": phone})
    yield api.post(CHALLENGES, {"phone": phone}, Accept="text/html")


@story
def repeated(api: Api, phone: str) -> Iterator[requests.Response]:
    for _ in range(2):
        yield api.post(CHALLENGES, {"phone": phone}, Idempotency_Key="a")
    assert [message.phone for message in api.outbox].count(phone) == 1
    tokens = set()
    for _ in range(2):
        found = api.post(VERIFICATIONS, {"phone": phone, "code": api.code(phone)}, Idempotency_Key="b")
        tokens.add(found.json()["token"])
        yield found
    assert len(tokens) == 1
    for key in ("", "k" * 201):
        yield api.post(CHALLENGES, {"phone": phone}, Idempotency_Key=key)
        yield api.post(CHALLENGES, {}, Idempotency_Key=key)


@story
def bad_fields(api: Api, phone: str) -> Iterator[requests.Response]:
    for given in ("", "12", "+442071838750", "1" * 15_000, "\ud800", "+86 OOO"):
        yield api.post(CHALLENGES, {"phone": given}, Accept_Language="zh")
    yield api.post(CHALLENGES, {"phone": "2015550123", "region": "US"})
    yield api.post(CHALLENGES, {"phone": phone, "region": "XX"})
    for given in (None, 13800138000, ["13800138000"], {"$ne": ""}):
        yield api.post(CHALLENGES, {"phone": given})
    yield api.post(CHALLENGES, {})
    yield api.post(CHALLENGES, {"phone": phone, "purpose": "payment"})
    for where in (CHALLENGES, STATUS, VERIFICATIONS):
        answer = api.post(where, {phone: "", "extra": ""})
        assert phone not in answer.text  # No error repeats a name that could be a number or a code.
        assert "body.extra: " in answer.text
        yield answer
    yield api.post(CHALLENGES, {"phone": phone, "captcha": "x" * 6001})
    yield api.post(VERIFICATIONS, {"phone": phone})
    yield api.post(VERIFICATIONS, {"phone": phone, "code": "123456"})
    yield api.post(VERIFICATIONS, {"phone": phone, "code": "12\n3456"}, Accept_Language="zh")
    assert phone not in [message.phone for message in api.outbox]


@story
def bad_bodies(api: Api, phone: str) -> Iterator[requests.Response]:
    fine = f'{{"phone": "{phone}"}}'
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "", "application/jsonx"):
        yield api.raw(CHALLENGES, fine, Content_Type=kind)
    for body in ("", "{", "[]", "null", '"text"', "\xff", "[" * 16_000, '{"phone": "+8613', "1" * 5000):
        yield api.raw(CHALLENGES, body.encode("latin-1"), **JSON)
    yield api.raw(CHALLENGES, b"1" * 1_000_000, **JSON)
    yield api.raw(CHALLENGES, (b" " * 16384) + fine.encode(), **JSON)
    yield api.raw(CHALLENGES, fine, Content_Type="Application/JSON; charset=utf-8")
    assert [message.phone for message in api.outbox].count(phone) == 1


@story
def rejected(api: Api, phone: str) -> Iterator[requests.Response]:
    api.outbox.reject_next(GatewayRejectedError("No.", gateway="outbox", category="number"))
    yield api.post(CHALLENGES, {"phone": phone}, Accept_Language="zh")
    api.outbox.lose_next()
    yield api.post(CHALLENGES, {"phone": phone})


@story
def guarded(api: Api, phone: str) -> Iterator[requests.Response]:
    yield api.post("/api/guarded/challenges", {"phone": phone}, Accept_Language="zh")
    yield api.post("/api/guarded/challenges", {"phone": phone, "known": True})
    yield api.post("/api/guarded/challenges", {"phone": phone, "captcha": f"an answer for {phone}"})
    ours = f"+86{next(_numbers)}"
    yield api.post("/api/guarded/challenges", {"phone": ours})
    yield api.post("/api/guarded/challenges", {"phone": ours}, User_Agent="ours")


@story
def quiet(api: Api, phone: str) -> Iterator[requests.Response]:
    for _ in range(2):
        yield api.post("/api/quiet/challenges", {"phone": phone})
    yield api.post("/api/quiet/verifications", {"phone": phone, "code": other_than(api.code(phone))})
    yield api.other().post("/api/quiet/verifications", {"phone": phone, "code": api.code(phone)})
    yield api.post("/api/quiet/verifications", {"phone": phone, "code": api.code(phone)})
    assert api.post("/api/quiet/challenges/status", {"phone": phone}).status_code == 404


@story
def device(api: Api, phone: str) -> Iterator[requests.Response]:
    yield api.post("/api/device/challenges", {"phone": phone}, Device="mine")
    body = {"phone": phone, "code": api.code(phone)}
    yield api.post("/api/device/verifications", body, Device="another")
    right = api.other().post("/api/device/verifications", body, Device="mine")
    yield right
    token = right.json()["token"]
    yield api.post("/paid", Device="another", Phone_Proof=token)
    yield api.post("/paid", Device="mine")
    yield api.other().post("/paid", Device="mine", Phone_Proof=token)
    yield api.post("/paid", Device="mine", Phone_Proof=token)
    assert not api.session.cookies
    assert api.post("/api/device/challenges", {"phone": phone}).status_code == 500, "All would share their codes."


HEADERS = ("Content-Type", "Cache-Control", "Content-Language", "Retry-After", "RateLimit", "RateLimit-Policy", "Vary")
RANDOM = ("token", "device")


def told(found: requests.Response, phone: str) -> Any:
    """Return the parts of an answer that must be equal."""
    headers = {name: found.headers.get(name) for name in HEADERS}
    vary = {each.strip() for each in (headers["Vary"] or "").split(",")} - {"Cookie", ""}
    headers["Vary"] = ", ".join(sorted(vary)) if found.status_code >= 400 else ""
    if (headers["Content-Type"] or "").startswith("text/html"):
        return found.status_code, headers
    body = found.json()
    if isinstance(body, dict):
        body |= {name: bool(body[name]) for name in RANDOM if name in body}
    return found.status_code, headers, body


@pytest.mark.parametrize("name", STORIES)
def test_frameworks_answer_alike(name: str, served: dict[str, tuple[str, Outbox]]) -> None:
    """The status, the headers that matter and the body are equal."""
    phone, seen = f"+86{next(_numbers)}", {}
    for framework, (url, outbox) in served.items():
        with requests.Session() as session:
            seen[framework] = [told(each, phone) for each in STORIES[name](Api(url, outbox, session), phone)]
    for framework, transcript in seen.items():
        for place, answer in enumerate(transcript):
            assert answer == seen["fastapi"][place], (framework, place)


@pytest.mark.parametrize(
    ("name", "statuses"),
    [
        ("sign_up", [202, 200, 422, 200, 200, 401, 401, 401, 201, 401]),
        ("limited", [429] * 7),
        ("guarded", [403, 422, 202, 403, 202]),
    ],
)
def test_answers_are_the_expected_ones(name: str, statuses: list[int], served: dict[str, tuple[str, Outbox]]) -> None:
    """Equal answers could all be wrong."""
    url, outbox = served["django"]
    with requests.Session() as session:
        phone = f"+86{next(_numbers)}"
        assert [each.status_code for each in STORIES[name](Api(url, outbox, session), phone)] == statuses


class OnePerPhone(SimpleRateThrottle):
    """A throttle that looks at the body before the view."""

    rate = "1/day"
    scope = "phone"
    cache: Any = None

    def get_cache_key(self, request: Any, view: Any) -> str:
        return str(request.data.get("phone"))


def test_a_throttle_may_read_the_body() -> None:
    """The view reads it afterwards."""
    from django.core.cache import cache

    OnePerPhone.cache = cache
    cache.clear()
    outbox = Outbox()
    urls = type("urls", (), {"urlpatterns": phone_urls("signup", throttle_classes=(OnePerPhone,))})
    with override_settings(OTPKIT=setting(outbox, MovableClock()), ROOT_URLCONF=urls):
        client = django_site.Client()
        answers = [client.post("/challenges", {"phone": "13800138000"}, "application/json") for _ in range(2)]
    assert [each.status_code for each in answers] == [202, 429]
    assert len(outbox) == 1
