"""Settings from a file and the environment: several gateways, wrong names, and the place of each setting."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.secrets import OTHER_SECRET, SECRET

from otpkit import ConfigurationError, environment, gateways
from otpkit.core.routing import route
from otpkit.doctor import examine
from otpkit.effects import Flow
from otpkit.environment import GATEWAYS, arguments_from, gateway_class, tables
from otpkit.gateways import Alidayu, Failover, Gateway, Message, Receipt, Route, Tencent, Twilio
from otpkit.gateways.parameters import parameters_of
from otpkit.settings import Reading, read_settings, sources
from otpkit.settings import tables as models
from otpkit.settings.tables import known_settings

# The variables of the previous version. A deployment may have any of them.
BEFORE = """
REDIS_URL SECRET GATEWAY TEMPLATE_CODE TEMPLATE_SIGN_NAME INDEX_SECRET NAMESPACE TEMPLATE_PARAMS TEMPLATE_BODY POLICY
TEMPLATES API_KEYS DEVELOPMENT ALIDAYU_APP_KEY ALIDAYU_APP_SECRET ALIDAYU_BASE_URL ALIDAYU_PROXY ALIYUN_ACCESS_KEY_ID
ALIYUN_ACCESS_KEY_SECRET ALIYUN_SECURITY_TOKEN ALIYUN_BASE_URL ALIYUN_PROXY ALIYUN_VOICE_ACCESS_KEY_ID
ALIYUN_VOICE_ACCESS_KEY_SECRET ALIYUN_VOICE_SECURITY_TOKEN ALIYUN_VOICE_BASE_URL ALIYUN_VOICE_PROXY
ALIYUN_VOICE_CALLED_SHOW_NUMBER TENCENT_SECRET_ID TENCENT_SECRET_KEY TENCENT_SDK_APP_ID TENCENT_REGION TENCENT_TOKEN
TENCENT_BASE_URL TENCENT_PROXY TWILIO_ACCOUNT_SID TWILIO_AUTH_TOKEN TWILIO_API_KEY_SID TWILIO_API_KEY_SECRET
TWILIO_STATUS_CALLBACK TWILIO_LANGUAGE TWILIO_BASE_URL TWILIO_PROXY TWILIO_SENDER TWILIO_MESSAGING_SERVICE_SID
TWILIO_VOICE_SENDER WEBHOOK_URL WEBHOOK_SECRET WEBHOOK_PROXY SERVICE_HOST SERVICE_PORT SERVICE_GATEWAY_WAIT
SERVICE_FORWARDED_HOPS SERVICE_RECEIPTS_SECRET SERVICE_PUBLIC_URL
"""
COMMON = {"OTPKIT_REDIS_URL": "memory://", "OTPKIT_SECRET": SECRET}
TEMPLATE = {"OTPKIT_TEMPLATE_CODE": "SMS_1", "OTPKIT_TEMPLATE_SIGN_NAME": "阿里大鱼", "OTPKIT_TEMPLATE_BODY": "${code}"}
KEYS = {
    "OTPKIT_ALIDAYU_APP_KEY": "key",
    "OTPKIT_ALIDAYU_APP_SECRET": OTHER_SECRET,
    "OTPKIT_TENCENT_SECRET_ID": "id",
    "OTPKIT_TENCENT_SECRET_KEY": OTHER_SECRET,
    "OTPKIT_TENCENT_SDK_APP_ID": "1400006666",
    "OTPKIT_TWILIO_ACCOUNT_SID": "AC0",
    "OTPKIT_TWILIO_AUTH_TOKEN": OTHER_SECRET,
    "OTPKIT_TWILIO_SENDER": "+15551234567",
}
WORLD = {"OTPKIT_POLICY": json.dumps({"regions": ["CN", "HK", "US"]})}
FILE = f"""
redis_url = "memory://"
secret = "{SECRET}"
gateway = ["alidayu", "twilio"]

