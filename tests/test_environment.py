"""The gateway that the environment names, and its missing variables."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import pytest
from support.secrets import OTHER_SECRET, SECRET

from otpkit import OTP, AsyncOTP, ConfigurationError, Guard, Policy, Rate, Template, captcha, gateways
from otpkit.aio import config_of
from otpkit.environment import CAPTCHAS, GATEWAYS, Reader, arguments_from, tables, variable_of
from otpkit.gateways.parameters import parameters_of
from otpkit.settings import read_settings
from otpkit.testing import Outbox

COMMON = {
    "OTPKIT_REDIS_URL": "memory://",
    "OTPKIT_SECRET": SECRET,
    "OTPKIT_TEMPLATE_CODE": "585014",
    "OTPKIT_TEMPLATE_SIGN_NAME": "阿里大鱼",
    "OTPKIT_TEMPLATE_BODY": "验证码${code}",
}
COMPLETE = {
    "alidayu": {"OTPKIT_ALIDAYU_APP_KEY": "key", "OTPKIT_ALIDAYU_APP_SECRET": "gateway's secret"},
    "aliyun": {"OTPKIT_ALIYUN_ACCESS_KEY_ID": "id", "OTPKIT_ALIYUN_ACCESS_KEY_SECRET": "gateway's secret"},
    "aliyun-voice": {
        "OTPKIT_ALIYUN_VOICE_ACCESS_KEY_ID": "id",
        "OTPKIT_ALIYUN_VOICE_ACCESS_KEY_SECRET": "gateway's secret",
    },
    "tencent": {
        "OTPKIT_TENCENT_SECRET_ID": "id",
        "OTPKIT_TENCENT_SECRET_KEY": "gateway's secret",
        "OTPKIT_TENCENT_SDK_APP_ID": "1400006666",
    },
    "twilio": {
        "OTPKIT_TWILIO_ACCOUNT_SID": "AC0",
        "OTPKIT_TWILIO_AUTH_TOKEN": "gateway's secret",
        "OTPKIT_TWILIO_SENDER": "+15551234567",
    },
    "webhook": {"OTPKIT_WEBHOOK_URL": "https://me.example/hook", "OTPKIT_WEBHOOK_SECRET": OTHER_SECRET},
    "console": {"OTPKIT_DEVELOPMENT": "1"},
}


def gateway_of(name: str, **variables: str) -> Any:
    return arguments_from(COMMON | {"OTPKIT_GATEWAY": name} | variables, {})["gateway"]


def test_every_gateway_is_tested() -> None:
    """The tables of this file have all of them."""
    assert set(COMPLETE) == set(GATEWAYS)


@pytest.mark.parametrize("name", GATEWAYS)
@pytest.mark.parametrize("spell", [str.lower, str.upper])
def test_a_gateway_is_built_from_its_variables(name: str, spell: Any) -> None:
    """Its name may have any case. An OTP with it works."""
    gateway = gateway_of(spell(name), **COMPLETE[name])
    assert type(gateway) is getattr(gateways, GATEWAYS[name])
    with OTP(**arguments_from(COMMON | {"OTPKIT_GATEWAY": name} | COMPLETE[name], {})) as otp:
        assert otp.status("+8613800138000") is None


def variables_of(name: str) -> set[str]:
    """Return the variables of a gateway."""
    return {variable_of(name, each) for each in tables()[name]}


@pytest.mark.parametrize(("name", "variable"), [(name, each) for name, own in COMPLETE.items() for each in own])
def test_each_variable_that_is_missing_is_named(name: str, variable: str) -> None:
    """The error names only this one, or all alternatives to it. It shows no value that is set."""
    given = {each: value for each, value in COMPLETE[name].items() if each != variable}
    with pytest.raises(ConfigurationError) as refused:
        gateway_of(name, **given)
    groups = [{variable_of(name, each) for each in group} for group in getattr(gateways, GATEWAYS[name]).needs]
    expected = next((group & variables_of(name) for group in groups if variable in group), {variable})
    assert set(re.findall(r"OTPKIT_\w+", str(refused.value))) == expected
    assert "gateway's secret" not in str(refused.value)


@pytest.mark.parametrize("name", GATEWAYS)
def test_every_optional_variable_is_an_argument(name: str) -> None:
    """A variable that the class does not accept would raise TypeError."""
    values = {"base_url": "http://127.0.0.1:8025", "status_callback": "https://me.example/t", "language": "en-GB"}
    values |= {
        "called_show_number": "057100000000",
        "timeout": "2.5 7",
        "play_times": "2",
        "volume": "9",
        "speed": "-9",
    }
    values |= {"proxy": "http://proxy.example:3128"}
    taken = parameters_of(getattr(gateways, GATEWAYS[name]))
    optional = {variable_of(name, each): values.get(each, "x") for each in taken if each != "messaging_service_sid"}
    found = gateway_of(name, **optional | COMPLETE[name])
    if "base_url" in taken:
        assert found.base_url == "http://127.0.0.1:8025"
    if "timeout" in taken:
        assert found.timeout == (2.5, 7)


def test_twilio_may_call_only_or_send_by_a_service() -> None:
    """One of three senders is enough."""
    own = {each: COMPLETE["twilio"][each] for each in ("OTPKIT_TWILIO_ACCOUNT_SID", "OTPKIT_TWILIO_AUTH_TOKEN")}
    assert gateway_of("twilio", **own, OTPKIT_TWILIO_VOICE_SENDER="+15551234567").channels == {"voice"}
    assert gateway_of("twilio", **own, OTPKIT_TWILIO_MESSAGING_SERVICE_SID="MG0").channels == {"sms"}


def test_twilio_may_have_an_api_key_in_place_of_the_auth_token() -> None:
    """The key has a SID and a secret. If one is missing, the error names it."""
    own = {each: COMPLETE["twilio"][each] for each in ("OTPKIT_TWILIO_ACCOUNT_SID", "OTPKIT_TWILIO_SENDER")}
    key = {"OTPKIT_TWILIO_API_KEY_SID": "SK0", "OTPKIT_TWILIO_API_KEY_SECRET": "gateway's secret"}
    assert gateway_of("twilio", **own, **key).channels == {"sms"}
    with pytest.raises(ConfigurationError, match="api_key_secret"):
        gateway_of("twilio", **own, OTPKIT_TWILIO_API_KEY_SID="SK0")
    with pytest.raises(ConfigurationError, match="OTPKIT_TWILIO_AUTH_TOKEN"):
        gateway_of("twilio", **own, OTPKIT_TWILIO_API_KEY_SECRET="x")


@pytest.mark.parametrize("value", ["0", "true", "yes", "no"])
def test_the_console_needs_a_development_that_is_literally_1(value: str) -> None:
    """It prints codes."""
    with pytest.raises(ConfigurationError, match="OTPKIT_DEVELOPMENT=1"):
        gateway_of("console", OTPKIT_DEVELOPMENT=value)


@pytest.mark.parametrize("name", ["pigeon", "apprise", "", "otp"])
def test_any_other_name_is_refused_with_those_that_there_are(name: str) -> None:
    """The error lists all gateways."""
    with pytest.raises(ConfigurationError, match="OTPKIT_GATEWAY") as refused:
        gateway_of(name)
    assert all(each in str(refused.value) for each in GATEWAYS)


WHOLE = {
    "OTPKIT_POLICY": json.dumps(
        {"code_length": 8, "sends": "1/hour", "regions": ["CN", "HK"], "region_sends": {"HK": "5/day"}}
    ),
    "OTPKIT_TEMPLATES": json.dumps(
        {
            "signup": {"code": "SMS_1", "sign_name": "阿里大鱼", "body": "验证码${code}"},
            "login": {"code": "SMS_2", "sign_name": "阿里大鱼", "params": {"code": "{code}", "shop": "x"}},
        }
    ),
}
SERVED = {"OTPKIT_API_KEYS": json.dumps({"shop": {"key": SECRET, "purposes": ["signup"]}})}


def deployed(**variables: str) -> dict[str, str]:
    own = {name: value for name, value in COMMON.items() if not name.startswith("OTPKIT_TEMPLATE")}
    return own | {"OTPKIT_GATEWAY": "alidayu"} | COMPLETE["alidayu"] | WHOLE | variables


@pytest.mark.parametrize("shell", [OTP, AsyncOTP])
def test_policy_and_templates_are_read_from_the_environment(shell: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """`otpkit serve` reads them the same way."""
    for name, value in deployed().items():
        monkeypatch.setenv(name, value)
    otp = shell.from_env()
    assert (otp.policy.code_length, otp.policy.sends) == (8, (Rate(1, 3600),))
    assert otp.policy == read_settings(deployed() | SERVED).otp["policy"]
    assert otp.policy.region_sends == {"HK": (Rate(5, 86_400),)}
    own = arguments_from(deployed(), {})
    assert own["template"] == read_settings(deployed() | SERVED).otp["template"]
    assert list(own["template"]) == ["signup", "login"]


def test_what_serve_takes_of_the_environment_from_env_takes_too() -> None:
    """This covers all arguments of an OTP."""
    variables = deployed(OTPKIT_INDEX_SECRET=SECRET, OTPKIT_NAMESPACE="shop")
    served = dict(read_settings(variables | SERVED).otp)
    own = arguments_from(variables, {})
    assert set(served) == set(own)
    assert {name: served[name] for name in own if name != "gateway"} == {
        name: own[name] for name in own if name != "gateway"
    }


def test_overrides_win_over_policy_and_templates() -> None:
    """The variables are not even parsed."""
    broken = deployed(OTPKIT_POLICY="{", OTPKIT_TEMPLATES="{")
    arguments = arguments_from(broken, {"policy": Policy(ttl=60), "template": "any"})
    assert (arguments["policy"].ttl, arguments["template"]) == (60, "any")


@pytest.mark.parametrize(
    ("variable", "text", "words"),
    [
        ("OTPKIT_POLICY", "{", "a JSON object with a policy"),
        ("OTPKIT_POLICY", "[]", "a JSON object with a policy"),
        ("OTPKIT_POLICY", "[" * 100_000, "a JSON object"),
        ("OTPKIT_POLICY", '{"attemps": 3, "ttl": 5}', "did you mean attempts?"),
        ("OTPKIT_POLICY", '{"attemps": 3, "ttl": 5}', "Policy.ttl is 5. Set a whole number from 30 to 600."),
        ("OTPKIT_POLICY", '{"code_length": "8"}', "Policy.code_length"),
        ("OTPKIT_POLICY", '{"code_length": true}', "Policy.code_length"),
        ("OTPKIT_POLICY", '{"default_region": []}', "default_region"),
        ("OTPKIT_POLICY", '{"default_region": "HK"}', "default_region"),
        ("OTPKIT_POLICY", '{"regions": 5}', "regions"),
        ("OTPKIT_POLICY", '{"regions": [[1]]}', "regions"),
        ("OTPKIT_POLICY", '{"region_sends": {"US": "1/day"}}', "region_sends"),
        ("OTPKIT_POLICY", '{"region_sends": []}', "region_sends"),
        ("OTPKIT_POLICY", '{"sends": {"a": 1}}', "Policy.sends"),
        ("OTPKIT_POLICY", '{"sends": null}', "Policy.sends"),
        ("OTPKIT_TEMPLATES", "5", "a JSON object with a template for each purpose"),
        ("OTPKIT_TEMPLATES", '{"signup": 1, "login": {"code": 3}}', "templates.login must have the field code"),
        ("OTPKIT_TEMPLATES", '{"signup": {"code": "SMS_1", "params": 5}}', "Template.params"),
        ("OTPKIT_TEMPLATES", '{"signup": {"code": "SMS_1", "sign_name": null}}', "sign_name"),
        ("OTPKIT_TEMPLATES", '{"signup": {"code": "SMS_1", "sing_name": "x"}}', "did you mean sign_name?"),
    ],
)
def test_what_is_wrong_with_them_is_named_with_the_variable(variable: str, text: str, words: str) -> None:
    """All problems are named together, and no foreign error is raised."""
    with pytest.raises(ConfigurationError) as refused:
        arguments_from(deployed(**{variable: text}), {})
    assert {each.field.partition(".")[0] for each in refused.value.problems} == {variable}
    assert words in str(refused.value)


CAPTCHA_SETTINGS = {
    "turnstile": {"OTPKIT_TURNSTILE_SITE_KEY": "site", "OTPKIT_TURNSTILE_SECRET_KEY": "captcha's secret"},
    "hcaptcha": {"OTPKIT_HCAPTCHA_SITE_KEY": "site", "OTPKIT_HCAPTCHA_SECRET_KEY": "captcha's secret"},
    "recaptcha": {"OTPKIT_RECAPTCHA_SITE_KEY": "site", "OTPKIT_RECAPTCHA_SECRET_KEY": "captcha's secret"},
    "aliyun-captcha": {
        "OTPKIT_ALIYUN_CAPTCHA_ACCESS_KEY_ID": "id",
        "OTPKIT_ALIYUN_CAPTCHA_ACCESS_KEY_SECRET": "captcha's secret",
        "OTPKIT_ALIYUN_CAPTCHA_SCENE_ID": "scene",
        "OTPKIT_ALIYUN_CAPTCHA_PREFIX": "abc",
    },
    "tencent-captcha": {
        "OTPKIT_TENCENT_CAPTCHA_SECRET_ID": "id",
        "OTPKIT_TENCENT_CAPTCHA_SECRET_KEY": "captcha's secret",
        "OTPKIT_TENCENT_CAPTCHA_APP_ID": "190000001",
        "OTPKIT_TENCENT_CAPTCHA_APP_SECRET_KEY": "captcha's secret",
    },
    "geetest": {"OTPKIT_GEETEST_CAPTCHA_ID": "site", "OTPKIT_GEETEST_CAPTCHA_KEY": "captcha's secret"},
    "proof-of-work": {},
}


def captcha_of(name: str, **variables: str) -> tuple[Any, list[str]]:
    """Return the captcha of variables, and the fields that are wrong."""
    reader = Reader({"OTPKIT_GUARD_CAPTCHA": name, **variables})
    found = reader.captcha()
    shown = " ".join(map(str, reader.problems))
    assert "captcha's secret" not in shown
    return found, [each.field for each in reader.problems]


def test_every_captcha_has_settings_here() -> None:
    assert set(CAPTCHA_SETTINGS) == set(CAPTCHAS)


@pytest.mark.parametrize("name", CAPTCHAS)
def test_captcha_is_built_from_its_variables(name: str) -> None:
    for spelling in (name, name.upper(), name.replace("-", "_")):
        found, wrong = captcha_of(spelling, **CAPTCHA_SETTINGS[name])
        assert type(found) is getattr(captcha, CAPTCHAS[name])
        assert found.name == name
        assert wrong == []


@pytest.mark.parametrize(
    ("name", "variable"), [(name, each) for name, settings in CAPTCHA_SETTINGS.items() for each in settings]
)
def test_missing_variable_of_a_captcha_is_named(name: str, variable: str) -> None:
    given = {each: value for each, value in CAPTCHA_SETTINGS[name].items() if each != variable}
    assert captcha_of(name, **given) == (None, [variable])


def test_settings_of_a_captcha_reach_it() -> None:
    found, wrong = captcha_of(
        "turnstile",
        **CAPTCHA_SETTINGS["turnstile"],
        OTPKIT_TURNSTILE_HOSTNAMES="www.example.com, example.com",
        OTPKIT_TURNSTILE_BASE_URL="http://127.0.0.1:8025",
        OTPKIT_TURNSTILE_TIMEOUT="1 2.5",
    )
    assert wrong == []
    assert found.hostnames == {"www.example.com", "example.com"}
    assert (found.base_url, found.timeout) == ("http://127.0.0.1:8025", (1, 2.5))
    found, wrong = captcha_of("proof-of-work", OTPKIT_PROOF_OF_WORK_DIFFICULTY="5000", OTPKIT_PROOF_OF_WORK_FORMAT="2")
    assert (found.difficulty, found.format) == (5000, 2)
    found, _ = captcha_of("recaptcha", **CAPTCHA_SETTINGS["recaptcha"], OTPKIT_RECAPTCHA_MIN_SCORE="0.7")
    assert found.min_score == 0.7
    found, _ = captcha_of(
        "tencent-captcha", **CAPTCHA_SETTINGS["tencent-captcha"], OTPKIT_TENCENT_CAPTCHA_INTERNATIONAL="1"
    )
    assert found.base_url == "https://captcha.intl.tencentcloudapi.com"


def test_wrong_settings_of_a_captcha_are_named() -> None:
    assert captcha_of("pigeon") == (None, ["OTPKIT_GUARD_CAPTCHA"])
    assert captcha_of("") == (None, [])
    wrong = {"OTPKIT_PROOF_OF_WORK_DIFFICULTY": "many", "OTPKIT_PROOF_OF_WORK_TTL": "1"}
    assert captcha_of("proof-of-work", **wrong) == (None, list(wrong))
    enterprise = {"OTPKIT_RECAPTCHA_SITE_KEY": "site", "OTPKIT_RECAPTCHA_API_KEY": "captcha's secret"}
    named = captcha_of("recaptcha", **enterprise, OTPKIT_RECAPTCHA_VERSION="enterprise")
    assert named == (None, ["OTPKIT_RECAPTCHA_PROJECT"])


def test_settings_of_a_captcha_may_stand_in_a_file(tmp_path: Any) -> None:
    """Their names are known, and a wrong one is refused."""
    path = tmp_path / "otpkit.toml"
    path.write_text('[guard]\ncaptcha = "turnstile"\n[turnstile]\nsite_key = "s"\nsecret_ky = "x"\n')
    with pytest.raises(ConfigurationError) as refused:
        read_settings(COMMON | {"OTPKIT_GATEWAY": "console", "OTPKIT_DEVELOPMENT": "1"}, str(path))
    missing, unknown = refused.value.problems
    assert missing.field.startswith("OTPKIT_TURNSTILE_SECRET_KEY (turnstile.secret_key in ")
    assert unknown.field == "turnstile.secret_ky"
    assert "turnstile.secret_key" in str(refused.value)


GUARDED = COMMON | {"OTPKIT_GATEWAY": "console", "OTPKIT_DEVELOPMENT": "1"}


def test_no_guard_without_its_variables() -> None:
    """The settings of a captcha alone make none."""
    assert "guard" not in arguments_from(GUARDED | CAPTCHA_SETTINGS["turnstile"], {})


def test_guard_is_built_from_its_variables(tmp_path: Any) -> None:
    """And an OTP of it, with the lists of the variables and of the files."""
    phones, networks = tmp_path / "phones.txt", tmp_path / "networks.txt"
    phones.write_text("# the office\n+8613800138000\n\n+8613800138001  # the boss\n")
    networks.write_text("203.0.113.0/24\n")
    found = arguments_from(
        GUARDED
        | CAPTCHA_SETTINGS["turnstile"]
        | {
            "OTPKIT_GUARD_MODE": "enforce",
            "OTPKIT_GUARD_CAPTCHA": "turnstile",
            "OTPKIT_GUARD_ASK": "always",
            "OTPKIT_GUARD_FALLBACK": "proof-of-work",
            "OTPKIT_PROOF_OF_WORK_DIFFICULTY": "5000",
            "OTPKIT_GUARD_SAFE_PHONES": "+8613800138002, +8613800138003",
            "OTPKIT_GUARD_SAFE_PHONES_FILE": str(phones),
            "OTPKIT_GUARD_SAFE_NETWORKS": "2001:db8::/48 198.51.100.7",
            "OTPKIT_GUARD_SAFE_NETWORKS_FILE": str(networks),
        },
        {},
    )
    guard = found["guard"]
    assert (guard.mode, guard.ask, guard.captcha.name) == ("enforce", "always", "turnstile")
    assert (guard.fallback.name, guard.fallback.difficulty) == ("proof-of-work", 5000)
    assert guard.safe_phones == {f"+861380013800{digit}" for digit in range(4)}
    assert guard.safe_networks == {"203.0.113.0/24", "2001:db8::/48", "198.51.100.7/32"}
    OTP(**found).close()


CAPTCHAS_BY_PURPOSE = """
[guard]
mode = "enforce"
[guard.captchas]
"*" = "proof_of_work"
payment = "turnstile"
[guard.captchas.signup]
provider = "hcaptcha"
site_key = "signup-key"
hostnames = ["www.example.com", "example.com"]
timeout = [2, 4]
[guard.captchas.login]
provider = "HCaptcha"
site_key = "login-key"
secret_key = "another-secret"
[hcaptcha]
secret_key = "shared-secret"
[turnstile]
site_key = "s"
secret_key = "x"
"""


def test_each_purpose_may_have_a_captcha(tmp_path: Any) -> None:
    """By a name, or by a table of its own, which outranks the provider's."""
    path = tmp_path / "otpkit.toml"
    path.write_text(CAPTCHAS_BY_PURPOSE)
    found = read_settings(GUARDED, str(path)).otp
    captchas = found["guard"].captcha
    assert {purpose: captcha.name for purpose, captcha in captchas.items()} == {
        "*": "proof-of-work",
        "payment": "turnstile",
        "signup": "hcaptcha",
        "login": "hcaptcha",
    }
    signup, login = captchas["signup"], captchas["login"]
    assert (signup.site_key, signup._secret_key, signup.timeout) == ("signup-key", "shared-secret", (2, 4))
    assert signup.hostnames == {"www.example.com", "example.com"}
    assert (login.site_key, login._secret_key, login.timeout) == ("login-key", "another-secret", (3, 5))
    OTP(**found).close()


