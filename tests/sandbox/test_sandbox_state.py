"""The rules of the sandbox, without a server."""

from __future__ import annotations

import threading
from datetime import date

import pytest
from sandbox_client import NOON, Clock

from otpkit.errors import ConfigurationError
from otpkit.sandbox import Fault, Sandbox
from otpkit.sandbox.faults import magic_fault, magic_table
from otpkit.sandbox.messages import Sms
from otpkit.sandbox.phones import subscriber


def sms(*phones: str, extend: str = "") -> Sms:
    return Sms(phones, "SMS_1", "阿里大鱼", {"code": "123456"}, "【阿里大鱼】123456", extend)


def send(sandbox: Sandbox, *phones: str, extend: str = "") -> None:
    sandbox.record(sms(*phones, extend=extend), sandbox.new_biz_id())


def test_only_the_newest_messages_are_kept(clock: Clock) -> None:
    sandbox = Sandbox(clock=clock, max_messages=3)
    for n in range(5):
        send(sandbox, f"1380013800{n % 2}", extend=str(n))
    assert [message.extend for message in sandbox.messages()] == ["4", "3", "2"]
    assert [message.extend for message in sandbox.messages("13800138000")] == ["4", "2"]
    assert [message.extend for message in sandbox.messages("13800138001")] == ["3"]


def test_a_phone_whose_messages_are_all_gone_takes_no_memory(clock: Clock) -> None:
    sandbox = Sandbox(clock=clock, max_messages=2)
    for n in range(10):
        send(sandbox, f"1380013800{n}")
    assert len(sandbox._mailbox._by_phone) == 2


def test_counts_are_kept_of_the_newest_phones(clock: Clock) -> None:
    sandbox = Sandbox(clock=clock, max_messages=2)
    for n in range(5):
        sandbox.count("sendSms", [f"1380013800{n}"])
    assert sandbox.stats()["sendSms"] == {"total": 5, "by_phone": {"13800138003": 1, "13800138004": 1}}


def test_a_receipt_may_come_at_once(clock: Clock) -> None:
    sandbox = Sandbox(clock=clock, receipt_after=0)
    send(sandbox, "13800138000")
    assert sandbox.messages()[0].status(sandbox.now()) == "delivered"


def test_messages_are_found_by_day_and_id(clock: Clock) -> None:
    sandbox = Sandbox(clock=clock)
    sandbox.record(sms("13800138000", extend="a"), "1^1")
    sandbox.record(sms("13800138000", extend="b"), "2^2")
    clock.now += 86_400
    sandbox.record(sms("13800138000", extend="c"), "3^3")
    found = sandbox.sent_on("13800138000", date(2027, 1, 15))
    assert [message.extend for message in found] == ["b", "a"]
    assert [message.extend for message in sandbox.sent_on("13800138000", date(2027, 1, 15), "1^1")] == ["a"]


def test_a_reset_forgets_all_but_never_uses_an_id_again(clock: Clock) -> None:
    sandbox = Sandbox(clock=clock)
    before = sandbox.new_biz_id()
    send(sandbox, "13800138000")
    sandbox.add_fault(Fault("drop"))
    sandbox.count("sendSms", ["13800138000"])
    sandbox.reset()
    assert (sandbox.messages(), sandbox.faults()) == ([], [])
    assert sandbox.stats()["sendSms"] == {"total": 0, "by_phone": {}}
    assert sandbox.new_biz_id() != before


def test_parallel_sends_lose_nothing_and_mix_nothing_up() -> None:
    sandbox = Sandbox(max_messages=1000)
    sandbox.add_fault(Fault("reject", times=50))
    taken: list[Fault] = []
    ids: list[str] = []

    def work(worker: int) -> None:
        phone = f"1380013800{worker}"
        for _ in range(100):
            sandbox.count("sendSms", [phone])
            fault = sandbox.take_fault("sendSms", (phone,))
            taken.extend([fault] if fault else [])
            ids.append(sandbox.new_biz_id())
            send(sandbox, phone)
            sandbox.messages(phone)

    workers = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()

    kept = [message.id for message in sandbox.messages()]
    assert kept == sorted(kept, reverse=True)
    assert len(set(kept)) == 800
    assert len(taken) == 50
    assert len(set(ids)) == 800
    assert sandbox.stats()["sendSms"]["total"] == 800
    assert set(sandbox.stats()["sendSms"]["by_phone"].values()) == {100}
    assert all(len(sandbox.messages(f"1380013800{n}")) == 100 for n in range(8))


def test_parallel_sends_never_keep_too_many() -> None:
    sandbox = Sandbox(max_messages=10)
    workers = [
        threading.Thread(target=lambda n=n: [send(sandbox, f"1380013800{n}") for _ in range(200)]) for n in range(8)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(sandbox.messages()) == 10
    assert sum(len(sandbox.messages(f"1380013800{n}")) for n in range(8)) == 10


def test_no_more_faults_are_queued_than_anyone_could_mean() -> None:
    sandbox = Sandbox()
    for _ in range(1000):
        sandbox.add_fault(Fault("drop"))
    with pytest.raises(ConfigurationError, match="queued already"):
        sandbox.add_fault(Fault("drop"))


def test_a_fault_knows_whether_its_message_counts_as_sent() -> None:
    assert Fault("drop").sent is True
    assert Fault("drop", sent=False).sent is False
    assert Fault("http_500").sent is False
    assert Fault("http_500", sent=True).sent is True


@pytest.mark.parametrize(
    ("phone", "fault"),
    [
        ("13900050001", Fault("reject", code="50001")),
        ("13900070003", Fault("reject", code="70003")),
        ("13900099998", Fault("reject", code="99998")),
        ("13900100107", Fault("late", delay=7)),
        ("13900100041", Fault("drop")),
        ("13900100040", Fault("drop", sent=False)),
        ("13900009999", None),
        ("13800138000", None),
        ("13900250001", None),
    ],
)
def test_a_magic_number_is_read_by_its_digits(phone: str, fault: Fault | None) -> None:
    assert magic_fault("sendSms", phone) == fault


def test_every_number_of_the_table_is_a_phone_number_with_a_fault() -> None:
    numbers = [number for number, _ in magic_table()]
    assert len(numbers) == 19
    for number in numbers:
        assert magic_fault("SingleCallByTts", number.replace("CCCCC", "50001").replace("SS", "07")) is not None


@pytest.mark.parametrize(
    "phone",
    [
        "",
        "1380013800",
        "138001380000",
        "23800138000",
        "１３８００１３８０００",
        "+85213800138000",
        "138x0013800",
    ],
)
def test_what_is_no_phone_number_is_refused(phone: str) -> None:
    with pytest.raises(ConfigurationError, match="is not a phone number"):
        subscriber(phone)


@pytest.mark.parametrize("options", [{"receipt_after": -1}, {"receipt_after": float("nan")}, {"max_messages": 0}])
def test_a_sandbox_that_makes_no_sense_is_refused(options: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError):
        Sandbox(**options)


def test_the_clock_is_the_systems_unless_another_is_given(clock: Clock) -> None:
    assert Sandbox(clock=clock).now() == NOON
    assert Sandbox().now() > NOON - 10 * 365 * 86_400
