"""One proof creates one account for any idempotency key of the visitor, in every framework, over a socket."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from typing import Any

import pytest
import requests
from replay_apps import FORMS, PATHS, replaying
from served_apps import Framework
from support.callers import loaded
from support.form_visitor import FormVisitor
from support.proxy import Fault, Proxy

from otpkit import Policy
from otpkit.testing import Outbox

FRAMEWORKS: list[Framework] = ["fastapi", "flask"]
POLICY = Policy(sends="32/day")
_numbers = count(15900000000)


@dataclass
class Visitor:
    """A visitor whose session has a proof."""

    url: str
    outbox: Outbox
    session: requests.Session

    def verify(self) -> str:
        """Go through the two forms."""
        phone = f"+86{next(_numbers)}"
        forms = FormVisitor(f"{self.url}/signup", self.session)
        forms.look()
        forms.post("send", phone=phone)
        forms.send(forms.form("verify", code=self.outbox[-1].code), follow=False)
        return phone

    def post(self, path: str, key: str | None = "fixed", **content: Any) -> requests.Response:
        headers = {} if key is None else {"Idempotency-Key": key}
        return self.session.post(f"{self.url}{path}", headers=headers, timeout=20, **content)


@pytest.fixture(scope="module", params=FRAMEWORKS)
def served(request: pytest.FixtureRequest) -> Iterator[tuple[str, Outbox]]:
    with replaying(request.param, policy=POLICY) as served:
        yield served


@pytest.fixture
def visitor(served: tuple[str, Outbox]) -> Iterator[Visitor]:
    with requests.Session() as session:
        yield Visitor(*served, session)


def content(path: str, name: str) -> dict[str, Any]:
    """Return the request body for a path: a form, JSON, a file, or nothing."""
    if path in FORMS:
        return {"data": {"name": name, "csrf_token": "first"}}
    return {"/json": {"json": {"name": name}}, "/upload": {"files": {"file": ("name", name)}}}.get(path, {})


@pytest.mark.parametrize("path", PATHS)
def test_the_same_request_again_is_replayed(visitor: Visitor, path: str) -> None:
    """The endpoint runs again, reads the same body, and learns from `replayed` that an account exists."""
    phone = visitor.verify()
    answers = [visitor.post(path, **content(path, "Ada")).json() for _ in range(3)]
    assert [answer.pop("replayed") for answer in answers] == [False, True, True]
    assert answers == [answers[0]] * 3
    assert answers[0]["phone"] == phone
    assert path == "/nothing" or "Ada" in answers[0]["read"]


@pytest.mark.parametrize("path", [path for path in PATHS if path != "/nothing"])
def test_another_request_under_the_same_key_is_used(visitor: Visitor, path: str) -> None:
    """The fields, the path, the query or the key differ. The first request is still a replay afterwards."""
    visitor.verify()
    assert visitor.post(path, **content(path, "Ada")).json()["replayed"] is False
    others = [
        visitor.post(path, **content(path, "Eve")),
        visitor.post(f"{path}?more", **content(path, "Ada")),
        visitor.post("/nothing", **content(path, "Ada")),
        visitor.post(path, key="another", **content(path, "Ada")),
        visitor.post(path, key=None, **content(path, "Ada")),
    ]
    assert [(other.status_code, other.json()["code"]) for other in others] == [(401, "used_token")] * 5
    assert visitor.post(path, **content(path, "Ada")).json()["replayed"] is True


@pytest.mark.parametrize("field", ["csrf", "csrf_token", "csrfmiddlewaretoken"])
@pytest.mark.parametrize("path", ["/declared", "/read"])
def test_a_form_with_a_fresh_csrf_token_is_the_same(visitor: Visitor, path: str, field: str) -> None:
    """The order of its fields may differ, and it may be multipart."""
    visitor.verify()
    forms = [
        [("name", "Ada"), ("more", "1"), (field, "first")],
        [("more", "1"), (field, "second"), ("name", "Ada")],
        [("name", "Ada"), ("more", "1")],
    ]
    replayed = [visitor.post(path, data=form).json()["replayed"] for form in forms]
    multipart = {name: (None, value) for name, value in forms[0]}
    replayed.append(visitor.post(path, files=multipart).json()["replayed"])
    assert replayed == [False, True, True, True]
    for other in (forms[0] + [("name", "Eve")], [*forms[2], ("token", "x")], [("name", "Ada"), ("more", "")]):
        assert visitor.post(path, data=other).status_code == 401


def test_twenty_requests_at_once_are_new_once(visitor: Visitor) -> None:
    """Any of them may arrive first."""
    visitor.verify()
    cookies = visitor.session.cookies.get_dict()

    def post(_: int) -> bool:
        answer = requests.post(
            f"{visitor.url}/read",
            {"name": "Ada"},
            headers={"Idempotency-Key": "fixed"},
            cookies=cookies,
            timeout=20,
        )
        return bool(answer.json()["replayed"])

    with ThreadPoolExecutor(20) as pool:
        assert Counter(pool.map(post, range(20))) == {False: 1, True: 19}


def test_verified_phone_refuses_replays() -> None:
    """With `verified_phone(replay=True)` they are accepted. Other applications never create a second account."""
    with replaying("fastapi", policy=POLICY) as (url, outbox), requests.Session() as session:
        visitor = Visitor(url, outbox, session)
        visitor.verify()
        answers = [visitor.post("/once", data={"name": name}) for name in ["Ada"] * 10 + ["Eve"] * 10]
        assert [answer.status_code for answer in answers] == [200] + [401] * 19
        assert {answer.json()["code"] for answer in answers[1:]} == {"used_token"}


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_lost_reply_locks_no_visitor_out(framework: Framework, valkey_url: str, namespace: str) -> None:
    """The store's lost reply is retried, which is not a replay. If the store stays away, the next number works."""
    path = "/once" if framework == "fastapi" else "/nothing"
    with (
        loaded(valkey_url, POLICY) as names,
        Proxy(valkey_url, names) as proxy,
        replaying(framework, proxy.url, policy=POLICY, namespace=namespace) as (url, outbox),
        requests.Session() as session,
    ):
        visitor = Visitor(url, outbox, session)
        for action in ("drop", "cut"):
            phone = visitor.verify()
            proxy.expect("redeem", Fault(action))  # type: ignore[arg-type]
            answer = visitor.post(path)
            assert (answer.status_code, answer.json()) == (200, {"phone": phone, "replayed": False, "read": ""})
        visitor.verify()
        proxy.expect("redeem", *[Fault("drop")] * 100)
        assert visitor.post(path).status_code == 503
        proxy.forget()
        again = visitor.post(path)
        assert again.status_code == 401 if framework == "fastapi" else again.json()["replayed"] is True
        phone = visitor.verify()
        assert visitor.post(path).json()["phone"] == phone