def test_captchas_of_purposes_are_a_variable() -> None:
    given = GUARDED | CAPTCHA_SETTINGS["turnstile"]
    guard = arguments_from(given | {"OTPKIT_GUARD_CAPTCHAS": '{"signup": "turnstile"}'}, {})["guard"]
    assert [(purpose, captcha.name) for purpose, captcha in guard.captcha.items()] == [("signup", "turnstile")]


@pytest.mark.parametrize(
    ("text", "field", "said"),
    [
        ("turnstile", "", "must be a JSON object"),
        ("{}", "", "names no captcha"),
        ('{"signup": "turnstyle"}', ".signup", "is no captcha; did you mean turnstile"),
        ('{"signup": 5}', ".signup", "guard.captchas.signup must name a captcha"),
        ('{"signup": {"site_key": "a"}}', ".signup", "guard.captchas.signup must name a captcha"),
        ('{"signup": {"provider": "pigeon"}}', ".signup", "is no captcha"),
        ('{"": "proof-of-work"}', "", "purpose must be a text"),
        ('{"signup": {"provider": "hcaptcha", "secret_key": "x"}}', ".signup.site_key", "must have site_key"),
        (
            '{"signup": {"provider": "hcaptcha", "secret_key": "x", "site_key": "k", "sitekey": "l"}}',
            ".signup.sitekey",
            "guard.captchas.signup has no field 'sitekey'; did you mean site_key",
        ),
        (
            '{"signup": {"provider": "hcaptcha", "secret_key": "x", "site_key": {"a": 1}}}',
            ".signup.site_key",
            "must be a text",
        ),
        (
            '{"signup": {"provider": "hcaptcha", "secret_key": "hidden word", "site_key": "k", "timeout": "soon"}}',
            ".signup.timeout",
            "timeout must be a number, or two",
        ),
    ],
)
def test_wrong_captcha_of_a_purpose_is_named(tmp_path: Any, text: str, field: str, said: str) -> None:
    """By its variable or its place in the file, without its keys."""
    variable = "OTPKIT_GUARD_CAPTCHAS"
    with pytest.raises(ConfigurationError) as refused:
        read_settings(GUARDED | {variable: text})
    assert f"{variable}{field}" in {each.field for each in refused.value.problems}
    assert said in str(refused.value)
    assert "hidden word" not in str(refused.value)
    if text.startswith("{"):
        path = tmp_path / "otpkit.json.toml"
        path.write_text(f"[guard]\ncaptchas = {_toml(json.loads(text))}\n")
        with pytest.raises(ConfigurationError) as refused:
            read_settings(GUARDED, str(path))
        assert f"{path}: guard.captchas{field}" in {each.field for each in refused.value.problems}


