"""Numbers and codes in pasted form: pages, JSON calls and the service accept them, or explain the problem."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests
from served_apps import Framework, Served, serving
from support.form_visitor import FormVisitor

from otpkit import Policy

PASTED = [
    "\u202d{0} {1} {2}\u202c",
    "{0}\u00a0{1}\u00a0{2}",
    "+86\u00a0{0}\u2011{1}\u2011{2}",
    "\u2066+86{0}{1}{2}\u2069",
    "+86 (0){0} {1} {2}",
    "arabic",
    "persian",
]
SCRIPTS = {
    "arabic": str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩"),
    "persian": str.maketrans("0123456789", "۰۱۲۳۴۵۶۷۸۹"),
}
_numbers = iter(range(13_300_000_000, 13_400_000_000))


def pasted(phone: str, spelling: str) -> str:
    """Return a spelling of a phone."""
    national = phone.removeprefix("+86")
    if spelling in SCRIPTS:
        return national.translate(SCRIPTS[spelling])
    return spelling.format(national[:3], national[3:7], national[7:])


def pasted_code(code: str, spelling: str) -> str:
    if spelling in SCRIPTS:
        return code.translate(SCRIPTS[spelling])
    return f"\u202d{code[:3]}\u00a0{code[3:]}\u202c"


@pytest.fixture
def phone() -> str:
    return f"+86{next(_numbers)}"


@pytest.fixture(scope="module", params=["fastapi", "flask"])
def served(request: pytest.FixtureRequest) -> Iterator[Served]:
    framework: Framework = request.param
    with serving(framework, policy=Policy(regions={"CN", "US"})) as served:
        yield served


@pytest.fixture(scope="module")
def api() -> Iterator[Served]:
    with serving("fastapi", policy=Policy(regions={"CN", "HK"})) as served:
        yield served


@pytest.fixture
def visitor(served: Served) -> Iterator[FormVisitor]:
    visitor = FormVisitor(f"{served.url}/signup")
    with visitor.session:
        visitor.look()
        yield visitor


@pytest.mark.parametrize("spelling", PASTED, ids=ascii)
def test_pages_read_what_is_pasted(served: Served, visitor: FormVisitor, phone: str, spelling: str) -> None:
    assert visitor.post("send", phone=pasted(phone, spelling), region="CN").status_code == 200
    assert visitor.post("verify", code=pasted_code(served.code(phone), spelling)).url == f"{served.url}/account"


@pytest.mark.parametrize(
    "number", ["+1 201 555 0123", "\u202d+1\u00a0(201)\u00a0555\u20110123\u202c", "００1 2015550123"]
)
def test_a_number_with_its_country_code_wins_over_the_selector(
    served: Served, visitor: FormVisitor, number: str
) -> None:
    before = len(served.outbox)
    answer = visitor.post("send", phone=number, region="CN")
    assert answer.status_code == 200 or "Too many requests" in answer.text
    assert {message.phone for message in served.outbox[before:]} <= {"+12015550123"}
    assert any(message.phone == "+12015550123" for message in served.outbox)


def test_a_number_of_a_country_that_is_not_served_is_told(visitor: FormVisitor) -> None:
    answer = visitor.post("send", phone="+44 (0)7400 123456", region="CN")
    assert answer.status_code == 422
    assert "Please enter one that begins with +1 or +86." in answer.text
    chinese = visitor.send(visitor.form("send", phone="+44 7400 123456"), Accept_Language="zh")
    assert "请输入以 +1 或 +86 开头的号码。" in chinese.text


def post(served: Served, session: requests.Session, path: str, **body: Any) -> requests.Response:
    return session.post(f"{served.url}/api/signup{path}", json=body, timeout=20)


@pytest.mark.parametrize("spelling", PASTED, ids=ascii)
def test_json_calls_read_what_is_pasted(api: Served, phone: str, spelling: str) -> None:
    with requests.Session() as session:
        text = pasted(phone, spelling)
        assert post(api, session, "/challenges", phone=text).status_code == 202
        assert post(api, session, "/challenges/status", phone=text).json()["attempts_left"] == 5
        code = pasted_code(api.code(phone), spelling)
        assert post(api, session, "/verifications", phone=text, code=code).json()["phone"] == phone


def test_json_calls_take_a_region(api: Served) -> None:
    number, phone = "5123 4567", "+85251234567"
    with requests.Session() as session:
        assert post(api, session, "/challenges", phone=number).json()["code"] == "phone"
        assert post(api, session, "/challenges", phone=number, region="US").json()["code"] == "region"
        assert post(api, session, "/challenges", phone=number, region=852).json()["code"] == "malformed_request"
        assert post(api, session, "/challenges", phone=number, region="HK").status_code == 202
        assert post(api, session, "/challenges/status", phone=number, region="HK").json()["attempts_left"] == 5
        proof = post(api, session, "/verifications", phone=number, region="HK", code=api.code(phone))
        assert proof.json()["phone"] == phone
