"""Two versions of otpkit on one Redis, as during a rolling deploy: each reads the other's records, in mid-challenge."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import redis

ROOT = Path(__file__).parents[2]
WORKER = Path(__file__).with_name("worker.py")
BEFORE = "41db2903e692301e24eb8c6504217879820d6128"  # A version with all modules in one folder.
NOW = 1_798_761_600.0  # 2027-01-01, in seconds since 1970.
PHONE, MINUTE, DAY = "+8613800138000", 60.0, 86_400.0
OPEN = {"sends": "32/day", "failures": "64/day"}


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of a call in its process."""

    result: Any
    error: str
    evidence: dict[str, Any]
    sent: list[dict[str, str]]

    @property
    def code(self) -> str:
        """The code of the one message that was sent."""
        (message,) = self.sent
        return message["code"]


class Version:
    """A process of one version. Calls are made at `at` seconds after the test's start."""

    def __init__(self, path: Path, settings: dict[str, Any]) -> None:
        env = {**os.environ, "PYTHONPATH": str(path), "PYTHONSAFEPATH": "1"}
        self._process = subprocess.Popen(
            [sys.executable, str(WORKER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env, text=True
        )
        self._write(settings)

    def __call__(self, name: str, at: float = 0.0, outcome: str = "accepted", **arguments: Any) -> Answer:
        self._write({"name": name, "arguments": arguments, "now": NOW + at, "outcome": outcome})
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the process ended; see its error above"
        answer = json.loads(line)
        return Answer(answer.get("result"), answer.get("error", ""), answer.get("evidence", {}), answer["sent"])

    def issue(self, at: float = 0.0, outcome: str = "accepted", **more: Any) -> Answer:
        return self("issue", at, outcome, **{"phone": PHONE, **more})

    def verify(self, code: str, at: float = 0.0, **more: Any) -> Answer:
        return self("verify", at, **{"phone": PHONE, "code": code, **more})

    def close(self) -> None:
        """Stop the process."""
        self._process.communicate(timeout=20)
        assert self._process.returncode == 0

    def _write(self, line: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(line) + "\n")
        self._process.stdin.flush()


@pytest.fixture(scope="session")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the previous version. This needs a clone with the whole history."""
    archive = subprocess.run(["git", "archive", BEFORE, "otpkit"], cwd=ROOT, capture_output=True, check=False)
    assert archive.returncode == 0, f"commit {BEFORE:.7} is missing; fetch the whole history"
    folder = tmp_path_factory.mktemp("before")
    with tarfile.open(fileobj=BytesIO(archive.stdout)) as files:
        files.extractall(folder, filter="data")
    return folder


class Pair:
    """Builds a process of each version on one store. The first writes, and the second reads."""

    def __init__(self, folders: tuple[Path, Path], redis: str, namespace: str) -> None:
        self._folders = folders
        self._settings = {"redis": redis, "namespace": namespace, "secret": secrets.token_hex(32), "now": NOW}
        self.stack = ExitStack()

    def __call__(self, **options: Any) -> tuple[Version, Version]:
        first, second = (Version(folder, {**self._settings, "options": options}) for folder in self._folders)
        self.stack.callback(first.close)
        self.stack.callback(second.close)
        return first, second


@pytest.fixture(params=["old first", "new first"])
def pair(request: pytest.FixtureRequest, before: Path, redis_url: str, namespace: str) -> Iterator[Pair]:
    """Yield a function that builds both versions, in both orders."""
    folders = (before, ROOT) if request.param == "old first" else (ROOT, before)
    made = Pair(folders, redis_url, namespace)
    with made.stack:
        yield made


def wrong(code: str) -> str:
    """Return another code."""
    return f"{(int(code) + 1) % 10**6:06d}"


def test_each_folder_is_the_version_that_it_says(before: Path) -> None:
    """Without this, both sides of the other tests could be the same version."""
    script = "import otpkit, sys; print(otpkit.__file__)"
    for folder in (before, ROOT):
        env = {**os.environ, "PYTHONPATH": str(folder), "PYTHONSAFEPATH": "1"}
        done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, check=True)
        assert Path(done.stdout.strip()).is_relative_to(folder)
    assert (before / "otpkit" / "flows.py").exists()
    assert not (ROOT / "otpkit" / "flows.py").exists()


def test_code_of_one_is_verified_by_the_other(pair: Pair) -> None:
    """Either can check its proof, and one of them can redeem it, once."""
    first, second = pair()
    code = first.issue().code
    proof = second.verify(code).result
    assert first("check", token=proof["token"]).result["id"] == proof["id"]
    assert second("check", token=proof["token"]).result["id"] == proof["id"]
    assert first("redeem", token=proof["token"]).result["id"] == proof["id"]
    assert second("redeem", token=proof["token"]).error == "UsedTokenError"
    assert first.verify(code).error == "ExpiredCodeError"


def test_wrong_codes_count_in_both(pair: Pair) -> None:
    """The fifth ends the challenge, in whichever version it was counted."""
    first, second = pair()
    code = first.issue().code
    left = [process.verify(wrong(code)).evidence["attempts_left"] for process in (second, first, second, first, second)]
    assert left == [4, 3, 2, 1, 0]
    assert {process.verify(code).error for process in (first, second)} == {"ExpiredCodeError"}
    assert second("standing", phone=PHONE).result == first("standing", phone=PHONE).result


def test_resend_carries_the_same_code(pair: Pair) -> None:
    """The challenge keeps its id and its remaining attempts."""
    first, second = pair()
    sent = first.issue(bind="session")
    second.verify(wrong(sent.code), bind="session")
    again = second.issue(at=MINUTE, bind="session")
    assert again.code == sent.code
    assert again.result["id"] == sent.result["id"]
    assert again.result["attempts_left"] == 4
    assert first("status", phone=PHONE, bind="session", at=MINUTE).result == again.result
    assert first.verify(sent.code, at=MINUTE, bind="session").result


def test_limit_of_sends_holds_for_both(pair: Pair) -> None:
    """The wait is the same."""
    first, second = pair()
    first.issue()
    refusals = [process.issue(at=10) for process in (first, second)]
    assert [refusal.error for refusal in refusals] == ["RateLimitError"] * 2
    assert refusals[0].evidence == refusals[1].evidence
    assert refusals[0].evidence["retry_after"] == 50


@pytest.mark.parametrize(
    ("policy", "scope"),
    [
        ({"ip_sends": "2/hour"}, "ip"),
        ({"total_sends": "2/hour"}, "total"),
        ({"region_sends": {"CN": "2/hour"}}, "region"),
    ],
)
def test_wide_limit_holds_for_both(pair: Pair, policy: dict[str, Any], scope: str) -> None:
    """Both charge the same counter."""
    first, second = pair(policy=policy)
    for process, phone in ((first, "+8613800138001"), (second, "+8613800138002")):
        assert process.issue(phone=phone, ip="203.0.113.7").sent
    for process in (first, second):
        refusal = process.issue(ip="203.0.113.7")
        assert (refusal.error, refusal.evidence["scope"]) == ("RateLimitError", scope)


def test_failures_of_an_address_count_in_both(pair: Pair) -> None:
    """A right code is not charged, and the failures before it stay counted."""
    first, second = pair(policy={**OPEN, "ip_failures": "3/hour"})
    code = first.issue().code
    for process in (first, second):
        process.verify(wrong(code), ip="203.0.113.7")
    assert second.verify(code, ip="203.0.113.7").result
    other = first.issue(at=MINUTE).code
    assert second.verify(wrong(other), at=MINUTE, ip="203.0.113.7").error == "WrongCodeError"
    for process in (first, second):
        refusal = process.verify(other, at=MINUTE, ip="203.0.113.7")
        assert (refusal.error, refusal.evidence["scope"]) == ("RateLimitError", "ip")


def test_block_is_reached_and_lifted_by_either(pair: Pair) -> None:
    """Consecutive failures share one count."""
    first, second = pair(policy={**OPEN, "attempts": 10, "max_consecutive_failures": 6})
    code = first.issue().code
    for number in range(6):
        (first, second)[number % 2].verify(wrong(code))
    assert {process.verify(code).error for process in (first, second)} == {"BlockedError"}
    second("unblock", phone=PHONE)
    assert first.verify(code).result


def test_idempotency_key_is_known_to_both(pair: Pair) -> None:
    """There is one message, one proof, and one redemption."""
    first, second = pair()
    sent = first.issue(idempotency_key="form 1")
    again = second.issue(idempotency_key="form 1")
    assert again.sent == []
    assert again.result["id"] == sent.result["id"]
    proof = second.verify(sent.code, idempotency_key="form 2").result
    assert first.verify(sent.code, idempotency_key="form 2").result["id"] == proof["id"]
    redeemed = first("redeem", token=proof["token"], idempotency_key="form 3", request="body").result
    assert not redeemed["replayed"]
    assert second("redeem", token=proof["token"], idempotency_key="form 3", request="body").result["replayed"]
    assert second("redeem", token=proof["token"], idempotency_key="form 3", request="other").error == "UsedTokenError"


def test_rejected_send_is_given_back_for_both(pair: Pair) -> None:
    """The other version can send at once."""
    first, second = pair(policy={"ip_sends": "1/hour"})
    assert first.issue(outcome="account", ip="203.0.113.7").error == "GatewayRejectedError"
    assert second.issue(ip="203.0.113.7").sent


def test_uncertain_send_is_counted_for_both(pair: Pair) -> None:
    """The code may have arrived."""
    first, second = pair()
    assert first.issue(outcome="uncertain").result["delivery"] == "uncertain"
    assert second("status", phone=PHONE).result["delivery"] == "uncertain"
    assert second.issue(at=10).error == "RateLimitError"


def test_open_circuit_is_skipped_by_both(pair: Pair) -> None:
    """Consecutive failures share one count, and the pause of a gateway applies to both."""
    first, second = pair(policy=OPEN, gateways=["one", "two"])
    for number, process in enumerate((first, second, first)):
        process.issue(phone=f"+861380013810{number}", outcome="account")
    for process in (first, second):
        assert process.issue(phone="+8613800138200", at=1).sent[0]["gateway"] == "two"
    assert second.issue(phone="+8613800138201", at=DAY).sent[0]["gateway"] == "one"


def test_gateway_of_a_send_is_known_to_both(pair: Pair) -> None:
    """With several gateways, the send names the gateway."""
    first, second = pair(gateways=["one", "two"])
    first.issue()
    assert second("delivery", phone=PHONE).result == {"state": "unknown", "gateway": "one"}


def test_revoked_and_erased_for_both(pair: Pair) -> None:
    """Afterwards no code verifies."""
    first, second = pair(policy=OPEN)
    code = first.issue().code
    second("revoke", phone=PHONE)
    assert first.verify(code).error == "ExpiredCodeError"
    other = first.issue(at=MINUTE).code
    second("erase", phone=PHONE)
    assert first.verify(other, at=MINUTE).error == "ExpiredCodeError"
    assert first("standing", phone=PHONE).result["sends_left"] == 32


def test_fixed_code_of_one_is_verified_by_the_other(pair: Pair) -> None:
    """Both versions must have it in their settings."""
    first, second = pair(fixed_codes={PHONE: "000000"})
    assert first.issue().sent == []
    assert second.verify("111111").error == "WrongCodeError"
    assert second.verify("000000").result


def test_two_live_challenges_stay_apart(pair: Pair) -> None:
    """Each purpose has its own challenge."""
    first, second = pair(policy=OPEN)
    signup, login = first.issue().code, second.issue(purpose="login", at=1).code
    assert second.verify(signup, at=2).result
    assert first.verify(login, at=2, purpose="login").result


def test_version_without_budgets_skips_what_they_write(pair: Pair, redis_url: str, namespace: str) -> None:
    """It counts no money, and serves a phone with a charge under way. The amount holds in the version with budgets."""
    first, second = pair(budget="4 CNY/day", policy=OPEN)
    code = first.issue().code
    with redis.Redis.from_url(redis_url) as server:
        (key,) = server.scan_iter(f"{namespace}:*:p")
        (send,) = [name for name in server.hkeys(key) if name.startswith(b"s")]
        server.hset(key, b"m" + send[1:], server.hget(key, send)[:6])  # As if the call had ended before it was settled.
    assert second.issue(30).code == code
    assert first.issue(60).code == code
    assert first.verify(wrong(code), 61).error == "WrongCodeError"
    assert second.verify(code, 62).result
    answers = [
        [version.issue(70, phone=f"+86139{number:04d}{place:04d}").error for number in range(6)]
        for place, version in enumerate((first, second))
    ]
    assert sorted(answer.count("RateLimitError") for answer in answers) in ([0, 3], [0, 4])
