"""What a guard counts, beside a model that keeps every send: its buckets to the letter, and how far those are off."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import pytest
from guard_rig import FREE, WIDE, Guarded
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.rig import MEMORY, outcome, wrong

from otpkit import GatewayRejectedError
from otpkit.store.sync import SyncStore

SHORT_S, LONG_S = 300, 21_600
PHONES = ["+8613800010001", "+8613800010002", "+8613800020001"]


@dataclass
class Challenge:
    """A challenge: when it began, when it ends, and its wrong codes."""

    start: float
    ends: float
    wrong: int = 0
    guessed: float = 0
    sends: list[Send] = field(default_factory=list)


@dataclass
class Send:
    """A send that was counted: when its challenge began, and whether it counts in the region too."""

    phone: str
    start: float
    is_wide: bool
    is_verified: bool = False


class Model:
    """Every send that was made, and every challenge that was guessed at."""

    def __init__(self, *, clustered: bool = False) -> None:
        self.clustered = clustered  # There, a send counts when it is made, not at the start of its challenge.
        self.sends: list[Send] = []
        self.guessed: list[Challenge] = []
        self.challenges: dict[str, Challenge] = {}

    def issue(self, now: float, phone: str, outcome_: str, *, has_captcha: bool) -> None:
        live = self.challenges.get(phone)
        if live is None or live.ends <= now or live.wrong >= 5 or now - live.start > 540:
            live = Challenge(now, now)
        if outcome_ == "rejected":
            return
        send = Send(phone, now if self.clustered else live.start, not has_captcha)
        live.ends = max(live.ends, min(now + 300, live.start + 600))
        live.sends.append(send)
        self.sends.append(send)
        self.challenges[phone] = live

    def live(self, now: float, phone: str) -> Challenge | None:
        live = self.challenges.get(phone)
        return live if live is not None and live.ends > now and live.wrong < 5 else None

    def verify(self, now: float, phone: str) -> None:
        if (live := self.live(now, phone)) is None:
            return
        for send in live.sends:
            send.is_verified = True
        if live in self.guessed:
            self.guessed.remove(live)
        del self.challenges[phone]

    def guess(self, now: float, phone: str) -> None:
        if (live := self.live(now, phone)) is None:
            return
        live.wrong += 1
        if live not in self.guessed:
            live.guessed = live.sends[-1].start
            self.guessed.append(live)

    def count(self, sends: list[Send], now: float, lengths: tuple[int, ...]) -> tuple[int, int]:
        """Return the unverified and the verified sends that are in the current four buckets of any of these lengths."""
        found = [each for each in sends if any(each.start // n > now // n - 4 for n in lengths)]
        return sum(not each.is_verified for each in found), sum(each.is_verified for each in found)


steps = st.one_of(
    *[st.tuples(st.just("issue"), st.sampled_from(PHONES), st.sampled_from(["accepted"]))] * 3,
    st.tuples(st.just("issue"), st.sampled_from(PHONES), st.just("rejected")),
    st.tuples(st.just("captcha"), st.sampled_from(PHONES), st.just("accepted")),
    *[st.tuples(st.just("verify"), st.sampled_from(PHONES), st.just(""))] * 2,
    st.tuples(st.just("guess"), st.sampled_from(PHONES), st.just("")),
    *[st.tuples(st.just("wait"), st.sampled_from([30, 299, 300, 541, 3600, 21_600, 64_801, 86_400]), st.just(""))] * 3,
)


@settings(max_examples=120, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.lists(steps, max_size=25), st.integers(0, 86_399))
@pytest.mark.parametrize("clustered", [False, True], ids=["one server", "cluster"])
def test_counts_are_those_of_the_model(clustered: bool, script: list[Any], start: int) -> None:
    """After each step, in the range, for 20 minutes and a day of the region, and for guesses."""
    with pytest.MonkeyPatch.context() as patch, Guarded(MEMORY, f"t{uuid4().hex}") as rig:
        patch.setattr(SyncStore, "clustered", clustered)
        rig.advance(start)
        otp, model = rig.guarded(mode="observe", rule=WIDE), Model(clustered=clustered)
        for number, (name, what, how) in enumerate(script):
            now = rig.clock.now
            if name == "wait":
                rig.advance(what)
            elif name in {"issue", "captcha"}:
                if how == "rejected":
                    rig.outbox.reject_next(GatewayRejectedError("no", gateway="outbox", category="account"))
                options = {"captcha": f"ok{number}"} if name == "captcha" else {}
                outcome(otp.issue, what, **options)
                model.issue(now, what, how, has_captcha=bool(options))
            else:
                code = next((message.code for message in reversed(rig.outbox) if message.phone == what), "000000")
                outcome(otp.verify, what, code if name == "verify" else wrong(code))
                (model.verify if name == "verify" else model.guess)(now, what)
            check(rig, otp, model)


def check(rig: Guarded, otp: Any, model: Model) -> None:
    now = rig.clock.now
    for phone in PHONES[1:]:
        own = [send for send in model.sends if send.phone[:-4] == phone[:-4]]
        found = rig.count(otp, "range", phone)
        assert found == model.count(own, now, (LONG_S,))
        ages = [now - send.start for send in own]
        assert sum(age < 3 * LONG_S for age in ages) <= sum(found) <= sum(age < 4 * LONG_S for age in ages)
    wide = [send for send in model.sends if send.is_wide]
    region = rig.look(otp, "region", "CN")
    assert (region.short_unverified, region.short_verified) == model.count(wide, now, (SHORT_S,))
    assert (region.unverified, region.verified) == model.count(wide, now, (SHORT_S, LONG_S))
    ages = [now - send.start for send in wide]
    counted = region.unverified + region.verified
    assert sum(age < 3 * LONG_S for age in ages) <= counted <= sum(age < 4 * LONG_S for age in ages)
    counted = region.short_unverified + region.short_verified
    assert sum(age < 3 * SHORT_S for age in ages) <= counted <= sum(age < 4 * SHORT_S for age in ages)
    assert region.guesses == sum(each.guessed // LONG_S > now // LONG_S - 4 for each in model.guessed)


def test_policy_of_the_model_allows_all_its_steps() -> None:
    """Or the model would count what was refused."""
    assert FREE.sends[0].limit > 25  # type: ignore[index,union-attr]
