"""examples/payment.py, unchanged, over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest
import requests
from example_process import Example, example, other_than

IBAN = "DE89370400440532013000"
OTHER = "GB33BUKB20201555555555"
ADA, GRACE = ("ada", "lovelace"), ("grace", "hopper")
ADAS_PHONE = "13800138000"


@pytest.fixture
def app() -> Iterator[Example]:
    with example("payment.py") as app:
        yield app


class Payment:
    """A person's payment."""

    def __init__(self, app: Example, who: tuple[str, str] = ADA, number: str = "") -> None:
        self.app, self.who, self.number = app, who, number or str(uuid4())
        self.url = f"{app.url}/payments/{self.number}"

    def enter(self, amount: Any = "100.00", payee: Any = IBAN, **more: Any) -> requests.Response:
        return requests.put(self.url, json={"amount": amount, "payee": payee, **more}, auth=self.who, timeout=10)

    def confirm(self, code: Any, who: tuple[str, str] | None = None) -> requests.Response:
        return requests.post(f"{self.url}/confirmation", json={"code": code}, auth=who or self.who, timeout=10)


def test_the_message_names_amount_and_payee_and_its_code_books_them(app: Example) -> None:
    payment = Payment(app)
    assert payment.enter().json()["delivery"] == "accepted"
    (message,) = app.messages(ADAS_PHONE)
    assert f"向{IBAN}付款100.00欧元" in message["text"]
    assert len(message["code"]) == 8
    wrong = payment.confirm(other_than(message["code"]))
    assert (wrong.status_code, wrong.json()["attempts_left"]) == (422, 4)
    booked = payment.confirm(message["code"])
    assert booked.json() == {"amount": "100.00", "payee": IBAN, "booked": True}
    assert payment.enter(amount="900.00").status_code == 409


@pytest.mark.parametrize("change", [{"amount": "900.00"}, {"amount": "100.01"}, {"payee": OTHER}])
def test_a_change_of_amount_or_payee_makes_the_code_worthless(app: Example, change: dict[str, str]) -> None:
    payment = Payment(app)
    payment.enter()
    code = app.code(ADAS_PHONE)
    changed = payment.enter(**change)
    assert changed.status_code == 429  # A minute has not passed, so no code is sent, but the payment is changed.
    assert payment.confirm(code).json()["code"] == "expired_code"
    assert payment.enter().status_code == 429  # The payment is again the one that the code was sent for.
    assert payment.confirm(code).json()["booked"] is True


def test_a_code_of_one_payment_confirms_no_other(app: Example) -> None:
    first, second = Payment(app), Payment(app)
    first.enter()
    second.enter()
    code = app.code(ADAS_PHONE)
    assert second.confirm(code).json()["code"] == "expired_code"
    assert first.confirm(code).status_code == 200


def test_a_code_confirms_nothing_of_another_persons(app: Example) -> None:
    payment = Payment(app)
    payment.enter()
    code = app.code(ADAS_PHONE)
    assert payment.confirm(code, GRACE).status_code == 404
    Payment(app, GRACE, payment.number).enter()
    assert payment.confirm(code, GRACE).json()["code"] == "wrong_code"  # It is wrong for her own code.
    assert payment.confirm(code, ("ada", "byron")).status_code == 401
    assert payment.confirm(code, ("eve", "")).status_code == 401
    assert payment.confirm(code).status_code == 200


def test_a_confirmation_that_comes_many_times_is_answered_alike(app: Example) -> None:
    payment = Payment(app)
    payment.enter()
    code = app.code(ADAS_PHONE)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(payment.confirm, [code] * 8))
    assert {answer.status_code for answer in answers} == {200}
    assert all(answer.json()["booked"] for answer in answers)
    assert payment.confirm(code).status_code == 200


def test_whatever_comes_in_between_books_what_was_confirmed_or_nothing(app: Example) -> None:
    payment = Payment(app)
    payment.enter()
    code = app.code(ADAS_PHONE)
    with ThreadPoolExecutor(8) as pool:
        changes = [pool.submit(payment.enter, amount="900.00") for _ in range(4)]
        answers = [pool.submit(payment.confirm, code) for _ in range(8)]
        changes += [pool.submit(payment.enter, amount="900.00") for _ in range(4)]
        booked = [answer.result().json() for answer in answers]
    assert all(each["amount"] == "100.00" for each in booked if "booked" in each)
    assert {change.result().status_code for change in changes} <= {409, 429}


@pytest.mark.parametrize(
    "order",
    [
        *({"amount": amount} for amount in (0, "-1", "NaN", "Infinity", "0.001", "1e400", None, ["1"])),
        *({"payee": payee} for payee in ("", f"{IBAN}\n", f"{IBAN}:1", "de89370400440532013000", None)),
    ],
)
def test_what_is_no_order_is_refused(payments: Example, order: dict[str, Any]) -> None:
    assert Payment(payments).enter(**order).status_code == 422
    assert payments.messages(ADAS_PHONE) == []


@pytest.mark.parametrize("code", [None, 12345678, ["1"], "", "１２３４５６７８", "1" * 1_000_000])
def test_what_is_no_code_is_refused(payments: Example, code: Any) -> None:
    payment = Payment(payments, ("alan", "turing"))
    payment.enter()
    assert payment.confirm(code).status_code == 422


@pytest.fixture(scope="module")
def payments() -> Iterator[Example]:
    with example("payment.py") as app:
        yield app


def test_the_documentation_is_at_the_root(payments: Example) -> None:
    assert requests.get(payments.url, timeout=10).status_code == 200
