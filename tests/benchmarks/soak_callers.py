"""The callers of the soak: threads of several processes that make random calls, and record the outcomes.

With tasks, each thread stands for a task of one `AsyncOTP`.
"""

from __future__ import annotations

import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import CancelledError, ThreadPoolExecutor, wait
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from otpkit import (
    OTP,
    GatewayRejectedError,
    OTPError,
    Policy,
    Proof,
    StoreUnavailableError,
    UsedTokenError,
    WrongCodeError,
)
from otpkit.core.crypto import decode_id
from otpkit.errors import RateLimitError
from otpkit.gateways import Message
from tests.benchmarks.filling import Filler
from tests.benchmarks.soak_journal import (
    PURPOSES,
    SECRET,
    TEMPLATES,
    Board,
    Journal,
    Kind,
    Record,
    number_of,
    phone_of,
)
from tests.benchmarks.soak_tasks import Tasks

THREADS = 4  # Callers of a process.
HOT, HOT_S = 600, 20.0  # The number of phones that most calls use, and the seconds until the next set.
HOT_SHARE = 0.8
began: ContextVar[float] = ContextVar("began")
"""The time in epoch seconds when the current call was made, of the thread or of its task."""
REJECTED, UNCERTAIN = 0.05, 0.03  # Shares of the messages.