[alidayu]
app_key = "key"
app_secret = "{OTHER_SECRET}"
timeout = [2.5, 7]

[twilio]
account_sid = "AC0"
auth_token = "{OTHER_SECRET}"
sender = "+15551234567"
[twilio.templates.signup]
code = "welcome"
body = "Your code is ${{code}}"

[failover]
on_uncertain = "next"
rest_after = 5

[templates.signup]
code = "SMS_1"
sign_name = "阿里大鱼"
"""


def arguments(**variables: str) -> dict[str, Any]:
    return arguments_from(COMMON | TEMPLATE | KEYS | {f"OTPKIT_{name}": text for name, text in variables.items()}, {})


def refusal(**variables: str) -> str:
    """Return the error of `from_env` for these variables."""
    with pytest.raises(ConfigurationError) as refused:
        arguments(**variables)
    return str(refused.value)


def written(folder: Path, text: str) -> str:
    file = folder / "otpkit.toml"
    file.write_text(text, encoding="utf-8")
    return str(file)


def problems(environ: dict[str, str], path: str | None = None) -> list[str]:
    """Return the problems of settings, and check that the error shows no secret and no error of a library."""
    with pytest.raises(ConfigurationError) as refused:
        read_settings(environ, path)
    error = refused.value
    assert (error.__cause__, error.__context__) == (None, None)
    assert SECRET not in str(error)
    assert OTHER_SECRET not in str(error)
    return list(map(str, error.problems))


class TestSeveralGateways:
    def test_are_tried_in_turn(self) -> None:
        for text in ("alidayu,twilio", " Alidayu,  twilio", "alidayu twilio"):
            chosen = arguments(GATEWAY=text)["gateway"]
            assert isinstance(chosen, Failover)
            assert list(map(type, chosen.gateways)) == [Alidayu, Twilio]
            assert (chosen.on_uncertain, chosen.undelivered_after, chosen.rest_after, chosen.rest) == (
                "stop",
                None,
                3,
                60,
            )

    def test_take_the_arguments_of_failover(self) -> None:
        own = {"ON_UNCERTAIN": "next", "UNDELIVERED_AFTER": "20", "REST_AFTER": "5", "REST": "1.5"}
        chosen = arguments(GATEWAY="alidayu,twilio", **{f"FAILOVER_{name}": text for name, text in own.items()})
        found = chosen["gateway"]
        assert (found.on_uncertain, found.undelivered_after, found.rest_after, found.rest) == ("next", 20, 5, 1.5)

    @pytest.mark.parametrize(
        ("name", "text", "words"),
        [
            ("FAILOVER_REST", "soon", "OTPKIT_FAILOVER_REST: rest must be a number."),
            ("FAILOVER_REST_AFTER", "1.5", "OTPKIT_FAILOVER_REST_AFTER: rest_after must be a whole number."),
            ("FAILOVER_ON_UNCERTAIN", "maybe", 'Failover.on_uncertain is unknown. Pass "stop" or "next".'),
            ("ALIDAYU_TIMEOUT", "1 2 3", "OTPKIT_ALIDAYU_TIMEOUT: timeout must be a number, or two."),
            ("GATEWAY", "alidayu,twillio", "'twillio' is no gateway; did you mean twilio?"),
        ],
    )
    def test_name_what_is_wrong(self, name: str, text: str, words: str) -> None:
        assert words in refusal(**{"GATEWAY": "alidayu,twilio"} | {name: text})

    def test_need_the_variables_of_each(self) -> None:
        said = ""
        with pytest.raises(ConfigurationError) as refused:
            arguments_from(COMMON | TEMPLATE | {"OTPKIT_GATEWAY": "alidayu,twilio"}, {})
        said = str(refused.value)
        assert "OTPKIT_ALIDAYU_APP_KEY is missing: the application's AppKey." in said
        assert "OTPKIT_TWILIO_ACCOUNT_SID is missing: the account's SID." in said
        assert "or OTPKIT_TWILIO_MESSAGING_SERVICE_SID, the Messaging Service that chooses the sender" in said

    def test_differ_by_region(self) -> None:
        """One gateway may serve two regions."""
        choice = {"CN": ["alidayu", "twilio"], "*": "twilio"}
        given = arguments(GATEWAYS=json.dumps(choice), POLICY=WORLD["OTPKIT_POLICY"])
        assert list(given["gateway"]) == ["CN", "*"]
        assert given["gateway"]["CN"].gateways[1] is given["gateway"]["*"]
        routing = route(given["gateway"], given["template"], given["policy"].regions)
        assert list(routing.members) == ["alidayu", "twilio"]

    @pytest.mark.parametrize("text", ['{"CN": 5}', '{"CN": ["pigeon"]}', "[]", '{"CN": [5]}'])
    def test_by_region_are_checked(self, text: str) -> None:
        assert "OTPKIT_GATEWAYS" in refusal(GATEWAYS=text)

    def test_may_have_templates_of_their_own(self) -> None:
        """Then the common template needs no signature that only they would need."""
        own = {"TENCENT_TEMPLATE_CODE": "1234", "TENCENT_TEMPLATE_SIGN_NAME": "腾讯", "TENCENT_TEMPLATE_PARAMS": "{}"}
        chosen = arguments(GATEWAY="alidayu,tencent", **own | {"TENCENT_TEMPLATE_PARAMS": '{"1": "{code}"}'})["gateway"]
        route = chosen.gateways[1]
        assert isinstance(route, Route)
        assert isinstance(route.gateway, Tencent)
        assert (route.template.code, route.template.params) == ("1234", {"1": "{code}"})
        unsigned = COMMON | KEYS | {"OTPKIT_TEMPLATE_CODE": "1", "OTPKIT_TEMPLATE_BODY": "${code}"}
        unsigned |= {f"OTPKIT_{name}": text for name, text in own.items()} | {"OTPKIT_GATEWAY": "twilio,tencent"}
        assert arguments_from(unsigned | {"OTPKIT_TENCENT_TEMPLATE_PARAMS": '{"1": "{code}"}'}, {})
        assert "OTPKIT_TENCENT_TEMPLATE_PARAMS: " in refusal(GATEWAY="alidayu,tencent", **own)

    def test_stand_in_a_file_too(self, tmp_path: Path) -> None:
        found = read_settings({}, written(tmp_path, FILE)).otp["gateway"]
        assert (found.on_uncertain, found.rest_after) == ("next", 5)
        assert found.gateways[0].timeout == (2.5, 7)
        assert found.gateways[1].template["signup"].code == "welcome"
        text = FILE.replace(
            'gateway = ["alidayu", "twilio"]', 'gateways = { CN = ["alidayu", "twilio"], HK = "twilio" }'
        )
        found = read_settings(WORLD | {"OTPKIT_POLICY": '{"regions": ["CN", "HK"]}'}, written(tmp_path, text)).otp
        assert list(found["gateway"]) == ["CN", "HK"]

    def test_of_regions_that_are_not_served_are_a_problem(self, tmp_path: Path) -> None:
        text = FILE.replace('gateway = ["alidayu", "twilio"]', 'gateways = { CN = "alidayu", HK = "twilio" }')
        path = written(tmp_path, text)
        assert problems({}, path) == [
            (
                f"{path}: gateways: gateway routes HK, which Policy.regions does not allow. "
                "Remove the route, or add the region to Policy.regions."
            ),
        ]

    def test_are_examined_one_by_one(self, tmp_path: Path) -> None:
        text = FILE.replace("[alidayu]", '[alidayu]\nbase_url = "http://127.0.0.1:1/gw"')
        found = examine({}, written(tmp_path, text)).findings
        assert [each.name for each in found if each.name in {"template", "gateway"}] == ["template"] * 2 + [
            "gateway"
        ] * 2
        own = [each for each in found if each.name == "template"][1]
        assert own.found.startswith("twilio: For 'signup': ")


class TestNames:
    def test_of_the_version_before_are_known(self) -> None:
        assert {f"OTPKIT_{name}" for name in BEFORE.split()} <= {each.variable for each in known_settings().values()}

    def test_of_gateways_are_those_of_their_classes(self) -> None:
        """Gateways without a setting take other arguments than texts."""
        assert {name: gateway_class(name).name for name in GATEWAYS} == {name: name for name in GATEWAYS}
        classes = (getattr(gateways, name) for name in gateways.__all__)
        kinds = {each for each in classes if isinstance(each, type) and issubclass(each, Gateway)}
        others = {each.__name__ for each in kinds} - set(GATEWAYS.values())
        assert others == {"Apprise", "FunctionGateway", "Gateway"}

    def test_of_functions_and_objects_are_no_settings(self) -> None:
        for name in GATEWAYS:
            assert not {"credentials", "stream"} & set(parameters_of(gateway_class(name)))

    @pytest.mark.parametrize("name", GATEWAYS)
    def test_of_what_is_needed_are_arguments(self, name: str) -> None:
        taken = set(parameters_of(gateway_class(name))) | {"credentials"}
        for group in gateway_class(name).needs:
            assert set(group) <= taken

    @pytest.mark.parametrize("name", GATEWAYS)
    def test_have_a_description(self, name: str) -> None:
        """It comes from the docstring, and is shown if the setting is missing."""
        for each in parameters_of(gateway_class(name)).values():
            assert each.about, each.name

    def test_that_are_mistyped_in_the_environment_are_told(self) -> None:
        given = COMMON | TEMPLATE | KEYS | {"OTPKIT_GATEWAY": "alidayu"}
        assert problems(given | {"OTPKIT_NAMEPSACE": "x", "OTPKIT_ALIDAYU_PROXI": "y"}) == [
            f"{variable} is no variable of otpkit; did you mean {meant}? Correct its name, or remove it."
            for variable, meant in (
                ("OTPKIT_NAMEPSACE", "OTPKIT_NAMESPACE"),
                ("OTPKIT_ALIDAYU_PROXI", "OTPKIT_ALIDAYU_PROXY"),
            )
        ]
        (found,) = (each for each in examine(given | {"OTPKIT_NAMEPSACE": "x"}).findings if each.name == "settings")
        assert "did you mean OTPKIT_NAMESPACE?" in found.found

    def test_that_belong_to_others_are_left_alone(self) -> None:
        """Kubernetes sets some for every Service, and other programs may have theirs."""
        others = (
            *("SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_HTTP", "PORT", "PORT_8000_TCP", "PORT_8000_TCP_ADDR"),
            *("REDIS_SERVICE_HOST", "REDIS_PORT_6379_TCP_PROTO", "IMAGE", "SMOKE_REDIS"),
        )
        given = COMMON | TEMPLATE | KEYS | {"OTPKIT_GATEWAY": "alidayu"}
        found = read_settings(given | {f"OTPKIT_{name}": "tcp://10.0.0.1:80" for name in others})
        assert (found.service.host, found.service.port) == ("127.0.0.1", 8000)

    def test_come_with_a_new_gateway(self, monkeypatch: pytest.MonkeyPatch, fresh: None, tmp_path: Path) -> None:
        """Only its class and its name are needed."""

        class Pigeon(Gateway):
            """A bird.

            Args:
                loft: where it lives; near is better.
            """

            name = "pigeon"

            def __init__(self, loft: str, *, speed: float = 9, trainer: Any = None) -> None:
                self.loft, self.speed = loft, speed

            def send(self, message: Message) -> Flow[Receipt]:
                return Receipt(self.name)
                yield

        monkeypatch.setitem(GATEWAYS, "pigeon", "Pigeon")
        monkeypatch.setattr(gateways, "Pigeon", Pigeon, raising=False)
        head = f'redis_url = "memory://"\nsecret = "{SECRET}"\ngateway = "pigeon"\ntemplate.code = "x"\n'
        found = read_settings({}, written(tmp_path, head + '[pigeon]\nloft = "roof"\nspeed = 7.5')).otp["gateway"]
        assert (type(found), found.loft, found.speed) == (Pigeon, "roof", 7.5)
        assert problems({}, written(tmp_path, head + "[pigeon]\nlofft = 1\n")) == [
            f"OTPKIT_PIGEON_LOFT (pigeon.loft in {tmp_path}/otpkit.toml) is missing: where it lives. Set it.",
            (
                f"{tmp_path}/otpkit.toml has a setting 'pigeon.lofft' that there is not; did you mean pigeon.loft? "
                "Correct its name, or remove it."
            ),
        ]


@pytest.fixture
def fresh() -> Iterator[None]:
    """Clear the cached settings before and after the test."""

    def forget() -> None:
        for each in (environment.tables, models.known_settings, models._model):
            each.cache_clear()

    forget()
    yield
    forget()


class TestProblems:
    def test_are_named_at_once_with_where_they_stand(self, tmp_path: Path) -> None:
        """They are in the file, in the environment, or in neither."""
        path = written(
            tmp_path,
            f"""