def _toml(value: Any) -> str:
    """Return a value as an inline table of TOML."""
    if not isinstance(value, dict):
        return json.dumps(value)
    return "{" + ", ".join(f"{json.dumps(name)} = {_toml(each)}" for name, each in value.items()) + "}"


def test_captcha_of_a_purpose_without_template_is_named() -> None:
    templates = '{"signup": {"code": "SMS_1", "sign_name": "otpkit"}}'
    given = {name: value for name, value in GUARDED.items() if not name.startswith("OTPKIT_TEMPLATE")}
    wrong = {"OTPKIT_TEMPLATES": templates, "OTPKIT_GUARD_CAPTCHAS": '{"singup": "proof-of-work"}'}
    with pytest.raises(ConfigurationError) as refused:
        read_settings(given | wrong)
    assert [each.field for each in refused.value.problems] == ["OTPKIT_GUARD_CAPTCHAS"]


def test_captcha_stands_not_beside_captchas(tmp_path: Any) -> None:
    both = {"OTPKIT_GUARD_CAPTCHA": "proof-of-work", "OTPKIT_GUARD_CAPTCHAS": '{"*": "proof-of-work"}'}
    with pytest.raises(ConfigurationError, match="OTPKIT_GUARD_CAPTCHA stands beside OTPKIT_GUARD_CAPTCHAS"):
        read_settings(GUARDED | both)


