"""The console prints messages, and only with `development=True`."""

from __future__ import annotations

import io
from typing import Any

import pytest
from provider_lab import BARE, CODE, PHONE, TEMPLATE, message
from support.secrets import SECRET

from otpkit import OTP, ConfigurationError
from otpkit.effects import Call
from otpkit.gateways import Console, Receipt


def test_a_message_is_printed_with_its_code_and_accepted(capsys: pytest.CaptureFixture[str]) -> None:
    with OTP("memory://", Console(development=True), TEMPLATE, SECRET) as otp:
        challenge = otp.issue(PHONE)
        printed = capsys.readouterr().out
        code = printed.partition("验证码")[2][:6]
        assert printed == f"[sms to {PHONE}] 【阿里大鱼】验证码{code}，您正在进行otpkit身份验证\n"
        assert challenge.delivery == "accepted"
        assert otp.verify(PHONE, code)


def test_a_template_without_a_text_and_a_stream_of_ones_own_will_do() -> None:
    stream = io.StringIO()
    flow = Console(stream, development=True).send(message(template=BARE, channel="voice"))
    effect = next(flow)
    assert isinstance(effect, Call)
    assert stream.getvalue() == "", "the shell prints, not the gateway"
    effect.function(effect.argument)
    with pytest.raises(StopIteration) as stop:
        flow.send(None)
    assert stop.value.value == Receipt("console")
    assert stream.getvalue() == f"[voice to {PHONE}] 【阿里大鱼】{CODE}\n"


def test_a_stream_that_is_broken_leaves_the_message_uncertain(caplog: pytest.LogCaptureFixture) -> None:
    stream = io.StringIO()
    stream.close()
    with OTP("memory://", Console(stream, development=True), TEMPLATE, SECRET) as otp:
        assert otp.issue(PHONE).delivery == "uncertain"
    assert PHONE not in caplog.text


@pytest.mark.parametrize("development", [False, None, 1, "True", "1"])
def test_anything_but_a_literal_true_is_refused(development: Any) -> None:
    with pytest.raises(ConfigurationError, match="development=True"):
        Console(development=development)
    with pytest.raises(ConfigurationError, match="development=True"):
        Console()
