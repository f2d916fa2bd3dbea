"""The enumeration finds bugs that are put into the product, each by a counterexample that people can read.

A bug is put into a copy of a script's text, or into a flow while the test runs.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from explorer import Explorer, Scenario, Violation
from scenarios import SCENARIOS
from snapshots import Snapshots

from otpkit.core import scripts
from otpkit.core.config import Config
from otpkit.core.issue import Issue
from otpkit.core.scripts.sends import Reserved
from otpkit.effects import Flow, run
from otpkit.gateways import Receipt

Finds = Callable[..., str]
_STEP = re.compile(r" +[0-9]+\. \S.*")


def scenario_of(name: str) -> Scenario:
    return next(each for each in SCENARIOS if each.name == name)


def patched(script: str, *pairs: tuple[str, str]) -> Callable[[Config], Config]:
    """Return a seed: in the script's text, the first text of each pair becomes the second."""

    def seed(config: Config) -> Config:
        face = copy(getattr(config.scripts, script))
        text = face.text
        for old, new in pairs:
            assert text.count(old) == 1, f"{script}.lua has {old!r} {text.count(old)} times"
            text = text.replace(old, new)
        face.text = text
        return replace(config, scripts=replace(config.scripts, **{script: face}))

    return seed


@pytest.fixture
def finds(snapshots: Snapshots) -> Finds:
    """Return a function that explores a scenario with a bug, and returns the counterexample with the fewest faults."""

    def find(name: str, seed: Callable[[Config], Config] | None = None) -> str:
        scenario, text = replace(scenario_of(name), seed=seed), ""
        for faults in range(scenario.faults + 1):
            try:
                Explorer(replace(scenario, faults=faults), snapshots).run()
            except Violation as violation:
                text = str(violation)
                break
        assert text, "no order breaks a promise"
        print(text)
        title, problem, _, *lines = text.split("\n")
        assert title == name
        steps = [line for line in lines if _STEP.fullmatch(line)]
        assert 1 <= len(steps) <= 20, text
        assert not re.search(r"0x[0-9a-f]{6}|\\x", text), "a counterexample is read by people"
        return "\n".join([problem, *steps])

    return find


def in_order(text: str, *parts: str) -> None:
    """Assert that a counterexample has these parts in this order."""
    at = 0
    for part in parts:
        found = text.find(part, at)
        assert found >= 0, f"{part!r} is missing in:\n{text}"
        at = found + len(part)


def test_reserve_forgets_its_operation(finds: Finds) -> None:
    """A retry whose reply was lost reserves again."""
    found = finds("two issues, two faults", patched("reserve", ("if send.name == 's' .. op then", "if false then")))
    in_order(
        found,
        "2 is counted, and 1 is right",
        "reserve → reserved, but the reply is lost; it will run again",
        "reserve →",
    )


def test_reserve_forgets_idempotency_keys(finds: Finds) -> None:
    """A form that is sent twice sends two messages."""
    seed = patched("reserve", ("elseif idempotency ~= '' and", "elseif false and"))
    in_order(
        finds("one form that is sent twice, two faults", seed), "2 messages, and the limits allow 1", "form 1", "form 2"
    )


def test_verify_forgets_its_operation(finds: Finds) -> None:
    """A wrong code is counted again when its reply was lost."""
    seed = patched("verify", ("if failure then", "if false then"))
    in_order(finds("two right and two wrong codes, two attempts", seed), "wrong", "the reply is lost")


def test_redeem_forgets_its_operation(finds: Finds) -> None:
    """A proof is used up by a call whose retry then gets nothing."""
    seed = patched("redeem", ("if #proof == 13 then", "if true then"))
    in_order(finds("a proof that is redeemed three times", seed), "redeemed 3 times", "redeem: redeem → redeemed")


