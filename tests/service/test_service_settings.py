"""The settings of `otpkit serve`: a file, overridden by the environment, and one error for all problems."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from support.secrets import secret_of
from support.service import KEY, OTHER_KEY, SECRET

from otpkit import AsyncOTP, ConfigurationError, Rate
from otpkit.gateways import Tencent, Twilio
from otpkit.service import ApiKey
from otpkit.service.keys import Keyring
from otpkit.settings import read_settings
from otpkit.settings.sources import read_file
from otpkit.settings.tables import known_settings

WHOLE = f"""
redis_url = "memory://"
secret = ["{SECRET}", "{SECRET}-2"]
index_secret = "{SECRET}"
namespace = "shop"
gateway = "twilio"

[twilio]
account_sid = "AC{"0" * 32}"
auth_token = "{"f" * 32}"
sender = "+15005550006"

[policy]
code_length = 8
regions = ["CN", "HK"]
region_sends = {{ CN = "50000/day" }}
sends = ["1/minute", "5/hour"]

[templates.signup]
code = "SMS_1"
sign_name = "阿里大鱼"
body = "验证码${{code}}，${{product}}"
params = {{ code = "{{code}}", product = "otpkit" }}

[templates.login]
code = "SMS_2"
sign_name = "阿里大鱼"
body = "登录${{code}}"

[keys.shop]
key = "{KEY}"
purposes = ["signup", "login"]

[keys.scraper]
key_sha256 = "{sha256(OTHER_KEY.encode()).hexdigest()}"
purposes = []

