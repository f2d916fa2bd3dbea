"""A guard's scopes on other nodes than phones: each move is done once, and what is refused leaves nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from guard_rig import ADDRESS, FREE, WIDE, FakeCaptcha, Guarded
from support.lua_shell import Shell
from support.rig import MEMORY, outcome

from otpkit import Guard, RateLimitError
from otpkit.core.scripts.guard import Answer
from otpkit.store.sync import SyncStore

WHEN = {"length_ms": 900_000}
NUMBERS = {"floor": "2", "share": "1", "far": "2"}


@pytest.fixture
def rig(namespace: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Guarded]:
    """Give a rig with the scripts of a cluster."""
    monkeypatch.setattr(SyncStore, "clustered", True)
    with Guarded(MEMORY, namespace) as rig:
        yield rig


class Scope:
    """One address and its region, by their scripts alone."""

    def __init__(self) -> None:
        self.shell = Shell(clustered=True, policy=FREE, guard=Guard(captcha=FakeCaptcha()))
        self.scripts = self.shell.flows._config.scripts

    def run(self, name: str, **options: Any) -> Any:
        return self.shell._run(getattr(self.scripts, name)(now=self.now_ms, **options))

    @property
    def now_ms(self) -> int:
        return int(self.shell.now * 1000)

    def count(self, op: str = "one", guard: str = "en00f") -> Any:
        key = {"record_key": "a", "memory_key": f"a:{op}"}
        return self.run("count_narrow", **key, guard=guard, **NUMBERS, **WHEN)

    def move(self, move: str, op: str = "one") -> bool:
        key = {"record_key": "a", "memory_key": f"a:{op}"}
        return bool(self.run("move_narrow", **key, move=move, at_ms=self.now_ms, **WHEN))

    def wide(self, op: str = "one", guard: str = "en000") -> Any:
        return self.run("count_wide", region_key="r", memory_key=f"r:{op}", total_key="r", guard=guard)

    def move_wide(self, move: str, op: str = "one", counted_in: int = 4) -> bool:
        key = {"region_key": "r", "memory_key": f"r:{op}", "total_key": "r"}
        return bool(self.run("move_wide", **key, move=move, at_ms=self.now_ms, counted_in=counted_in))

    def counts(self) -> tuple[int, int]:
        """Return the unverified and the verified sends of the address, or of the region if there is no address."""
        record, start = (self.shell.lua.data[b"a"], 8) if b"a" in self.shell.lua.data else (b"", 0)
        if not record:
            record, start = self.shell.lua.data.get(b"r", b""), 3
        ring = record[start : start + 24]
        unverified, verified = (sum(int.from_bytes(ring[i : i + 3]) for i in range(at, len(ring), 6)) for at in (0, 3))
        return unverified, verified


@pytest.mark.parametrize("wide", [False, True], ids=["address", "region"])
@pytest.mark.parametrize(
    ("moves", "counts"),
    [
        ("b", (0, 0)),
        ("u", (0, 0)),
        ("v", (0, 1)),
        ("uv", (0, 1)),
        ("vu", (0, 1)),
        ("vb", (0, 1)),
    ],
)
def test_each_move_is_done_once_in_any_order(moves: str, counts: tuple[int, int], wide: bool) -> None:
    """Beside another send, which none of them moves. Each script runs twice, as after a lost reply."""
    scope = Scope()
    count, move = (scope.wide, scope.move_wide) if wide else (scope.count, scope.move)
    for op in ("one", "one", "two", "two"):
        count(op)
    for place, each in enumerate(moves):
        assert move(each) == (place == 0 or each == "v")  # What is verified is not given back any more.
        assert not move(each)
    assert scope.counts() == (counts[0] + 1, counts[1])


def test_count_answers_the_same_again() -> None:
    scope = Scope()
    first = scope.count()
    scope.shell.now += 1
    assert scope.count() == first
    wide = scope.wide()
    scope.shell.now += 1
    assert scope.wide() == wide


def test_memory_ends_after_two_minutes() -> None:
    """What came too late to be given back stays counted."""
    scope = Scope()
    scope.count()
    assert scope.shell.lua.lives[b"a:one"] == 120_000
    del scope.shell.lua.data[b"a:one"]
    assert not scope.move("b")
    assert scope.counts() == (1, 0)


def test_turn_of_a_refusing_scope_is_given_back() -> None:
    """A send that is not made leaves the turn to the next one."""
    scope = Scope()
    for op in "abcd":
        assert scope.count(op, "ow00f").is_counted
    assert scope.count("e", "ep00f").is_counted
    assert scope.count("f", "ep00f").wait_ms == 600_000
    assert scope.move("b", "e")
    assert scope.count("f", "ep00f").is_counted
    assert scope.count("g", "ep00f").wait_ms == 600_000


def test_given_back_send_leaves_no_key() -> None:
    scope = Scope()
    scope.count()
    scope.move("b")
    assert b"a" not in scope.shell.lua.data
    assert b"a:one" not in scope.shell.lua.data


def test_answer_is_released_if_another_limit_refuses(rig: Guarded) -> None:
    """The visitor may use it for the next call, whether its provider accepts it once or often."""
    for single_use in (False, True):
        captcha = FakeCaptcha(single_use=single_use)
        otp = rig.heard(policy=FREE, guard=Guard("enforce", captcha, fallback="refuse", ask="always", rule=WIDE))
        phone, answer = rig.phone(), f"ok{single_use}"
        blocked = rig.phone()
        otp.guard_block("range", blocked, seconds=600)
        assert isinstance(outcome(otp.issue, blocked, ip=ADDRESS, captcha=answer), RateLimitError)
        assert rig.send(otp, phone, ip=ADDRESS, captcha=answer) == "sent"
        assert rig.send(otp, rig.phone(), ip=ADDRESS, captcha=answer) == "captcha_rejected"


def test_released_answer_is_as_before() -> None:
    scope = Scope()
    key = {"answer_key": "t:a"}
    for known in (False, True):
        scope.shell.lua.data.clear()
        if known:
            scope.run("remember", **key, life_ms=1000)
        claim = {**key, "operation": b"1" * 16}
        assert scope.run("claim", **claim, life_ms=1000)
        assert scope.run("claim", **claim, life_ms=1000)
        assert not scope.run("claim", **key, operation=b"2" * 16, life_ms=1000)
        assert scope.run("claim", **key, operation=b"2" * 16, life_ms=0)
        assert scope.run("remember", **key, life_ms=0) is Answer.USED
        assert scope.run("claim", **claim, life_ms=0)
        assert scope.run("remember", **key, life_ms=0) is (Answer.RIGHT if known else Answer.UNKNOWN)
