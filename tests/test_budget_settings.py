"""Budgets and prices in the environment and in TOML files: one reader, which names every wrong field."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.rig import SECRET

from otpkit import OTP, Budget, ConfigurationError
from otpkit.doctor import examine
from otpkit.settings import read_settings

ENV = {
    "OTPKIT_REDIS_URL": "memory://",
    "OTPKIT_SECRET": SECRET,
    "OTPKIT_GATEWAY": "alidayu",
    "OTPKIT_ALIDAYU_APP_KEY": "key",
    "OTPKIT_ALIDAYU_APP_SECRET": "secret",
    "OTPKIT_TEMPLATE_CODE": "SMS_1",
    "OTPKIT_TEMPLATE_SIGN_NAME": "otpkit",
}
FILE = """
[[budgets]]
amount = "400 CNY/day"
timezone = "Asia/Shanghai"
alerts = [0.5, 0.8]

[[budgets]]
amount = "30 CNY/month"
region = "CN"
gateway = "alidayu"
purpose = "login"
key = "shop"
keep = 0
hourly = 0.5

[prices]
CN = "0.045 CNY"
"CN/voice" = "0.1 CNY"

[keys.shop]
key = "key-of-the-shop-0123456789-0123456789"
purposes = ["signup"]
"""
BUDGETS = [
    Budget("400 CNY/day", timezone="Asia/Shanghai", alerts=(0.5, 0.8)),
    Budget("30 CNY/month", region="CN", gateway="alidayu", purpose="login", key="shop", keep=0, hourly=0.5),
]


def read(tmp_path: Path, text: str, **more: str) -> tuple[str, ...]:
    """Return the fields that are wrong in a file."""
    file = tmp_path / "otpkit.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError) as refused:
        read_settings(ENV | more, str(file))
    return tuple(each.field.replace(f"{file}: ", "") for each in refused.value.problems)


def test_a_file_gives_budgets_and_prices(tmp_path: Path) -> None:
    file = tmp_path / "otpkit.toml"
    file.write_text(FILE, encoding="utf-8")
    found = read_settings(ENV, str(file), serves=True).otp
    assert found["budgets"] == BUDGETS
    assert found["prices"] == {"CN": "0.045 CNY", "CN/voice": "0.1 CNY"}
    with OTP(**found) as otp:
        assert [each.budget for each in otp.spending()] == BUDGETS


def test_variables_give_them_and_win(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = ENV | {"OTPKIT_BUDGETS": '["1 CNY/day", {"amount": "2 CNY/month"}]', "OTPKIT_PRICES": '{"*": "1 CNY"}'}
    file = tmp_path / "otpkit.toml"
    file.write_text(FILE, encoding="utf-8")
    expected = [Budget("1 CNY/day"), Budget("2 CNY/month")]
    assert read_settings(given, str(file)).otp["budgets"] == expected
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    with OTP.from_env() as otp:
        assert [each.budget for each in otp.spending()] == expected


def test_every_wrong_field_of_a_file_is_named(tmp_path: Path) -> None:
    text = """
[[budgets]]
amount = "4,00 CNY/day"
keep = 2

[[budgets]]
amont = "4 CNY/day"

[prices]
CN = "0,045 CNY"
china = "1 CNY"
"""
    assert read(tmp_path, text) == (
        "budgets.1.amount",
        "budgets.1.keep",
        "budgets.2.amont",
        "budgets.2.amount",
        "prices.CN",
        "prices.china",
    )


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ('budgets = ["4 CNY/day"]', ("OTPKIT_PRICES.CN",)),
        ('budgets = ["4 CNY/day"]\n[prices]\nHK = "1 CNY"', ("prices.HK", "prices.CN")),
        ('budgets = ["4 USD/day"]\n[prices]\nCN = "1 CNY"', ("prices",)),
        ('budgets = ["4 CNY/day", "5 CNY/day"]\n[prices]\nCN = "1 CNY"', ("budgets",)),
        ('[[budgets]]\namount = "4 CNY/day"\ngateway = "aliyun"\n[prices]\nCN = "1 CNY"', ("budgets",)),
        ("budgets = 5", ("budgets",)),
        ('[budgets]\namount = "4 CNY/day"', ("budgets",)),
        (f"{FILE}".replace('key = "shop"', 'key = "shpo"'), ("budgets",)),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, text: str, fields: tuple[str, ...]) -> None:
    assert read(tmp_path, text) == fields


@pytest.mark.parametrize("text", ["5", "{}", "nonsense", '"4 CNY/day"', "[5]", "[null]", "[[]]"])
def test_a_variable_that_is_no_list_of_budgets_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        read_settings(ENV | {"OTPKIT_BUDGETS": text})
    assert all(each.field.startswith("OTPKIT_BUDGETS") for each in refused.value.problems)


@pytest.mark.parametrize(
    ("given", "status", "says"),
    [
        ({}, "warning", "nothing bounds"),
        ({"OTPKIT_BUDGETS": '["4 CNY/day"]', "OTPKIT_PRICES": '{"CN": "1 CNY"}'}, "ok", "4 CNY/day"),
        ({"OTPKIT_BUDGETS": '["4 CNY/day"]'}, "problem", "no price for CN"),
        ({"OTPKIT_BUDGETS": '["4 CNY"]'}, "problem", "per day or month"),
        ({"OTPKIT_PRICES": '{"CN": "1"}'}, "problem", "no currency"),
    ],
)
def test_the_doctor_looks_at_budgets(given: dict[str, str], status: str, says: str) -> None:
    (finding,) = [each for each in examine(ENV | given).findings if each.name in {"budgets", "prices"}]
    assert finding.status == status
    assert says in finding.found