@pytest.mark.parametrize("fallback", ["refuse", "allow"])
def test_fallback_may_be_a_decision(fallback: str) -> None:
    guard = arguments_from(GUARDED | {"OTPKIT_GUARD_FALLBACK": fallback}, {})["guard"]
    assert (guard.mode, guard.fallback) == ("observe", fallback)


def test_all_wrong_settings_of_a_guard_are_named(tmp_path: Any) -> None:
    """In one error, each by its variable; without a number in it."""
    wrong = {
        "OTPKIT_GUARD_MODE": "on",
        "OTPKIT_GUARD_ASK": "never",
        "OTPKIT_GUARD_CAPTCHA": "turnstile",
        "OTPKIT_GUARD_FALLBACK": "pigeon",
        "OTPKIT_GUARD_SAFE_NETWORKS": "203.0.113.0/33",
        "OTPKIT_GUARD_SAFE_PHONES_FILE": str(tmp_path / "none.txt"),
    }
    with pytest.raises(ConfigurationError) as refused:
        read_settings(GUARDED | wrong)
    named = {each.field for each in refused.value.problems}
    assert named == wrong.keys() - {"OTPKIT_GUARD_CAPTCHA"} | {
        "OTPKIT_TURNSTILE_SITE_KEY",
        "OTPKIT_TURNSTILE_SECRET_KEY",
    }


