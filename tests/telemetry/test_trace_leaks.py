"""No code, phone, address, bind, secret, key or token is recorded: in no name, attribute, event, status or metric."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from hook_server import HookServer
from recorded_spans import Recorded
from support.callers import calling, result
from support.proxy import Fault, Proxy
from support.rig import OTHER_PHONE, SECRET
from support.transports import TRANSPORTS, choose

from otpkit import Guard, Policy, Template, gateways
from otpkit.captcha import Turnstile
from otpkit.core import scripts
from otpkit.core.crypto import CodeKey
from otpkit.effects import Flow, HttpRequest
from otpkit.gateways import Gateway, Message, Push, Receipt
from otpkit.gateways.provider import ask
from otpkit.testing import MovableClock

NUMBER, IP, BIND, KEY = "13800138000", "203.0.113.77", "session-of-ann", "key-of-ann-7f3a"
PHONE = f"+86{NUMBER}"
APP_SECRET, CAPTCHA_SECRET, ANSWER, HOOK_KEY = "app-secret-91b2", "captcha-secret-5c1", "answer-of-ann", "hookkeyofann"
ACCOUNT = "AC5ef8732a3c49700934481addd5ce1659"
CODE_LENGTH = 10  # Ten digits do not occur elsewhere by chance.
ACTOR, REASON = "bob-of-the-support", "the user called about +8613800138000"
TEMPLATE = Template("1234567", "otpkit", {"code": "{code}", "name": "user"}, body="Hello ${name}, ${code}.")
NAME = "ann-the-visitor"
KNOWN = (
    ACTOR,
    REASON,
    NUMBER,
    OTHER_PHONE,
    IP,
    BIND,
    KEY,
    SECRET,
    APP_SECRET,
    CAPTCHA_SECRET,
    ANSWER,
    HOOK_KEY,
    NAME,
    ACCOUNT,
)


class InPath(Gateway):
    """An author's gateway that puts all it has into the URL's path and the query."""

    name = "in-path"

    def __init__(self, url: str) -> None:
        self._url = url

    def send(self, message: Message) -> Flow[Receipt]:
        path = f"send/{message.phone}/{message.code}/{APP_SECRET}"
        yield from ask(HttpRequest(method="GET", url=f"{self._url}/{path}?to={message.phone}", timeout=(1, 5)))
        return Receipt(self.name)


def told(message: Message) -> None:
    """Raise an error with the message in its text, its causes and its notes."""
    try:
        raise ValueError(f"{message.phone} {message.code}")
    except ValueError as error:
        failure = RuntimeError(message.phone, message.code, message)
        failure.add_note(message.code)
        raise failure from error


BUILD: dict[str, Callable[[str], Any]] = {
    "alidayu": lambda url: gateways.Alidayu("app-key-of-ann", APP_SECRET, base_url=url),
    "aliyun": lambda url: gateways.Aliyun("app-key-of-ann", APP_SECRET, base_url=url),
    "aliyun-voice": lambda url: gateways.AliyunVoice("app-key-of-ann", APP_SECRET, base_url=url),
    "tencent": lambda url: gateways.Tencent("app-key-of-ann", APP_SECRET, sdk_app_id="1400006666", base_url=url),
    "twilio": lambda url: gateways.Twilio(ACCOUNT, APP_SECRET, sender="+15550000000", base_url=url),
    "webhook": lambda url: gateways.Webhook(f"{url}/{HOOK_KEY}99?key={KEY}", SECRET),
    "path": InPath,
    "raises": lambda url: told,
}
CODES: list[str] = []


@pytest.fixture(autouse=True)
def _codes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep every code that is made."""
    make = CodeKey.code
    CODES.clear()

    def remember(self: CodeKey, *args: Any) -> str:
        CODES.append(make(self, *args))
        return CODES[-1]

    monkeypatch.setattr(CodeKey, "code", remember)


def found(recorded: Recorded, *more: str | None) -> set[str]:
    """Return the known texts that are recorded."""
    known = {*KNOWN, *CODES, *filter(None, more)}
    return {each for each in known for text in recorded.texts() if each in text}