class Callers:
    """The callers of one process."""

    def __init__(self, url: str, policy: Policy, board: Board, journal: Path, tasks: int = 0) -> None:
        self.board = board
        self.url = url
        self.journal = Journal(journal)
        library: Any = Tasks if tasks else OTP
        self.otp = library(url, self._deliver, TEMPLATES, SECRET, policy=policy)
        self.threads = tasks or THREADS
        self.twins = ThreadPoolExecutor(self.threads)
        self.tally: Counter[str] = Counter()
        self.surprises: list[str] = []
        self.slowest_s = {"issue": 0.0, "other": 0.0, "loop": 0.0}
        self._lock = threading.Lock()
        self._moves: list[tuple[Callable[[int, int], None], int]] = [
            *((self._issue, 36), (self._issue_twice, 4), (self._verify, 26), (self._verify_twice, 10)),
            *((self._guess, 18), (self._status, 4), (self._revoke, 2)),
            *([(self._echo, 6)] if tasks else []),
        ]

    def fill(self, numbers: range) -> None:
        """Send every phone of `numbers` its first code, quickly."""
        for phone, code, began, ended in Filler(self.otp, self.url).fill(map(phone_of, numbers)):
            self.board.fill(number_of(phone), int(code), began, ended)

    def call_until(self, deadline: float) -> None:
        """Call from all threads until this time in epoch seconds."""
        threads = [threading.Thread(target=self._loop, args=(deadline,)) for _ in range(self.threads)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.twins.shutdown()
        self.journal.close()
        if isinstance(self.otp, Tasks):
            print(f"a wire broke {self.otp.breaks} times", file=sys.stderr)
            self.slowest_s["loop"] = self.otp.late_s
            if self.otp.connections > 1:
                self.surprises.append(f"{self.otp.connections} connections of one process")

    def _loop(self, deadline: float) -> None:
        moves, weights = zip(*self._moves, strict=True)
        while time.time() < deadline:
            move = random.choices(moves, weights)[0]
            move(self._choose(), random.randrange(len(PURPOSES)))

    def _choose(self) -> int:
        phones = self.board.phones
        if random.random() < HOT_SHARE:
            return (int(time.time() / HOT_S) * HOT + random.randrange(HOT)) % phones
        return random.randrange(phones)  # The first code of these phones comes late, some time after the filling.

    def _deliver(self, message: Message) -> None:
        phone, purpose, luck = number_of(message.phone), int(message.template.code[4:]), random.random()
        if luck < REJECTED:
            raise GatewayRejectedError("not today", category=random.choice(["number", "request", "rate_limit"]))
        code = int(message.code)
        self._write(Kind.MESSAGE, purpose, phone, time.time(), code, decode_id(message.send_id))
        self.board.put(phone, purpose, code)
        if luck < REJECTED + UNCERTAIN:
            raise TimeoutError

    def _issue(self, phone: int, purpose: int) -> None:
        self._call("issue", purpose, phone, lambda: self.otp.issue(phone_of(phone), PURPOSES[purpose]))

    def _issue_twice(self, phone: int, purpose: int) -> None:
        key = random.randbytes(8).hex()

        def issue() -> object:
            return self.otp.issue(phone_of(phone), PURPOSES[purpose], idempotency_key=key)

        self._at_once(lambda: self._call("issue, twice", purpose, phone, issue))

    def _verify(self, phone: int, purpose: int, call: str = "verify") -> None:
        code = self.board.code(phone, purpose)
        if code is None:
            return
        proof = self._call(
            call, purpose, phone, lambda: self.otp.verify(phone_of(phone), f"{code:010d}", PURPOSES[purpose])
        )
        if isinstance(proof, Proof):
            self._write(Kind.PROOF, purpose, phone, proof.verified_at.timestamp(), code, decode_id(proof.id))
            if random.random() < 0.8:
                self._redeem(proof, purpose, phone)

    def _verify_twice(self, phone: int, purpose: int) -> None:
        self._at_once(lambda: self._verify(phone, purpose, "verify, twice"))

    def _guess(self, phone: int, purpose: int) -> None:
        code = f"{random.randrange(10**10):010d}"
        call = lambda: self.otp.verify(phone_of(phone), code, PURPOSES[purpose])  # noqa: E731
        if isinstance(self._call("wrong", purpose, phone, call), Proof):
            self.surprises.append("a guess of ten digits was accepted")

    def _echo(self, phone: int, purpose: int) -> None:
        if self._call("echo", purpose, phone, self.otp.asks_for_another) is True:
            self.surprises.append("a reply of another call")

    def _redeem(self, proof: Proof, purpose: int, phone: int) -> None:
        def redeem() -> object:
            found = self.otp.redeem(proof.token, PURPOSES[purpose], phone=proof.phone)
            self._write(Kind.REDEEMED, purpose, phone, time.time(), 0, decode_id(found.id))
            return found

        if random.random() < 0.3:
            self._at_once(lambda: self._call("redeem, twice", purpose, phone, redeem))
        elif isinstance(self._call("redeem", purpose, phone, redeem), UsedTokenError):
            self._write(Kind.LOST, purpose, phone, time.time(), 0, decode_id(proof.id))

    def _status(self, phone: int, purpose: int) -> None:
        self._call("status", purpose, phone, lambda: self.otp.status(phone_of(phone), PURPOSES[purpose]))

    def _revoke(self, phone: int, purpose: int) -> None:
        self._call("revoke", purpose, phone, lambda: self.otp.revoke(phone_of(phone), PURPOSES[purpose]))

    def _at_once(self, call: Callable[[], object]) -> None:
        wait([self.twins.submit(call) for _ in range(2)])

    def _call(self, name: str, purpose: int, phone: int, call: Callable[[], Any]) -> Any:
        began.set(time.time())
        started = time.perf_counter()
        try:
            answer: Any = call()
            outcome = "ok"
        except OTPError as error:
            answer, outcome = error, type(error).__name__
        except CancelledError as error:
            answer, outcome = error, "cancelled"
        except Exception as error:
            answer, outcome = error, "surprise"
        took = time.perf_counter() - started
        if isinstance(answer, WrongCodeError):
            self._write(Kind.WRONG, purpose, phone, time.time(), 0, b"")
        if isinstance(answer, StoreUnavailableError):
            self._write(Kind.UNAVAILABLE, purpose, phone, time.time(), 0, b"")
        if name.startswith("issue") and _may_have_reserved(answer):
            self._write(Kind.UNSENT, purpose, phone, time.time(), 0, b"")
        with self._lock:
            self.tally[f"{name}: {outcome}"] += 1
            kind = "issue" if name.startswith("issue") else "other"
            self.slowest_s[kind] = max(self.slowest_s[kind], took)
            if outcome in {"surprise", "ConfigurationError"}:
                self.surprises.append(f"{name}: {answer!r}")
        return answer

    def _write(self, kind: Kind, purpose: int, phone: int, at: float, code: int, id_: bytes) -> None:
        self.journal.write(Record(kind, purpose, phone, began.get(), at, code, id_))


def _may_have_reserved(answer: object) -> bool:
    if isinstance(answer, RateLimitError):
        return answer.scope == "gateway"
    return isinstance(answer, (StoreUnavailableError, GatewayRejectedError, CancelledError))