def test_reserve_charges_before_its_checks(finds: Finds) -> None:
    """A refused call uses up the address's limit."""
    charge = "if charge_limits then charge_limits('consume') charge_limits('keep') end"
    seed = patched(
        "reserve",
        (
            "tonumber(ARGV[13]), tonumber(ARGV[14]))\nend\n",
            f"tonumber(ARGV[13]), tonumber(ARGV[14]))\nend\n{charge}\n",
        ),
        ("if charge_limits then charge_limits('consume') end -- No check below refuses.\n", ""),
    )
    found = finds("two issues within a limit of one", seed)
    in_order(found, "the address's sends: 2 is counted, and 1 is right", "reserve → reserved", "reserve → limited")


def test_verify_compares_before_it_counts(finds: Finds) -> None:
    """A wrong code at a used-up limit is compared all the same."""
    seed = patched("verify", ("if ip_wait > 0 or wait > 0 then", "if ip_wait > 0 then"))
    in_order(
        finds("wrong codes up to the limit of failures", seed), "wrong codes, and the limit is 2", "wrong 3: verify"
    )


def test_send_is_settled_after_its_undo(finds: Finds, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rejected send comes back, and counts."""
    undo = Issue._undo

    def undo_and_settle(self: Issue, *args: Any, **options: Any) -> Flow[int]:
        wait_ms = yield from undo(self, *args, **options)
        yield from self._settle(Receipt("", outcome="uncertain"), "")
        return wait_ms

    monkeypatch.setattr(Issue, "_undo", undo_and_settle)
    pack = (Path(scripts.__file__).parent / "pack.lua").read_text(encoding="utf-8")
    created = (
        f"{pack}\nlocal times = pack_ms(now) .. pack_ms(now + 60000)\n"
        "redis.call('HSET', KEYS[1], name, times .. ARGV[3] .. string.rep('\\0', 12))\n"
        "redis.call('PEXPIRE', KEYS[1], DAY_MS)\nreturn {}\n"
    )
    seed = patched("settle", ("end\nreturn {}\n", f"end\n{created}"))
    found = finds("two issues, two faults", seed)
    in_order(found, "the phone's sends: 2 is counted, and 1 is right", "undo →", "settle →")


def test_settle_gives_a_budget_back_twice(finds: Finds) -> None:
    """A budget gets the difference of two prices once for each run of the script."""
    once = (
        "if charged and redis.call('HDEL', KEYS[1], name) == 1 and refunds ~= '' then "
        "money_refund(i, refunds, unpack_ms(charged, 1)) end"
    )
    always = "redis.call('HDEL', KEYS[1], name)\n  if refunds ~= '' then money_refund(i, refunds, now) end"
    found = finds("failover of two issues", patched("settle", (once, always)))
    in_order(found, "the budget 0.2 CNY/day, in millionths", "settle →", "the reply is lost", "settle →")


@pytest.mark.parametrize(
    ("script", "once", "always", "scenario", "found"),
    [
        ("settle", "if is_news and label ~= '' then", "if label ~= '' then", "two issues, two faults", "sent messages"),
        (
            "add_figures",
            "if redis.call('SET', KEYS[2]",
            "if true or redis.call('SET', KEYS[2]",
            "cluster",
            "sent messages",
        ),
    ],
)
def test_figures_are_counted_twice(
    finds: Finds, script: str, once: str, always: str, scenario: str, found: str
) -> None:
    """A message counts once for each run of a script."""
    name = "cluster: two issues within a budget for one" if scenario == "cluster" else scenario
    in_order(finds(name, patched(script, (once, always))), f"the {found} of the figures", "the reply is lost")


def test_cluster_gives_a_budget_back_twice(finds: Finds) -> None:
    """The memory of the charge stays."""
    seed = patched("unspend", ("redis.call('DEL', KEYS[2]) -- A refused", "-- A refused"))
    found = finds("cluster: two issues within a budget for one", seed)
    in_order(found, "the budget 0.05 CNY/day", "unspend", "the reply is lost", "unspend")


def test_verified_send_is_counted_twice(finds: Finds) -> None:
    """The scope of a cluster forgets which sends it has moved."""
    seed = patched("move_narrow", ("if state == 'v' or state == 'd' then return 0 end", ""))
    found = finds("cluster: verifications of a guarded send", seed)
    in_order(found, "0 unverified and 2 verified", "verify → proved", "move_narrow → 1", "move_narrow → 1")


def test_captcha_answer_is_used_after_the_reservation(finds: Finds, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two calls pass with one answer."""
    send = Issue._send

    def use_and_send(self: Issue, reserved: Reserved, fixed: Any) -> Flow[Any]:
        screening = self.screening
        assert screening is not None
        if screening._answer_key:
            claim = self.config.scripts.claim(
                answer_key=screening._answer_key,
                now=self.config.now_arg(),
                operation=self.op,
                life_ms=screening._remember_ms,
            )
            yield from run(claim)
        return (yield from send(self, reserved, fixed))

    monkeypatch.setattr(Issue, "_send", use_and_send)
    seed = patched("reserve", ("'u', 'PX', ARGV[10])", "'r', 'PX', ARGV[10])"))  # Right, and not used.
    found = finds("one captcha's answer for two sends", seed)
    in_order(found, "2 messages, and the limits allow 1", "first: reserve → reserved", "second: reserve → reserved")


def test_guard_is_left_without_its_undo(finds: Finds) -> None:
    """A rejected send stays in the guard's counts."""
    seed = patched("undo", ("if (ARGV[6] or '') ~= '' then", "if false then"))
    found = finds("guarded sends within a budget, rejected", seed)
    in_order(found, "unverified", "the gateway wire: account", "undo")


def test_lost_undo_refunds_nothing_elsewhere(finds: Finds) -> None:
    """On a cluster, the retry of an undo says that it has undone nothing."""
    seed = patched("undo", ("return { state == 114 and 1 or 0, wait }", "return { 0, wait }"))
    found = finds("cluster: two issues of one address", seed)
    in_order(found, "the address's sends", "undo → [1, 0], but the reply is lost", "undo → [0, 0]")


def test_late_request_counts_a_moved_send_again(finds: Finds) -> None:
    """On a cluster, a hanging server counts a send that was verified meanwhile."""
    seed = patched("count_wide", ("if memory then return { now, 0, 0, 0, 0 } end", ""))
    found = finds("cluster: a guarded send with address and network", seed)
    in_order(
        found, "the guard's region, 1 unverified and 1 verified", "move_wide → 1", "count_wide, sent long ago, runs"
    )


def test_late_request_charges_a_paid_message_again(finds: Finds) -> None:
    """On a cluster, a hanging server charges a message whose rest was given back meanwhile."""
    seed = patched("spend", ("if memory then return { now, '' } end", ""))
    found = finds("cluster: failover within a budget", seed)
    in_order(found, "the budget 0.12 CNY/day", "unspend → 1", "spend, sent long ago, runs")


def test_write_without_a_life_is_found(finds: Finds) -> None:
    seed = patched("reserve", ("keep(phone, '86430000')", "local _ = keep"))
    assert "has no life" in finds("two issues, two faults", seed)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_flow_that_goes_on_when_it_is_closed_is_found(snapshots: Snapshots, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cancelled call must not take a further step."""
    dispatch = Issue._dispatch

    def stubborn(self: Issue, reserved: Reserved) -> Flow[Any]:
        try:
            return (yield from dispatch(self, reserved))
        except GeneratorExit:
            yield from self._settle(Receipt("", outcome="uncertain"), "")
            raise

    monkeypatch.setattr(Issue, "_dispatch", stubborn)
    with pytest.raises(RuntimeError, match="generator ignored GeneratorExit"):
        Explorer(scenario_of("two issues, two faults"), snapshots).run()
