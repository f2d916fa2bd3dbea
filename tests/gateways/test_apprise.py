"""Apprise sends one message by one URL. A reported failure is uncertain. Nothing of the message is logged."""

from __future__ import annotations

import logging
import subprocess
import sys
from typing import Any

import pytest
from provider_lab import BARE, CODE, NUMBER, PHONE, TEMPLATE, message, refused
from support.secrets import SECRET
from wire_server import WireServer, drop, refusing_port, reply

from otpkit import OTP, AsyncOTP, ConfigurationError
from otpkit.effects import Call
from otpkit.gateways import Apprise, Receipt
from otpkit.transport import notifier
from otpkit.transport.http import drive

# A plug-in of Apprise imports this, up to Python 3.12.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")
KEY = "k3y-of-the-service"


def url_of(server: WireServer) -> str:
    return f"{server.url.replace('http', 'json')}/{{phone}}?-key={KEY}"


def outcome(gateway: Apprise) -> Receipt:
    flow = gateway.send(message())
    effect = next(flow)
    assert isinstance(effect, Call)
    assert CODE not in repr(effect)
    with pytest.raises(StopIteration) as stop:
        flow.send(effect.function(effect.argument))
    receipt: Receipt = stop.value.value
    return receipt


def test_a_message_is_one_notification_and_is_accepted(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with WireServer(reply("")) as server:
        gateway = Apprise(url_of(server))
        assert server.requests == [], "the URL is only read"
        assert outcome(gateway) == Receipt("apprise")
    (request,) = server.requests
    assert request.path == f"/86{NUMBER}"
    assert request.json["message"] == f'验证码{CODE}，您正在进行大鱼 "x" <&>+~*%😀身份验证'
    assert caplog.records == []
    assert KEY not in repr(gateway)


@pytest.mark.parametrize("act", [drop, reply("", 500), reply("", 400)])
def test_what_fails_is_uncertain_and_not_sent_again(act: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with WireServer(act) as server:
        assert outcome(Apprise(url_of(server))) == Receipt("apprise", "", "uncertain")
    assert len(server.requests) == 1
    assert caplog.records == []


def test_a_refused_connection_is_uncertain_too(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with refusing_port() as port:
        assert outcome(Apprise(f"json://127.0.0.1:{port}/{{phone}}")).outcome == "uncertain"
    assert caplog.records == []


def test_what_apprise_raises_is_uncertain_and_stays_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with WireServer(reply("")) as server:
        gateway = Apprise(url_of(server))

        def explode(*_: object) -> None:
            raise RuntimeError(f"{NUMBER} {CODE}")

        monkeypatch.setattr(notifier, "_quietly", explode)
        assert outcome(gateway).outcome == "uncertain"


@pytest.mark.parametrize(
    ("url", "phone"),
    [
        ("vonage://abcd1234:0123456789abcdef@15551234567/{phone}", "+376312345"),
        ("vonage://abcd1234:0123456789abcdef@15551234567/{phone}", "+123456789012345"),
        (f"sinch://{'a' * 32}:{'b' * 32}@15551234567/{{phone}}", "+376312345"),
        ("voipms://password:user@example.com/15551234567/{phone}", "+4915123456789"),
        (f"plivo://MA{'a' * 18}@{'b' * 40}/15551234567/{{phone}}", "+376312345"),
    ],
)
def test_a_number_that_the_service_drops_is_refused_and_not_sent_to_its_own(
    url: str, phone: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    posts: list[object] = []
    for method in ("get", "post"):
        monkeypatch.setattr(f"requests.{method}", lambda *args, **kwargs: posts.append((args, kwargs)))
    error = refused(lambda: drive(Apprise(url).send(message(phone=phone))), "apprise")
    assert error.category == "configuration"
    assert phone[1:] not in str(error)
    assert posts == []
    assert caplog.records == []


@pytest.mark.parametrize(
    ("url", "phone"),
    [
        ("vonage://abcd1234:0123456789abcdef@15551234567/{phone}", "+8613800138000"),
        ("voipms://password:user@example.com/15551234567/{phone}", "+12125550123"),
    ],
)
def test_a_number_that_the_service_takes_is_where_it_goes(
    url: str, phone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    posts: list[str] = []
    for method in ("get", "post"):
        monkeypatch.setattr(f"requests.{method}", lambda *args, **kwargs: posts.append(repr((args, kwargs))))
    assert drive(Apprise(url).send(message(phone=phone))).outcome == "uncertain"
    (sent,) = posts
    assert phone[-10:] in sent


def test_other_peoples_logs_are_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with WireServer(reply("")) as server:
        outcome(Apprise(url_of(server)))
    logging.getLogger("apprise").warning("mine")
    assert [record.getMessage() for record in caplog.records] == ["mine"]


async def test_a_code_that_it_sends_verifies() -> None:
    with WireServer(reply("")) as server:
        with OTP("memory://", Apprise(url_of(server)), TEMPLATE, SECRET) as otp:
            assert otp.issue(PHONE).delivery == "accepted"
            assert otp.verify(PHONE, server.requests[-1].json["message"].partition("验证码")[2][:6])
        async with AsyncOTP("memory://", Apprise(url_of(server)), TEMPLATE, SECRET) as aotp:
            assert (await aotp.issue(PHONE)).delivery == "accepted"
            assert await aotp.verify(PHONE, server.requests[-1].json["message"].partition("验证码")[2][:6])
    assert len(server.requests) == 2


def test_a_template_needs_a_text() -> None:
    gateway = Apprise("json://127.0.0.1/{phone}")
    gateway.check(TEMPLATE)
    with pytest.raises(ConfigurationError, match=r"Template\.body"):
        gateway.check(BARE)


@pytest.mark.parametrize(
    "urls",
    [
        (),
        ("json://127.0.0.1/{phone}", "json://127.0.0.1/{phone}"),
        ("json://127.0.0.1",),
        ("json://127.0.0.1/{phone}/{phone}",),
        ("nonsense {phone}",),
        ("json://127.0.0.1/{phone}?retry=1",),
        ("vonage://abcd1234:0123456789abcdef@15551234567/{phone}?overflow=split",),
        ("vonage://abcd1234:0123456789abcdef@15551234567/{phone}?overflow=truncate",),
        (f"twilio://AC{'0' * 32}:{'a' * 32}@15551234567/{{phone}}/8613900139000",),
        (None,),
    ],
)
def test_anything_but_one_message_is_refused(urls: tuple[Any, ...], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(ConfigurationError) as caught:
        Apprise(*urls)
    assert caught.value.__context__ is None
    assert caplog.records == []


def test_without_apprise_the_extra_is_named() -> None:
    script = (
        "import sys; sys.modules['apprise'] = None\n"
        "from otpkit.gateways import Apprise\n"
        "try: Apprise('json://127.0.0.1/{phone}')\n"
        "except Exception as error: print(type(error).__name__, error, error.__context__)"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert found == "ConfigurationError Apprise is not installed. Run: pip install 'otpkit[apprise]'. None\n"
