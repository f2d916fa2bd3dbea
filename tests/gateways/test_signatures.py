"""The signature precedes a text only if the provider adds it."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from typing import Any

import pytest
from provider_lab import CODE, PHONE, SECRET, message
from support.secrets import SECRET as OTP_SECRET
from support.transports import AnyTransport
from wire_server import WireServer, reply

from otpkit import OTP, AsyncOTP, ConfigurationError, Template, gateways
from otpkit.environment import arguments_from
from otpkit.gateways import Alidayu, Aliyun, AliyunVoice, Console, Gateway, Tencent, Twilio, Webhook
from otpkit.template import count_segments
from otpkit.transport.http import drive

# One SMS without a signature, and two with a signature in Chinese brackets.
ENGLISH = "Your code is ${code}. It is valid for five minutes. Never share it: none of us will ask for it."
TEXT = ENGLISH.replace("${code}", CODE)
SIGNED = Template("login", "Acme", body=ENGLISH)
UNSIGNED = Template("login", body=ENGLISH)
KEYS = ("key", SECRET)
WITH_TEMPLATES: list[Gateway] = [Alidayu(*KEYS), Aliyun(*KEYS), Tencent(*KEYS, sdk_app_id="1")]
WITHOUT: list[Gateway] = [
    AliyunVoice(*KEYS),
    Twilio("AC0", SECRET, sender="+15551234567"),
    Webhook("https://me.example", SECRET),
    Console(development=True),
]


@pytest.mark.parametrize("template", [SIGNED, UNSIGNED], ids=["signed", "unsigned"])
@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")  # Apprise imports it.
@pytest.mark.parametrize("name", ["twilio", "webhook", "apprise"])
def test_text_is_sent_as_it_is_written(name: str, template: Template, transport: AnyTransport) -> None:
    """This holds with and without a signature in the template."""
    posted = message(template=template, params={"code": CODE})
    with WireServer(reply({"sid": f"SM{'1' * 32}", "status": "queued"}, 201)) as server:
        gateway: Any
        if name == "twilio":
            gateway = Twilio("AC0", SECRET, sender="+15551234567", base_url=server.url)
        elif name == "webhook":
            gateway = Webhook(server.url, SECRET)
        else:
            pytest.importorskip("apprise")
            gateway = gateways.Apprise(f"json://127.0.0.1:{server.port}/{{phone}}")
        drive(gateway.send(posted), transport)
    (request,) = server.requests
    sent = {"twilio": lambda: request.form["Body"], "webhook": lambda: request.json["text"]}
    assert sent.get(name, lambda: request.json["message"])() == TEXT


def test_segments_count_what_is_sent() -> None:
    """An English text remains one SMS if the provider adds no signature."""
    assert 70 < len(TEXT) < 160
    assert count_segments(TEXT) == 1
    assert SIGNED.segments(CODE, signed=False) == UNSIGNED.segments(CODE) == 1
    assert SIGNED.segments(CODE) == 2
    assert SIGNED.render(CODE) == f"【Acme】{TEXT}"
    assert SIGNED.render(CODE, signed=False) == UNSIGNED.render(CODE) == TEXT


@pytest.mark.parametrize("gateway", [*WITH_TEMPLATES, *WITHOUT], ids=lambda gateway: gateway.name)
def test_only_a_provider_that_adds_a_signature_needs_one(gateway: Gateway) -> None:
    """The others accept a template without one. The error names the field when the OTP is built."""
    assert gateway.adds_signature == (gateway in WITH_TEMPLATES)
    for shell in (OTP, AsyncOTP):
        assert shell("memory://", gateway, SIGNED, OTP_SECRET)
        if gateway in WITHOUT:
            assert shell("memory://", gateway, UNSIGNED, OTP_SECRET)
        else:
            with pytest.raises(ConfigurationError, match=r"Template\.sign_name is not set"):
                shell("memory://", gateway, UNSIGNED, OTP_SECRET)


def test_template_without_a_signature_is_a_value_like_any_other() -> None:
    """It survives copies, and an explicit empty signature is still an error."""
    for twin in (
        copy.deepcopy(UNSIGNED),
        pickle.loads(pickle.dumps(UNSIGNED)),
        dataclasses.replace(UNSIGNED, params={"code": "{code}"}),
    ):
        assert twin == UNSIGNED
        assert (twin.sign_name, twin.render(CODE)) == ("", TEXT)
    with pytest.raises(ConfigurationError, match=r"Template\.sign_name"):
        Template("login", "")


def test_alidayus_own_call_needs_a_signature() -> None:
    """The call has no OTP, and so none of its checks."""
    with pytest.raises(ConfigurationError, match=r"Template\.sign_name"):
        Alidayu(*KEYS).send_sms("13800138000", template_code="SMS_1", sign_name="")


@pytest.mark.parametrize("name", ["twilio", "webhook", "alidayu"])
def test_environment_names_a_signature_only_where_it_is_needed(name: str) -> None:
    given = {
        "OTPKIT_REDIS_URL": "memory://",
        "OTPKIT_SECRET": OTP_SECRET,
        "OTPKIT_GATEWAY": name,
        "OTPKIT_TEMPLATE_CODE": "login",
        "OTPKIT_TEMPLATE_BODY": ENGLISH,
        "OTPKIT_ALIDAYU_APP_KEY": "key",
        "OTPKIT_ALIDAYU_APP_SECRET": "secret",
        "OTPKIT_TWILIO_ACCOUNT_SID": "AC0",
        "OTPKIT_TWILIO_AUTH_TOKEN": "token",
        "OTPKIT_TWILIO_SENDER": "+15551234567",
        "OTPKIT_WEBHOOK_URL": "https://me.example",
        "OTPKIT_WEBHOOK_SECRET": OTP_SECRET,
    }
    if name == "alidayu":
        with pytest.raises(ConfigurationError, match="OTPKIT_TEMPLATE_SIGN_NAME"):
            arguments_from(given, {})
    else:
        assert arguments_from(given, {})["template"] == UNSIGNED


def test_console_shows_the_signature_of_a_template_that_has_one(capsys: pytest.CaptureFixture[str]) -> None:
    """It replaces any gateway that the template is for."""
    for template, shown in ((SIGNED, "【Acme】Your code"), (UNSIGNED, f"{PHONE}] Your code")):
        with OTP("memory://", Console(development=True), template, OTP_SECRET) as otp:
            otp.issue(PHONE)
        assert shown in capsys.readouterr().out