def test_safe_phone_that_is_none_is_named() -> None:
    given = GUARDED | {"OTPKIT_GUARD_SAFE_PHONES": "+861380013800 +8613800138000"}
    with pytest.raises(ConfigurationError) as refused:
        read_settings(given)
    assert [each.field for each in refused.value.problems] == ["OTPKIT_GUARD_SAFE_PHONES"]
    with pytest.raises(ConfigurationError, match="safe_phones"):
        OTP(**arguments_from(given, {}))


def test_guard_in_a_file_reaches_the_service(tmp_path: Any) -> None:
    path = tmp_path / "otpkit.toml"
    path.write_text(
        '[guard]\nmode = "enforce"\ncaptcha = "turnstile"\nsafe_phones = ["+8613800138000", "+8613800138001"]\n'
        '[turnstile]\nsite_key = "s"\nsecret_key = "x"\n'
    )
    guard = read_settings(GUARDED, str(path)).otp["guard"]
    assert (guard.mode, guard.captcha.name, len(guard.safe_phones)) == ("enforce", "turnstile", 2)


@pytest.mark.parametrize(
    ("name", "line", "shown"),
    [("safe_networks", "203.0.{}.0/99", "203.0.1.0/99"), ("safe_phones", "+8612{:09d}", "+*********0001")],
)
def test_first_wrong_entries_of_a_long_list_are_named(tmp_path: Any, name: str, line: str, shown: str) -> None:
    """And how many more there are, by the variable of the file. A phone shows its last digits alone."""
    listed = tmp_path / "list.txt"
    listed.write_text("\n".join(map(line.format, range(1, 100_001))))
    variable = f"OTPKIT_GUARD_{name.upper()}_FILE"
    with pytest.raises(ConfigurationError) as refused:
        read_settings(GUARDED | {variable: str(listed)})
    assert {each.field for each in refused.value.problems} == {variable}
    assert len(refused.value.problems) == 11
    assert shown in str(refused.value)
    assert "99,990 more of the entries are wrong" in str(refused.value)
    assert "+8612000000001" not in str(refused.value)
    assert len(str(refused.value)) < 4_000


