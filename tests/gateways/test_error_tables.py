"""Every documented error code of every provider is in a table, with its category, its remedy and its source."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, get_args

import documented_codes as documents
import pytest
from tencentcloud.sms.v20210111 import errorcodes

from otpkit.effects import HttpResponse
from otpkit.errors import RejectionCategory
from otpkit.gateways.alidayu import errors as alidayu_errors
from otpkit.gateways.alidayu.responses import read_receipt
from otpkit.gateways.aliyun import errors as aliyun_errors
from otpkit.gateways.provider import Doubt, Refusal, family_of, row_of
from otpkit.gateways.tencent import errors as tencent_errors
from otpkit.gateways.twilio import errors as twilio_errors

Tables = tuple[Mapping[str, Refusal], Mapping[str, Doubt]]

NONE: Mapping[str, Doubt] = {}
ALIYUN_SMS: Tables = (aliyun_errors.SMS_REFUSALS, aliyun_errors.UNCERTAIN)
ALIYUN_VOICE: Tables = (aliyun_errors.VOICE_REFUSALS, aliyun_errors.UNCERTAIN)
TENCENT: Tables = (tencent_errors.REFUSALS, tencent_errors.UNCERTAIN)
LISTS: dict[str, tuple[Tables, documents.Codes]] = {
    "Alidayu": ((alidayu_errors.BUSINESS_ERRORS, NONE), documents.ALIDAYU),
    "the API gateway": ((alidayu_errors.GATEWAY_ERRORS, alidayu_errors.UNCERTAIN), documents.API_GATEWAY),
    "Aliyun SMS": (ALIYUN_SMS, documents.ALIYUN_SMS),
    "Aliyun SMS, other regions": (ALIYUN_SMS, documents.ALIYUN_SMS_ELSEWHERE),
    "Aliyun SMS, public": (ALIYUN_SMS, documents.ALIYUN_PUBLIC),
    "Aliyun Voice": (ALIYUN_VOICE, documents.ALIYUN_VOICE),
    "Aliyun Voice, public": (ALIYUN_VOICE, documents.ALIYUN_PUBLIC),
    "Tencent, common": (TENCENT, documents.TENCENT_COMMON),
    "Tencent SMS": (TENCENT, documents.TENCENT_SMS),
    "Twilio": ((twilio_errors.REFUSALS, twilio_errors.UNCERTAIN), documents.TWILIO),
}
CODES = [
    pytest.param(tables, code, category, id=f"{name}: {code}")
    for name, (tables, listed) in LISTS.items()
    for category, codes in listed.items()
    for code in codes
]
UNDOCUMENTED = {"isv.RAM_PERMISSION_DENY"}  # Users have seen it in place of isp.RAM_PERMISSION_DENY.


def rows() -> Iterator[Any]:
    for (refusals, doubts), _ in LISTS.values():
        yield from refusals.values()
        yield from doubts.values()


@pytest.mark.parametrize(("tables", "code", "category"), CODES)
def test_each_documented_code_has_its_category(tables: Tables, code: str, category: str) -> None:
    refusals, doubts = tables
    row = row_of(code, refusals)
    if category == "uncertain":
        assert row is None
        assert row_of(code, doubts) is not None
    else:
        assert row is not None
        assert row.category == category


def test_each_row_has_a_category_a_remedy_and_a_source() -> None:
    for row in rows():
        assert row.problem
        assert re.search(r"\b(its owner|the \w+(['’]s owner| at the form)?) must \w+|^wait", row.remedy), row
        assert re.match(r"https://\S+$|《.+》|tencentcloud-sdk-python-sms, ", row.source), row
        if isinstance(row, Refusal):
            assert row.category in get_args(RejectionCategory)
            assert not (row.category in {"number", "rate_limit"} and row.concerns), "such a row is of a phone"


@pytest.mark.parametrize("tables", [tables for tables, _ in LISTS.values()])
def test_each_row_is_of_a_documented_code(tables: Tables) -> None:
    """The tables have no invented codes, and each prefix matches a documented code."""
    known = {value for name, value in vars(errorcodes).items() if name.isupper() and isinstance(value, str)}
    known |= UNDOCUMENTED | {"Throttled"}
    for name, (_, listed) in LISTS.items():
        if tables[0] is LISTS[name][0][0] or "Aliyun" in name:
            known |= {code for codes in listed.values() for code in codes}
    for table in tables:
        assert set(table) <= {family_of(code, table) for code in known}


def test_the_tables_of_tencent_have_all_that_its_sdk_lists() -> None:
    known = {value for name, value in vars(errorcodes).items() if name.isupper() and isinstance(value, str)}
    assert len(known) > 80
    assert known <= set(tencent_errors.REFUSALS) | set(tencent_errors.UNCERTAIN)
    assert not set(tencent_errors.REFUSALS) & set(tencent_errors.UNCERTAIN)


@pytest.mark.parametrize(
    ("category", "reason"),
    [
        (category, code)
        for category, codes in documents.API_GATEWAY.items()
        for code in codes
        if category != "uncertain"
    ],
)
@pytest.mark.parametrize("place", ["errorCode", "errorMessage", "X-Ca-Error-Code", "x-ca-error-message"])
def test_the_api_gateways_reason_is_read_wherever_it_stands(category: str, reason: str, place: str) -> None:
    """The reason becomes the code, including spaces, without any text that is not documented."""
    if place.startswith("error"):
        error = read_receipt(HttpResponse(403, {}, f'{{"{place}": "{reason}"}}'))
    else:
        error = read_receipt(HttpResponse(403, {place.lower(): reason}, ""))
    assert error.category == category  # type: ignore[union-attr]
    assert error.gateway_code == reason.partition(",")[0]  # type: ignore[union-attr]


@pytest.mark.parametrize("rest", [" 13800138000 730452", ": abcdefgh", " abcdefgh"])
@pytest.mark.parametrize("place", ["errorMessage", "x-ca-error-message", "errorCode"])
def test_what_follows_a_reason_is_not_kept(place: str, rest: str) -> None:
    """That text may be a number, a code or a secret."""
    for reason in ("Invalid AppSecret", "Throttled by APP Flow Control"):
        said = reason + rest
        error = read_receipt(HttpResponse(400, {place: said}, f'{{"{place}": "{said}"}}'))
        assert error.gateway_code == reason  # type: ignore[union-attr]
        assert rest.strip() not in str(error)
