"""The objects of the measurements: an OTP on a real server over TCP, the bare call by the same client, and trips."""

from __future__ import annotations

import contextlib
import itertools
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import redis

from otpkit import OTP, Policy, Template
from otpkit.gateways import Message
from tests.benchmarks.measure import counted
from tests.support.servers import find_redis, find_valkey, running

SECRET = "a secret of the benchmarks, 32 bytes or more"
TEMPLATE = Template("SMS_585014", "阿里大鱼", {"code": "{code}", "product": "alidayu"})
POLICY = Policy(ttl=600, max_age=600)  # Longer than the time to fill a store.
BINARIES: dict[str, Callable[[], str | None]] = {"redis": find_redis, "valkey": find_valkey}

_numbers, _addresses = itertools.count(), itertools.count()


def new_phone() -> str:
    """Return a phone that no other call of this process returned."""
    return f"+8613{next(_numbers):09d}"


def new_address() -> str:
    """Return an IPv4 address that is not among the last 16 million of this process."""
    number = next(_addresses)
    return f"{1 + number % 9}.{number // 9 % 256}.{number // 2304 % 256}.{number // 589824 % 256}"


@contextlib.contextmanager
def tcp_server(name: str) -> Iterator[str]:
    """Run a server, and yield the URL of its TCP port."""
    binary = BINARIES[name]()
    if binary is None:
        raise SystemExit(f"there is no {name} server here; choose another by --server")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with running(binary, "--port", str(port), "--bind", "127.0.0.1") as server, counted(server.pid):
        yield f"redis://127.0.0.1:{port}/0"


class Codes(dict[str, str]):
    """A gateway that sends nothing and keeps the latest code of each phone."""

    def __call__(self, message: Message) -> None:
        self[message.phone] = message.code


class CountingConnection(redis.Connection):
    """A connection that counts its writes. Each write is one round trip."""

    trips = 0

    def send_packed_command(self, command: Any, check_health: bool = True) -> Any:
        CountingConnection.trips += 1
        return super().send_packed_command(command, check_health)  # type: ignore[no-untyped-call]


def trips(client: redis.Redis, call: Callable[[], object]) -> int:
    """Return the number of round trips of `call` over a client of `counting_client`."""
    client.ping()  # The connection setup is not counted.
    before = CountingConnection.trips
    call()
    return CountingConnection.trips - before


def counting_client(url: str) -> redis.Redis:
    """Return a client whose round trips `trips` counts."""
    return redis.Redis(connection_pool=redis.ConnectionPool.from_url(url, connection_class=CountingConnection))


@dataclass(frozen=True, slots=True)
class Bench:
    """An OTP, its gateway, and the bare call: a script that does nothing, with one key and one argument."""

    client: redis.Redis
    otp: OTP
    codes: Codes
    sha: str

    def bare(self, calls: int) -> Callable[[], None]:
        """Return a run of bare calls."""

        def run() -> None:
            evalsha, sha = self.client.evalsha, self.sha
            for _ in range(calls):
                evalsha(sha, 1, "bench:{key}", "argument")

        return run

    def issued(self, calls: int) -> list[tuple[str, str]]:
        """Issue to new phones, and return each with its code."""
        phones = [new_phone() for _ in range(calls)]
        for phone in phones:
            self.otp.issue(phone)
        return [(phone, self.codes.pop(phone)) for phone in phones]

    def verifying(self, pairs: list[tuple[str, str]]) -> Callable[[], None]:
        """Return a run that verifies each pair of phone and code."""

        def run() -> None:
            verify = self.otp.verify
            for phone, code in pairs:
                verify(phone, code)

        return run

    def signing(self, pairs: list[tuple[str, str]]) -> Callable[[], None]:
        """Return a run that verifies each pair of phone and code, and reads the proof's token."""

        def run() -> None:
            verify = self.otp.verify
            for phone, code in pairs:
                assert verify(phone, code).token

        return run

    def verifying_from(self, pairs: list[tuple[str, str]]) -> Callable[[], None]:
        """Return a run that verifies each pair of phone and code, with a different address for each."""
        visits = [(phone, code, new_address()) for phone, code in pairs]

        def run() -> None:
            verify = self.otp.verify
            for phone, code, address in visits:
                verify(phone, code, ip=address)

        return run

    def issuing(self, calls: int) -> Callable[[], None]:
        """Return a run that issues to new phones."""
        phones = [new_phone() for _ in range(calls)]

        def run() -> None:
            issue = self.otp.issue
            for phone in phones:
                issue(phone)

        return run

    def issuing_from(self, calls: int) -> Callable[[], None]:
        """Return a run that issues to new phones, with a different address for each."""
        visits = [(new_phone(), new_address()) for _ in range(calls)]

        def run() -> None:
            issue = self.otp.issue
            for phone, address in visits:
                issue(phone, ip=address)

        return run


def make_bench(client: redis.Redis, *, policy: Policy = POLICY) -> Bench:
    """Return a `Bench` whose OTP uses a client that was passed in, and its pool."""
    codes = Codes()
    return Bench(client, OTP(client, codes, TEMPLATE, SECRET, policy=policy), codes, client.script_load("return 1"))


def open_bench(url: str) -> Bench:
    """Return a `Bench` whose OTP uses the URL, with redis-py's client of that URL and its own settings."""
    client, codes = redis.Redis.from_url(url), Codes()
    return Bench(client, OTP(url, codes, TEMPLATE, SECRET, policy=POLICY), codes, client.script_load("return 1"))
