"""A template fills in its variables, counts its messages, and lets no other text into a message."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otpkit.errors import ConfigurationError
from otpkit.template import Template, count_segments

BODY = "验证码${code},您正在进行${product}身份验证,打死不要告诉别人哦!"


def alidayu(body: str | None = BODY) -> Template:
    return Template("SMS_585014", sign_name="阿里大鱼", params={"code": "{code}", "product": "alidayu"}, body=body)


UNSAFE = {
    "line feed": "\n",
    "carriage return": "\r",
    "tab": "\t",
    "null": "\x00",
    "escape": "\x1b",
    "delete": "\x7f",
    "next line": "\x85",
    "line separator": "\u2028",
    "paragraph separator": "\u2029",
    "zero-width space": "\u200b",
    "right-to-left override": "\u202e",
    "isolate": "\u2066",
    "byte order mark": "\ufeff",
    "half a surrogate pair": "\ud83d",
}
unsafe = pytest.mark.parametrize("character", UNSAFE.values(), ids=UNSAFE)


# Filling in


def test_sms_param_is_the_json_of_the_gateways_own_sample() -> None:
    assert alidayu().sms_param("1234") == '{"code":"1234","product":"alidayu"}'


def test_the_default_params_hold_the_code_alone() -> None:
    assert Template("SMS_1", "阿里大鱼").sms_params("012345") == {"code": "012345"}


def test_chinese_stays_readable_and_quotes_are_escaped() -> None:
    text = Template("SMS_1", "阿里", {"code": "{code}", "product": '支付"宝\\'}).sms_param("123456")
    assert "支付" in text
    assert json.loads(text) == {"code": "123456", "product": '支付"宝\\'}


def test_code_and_minutes_are_filled_in_wherever_they_stand() -> None:
    template = Template("SMS_1", "阿里", {"a": "{code}", "b": "{code}/{code}, {minutes} min", "c": "{minutes}"})
    assert template.sms_params("012345", minutes=10) == {
        "a": "012345",
        "b": "012345/012345, 10 min",
        "c": "10",
    }
    assert template.sms_params("012345")["c"] == "5"


def test_values_of_a_call_override_and_add() -> None:
    template = alidayu(body=None)
    assert template.sms_params("123456", params={"product": "淘宝", "city": "杭州"}) == {
        "code": "123456",
        "product": "淘宝",
        "city": "杭州",
    }
    assert template.sms_params("123456")["product"] == "alidayu"


@pytest.mark.parametrize("value", ["{code}", "{minutes}", "${code}", "{word}", '","code":"000000', "", "家👨‍👩‍👧"])
def test_values_of_a_call_are_taken_literally(value: str) -> None:
    """There is no substitution and no injection: the variable has exactly the passed value."""
    params = {"product": value}
    assert json.loads(alidayu().sms_param("123456", params=params)) == {"code": "123456", "product": value}
    assert alidayu().render("123456", params=params) == (
        f"【阿里大鱼】验证码123456,您正在进行{value}身份验证,打死不要告诉别人哦!"
    )


@given(st.dictionaries(st.text(), st.text()))
def test_no_values_of_a_call_reach_the_code_or_change_the_shape_of_the_message(
    params: dict[str, str],
) -> None:
    try:
        filled = json.loads(alidayu(body=None).sms_param("123456", params=params))
    except ConfigurationError:
        return
    assert filled == {"code": "123456", "product": "alidayu", **params}
    assert filled["code"] == "123456"
    assert not any("\n" in value for value in filled.values())


def test_the_variable_that_carries_the_code_is_not_overridden() -> None:
    with pytest.raises(ConfigurationError, match="'code' is the variable that carries the code"):
        alidayu().sms_params("123456", params={"code": "000000"})
    partly = Template("SMS_1", "阿里", {"text": "码 {code}"})
    with pytest.raises(ConfigurationError, match="'text'"):
        partly.sms_params("123456", params={"text": "x"})


def test_with_a_body_a_surplus_value_of_a_call_is_an_error() -> None:
    with pytest.raises(ConfigurationError, match=r"'city' is not a variable of Template\.body"):
        alidayu().sms_params("123456", params={"city": "杭州"})


@unsafe
def test_no_value_of_a_call_adds_a_line_or_hides_a_character(character: str) -> None:
    """A value with its own last line (`@evil #999999`) would be used for autofill."""
    params = {"product": f"brand{character}@evil.example #999999"}
    for call in (alidayu().sms_params, alidayu().sms_param, alidayu().render, alidayu().segments):
        with pytest.raises(ConfigurationError, match="'product' contains a line break") as caught:
            call("123456", params=params)
        assert "evil" not in str(caught.value)
        assert "123456" not in str(caught.value)


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({"product": 5}, "'product' is a int\\. Pass a str"),
        ({"product": None}, "'product' is a NoneType\\. Pass a str"),
        ({"product": ["a"]}, "'product' is a list\\. Pass a str"),
        ({5: "five"}, "5 is not a variable name"),
        ({"": "x"}, "'' is not a variable name"),
        ({"pro duct": "x"}, "'pro duct' is not a variable name"),
        ({"product\n": "x"}, "is not a variable name"),
        ([("product", "x")], "params is a list\\. Pass a mapping"),
        ("product", "params is a str\\. Pass a mapping"),
    ],
)
def test_malformed_values_of_a_call_are_named_with_their_remedy(params: object, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        alidayu().sms_params("123456", params=params)  # type: ignore[arg-type]


@pytest.mark.parametrize("code", [123456, None, True, "", "12 34", "123456\n", "{minutes}", "１２３４５６", b"123456"])
def test_a_code_that_is_no_text_of_digits_is_an_error_that_does_not_show_it(code: object) -> None:
    with pytest.raises(ConfigurationError, match="The code to fill in") as caught:
        alidayu().sms_params(code)  # type: ignore[arg-type]
    assert "123456" not in str(caught.value)


@pytest.mark.parametrize("minutes", [0, -1, 2.5, "5", None, True])
def test_minutes_are_a_whole_number_of_at_least_one(minutes: object) -> None:
    with pytest.raises(ConfigurationError, match="minutes is"):
        alidayu().sms_params("123456", minutes=minutes)  # type: ignore[arg-type]


# Construction


@pytest.mark.parametrize("code", ["", " SMS_1", "SMS 1", "SMS_1\n", "短信", None, 585014])
def test_a_malformed_template_code_is_named(code: object) -> None:
    with pytest.raises(ConfigurationError, match=r"Template\.code"):
        Template(code, "阿里大鱼")  # type: ignore[arg-type]


SIGN_NAMES = [
    "",
    "【阿里大鱼】",
    "【阿里",
    '"阿里大鱼"',
    "'阿里'",
    "“阿里”",
    " 阿里",
    "阿里 ",
    "阿里\u3000",
    None,
    5,
]


@pytest.mark.parametrize("sign_name", SIGN_NAMES)
def test_a_signature_that_is_not_the_bare_name_is_an_error(sign_name: object) -> None:
    with pytest.raises(ConfigurationError, match=r"Template\.sign_name .*bare"):
        Template("SMS_1", sign_name)  # type: ignore[arg-type]


@unsafe
def test_a_signature_a_value_or_a_body_with_a_hidden_character_is_an_error(character: str) -> None:
    with pytest.raises(ConfigurationError, match=r"Template\.sign_name"):
        Template("SMS_1", f"阿里{character}大鱼")
    with pytest.raises(ConfigurationError, match=r"Template\.params: the value of 'p'"):
        Template("SMS_1", "阿里", {"code": "{code}", "p": f"a{character}b"})
    if character != "\n":  # An approved text may have several lines.
        with pytest.raises(ConfigurationError, match=r"Template\.body"):
            Template("SMS_1", "阿里", body=f"码${{code}}{character}")


def test_a_signature_may_have_a_blank_inside() -> None:
    assert Template("SMS_1", "Ali Dayu").sign_name == "Ali Dayu"


@pytest.mark.parametrize(
    "value",
    ["{cod}", "{Code}", "{ code }", "{code!r}", "{code:>8}", "{}", "{0}", "{{code}}", "{", "}", "{code}}"],
)
def test_a_typo_in_a_placeholder_is_found_at_construction(value: str) -> None:
    with pytest.raises(ConfigurationError, match=r"'p' contains an unknown placeholder.*Write \{code\}"):
        Template("SMS_1", "阿里", {"code": "{code}", "p": value})


def test_a_dollar_before_a_placeholder_is_found_at_construction() -> None:
    with pytest.raises(ConfigurationError, match=r"no \$ before"):
        Template("SMS_1", "阿里", {"code": "${code}"})


@pytest.mark.parametrize("params", [{}, {"code": "123456"}, {"minutes": "{minutes}"}])
def test_a_template_without_the_code_is_an_error(params: Mapping[str, str]) -> None:
    with pytest.raises(ConfigurationError, match=r"no value that contains \{code\}"):
        Template("SMS_1", "阿里", params)


@pytest.mark.parametrize("params", [None, "code", [("code", "{code}")], {"code": 5}, {"验证码": "{code}"}])
def test_malformed_params_are_an_error(params: object) -> None:
    with pytest.raises(ConfigurationError, match=r"Template\.params"):
        Template("SMS_1", "阿里", params)  # type: ignore[arg-type]


def test_a_variable_that_the_body_has_and_params_lack_is_named() -> None:
    with pytest.raises(ConfigurationError, match=r"lacks 'product'.*issue\(params="):
        Template("SMS_1", "阿里", body=BODY)


def test_a_variable_that_params_have_and_the_body_lacks_is_named() -> None:
    with pytest.raises(ConfigurationError, match="has 'city', which is not a variable"):
        Template("SMS_1", "阿里", {"code": "{code}", "city": "杭州"}, body="码${code}")


@pytest.mark.parametrize("body", ["", 5, "【阿里】码${code}", "码${code}${", "码${code}${产品}", "码${code}${ a }"])
def test_a_malformed_body_is_an_error(body: object) -> None:
    with pytest.raises(ConfigurationError, match=r"Template\.body"):
        Template("SMS_1", "阿里", body=body)  # type: ignore[arg-type]


# A value


def test_a_template_is_frozen_and_keeps_its_own_copy_of_the_params() -> None:
    given_params = {"code": "{code}"}
    template = Template("SMS_1", "阿里", given_params)
    given_params["code"] = "000000"
    assert template.sms_params("123456") == {"code": "123456"}
    with pytest.raises(dataclasses.FrozenInstanceError):
        template.sign_name = "别人"  # type: ignore[misc]
    with pytest.raises(TypeError):
        template.params["code"] = "000000"  # type: ignore[index]
    assert not hasattr(template, "__dict__")


def test_what_is_filled_in_is_the_callers_own() -> None:
    template = alidayu()
    template.sms_params("123456")["product"] = "changed"
    assert template.sms_params("123456")["product"] == "alidayu"


def test_a_template_survives_copying_and_pickling() -> None:
    template = alidayu()
    for twin in (copy.copy(template), copy.deepcopy(template), pickle.loads(pickle.dumps(template))):
        assert twin == template
        assert twin.render("123456") == template.render("123456")


# Rendering


def test_render_shows_the_signature_and_the_text() -> None:
    assert alidayu().render("1234") == "【阿里大鱼】验证码1234,您正在进行alidayu身份验证,打死不要告诉别人哦!"


def test_a_body_may_name_a_variable_twice_and_have_several_lines() -> None:
    template = Template("SMS_1", "Ali", body="${code} is your code\n@example.com #${code}")
    assert template.render("123456") == "【Ali】123456 is your code\n@example.com #123456"


def test_a_template_without_body_can_be_neither_shown_nor_counted() -> None:
    for call in (alidayu(body=None).render, alidayu(body=None).segments):
        with pytest.raises(ConfigurationError) as caught:
            call("123456")
        assert "body=" in caught.value.remedy


# Counting


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", 1),
        ("a" * 160, 1),
        ("a" * 161, 2),
        ("a" * 306, 2),
        ("a" * 307, 3),
        ("a" * 459, 3),
        ("a" * 460, 4),
        ("é@£Δ_Ω\n\r" * 20, 1),
        ("码" * 70, 1),
        ("码" * 71, 2),
        ("码" * 134, 2),
        ("码" * 135, 3),
        ("a" * 70 + "码", 2),
        ("a" * 69 + "`", 1),
        ("a" * 70 + "`", 2),
        ("a" * 70 + "ç", 2),
        ("😀" * 35, 1),
        ("😀" * 35 + "码", 2),
    ],
)
def test_parts_are_counted_at_the_boundaries(text: str, parts: int) -> None:
    assert count_segments(text) == parts


@pytest.mark.parametrize("character", list("[]{}^~\\|€\f"))
def test_an_extended_character_costs_two_septets(character: str) -> None:
    assert count_segments("a" * 158 + character) == 1
    assert count_segments("a" * 159 + character) == 2
    assert count_segments(character * 80) == 1
    assert count_segments(character * 81) == 2


def test_an_escape_pair_is_never_split_between_parts() -> None:
    """306 septets would fill two parts, but the pair at the border moves to the second part as a whole."""
    assert count_segments("a" * 152 + "€" + "a" * 152) == 3
    assert count_segments("a" * 151 + "€" + "a" * 153) == 2
    assert count_segments("€" * 152) == 2
    assert count_segments("€" * 153) == 3


def test_a_surrogate_pair_is_never_split_between_parts() -> None:
    """134 units would fill two parts, but the emoji at the border moves to the second part as a whole."""
    assert count_segments("码" * 66 + "😀" + "码" * 66) == 3
    assert count_segments("码" * 65 + "😀" + "码" * 67) == 2
    assert count_segments("😀" * 66) == 2
    assert count_segments("😀" * 67) == 3


@given(st.text(max_size=400))
def test_parts_lie_between_the_packed_and_the_loosest_count(text: str) -> None:
    """Each part wastes at most one unit, and no text takes fewer parts than its units need."""
    units = len(text.encode("utf-16-le", "surrogatepass")) // 2
    assert count_segments(text) <= max(1, -(-units // 66))
    assert count_segments(text) >= max(1, -(-units // 160))


def test_a_template_counts_its_signature_too() -> None:
    def padded(length: int) -> Template:
        return Template("SMS_1", "阿里", body="码${code}".ljust(length, "。"))

    assert len(padded(67).render("1234")) == 4 + 67 - len("${code}") + 4
    assert padded(69).segments("1234") == 1
    assert padded(70).segments("1234") == 2
    assert padded(69).segments("12345") == 2
    assert alidayu().segments("123456") == 1
    assert alidayu().segments("123456", params={"product": "很长的名字" * 10}) == 2