def test_entry_beside_a_file_is_named_by_the_list(tmp_path: Any) -> None:
    listed = tmp_path / "list.txt"
    listed.write_text("203.0.113.0/24\n")
    given = {"OTPKIT_GUARD_SAFE_NETWORKS": "x", "OTPKIT_GUARD_SAFE_NETWORKS_FILE": str(listed)}
    with pytest.raises(ConfigurationError) as refused:
        read_settings(GUARDED | given)
    assert [each.field for each in refused.value.problems] == ["OTPKIT_GUARD_SAFE_NETWORKS"]


def test_million_safe_entries_are_taken(tmp_path: Any) -> None:
    """In seconds of processor time, once."""
    listed = tmp_path / "list.txt"
    listed.write_text("\n".join(f"+86138{number:08d}" for number in range(1_000_000)))
    start = time.process_time()
    guard = read_settings(GUARDED | {"OTPKIT_GUARD_SAFE_PHONES_FILE": str(listed)}).otp["guard"]
    assert len(guard.safe_phones) == 1_000_000
    assert time.process_time() - start < 30


def test_many_safe_networks_are_found_fast() -> None:
    """By their length, not one after another."""
    guard = Guard(safe_networks=[f"81.{i >> 8}.{i & 255}.0/24" for i in range(65_536)] + ["2a01:db8::/48"])
    otp = OTP("memory://", Outbox(), Template("SMS_1", "otpkit"), SECRET, guard=guard)
    protection = config_of(otp).protection
    assert protection is not None
    inside = ("81.7.8.9", "81.255.255.255", "2a01:db8::1", "::ffff:81.1.2.3")
    assert [protection.is_safe("+8613800138000", ip) for ip in (*inside, "82.0.0.1", "2a01:db9::1")] == [
        *[True] * 4,
        *[False] * 2,
    ]
    start = time.process_time()
    for _ in range(1000):
        protection.is_safe("+8613800138000", "82.0.0.1")
    assert time.process_time() - start < 0.5
