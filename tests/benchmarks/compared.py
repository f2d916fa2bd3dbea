"""The process that `compare` runs in each tree. It prepares calls as users make them, and runs them on request.

Of the project it imports only names that every version has.
"""

import asyncio
import itertools
import sys
from collections.abc import Callable, Iterator
from typing import Any

import redis

from otpkit import OTP, AsyncOTP, Policy, Template, WrongCodeError

SECRET = "a secret of the comparison, 32 bytes or more"
TEMPLATE = Template("SMS_585014", "阿里大鱼", {"code": "{code}"})
Run = Callable[[], Any]


class Kinds:
    """The kinds of calls. Each takes a number of calls, prepares them, and returns a function that runs them."""

    def __init__(self, url: str, cluster_url: str) -> None:
        self._codes: dict[str, str] = {}
        self._numbers = itertools.count(0)
        policy = Policy(ttl=600, max_age=600, sends="32/day", failures="64/day", attempts=10, ip_sends="1000000/hour")
        fixed: dict[str, Any] = {"policy": policy, "namespace": f"compared{_share()}"}
        self._otp = OTP(url, self._keep, TEMPLATE, SECRET, **fixed)
        self._lent = OTP(redis.Redis.from_url(url), self._keep, TEMPLATE, SECRET, **fixed)
        self._spread = OTP(cluster_url, self._keep, TEMPLATE, SECRET, **fixed)
        self._loop = asyncio.new_event_loop()
        self._async = AsyncOTP(url, self._keep_async, TEMPLATE, SECRET, **fixed)
        self.kinds: dict[str, Callable[[int], Run]] = {
            "verify": lambda calls: self._verify(self._otp, calls),
            "verify, client passed in": lambda calls: self._verify(self._lent, calls),
            "verify, with .token read": lambda calls: self._verify(self._otp, calls, reads=True),
            "verify, with ip=": lambda calls: self._verify(self._otp, calls, ip="203.0.113.9"),
            "verify, a wrong code": self._guess,
            "verify, on a cluster": lambda calls: self._verify(self._spread, calls),
            "issue": lambda calls: self._issue(self._otp, calls),
            "issue, client passed in": lambda calls: self._issue(self._lent, calls),
            "issue, with ip=": lambda calls: self._issue(self._otp, calls, ip="203.0.113.9"),
            "issue, again": self._issue_again,
            "issue, on a cluster": lambda calls: self._issue(self._spread, calls),
            "redeem": self._redeem,
            "check": self._check,
            "status": self._status,
        }
        for tasks in (1, 8, 64):
            self.kinds[f"verify, {tasks} tasks"] = lambda calls, tasks=tasks: self._verify_async(calls, tasks)
            self.kinds[f"issue, {tasks} tasks"] = lambda calls, tasks=tasks: self._issue_async(calls, tasks)

    def _keep(self, message: Any) -> None:
        self._codes[message.phone] = message.code

    async def _keep_async(self, message: Any) -> None:
        self._codes[message.phone] = message.code

    def _phones(self, calls: int) -> list[str]:
        return [f"+8613{next(self._numbers):09d}" for _ in range(calls)]

    def _issued(self, otp: OTP, calls: int) -> list[tuple[str, str]]:
        phones = self._phones(calls)
        for phone in phones:
            otp.issue(phone)
        return [(phone, self._codes.pop(phone)) for phone in phones]

    def _verify(self, otp: OTP, calls: int, *, reads: bool = False, ip: str | None = None) -> Run:
        pairs = self._issued(otp, calls)

        def run() -> None:
            for phone, code in pairs:
                proof = otp.verify(phone, code, ip=ip)
                assert not reads or proof.token

        return run

    def _guess(self, calls: int) -> Run:
        pairs = self._issued(self._otp, calls)

        def run() -> None:
            for phone, code in pairs:
                try:
                    self._otp.verify(phone, f"{(int(code) + 1) % 10**6:06d}")
                except WrongCodeError:
                    continue
                raise AssertionError("a wrong code was taken")

        return run

    def _issue(self, otp: OTP, calls: int, *, ip: str | None = None) -> Run:
        phones = self._phones(calls)

        def run() -> None:
            for phone in phones:
                otp.issue(phone, ip=ip)

        return run

    def _issue_again(self, calls: int) -> Run:
        phones = [phone for phone, _ in self._issued(self._otp, calls)]

        def run() -> None:
            for phone in phones:
                self._otp.issue(phone)

        return run

    def _tokens(self, calls: int) -> list[str]:
        return [self._otp.verify(phone, code).token for phone, code in self._issued(self._otp, calls)]

    def _redeem(self, calls: int) -> Run:
        tokens = self._tokens(calls)

        def run() -> None:
            for token in tokens:
                self._otp.redeem(token)

        return run

    def _check(self, calls: int) -> Run:
        tokens = self._tokens(calls)

        def run() -> None:
            for token in tokens:
                self._otp.check(token)

        return run

    def _status(self, calls: int) -> Run:
        phones = [phone for phone, _ in self._issued(self._otp, calls)]

        def run() -> None:
            for phone in phones:
                assert self._otp.status(phone) is not None

        return run

    def _verify_async(self, calls: int, tasks: int) -> Run:
        pairs = self._issued(self._otp, calls)

        async def verify(share: list[tuple[str, str]]) -> None:
            for phone, code in share:
                await self._async.verify(phone, code)

        return lambda: self._loop.run_until_complete(_gather(verify, pairs, tasks))

    def _issue_async(self, calls: int, tasks: int) -> Run:
        phones = self._phones(calls)

        async def issue(share: list[str]) -> None:
            for phone in share:
                await self._async.issue(phone)

        return lambda: self._loop.run_until_complete(_gather(issue, phones, tasks))


async def _gather(work: Any, items: list[Any], tasks: int) -> None:
    await asyncio.gather(*(work(items[number::tasks]) for number in range(tasks)))


def _share() -> int:
    """Return a number that differs from that of the other tree's process."""
    return abs(hash(sys.argv[1])) % 90_000_000


def _lines() -> Iterator[str]:
    while line := sys.stdin.readline():
        yield line.strip()


def main() -> None:
    """Carry out the commands on the standard input, and answer each."""
    kinds, run = Kinds(*sys.argv[3:5]).kinds, None
    for line in _lines():
        if line == "kinds":
            print(";".join(kinds), flush=True)
        elif line.startswith("prepare "):
            _, calls, kind = line.split(" ", 2)
            run = kinds[kind](int(calls))
            print("ready", flush=True)
        elif run is not None:
            run()
            print("done", flush=True)


main()