async def use(caller: Any, channel: str) -> list[str | None]:
    """Make calls of all kinds, right and wrong, and return the secret texts that they made."""
    made: list[str | None] = []
    params = {"name": NAME}
    await result(
        caller.issue(
            PHONE, "login", bind=BIND, ip=IP, params=params, idempotency_key=KEY, channel=channel, captcha=ANSWER
        )
    )
    await result(caller.issue(PHONE, "login", bind=BIND, ip=IP, params=params, channel=channel))
    await result(caller.delivery(PHONE, "login", bind=BIND))
    await result(caller.status(PHONE, "login", bind=BIND))
    await result(caller.verify(PHONE, "0" * CODE_LENGTH, "login", bind=BIND, ip=IP))
    proof = await result(
        caller.verify(PHONE, CODES[0] if CODES else "1", "login", bind=BIND, ip=IP, idempotency_key=KEY)
    )
    if token := getattr(proof, "token", None):
        made += [token, proof.device]
        await result(caller.check(token, "login", bind=BIND))
        await result(caller.check(token, "login", bind=BIND, phone=OTHER_PHONE))
        await result(caller.redeem(token, "login", bind=BIND, idempotency_key=KEY, request=KEY))
        await result(caller.redeem(token, "login", bind=BIND))
        await result(caller.check_device(proof.device, PHONE))
    # Arguments in the wrong places, which are errors of the caller.
    await result(caller.verify(CODES[0] if CODES else "1", PHONE))
    await result(caller.issue(PHONE, NUMBER))
    await result(caller.issue(PHONE, IP))
    await result(caller.guard_block("ip", IP))
    await result(caller.guard_report(phone=PHONE, ip=IP))
    await result(caller.receive(Push(f"/receipts?phone={NUMBER}", {"x": NUMBER}, PHONE.encode(), "POST")))
    await result(caller.standing(PHONE))
    for name in ("unblock", "forget_devices", "erase"):
        await result(getattr(caller, name)(PHONE, actor=ACTOR, reason=REASON))
    await result(caller.open_circuit("webhook", actor=ACTOR, reason=REASON))
    await result(caller.audit(PHONE))
    return made


@pytest.mark.parametrize("status", [200, 400, 500, None])
@pytest.mark.parametrize("transport", ["sync", *TRANSPORTS])
@pytest.mark.parametrize("name", BUILD)
async def test_nothing_secret_is_recorded(
    name: str, transport: str, status: int | None, hook: HookServer, recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For each gateway, however its server answers, and whatever the caller does wrong."""
    if transport != "sync":
        choose(transport, monkeypatch)
    hook.status, hook.body = status, f'{{"message": "{NUMBER}", "code": "{NUMBER}", "success": true}}'.encode()
    gateway = BUILD[name](hook.url)
    channel = "voice" if getattr(gateway, "channels", None) == {"voice"} else "sms"
    kind = "sync-url" if transport == "sync" else "async-url"
    options = {
        "template": TEMPLATE,
        "policy": Policy(code_length=CODE_LENGTH),
        "guard": Guard("enforce", captcha=Turnstile("site", CAPTCHA_SECRET, base_url=hook.url)),
        "listeners": [recorded.listener],
    }
    async with calling(kind, "memory://", gateway, **options) as caller:
        made = await use(caller, channel)
    assert CODES
    assert len(recorded.spans) > 20  # Without spans and metrics the test would prove nothing.
    assert "otpkit_refused" in list(recorded.texts())[-1]
    assert found(recorded, *made) == set()


@pytest.mark.parametrize("kind", ["sync-url", "async-url"])
async def test_failing_redis_shows_nothing(kind: str, redis_url: str, namespace: str, recorded: Recorded) -> None:
    """Redis refuses each script with an error that repeats its arguments."""
    sent: list[Message] = []
    policy = Policy(code_length=CODE_LENGTH)
    loaded = scripts.load(policy)
    names = {getattr(loaded, name).sha: name for name in ("reserve", "settle", "verify", "status", "standing")}
    with Proxy(redis_url, names) as proxy:
        options = {"namespace": namespace, "policy": policy, "listeners": [recorded.listener], "clock": MovableClock()}
        async with calling(kind, proxy.url, sent.append, template=Template("1"), **options) as caller:
            await result(caller.issue(PHONE, bind=BIND))
            for name in ("reserve", "settle", "verify", "status", "standing"):
                reply = f"-ERR user {NUMBER} {BIND} {sent[-1].code}\r\n".encode()
                proxy.expect(name, *[Fault("say", reply=reply)] * 4)
            await result(caller.issue(OTHER_PHONE, bind=BIND))
            await result(caller.verify(PHONE, sent[0].code, bind=BIND))
            await result(caller.status(PHONE, bind=BIND))
            await result(caller.standing(PHONE))
    failed = [span for span in recorded.spans if span.status.description]
    assert len(failed) >= 4
    assert found(recorded) == set()


async def test_words_of_paths_are_short(hook: HookServer, recorded: Recorded) -> None:
    """A path's part is shown if it is a word of an API. A key without a digit is longer than such words."""
    for part in ("Messages.json", "v2", "siteverify", "querySmsDetail"):
        assert await _shown(part, hook, recorded) == part
    for part in ("2010-04-01", "ACsandbox1", "hooksecretofanncompany", "730452", "+8613800138000", "%E5%A4%A7"):
        assert await _shown(part, hook, recorded) == "{}"


async def _shown(part: str, hook: HookServer, recorded: Recorded) -> str:
    class Own(Gateway):
        name = "own"

        def send(self, message: Message) -> Flow[Receipt]:
            yield from ask(HttpRequest(method="POST", url=f"{hook.url}/{part}", timeout=(1, 5)))
            return Receipt(self.name)

    recorded.clear()
    async with calling("sync-url", "memory://", Own(), listeners=[recorded.listener]) as caller:
        await caller.issue(PHONE)
    attributes = recorded.call("POST own").attributes or {}
    url = str(attributes["url.full"])
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/.*", url)
    return url.rpartition("/")[2]