[service]
host = "::1"
port = 8443
gateway_wait = 3
gateway_concurrency = 100
forwarded_hops = 2
receipts_secret = "{SECRET}"
public_url = "https://otp.example.com"
"""
ENVIRONMENT = {
    "OTPKIT_REDIS_URL": "memory://",
    "OTPKIT_SECRET": SECRET,
    "OTPKIT_GATEWAY": "webhook",
    "OTPKIT_WEBHOOK_URL": "https://sms.example.com/",
    "OTPKIT_WEBHOOK_SECRET": SECRET,
    "OTPKIT_TEMPLATE_CODE": "SMS_1",
    "OTPKIT_TEMPLATE_SIGN_NAME": "阿里大鱼",
    "OTPKIT_API_KEYS": json.dumps({"shop": {"key": KEY, "purposes": ["signup"]}}),
}


def written(path: Path, text: str) -> str:
    file = path / "otpkit.toml"
    file.write_text(text, encoding="utf-8")
    return str(file)


def problems(environ: dict[str, str], path: str | None = None) -> list[str]:
    """Return the problems of wrong settings, line by line."""
    with pytest.raises(ConfigurationError) as caught:
        read_settings(environ, path, serves=True)
    text = str(caught.value)
    for secret in (SECRET, KEY, OTHER_KEY):
        assert secret not in text
    return list(map(str, caught.value.problems))


def test_a_file_says_all_that_there_is_to_say(tmp_path: Path) -> None:
    settings = read_settings({}, written(tmp_path, WHOLE))
    assert isinstance(settings.otp["gateway"], Twilio)
    assert settings.otp["secret"] == [SECRET, f"{SECRET}-2"]
    assert (settings.service.gateway_wait, settings.service.gateway_concurrency) == (3, 100)
    assert (settings.otp["index_secret"], settings.otp["namespace"]) == (SECRET, "shop")
    policy = settings.otp["policy"]
    assert (policy.code_length, policy.regions) == (8, {"CN", "HK"})
    assert policy.region_sends == {"CN": (Rate(50_000, 86_400),)}
    assert policy.sends == (Rate(1, 60), Rate(5, 3600))
    assert settings.otp["template"]["signup"].params["product"] == "otpkit"
    assert settings.otp["template"]["login"].body == "登录${code}"
    assert (settings.service.host, settings.service.port, settings.service.forwarded_hops) == ("::1", 8443, 2)
    assert (settings.service.receipts_secret, settings.service.public_url) == (SECRET, "https://otp.example.com")
    ring = Keyring(settings.keys)
    assert ring.find(f"Bearer {KEY}") == ApiKey.of("shop", KEY, ["login", "signup"])
    assert ring.find(f"Bearer {OTHER_KEY}") == ApiKey.of("scraper", OTHER_KEY, [])
    AsyncOTP(**settings.otp)


def test_the_environment_says_the_same_and_wins(tmp_path: Path) -> None:
    settings = read_settings(ENVIRONMENT)
    assert (settings.service.host, settings.service.port, settings.service.forwarded_hops) == ("127.0.0.1", 8000, 0)
    assert (settings.service.receipts_secret, settings.service.public_url, settings.service.gateway_wait) == (
        None,
        None,
        5,
    )
    assert settings.service.gateway_concurrency is None
    assert "service.gateway_wait" in problems({**ENVIRONMENT, "OTPKIT_SERVICE_GATEWAY_WAIT": "soon"})[0]
    for many in ("0", "many", "10001"):
        (problem,) = problems({**ENVIRONMENT, "OTPKIT_SERVICE_GATEWAY_CONCURRENCY": many})
        assert "service.gateway_concurrency must be a whole number from 1 to 10000" in problem
    over = {
        "OTPKIT_POLICY": '{"ttl": 60}',
        "OTPKIT_TEMPLATES": json.dumps({"reset": {"code": "SMS_9", "sign_name": "x", "body": "${code}"}}),
        "OTPKIT_API_KEYS": json.dumps({"reset": {"key": KEY, "purposes": ["reset"]}}),
        "OTPKIT_NAMESPACE": "other",
        "OTPKIT_SERVICE_FORWARDED_HOPS": "1",
        "OTPKIT_SERVICE_HOST": "10.0.0.1",
        "OTPKIT_SERVICE_PORT": "80",
    }
    settings = read_settings(over, written(tmp_path, WHOLE))
    assert (settings.otp["policy"].ttl, settings.otp["policy"].code_length) == (60, 6)
    assert list(settings.otp["template"]) == ["reset"]
    assert [key.name for key in settings.keys] == ["reset"]
    assert (settings.otp["namespace"], settings.service.forwarded_hops) == ("other", 1)
    assert (settings.service.host, settings.service.port) == ("::1", 8443)  # Kubernetes sets these variables itself.


def test_a_tables_name_and_its_field_are_the_variable(tmp_path: Path) -> None:
    """This holds for every variable of every gateway."""
    for setting in known_settings().values():
        names_a_file = setting.path[-1].endswith("_file")  # Their files are read later.
        if not setting.is_json and not names_a_file:
            name = "OTPKIT_" + "_".join(setting.path).upper()
            table, _, field = name.removeprefix("OTPKIT_").lower().partition("_")
            found = read_file(written(tmp_path, f'{table}.{field} = "{name}"' if field else f'{table} = "{name}"'))
            assert found.problems == []
            assert {variable: each.text for variable, each in found.known.items()} == {name: name}


def test_a_gateways_table_may_have_its_hyphen(tmp_path: Path) -> None:
    found = read_file(written(tmp_path, '[aliyun-voice]\naccess_key_id = "x"'))
    assert {name: each.text for name, each in found.known.items()} == {"OTPKIT_ALIYUN_VOICE_ACCESS_KEY_ID": "x"}
    environ = {name: value for name, value in ENVIRONMENT.items() if "WEBHOOK" not in name and "GATEWAY" not in name}
    file = written(
        tmp_path,
        'gateway = "tencent"\n[tencent]\nsecret_id = "AKIDx"\nsecret_key = "k"\nsdk_app_id = 1400000000\n'
        '[template]\ncode = "1"\nsign_name = "x"\nparams = { "1" = "{code}" }',
    )
    settings = read_settings({**environ, "OTPKIT_TEMPLATE_CODE": "123"}, file)
    assert isinstance(settings.otp["gateway"], Tencent)
    assert settings.otp["template"].params == {"1": "{code}"}


def test_what_there_is_not_is_refused_with_what_may_be_meant(tmp_path: Path) -> None:
    text = (
        WHOLE.replace("auth_token", "auth_tokne")
        .replace("[policy]", "[policy]\nattemps = 3")
        .replace("namespace", "name")
    )
    text = text.replace("[service]", "[service]\ntimeout = 3").replace("[keys.shop]", "[keys.shop]\npurpose = 1")
    file = written(tmp_path, text + "\n[whatever]\nx = 2026-01-01\n[templates.signup.more]\na = 1\n")
    said = "\n".join(problems({}, file))
    for words in (
        "'twilio.auth_tokne' that there is not; did you mean twilio.auth_token?",
        "'name' that there is not",
        "'service.timeout' that there is not",
        "'whatever.x' that there is not",
        "policy has no field 'attemps'; did you mean attempts?",
        "keys.shop has no field 'purpose'; did you mean purposes?",
        "templates.signup has no field 'more'",
        "OTPKIT_TWILIO_AUTH_TOKEN",
    ):
        assert words in said, (words, said)


def test_all_that_is_wrong_is_named_at_once() -> None:
    wrong = {
        "OTPKIT_REDIS_URL": "http://localhost",
        "OTPKIT_SECRET": "short",
        "OTPKIT_GATEWAY": "webhook",
        "OTPKIT_WEBHOOK_URL": "ftp://x",
        "OTPKIT_WEBHOOK_SECRET": SECRET,
        "OTPKIT_POLICY": json.dumps(
            {"code_length": 3, "attempts": 99, "ttl": 600, "max_age": 120, "sends": "often", "regions": []}
        ),
        "OTPKIT_TEMPLATES": json.dumps({"signup": {"code": "!", "sign_name": "x"}, "login": 1}),
        "OTPKIT_API_KEYS": json.dumps(
            {
                "short": {"key": "x" * 31, "purposes": []},
                "both": {"key": KEY, "key_sha256": "0" * 64, "purposes": []},
                "digest": {"key_sha256": "0" * 63, "purposes": []},
                "none": {"key": OTHER_KEY},
                "text": {"key": OTHER_KEY, "purposes": "signup"},
                "numbers": {"key": OTHER_KEY, "purposes": [1]},
                "lost": {"key": KEY, "purposes": ["payment"]},
            }
        ),
        "OTPKIT_SERVICE_FORWARDED_HOPS": "-1",
        "OTPKIT_SERVICE_RECEIPTS_SECRET": "a/b",
        "OTPKIT_SERVICE_PUBLIC_URL": "otp.example.com",
    }
    said = problems(wrong)
    for words in (
        "redis",
        "secret must be at least 32",
        "url",
        "Policy.code_length",
        "Policy.attempts",
        "Policy.max_age (120 s) is less than ttl",
        "Policy.sends",
        "regions is empty",
        "Template.code",
        "templates.login",
        "'short'",
        "keys.both",
        "'digest'",
        "keys.none",
        "keys.text",
        "purpose",
        "keys.lost names the purpose 'payment', which no template serves",
        "service.forwarded_hops",
        "service.receipts_secret",
        "service.public_url",
    ):
        assert any(words in line for line in said), (words, said)
    assert len(said) == len(set(said))


@pytest.mark.parametrize("name", ["OTPKIT_POLICY", "OTPKIT_TEMPLATES", "OTPKIT_API_KEYS"])
@pytest.mark.parametrize("text", ["{", "[]", "1", "[" * 100_000])
def test_what_is_no_object_is_named(name: str, text: str) -> None:
    assert any(line.startswith(f"{name} must be a JSON object") for line in problems(ENVIRONMENT | {name: text}))


def test_without_keys_nothing_is_served() -> None:
    environ = {name: value for name, value in ENVIRONMENT.items() if name != "OTPKIT_API_KEYS"}
    assert problems(environ) == ["There is no API key, so no client could use the service. Add one."]


def test_one_key_is_not_given_to_two() -> None:
    table: dict[str, Any] = {name: {"key": KEY, "purposes": []} for name in ("a", "b")}
    assert problems(ENVIRONMENT | {"OTPKIT_API_KEYS": json.dumps(table)}) == [
        "Two API keys have the same key. Use a different key for each."
    ]


def test_a_file_that_is_no_toml_is_told_by_its_place_alone(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_settings({}, written(tmp_path, f'secret = "{SECRET}'))
    assert "can't be read as a TOML file" in str(caught.value)
    assert SECRET not in str(caught.value)


def test_a_key_is_shown_nowhere() -> None:
    key = ApiKey.of("shop", KEY, ["signup"])
    assert repr(key) == "ApiKey(name='shop', purposes=['signup'])"
    assert KEY not in f"{key!r}{key}{vars(Keyring([key]))}"
    assert KEY.encode() not in key.digest


@pytest.mark.parametrize("bad", ["x" * 31, "x" * 32 + " ", "x" * 31 + "é", "=" * 40, 1, None])
def test_what_is_no_key_is_refused(bad: Any) -> None:
    with pytest.raises(ConfigurationError, match="at least 32"):
        ApiKey.of("shop", bad, ["signup"])


def test_every_key_is_compared_whichever_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[bytes] = []

    def compare(own: bytes, given: bytes) -> bool:
        compared.append(own)
        return own == given

    monkeypatch.setattr("otpkit.service.keys.compare_digest", compare)
    ring = Keyring([ApiKey.of(name, secret_of(name), []) for name in "abc"])
    for name in "abcd":
        compared.clear()
        found = ring.find(f"Bearer {secret_of(name)}")
        assert (found.name if found else None) == (name if name != "d" else None)
        assert len(compared) == 3


def test_what_is_no_object_is_told_once() -> None:
    said = problems(ENVIRONMENT | {"OTPKIT_TEMPLATES": "5"})
    assert [line for line in said if line.startswith("OTPKIT_TEMPLATES")] == [
        "OTPKIT_TEMPLATES must be a JSON object with a template for each purpose."
    ]


@pytest.mark.parametrize("url", ["https://", "https:// a", "http://x y", "https://x/?a=1", "https://x\nhost: y"])
def test_a_public_url_that_no_provider_could_ask_is_refused(url: str) -> None:
    assert any("service.public_url" in line for line in problems(ENVIRONMENT | {"OTPKIT_SERVICE_PUBLIC_URL": url}))


class TestOperators:
    DIGEST = "ab" * 32

    def read(self, tmp_path: Path, text: str) -> list[str]:
        """Return the problems of operators in a file."""
        return problems({}, written(tmp_path, WHOLE + text))

    def test_are_read_from_a_file_and_the_environment(self, tmp_path: Path) -> None:
        text = f'[operators.ann]\nkey_sha256 = "{self.DIGEST}"\nrole = "operator"\n'
        (ann,) = read_settings({}, written(tmp_path, WHOLE + text)).operators
        assert (ann.name, ann.role, ann.digest.hex()) == ("ann", "operator", self.DIGEST)
        given = json.dumps({"bob": {"key_sha256": self.DIGEST}})
        (bob,) = read_settings({"OTPKIT_OPERATORS": given}, written(tmp_path, WHOLE + text)).operators
        assert (bob.name, bob.role, bob.may_act) == ("bob", "viewer", False)
        assert read_settings({}, written(tmp_path, WHOLE)).operators == ()

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ('[operators.ann]\nrole = "viewer"', "operators.ann.key_sha256 is missing"),
            ('[operators.ann]\nkey_sha256 = "abc"', "64 hexadecimal digits"),
            (f'[operators.ann]\nkey_sha256 = "{DIGEST}"\nrole = "root"', "has the role 'root'"),
            (f'[operators.ann]\nkey_sha256 = "{DIGEST}"\nrol = "viewer"', "has no field 'rol'; did you mean"),
            (f'[operators."ann lee"]\nkey_sha256 = "{DIGEST}"', "is not valid"),
            (f'[operators.{"a" * 65}]\nkey_sha256 = "{DIGEST}"', "is not valid"),
            (
                f'[operators.ann]\nkey_sha256 = "{DIGEST}"\n[operators.bob]\nkey_sha256 = "{DIGEST.upper()}"',
                "Two operators have the same key",
            ),
            (
                f'[operators.ann]\nkey_sha256 = "{sha256(OTHER_KEY.encode()).hexdigest()}"',
                "has the key of the API key 'scraper'",
            ),
        ],
    )
    def test_that_are_wrong_are_named(self, tmp_path: Path, text: str, words: str) -> None:
        (problem,) = self.read(tmp_path, text)
        assert words in problem

    def test_in_the_environment_must_be_an_object(self, tmp_path: Path) -> None:
        (problem,) = problems({"OTPKIT_OPERATORS": "[]"}, written(tmp_path, WHOLE))
        assert "OTPKIT_OPERATORS must be a JSON object" in problem
