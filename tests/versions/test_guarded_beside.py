"""A guarded process of an earlier commit beside one of this version: both count in the same records, to the letter."""

from __future__ import annotations

import random
import subprocess
import tarfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import redis
from test_side_by_side import MINUTE, OPEN, ROOT, Pair, Version, wrong

LAST = "bba58970f996b5cacdf6892527da237f88eb8d9f"  # Its guard has the same places of keys in every script.
HOUR = 60 * MINUTE
ADDRESSES = (None, "198.51.100.7", "198.51.100.8", "203.0.113.9", "2001:db8::1", "2001:db8:0:1::1", "10.0.0.1")
FLOORS: dict[str, float] = {"range_floor": 3, "address_floor": 3, "network_floor": 4, "short_floor": 6, "day_floor": 9}
RULES: dict[str, dict[str, Any]] = {
    "strict": {"guard": {"mode": "enforce", "rule": FLOORS}},
    "observing": {"guard": {"mode": "observe", "rule": FLOORS}},
    "several regions": {"guard": {"mode": "enforce", "rule": {"short_floor": 4}}},
    "with a budget": {"guard": {"mode": "enforce", "rule": {"range_floor": 5}}, "budget": "20 CNY/day"},
}


@pytest.fixture(scope="session")
def last(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with that version."""
    archive = subprocess.run(["git", "archive", LAST, "otpkit"], cwd=ROOT, capture_output=True, check=False)
    assert archive.returncode == 0, f"commit {LAST:.7} is missing; fetch the whole history"
    folder = tmp_path_factory.mktemp("last_guarded")
    with tarfile.open(fileobj=BytesIO(archive.stdout)) as files:
        files.extractall(folder, filter="data")
    return folder


@pytest.fixture
def versions(last: Path, redis_url: str, namespace: str) -> Iterator[Pair]:
    """Yield a function that builds a process of that version and one of this."""
    made = Pair((last, ROOT), redis_url, namespace)
    with made.stack:
        yield made


class Story:
    """Random calls that are the same for each pair of processes, and what came of them."""

    def __init__(self, processes: list[Version], server: Any, namespace: str, phones: list[str]) -> None:
        self._processes = processes
        self._server = server
        self._namespace = namespace
        self._phones = phones
        self._codes: dict[str, str] = {}

    def run(self, seed: int, calls: int) -> list[Any]:
        """Make the calls, each by the next process; return the result of each, and at last the guard's records."""
        chance, at, found = random.Random(seed), 0.0, []
        for number in range(calls):
            process = self._processes[number % len(self._processes)]
            at += chance.choice([0, 1, 5, MINUTE, MINUTE, 5 * MINUTE, 15 * MINUTE, HOUR, 7 * HOUR])
            phone, ip = chance.choice(self._phones), chance.choice(ADDRESSES)
            what = chance.choice(["issue", "issue", "verify", "verify", "guess", "reject"])
            if what in {"issue", "reject"}:
                answer = process.issue(at, "number" if what == "reject" else "accepted", phone=phone, ip=ip)
                self._codes |= {message["phone"]: message["code"] for message in answer.sent}
            else:
                code = self._codes.get(phone, "000000")
                answer = process.verify(code if what == "verify" else wrong(code), at, phone=phone, ip=ip)
            found.append((what, answer.error, answer.evidence, bool(answer.sent)))
        return [*found, self._records()]

    def _records(self) -> dict[str, bytes]:
        names = [name.decode() for name in self._server.scan_iter(f"{self._namespace}:*")]
        regions = tuple(f":{{guard}}:{region}" for region in ("CN", "US", "*"))
        kept = [name for name in names if name.endswith((":u", *regions))]
        records = {name: self._server.get(name) for name in kept}
        assert all(self._server.pttl(name) > 0 for name in kept)
        if self._server.exists(money := f"{self._namespace}:{{money}}:m"):
            records[money] = self._server.hgetall(money)
        self._server.delete(*names)
        return records


@pytest.mark.parametrize("rule", RULES)
def test_both_versions_count_to_the_letter(versions: Pair, redis_url: str, namespace: str, rule: str) -> None:
    """Each call has the same result in each, and each record the same bytes, whichever version makes which call."""
    regions = ["CN", "US"] if rule == "several regions" else ["CN"]
    phones = [f"+86138000{block}000{number}" for block in range(2) for number in range(3)]
    phones += ["+12015550123"] if "US" in regions else []
    last, this = versions(policy=OPEN | {"regions": regions}, parts=True, **RULES[rule])
    with redis.Redis.from_url(redis_url) as server:
        for seed in range(3):
            told = [
                Story(processes, server, namespace, phones).run(seed, 120)
                for processes in ([last], [this], [last, this], [this, last])
            ]
            assert len(told[0][-1]) > 5
            assert "CaptchaRequiredError" in {error for _, error, *_ in told[0][:-1]} or rule == "observing"
            assert told[1:] == told[:1] * 3


def test_guard_that_is_off_takes_back_what_the_other_counts(versions: Pair, redis_url: str, namespace: str) -> None:
    """A region that is no longer served is not taken back: it leaves with its window."""
    phone, options = "+8613800138000", {"guard": {"mode": "enforce", "rule": FLOORS}}
    last, _ = versions(policy=OPEN | {"regions": ["CN", "US"]}, **options)
    _, this = versions(policy=OPEN | {"regions": ["CN"]}, guard={"mode": "off", "rule": FLOORS})
    code = last.issue(phone=phone, ip="198.51.100.7").code
    assert this.verify(wrong(code), phone=phone).error == "WrongCodeError"
    assert this.verify(code, phone=phone, ip="198.51.100.7").result
    with redis.Redis.from_url(redis_url) as server:
        narrow = [server.get(name) for name in server.scan_iter(f"{namespace}:*:u")]
        assert len(narrow) == 3
        for record in narrow:
            assert sorted(record[8:32]) == [0] * 23 + [1]
        region = server.get(f"{namespace}:{{guard}}:CN")
        assert sorted(region[3:27]) == [0] * 23 + [1]
        assert region[59:71] == bytes(12)  # It counts no guess.
