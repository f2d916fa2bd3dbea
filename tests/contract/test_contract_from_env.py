"""`from_env` reads the environment, and its error lists exactly the variables that are missing."""

from __future__ import annotations

import os
import re
from typing import Any

import pytest
from support.rig import PHONE, SECRET, Rig
from support.secrets import OTHER_SECRET

from otpkit import ConfigurationError, Template

COMPLETE = {
    "OTPKIT_REDIS_URL": "memory://",
    "OTPKIT_SECRET": SECRET.replace(" ", "-"),
    "OTPKIT_GATEWAY": "alidayu",
    "OTPKIT_TEMPLATE_CODE": "SMS_585014",
    "OTPKIT_TEMPLATE_SIGN_NAME": "阿里大鱼",
    "OTPKIT_ALIDAYU_APP_KEY": "app key",
    "OTPKIT_ALIDAYU_APP_SECRET": "the app's secret",
}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that sets these variables of otpkit and removes all others."""

    def become(variables: dict[str, str]) -> None:
        for name in [name for name in os.environ if name.startswith("OTPKIT_")]:
            monkeypatch.delenv(name)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return become


def from_env(rig: Rig, **overrides: Any) -> Any:
    """Build the rig's shell from the environment, and call it like its sync twin."""
    return rig.adopt(rig.shell.from_env(**overrides))


def missing(refused: Any) -> set[str]:
    return set(re.findall(r"OTPKIT_\w+", str(refused.value)))


def test_a_complete_environment_is_enough(memory_rig: Rig, environment: Any) -> None:
    """Building opens no connection."""
    environment(COMPLETE)
    assert from_env(memory_rig).status(PHONE) is None


def test_an_empty_one_lacks_all_seven(memory_rig: Rig, environment: Any) -> None:
    """One error names all of them, each with the value that it needs."""
    environment({})
    with pytest.raises(ConfigurationError) as refused:
        from_env(memory_rig)
    assert missing(refused) == set(COMPLETE)
    assert "otpkit keygen" in str(refused.value)


@pytest.mark.parametrize("name", COMPLETE)
@pytest.mark.parametrize("value", [None, "", "  "])
def test_each_that_is_missing_or_blank_is_named(
    memory_rig: Rig, environment: Any, name: str, value: str | None
) -> None:
    """The error names only that variable, and does not show the secret that is set."""
    environment({n: v for n, v in COMPLETE.items() if n != name} | ({} if value is None else {name: value}))
    with pytest.raises(ConfigurationError) as refused:
        from_env(memory_rig)
    assert missing(refused) == {name}
    assert COMPLETE["OTPKIT_SECRET"] not in str(refused.value)


def test_what_overrides_give_need_not_be_there(memory_rig: Rig, environment: Any) -> None:
    """They are arguments of OTP, and take precedence."""
    environment({"OTPKIT_SECRET": COMPLETE["OTPKIT_SECRET"], "OTPKIT_REDIS_URL": "http://nonsense"})
    template = Template("SMS_1", sign_name="otpkit")
    otp = from_env(memory_rig, redis="memory://", gateway=memory_rig.outbox, template=template, clock=memory_rig.clock)
    assert otp.issue(PHONE).expires_at == memory_rig.at(300)
    assert memory_rig.outbox[-1].template == template
    assert otp.verify(PHONE, memory_rig.outbox[-1].code)


def test_the_template_is_read_whole(memory_rig: Rig, environment: Any) -> None:
    """The template has variables as JSON, and a text that they are checked against."""
    environment(
        COMPLETE
        | {
            "OTPKIT_TEMPLATE_PARAMS": '{"code": "{code}", "product": "otpkit"}',
            "OTPKIT_TEMPLATE_BODY": "验证码${code}，您正在进行${product}身份验证",
        }
    )
    otp = from_env(memory_rig, gateway=memory_rig.outbox)
    otp.issue(PHONE)
    (message,) = memory_rig.outbox
    assert message.params == {"code": message.code, "product": "otpkit"}
    assert message.template.sign_name == "阿里大鱼"
    assert message.template.render(message.code).startswith("【阿里大鱼】验证码")


@pytest.mark.parametrize("params", ["{", "[]", '"code"', '{"code": 1}', '{"x": "{code}"}'])
def test_template_variables_that_can_not_work_are_refused(memory_rig: Rig, environment: Any, params: str) -> None:
    """Invalid are: no JSON object, values that are not texts, and variables that differ from those of the body."""
    environment(COMPLETE | {"OTPKIT_TEMPLATE_PARAMS": params, "OTPKIT_TEMPLATE_BODY": "${code}"})
    with pytest.raises(ConfigurationError, match=r"(?i)params"):
        from_env(memory_rig)


def test_another_gateway_is_refused(memory_rig: Rig, environment: Any) -> None:
    """The error names the only valid gateway. Its case does not matter."""
    environment(COMPLETE | {"OTPKIT_GATEWAY": "pigeon"})
    with pytest.raises(ConfigurationError, match=r"OTPKIT_GATEWAY.*alidayu"):
        from_env(memory_rig)
    environment(COMPLETE | {"OTPKIT_GATEWAY": "Alidayu"})
    assert from_env(memory_rig)


def test_several_secrets_are_separated_by_blanks(memory_rig: Rig, environment: Any) -> None:
    """With several secrets, the index secret is required as usual."""
    old, new = SECRET.replace(" ", "-"), OTHER_SECRET
    environment(COMPLETE | {"OTPKIT_SECRET": f"{old} {new}"})
    with pytest.raises(ConfigurationError, match="index_secret"):
        from_env(memory_rig)
    environment(COMPLETE | {"OTPKIT_SECRET": f" {old}  {new} ", "OTPKIT_INDEX_SECRET": old})
    otp = from_env(memory_rig, gateway=memory_rig.outbox)
    otp.issue(PHONE)
    proof = otp.verify(PHONE, memory_rig.outbox[-1].code)
    rotated = memory_rig.otp(secret=new, index_secret=old, clock=None, namespace="otpkit")
    assert rotated.check(proof.token) == proof


def test_the_namespace_and_the_gateways_address_may_be_set(memory_rig: Rig, environment: Any) -> None:
    """An address without TLS is refused as usual, because the secret would be sent in clear text."""
    environment(COMPLETE | {"OTPKIT_NAMESPACE": "a b"})
    with pytest.raises(ConfigurationError, match="namespace"):
        from_env(memory_rig)
    environment(COMPLETE | {"OTPKIT_ALIDAYU_BASE_URL": "http://gateway.example"})
    with pytest.raises(ConfigurationError, match="base_url"):
        from_env(memory_rig)
    environment(COMPLETE | {"OTPKIT_ALIDAYU_BASE_URL": "http://127.0.0.1:8025/gw/alidayu", "OTPKIT_NAMESPACE": "mine"})
    assert from_env(memory_rig)