secret = "{SECRET}"
gateway = "alidayu"
namespace = "a b"
colour = "red"
alidayu.app_key = "key"
alidayu.base_url = "ftp://x"
alidayu.timeout = [0, 1]
policy = {{ ttl = 5, attemps = 3 }}
template.code = "SMS_1"
[service]
port = 99999
""",
        )
        wrong = {
            "OTPKIT_ALIDAYU_APP_SECRET": OTHER_SECRET,
            "OTPKIT_ALIDAYU_PROXY": "what is this",
            "OTPKIT_SERVICE_FORWARDED_HOPS": "many",
            "OTPKIT_API_KEYS": json.dumps({"shop": {"key": "x", "purposes": ["signup"]}, "till": {"purposes": 3}}),
            "OTPKIT_INDEX_SECRETS": OTHER_SECRET,
        }
        said = "\n".join(problems(wrong, path))
        for words in (
            f"OTPKIT_REDIS_URL (redis_url in {path}) is missing: where codes are kept",
            f"{path}: alidayu.base_url: base_url is",
            f"{path}: alidayu.timeout: timeout is",
            f"{path}: namespace: namespace must be letters",
            "OTPKIT_ALIDAYU_PROXY: proxy is not the URL of a proxy",
            f"{path}: policy.ttl: Policy.ttl is 5. Set a whole number from 30 to 600",
            f"{path}: policy.attemps: policy has no field 'attemps'; did you mean attempts?",
            f"OTPKIT_TEMPLATE_SIGN_NAME (template.sign_name in {path}) is missing",
            f"{path} has a setting 'colour' that there is not",
            f"{path}: service.port must be a whole number from 0 to 65535.",
            "OTPKIT_SERVICE_FORWARDED_HOPS: service.forwarded_hops must be a whole number from 0 to 16.",
            "OTPKIT_API_KEYS: The key 'shop' must be at least 32",
            "OTPKIT_API_KEYS: keys.till.purposes must be a list",
            "OTPKIT_INDEX_SECRETS is no variable of otpkit; did you mean OTPKIT_INDEX_SECRET?",
        ):
            assert words in said, (words, said)

    def test_of_what_a_gateway_needs_are_told_with_its_table(self, tmp_path: Path) -> None:
        """Its constructor names the argument."""
        path = written(tmp_path, FILE.replace('account_sid = "AC0"', 'account_sid = "A C"'))
        assert problems({}, path)[0].startswith(f"{path}: twilio.account_sid: account_sid is not a SID")
        given = COMMON | TEMPLATE | KEYS | {"OTPKIT_GATEWAY": "twilio", "OTPKIT_TWILIO_ACCOUNT_SID": "A C"}
        assert problems(given)[0].startswith("OTPKIT_TWILIO_ACCOUNT_SID: account_sid is not a SID")

    @pytest.mark.parametrize(
        ("more", "line"),
        [
            (
                '[template]\nbody = "${code}"',
                "{path}: template.body stands beside {path}: templates. Keep one of them.",
            ),
            ('[gateways]\nCN = "alidayu"', "{path}: gateway stands beside {path}: gateways. Keep one of them."),
        ],
    )
    def test_two_where_one_can_hold_are_told(self, tmp_path: Path, more: str, line: str) -> None:
        path = written(tmp_path, f"{FILE}\n{more}\n")
        assert line.format(path=path) in problems({}, path)

    def test_template_of_the_environment_beside_those_of_the_file_is_told(self, tmp_path: Path) -> None:
        """A signature without a code is not a template."""
        path = written(tmp_path, FILE)
        assert read_settings({"OTPKIT_TEMPLATE_SIGN_NAME": "x"}, path)
        assert problems(TEMPLATE, path) == [f"OTPKIT_TEMPLATE_CODE stands beside {path}: templates. Keep one of them."]

    @pytest.mark.parametrize(
        ("line", "words"),
        [
            ("policy = 5", "policy must be a table, not a number."),
            ("template.code = 2026-01-01", "template.code must be a text, not a date."),
            ("service = 5", "has a setting 'service' that there is not"),
            ("alidayu.app_key.more = 5", "has a setting 'alidayu.app_key.more' that there is not"),
        ],
    )
    def test_of_types_are_told(self, tmp_path: Path, line: str, words: str) -> None:
        assert any(words in each for each in problems({}, written(tmp_path, line)))

    def test_hide_nothing_of_other_parts(self) -> None:
        reading = Reading(
            COMMON | KEYS | {"OTPKIT_GATEWAY": "alidayu", "OTPKIT_POLICY": "{", "OTPKIT_SERVICE_PORT": "x"}
        )
        assert sorted(reading.otp) == ["gateway", "redis", "secret"]
        assert [each.field for each in reading.of_part("policy")] == ["OTPKIT_POLICY"]
        assert {each.field for each in reading.of_part("template")} == {
            "OTPKIT_TEMPLATE_CODE",
            "OTPKIT_TEMPLATE_SIGN_NAME",
        }
        assert reading.others == ()


def test_deeply_nested_file_is_refused(tmp_path: Path) -> None:
    """The parser calls itself for each level."""
    file = tmp_path / "otpkit.toml"
    file.write_text(f"secret = {'[' * 20_000}", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="nested too deeply"):
        read_settings({}, str(file))


def test_settings_show_no_value(tmp_path: Path) -> None:
    """Neither the settings nor pydantic's models of them show it."""
    found = read_settings({"OTPKIT_SERVICE_RECEIPTS_SECRET": SECRET}, written(tmp_path, FILE))
    model = models.check(sources.read_file(written(tmp_path, FILE)).nested())
    for each in (found, found.service, model):
        assert SECRET not in f"{each!r}{each}"


def test_environment_alone_needs_no_library() -> None:
    """`from_env` reads failover, regions, policy and templates with the core only."""
    variables = COMMON | TEMPLATE | KEYS | {"OTPKIT_GATEWAY": "alidayu,twilio", "OTPKIT_POLICY": '{"ttl": 60}'}
    script = (
        f"import os, sys; os.environ.update({variables!r}); from otpkit import OTP; "
        "otp = OTP.from_env(); print(otp.policy.ttl, sorted({'pydantic', 'pydantic_settings'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "60 []"


def test_every_table_has_a_model() -> None:
    model = models._model().model_fields
    assert {name.replace("-", "_") for name in tables() if name} | {"service", "keys"} <= set(model)
