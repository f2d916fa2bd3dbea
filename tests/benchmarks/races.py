"""The outcomes of concurrent calls, from threads and from processes."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from typing import Any, Protocol, Self

import redis

from otpkit import OTP, ExpiredCodeError, OTPError, RateLimitError, WrongCodeError
from tests.benchmarks import handwritten
from tests.benchmarks.measure import at_once, spread
from tests.benchmarks.sizes import Sizes
from tests.benchmarks.subjects import POLICY, SECRET, TEMPLATE, Codes, new_phone, tcp_server
from tests.benchmarks.table import Row

PROCESSES = 8
MOST_THREADS = 50  # A pool of redis-py has 100 connections.
Call = tuple[str, ...]  # ("issue", phone) or ("verify", phone, code).


class Subject(Protocol):
    """An implementation that issues and verifies. Its outcomes are single words."""

    codes: Codes

    def issue(self, phone: str) -> str: ...

    def verify(self, phone: str, code: str) -> str: ...


class Ours:
    """otpkit."""

    def __init__(self, url: str) -> None:
        self.codes = Codes()
        self.otp = OTP(redis.Redis.from_url(url), self.codes, TEMPLATE, SECRET, policy=POLICY)

    def issue(self, phone: str) -> str:
        try:
            self.otp.issue(phone)
        except RateLimitError:
            return "refused"
        return "sent"

    def verify(self, phone: str, code: str) -> str:
        try:
            self.otp.verify(phone, code)
        except WrongCodeError:
            return "compared"
        except (RateLimitError, ExpiredCodeError):
            return "refused"
        except OTPError as error:
            return error.code
        return "accepted"


class Handwritten:
    """The hand-written version."""

    def __init__(self, url: str) -> None:
        self.codes = Codes()
        self.client = redis.Redis.from_url(url)

    def issue(self, phone: str) -> str:
        try:
            handwritten.issue(self.client, phone, self.codes.__setitem__)
        except handwritten.TooMany:
            return "refused"
        return "sent"

    def verify(self, phone: str, code: str) -> str:
        try:
            return "accepted" if handwritten.verify(self.client, phone, code) else "compared"
        except handwritten.TooMany:
            return "refused"


@dataclass(frozen=True, slots=True)
class Race:
    """Concurrent calls for one phone, the outcome that is counted, and the number that it should have."""

    figure: str
    calls: Callable[[str, str], Sequence[Call]]  # It takes a phone and its code, which is "" if none was issued.
    counted: str
    wanted: int
    issued: bool = True


def _wrong(code: str, number: int) -> str:
    return f"{(int(code) + number + 1) % 10**6:06d}"


def _three_beside_one(phone: str, code: str) -> list[Call]:
    wrong: list[Call] = [("verify", phone, _wrong(code, number)) for number in range(3)]
    return [*wrong[:2], ("verify", phone, code), *wrong[2:]]


RACES = (
    Race("32 right at once: accepted", lambda phone, code: [("verify", phone, code)] * 32, "accepted", 1),
    Race(
        "200 wrong at once: compared",
        lambda phone, code: [("verify", phone, _wrong(code, number)) for number in range(200)],
        "compared",
        5,
    ),
    Race("50 issues at once: messages", lambda phone, _: [("issue", phone)] * 50, "sent", 1, issued=False),
    Race("3 wrong beside 1 right: right accepted", _three_beside_one, "accepted", 1),
)


def races(server: str, sizes: Sizes) -> Iterator[Row]:
    """Run the four races for both implementations, from threads and from processes."""
    with tcp_server(server) as url:
        for kind in (Ours, Handwritten):
            with _Workers(kind, url) as workers:
                subject = kind(url)
                for race in RACES:
                    for how, perform in (
                        ("threads", _over_threads(subject)),
                        (f"{PROCESSES} processes", workers.perform),
                    ):
                        yield _row(race, how, [_count(race, subject, perform) for _ in range(sizes.races)], kind)


def _row(race: Race, how: str, found: list[int], kind: type) -> Row:
    ours = kind is Ours
    name = "" if ours else "hand-written: "
    verdict = set(found) == {race.wanted} if ours else None
    return Row(f"{name}{race.figure}, {how}", spread(found), str(race.wanted), verdict)


def _count(race: Race, subject: Subject, perform: Callable[[Sequence[Call]], list[str]]) -> int:
    phone, code = new_phone(), ""
    if race.issued:
        assert subject.issue(phone) == "sent"
        code = subject.codes[phone]
    return perform(race.calls(phone, code)).count(race.counted)


def _over_threads(subject: Subject) -> Callable[[Sequence[Call]], list[str]]:
    def perform(calls: Sequence[Call]) -> list[str]:
        outcomes: list[str] = []
        shares = [calls[number::MOST_THREADS] for number in range(min(MOST_THREADS, len(calls)))]
        at_once([partial(_perform, subject, share, outcomes) for share in shares])
        return outcomes

    return perform


def _perform(subject: Subject, calls: Sequence[Call], outcomes: list[str]) -> None:
    for name, *arguments in calls:
        outcomes.append(getattr(subject, name)(*arguments))


class _Workers:
    """Processes that each have their own implementation and start at the same moment."""

    def __init__(self, kind: Callable[[str], Subject], url: str) -> None:
        context = multiprocessing.get_context("fork")  # This is quick, and no thread runs here.
        # Keep a reference: otherwise it would be freed before the processes have it.
        self.gate = context.Barrier(PROCESSES)
        self.pipes: list[Connection[Any, Any]] = []
        self.processes = []
        for _ in range(PROCESSES):
            ours, theirs = context.Pipe()
            process = context.Process(target=_work, args=(kind, url, self.gate, theirs), daemon=True)
            process.start()
            self.pipes.append(ours)
            self.processes.append(process)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        for pipe in self.pipes:
            pipe.send(None)
        for process in self.processes:
            process.join()

    def perform(self, calls: Sequence[Call]) -> list[str]:
        """Return the outcomes of `calls`, which are distributed over the processes."""
        for number, pipe in enumerate(self.pipes):
            pipe.send(list(calls[number::PROCESSES]))
        return [outcome for pipe in self.pipes for outcome in pipe.recv()]


def _work(kind: Callable[[str], Subject], url: str, gate: Any, pipe: Connection[Any, Any]) -> None:
    subject = kind(url)
    perform = _over_threads(subject)
    perform([("verify", "+8619900000000", "000000")])  # This connects.
    while (calls := pipe.recv()) is not None:
        gate.wait()
        pipe.send(perform(calls) if calls else [])
