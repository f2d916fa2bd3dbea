"""Form fields of the Django integration: their cleaned values, and their messages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django import forms
from django.core.exceptions import ValidationError
from django.utils import translation
from django_site import PHONE, site

from otpkit import Policy
from otpkit.integrations.django.forms import CodeField, PhoneField


class Form(forms.Form):
    phone = PhoneField()
    code = CodeField(required=False, label="Your code")


@pytest.fixture(autouse=True)
def _site() -> Iterator[None]:
    with site():
        yield


@pytest.mark.parametrize(
    "spelling",
    [
        PHONE,
        "139 0013 9000",
        "(139) 0013-9000",
        "0086 139.0013.9000",
        "１３９００１３９０００",
        " 13900139000 ",
        "\u202d139 0013 9000\u202c",
        "139\u00a00013\u00a09000",
        "+86\u00a0139\u20110013\u20119000",
        "۱۳۹۰۰۱۳۹۰۰۰",
        13900139000,
    ],
)
def test_every_accepted_spelling_of_a_number_cleans_to_one(spelling: Any) -> None:
    assert PhoneField().clean(spelling) == PHONE


@pytest.mark.parametrize(
    "text",
    [
        "12",
        "1390013900a",
        "13900139000\n",
        "139\n00139000",
        "13900139000\x00",
        "1" * 1_000_000,
        " ",
        [PHONE],
        {},
        True,
    ],
)
def test_what_is_no_number_is_refused(text: Any) -> None:
    with pytest.raises(ValidationError) as refused:
        PhoneField().clean(text or [text])
    assert refused.value.messages == ["Please enter a valid mobile number."]
    assert refused.value.error_list[0].code == "phone"
    assert refused.value.__context__ is None


def test_the_policy_says_which_regions_are_allowed_and_how_long_a_code_is() -> None:
    with pytest.raises(ValidationError) as refused:
        PhoneField().clean("+44 7400 123456")
    assert refused.value.error_list[0].code == "region"
    with site(POLICY=Policy(regions={"GB"}, default_region="GB", code_length=8)):
        assert PhoneField().clean("07400 123456") == "+447400123456"
        assert CodeField().clean("1234-5678") == "12345678"


def test_a_field_may_have_a_region_of_its_own() -> None:
    with site(POLICY=Policy(regions={"CN", "GB"})):
        assert PhoneField(region="GB").clean("07400 123456") == "+447400123456"
        assert PhoneField(region="GB").clean("+44 (0)7400\u00a0123456") == "+447400123456"
        assert PhoneField().clean("13900139000") == PHONE
    with pytest.raises(ValidationError) as refused:
        PhoneField(region="GB").clean("07400 123456")
    assert refused.value.error_list[0].code == "region"


@pytest.mark.parametrize(
    "typed", ["012345", "012 345", "012-345", " 012345 ", "０１２３４５", "٠١٢٣٤٥", "\u202d012\u2011345\u202c"]
)
def test_a_code_cleans_to_its_digits(typed: str) -> None:
    assert CodeField().clean(typed) == "012345"


@pytest.mark.parametrize("typed", ["12345", "1234567", "12345\n6", "abcdef", "1" * 1_000_000, ["123456"], " "])
def test_what_is_no_code_is_refused(typed: Any) -> None:
    with pytest.raises(ValidationError) as refused:
        CodeField().clean(typed)
    assert refused.value.error_list[0].code == "malformed_code"


@pytest.mark.parametrize("field", [PhoneField, CodeField])
@pytest.mark.parametrize("nothing", [None, "", [], ()])
def test_nothing_is_refused_only_where_it_is_required(field: type[forms.CharField], nothing: Any) -> None:
    assert field(required=False).clean(nothing) == ""
    with pytest.raises(ValidationError) as refused:
        field().clean(nothing)
    assert refused.value.error_list[0].code == "required"


@pytest.mark.parametrize(
    ("language", "says"),
    [
        ("zh-hans", "请输入正确的手机号码。"),
        ("zh-hant", "请输入正确的手机号码。"),
        ("en-gb", "Please enter a valid mobile number."),
        ("fr", "Please enter a valid mobile number."),
    ],
)
def test_errors_are_in_the_persons_language(language: str, says: str) -> None:
    with translation.override(language):
        assert Form({"phone": "12"}).errors["phone"] == [says]


def test_the_inputs_tell_telephones_what_they_are_for() -> None:
    html = Form().as_p()
    assert 'type="tel" name="phone" autocomplete="tel" maxlength="64"' in html
    assert 'name="code" autocomplete="one-time-code" inputmode="numeric"' in html
    assert "Your code" in html


def test_another_spelling_of_the_initial_number_is_no_change() -> None:
    assert not Form({"phone": "139 0013 9000"}, initial={"phone": PHONE}).has_changed()
