"""The rules of otpkit, written a second time, as plainly as possible: without Redis, hashes and bytes.

Times are milliseconds since the epoch. Each method that changes the state stands for one script. It returns the same
result again for an operation that it has already seen.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Iterable
from typing import Any

from facts import (
    SETTLE_MS,
    Answer,
    Challenge,
    OneOf,
    Phone,
    Proof,
    Send,
    Who,
    rolling_left,
    rolling_wait,
    rolling_waits,
    whole_seconds,
)

from otpkit import Policy, Rate

FRESH_MS = 60_000
DAY_MS = 86_400_000
KEPT = {"number": {"phone", "ip"}, "rate_limit": {"phone", "ip", "region", "total"}}


class Model:
    """The rules under one policy."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        # Nobody here shows a device token, so all are strangers: parts of the limits are kept from them.
        kept = {rate.seconds: rate.limit for rate in policy.device_sends}
        self.sends = tuple(Rate(rate.limit - kept.get(rate.seconds, 0), rate.seconds) for rate in policy.sends)
        self.failures = tuple(Rate(rate.limit - policy.device_failures, rate.seconds) for rate in policy.failures)
        self.most_consecutive = policy.max_consecutive_failures - policy.device_consecutive
        self.phones: dict[str, Phone] = defaultdict(Phone)
        self.windows: dict[tuple[Hashable, int], tuple[int, int]] = {}
        self.guesses: set[Hashable] = set()  # Operations that are charged to an address and stored in no phone.

    # Sending

    def reserve(self, now: int, op: Hashable, who: Who, ip: str | None, key: str | None) -> Answer:
        policy, phone = self.policy, self.phones[who.phone]
        live, mine = phone.live(who, now), phone.find(op)
        if mine and live is mine.challenge:
            return Answer("reserved", self._describe(now, who, mine, live), live)
        for send in phone.sends:
            is_same = key is not None and (send.who, send.key) == (who, key) and send is not mine
            if is_same and send.state != "rejected":
                described = self._describe(now, who, send, live if live is send.challenge else None)
                return Answer("replayed", described | {"replayed": True}, send.challenge)
        if mine:  # Its challenge has ended, so it starts again. It is already charged.
            phone.sends.remove(mine)
        wide = [] if mine else self._wide(ip)
        if self._is_blocked(who.phone):
            return Answer("blocked")
        waits = {
            "failures": rolling_waits((at for at, _ in phone.failures.values()), self.failures, now),
            "phone": rolling_waits((send.time for send in phone.sends), self.sends, now),
        }
        waits |= {scope: self._window_waits(subject, rates, now) for scope, subject, rates in wide}
        if any(wait for its_waits in waits.values() for wait in its_waits.values()):
            return self._limited(now, who, waits)
        start_again = live is None or live.start + policy.max_age * 1000 - now < FRESH_MS
        challenge = Challenge(now) if start_again else live
        phone.challenges[who.purpose, who.bind] = challenge
        ends = min(now + policy.ttl * 1000, challenge.start + policy.max_age * 1000)
        phone.sends.append(send := Send(op, now, ends, challenge, who, key))
        self._charge(wide, now)
        return Answer("reserved", self._describe(now, who, send, challenge), challenge)

    def settle(self, now: int, op: Hashable, who: Who, outcome: str) -> dict[str, Any]:
        phone = self.phones[who.phone]
        send = phone.find(op)
        if send is None:
            return {}
        if send.state == "pending":
            send.state, send.time = outcome, now
        return self._sends_evidence(now, who)

    def undo(self, now: int, op: Hashable, who: Who, ip: str | None, category: str, taken: int) -> int:
        phone = self.phones[who.phone]
        send, kept = phone.find(op), KEPT.get(category, set())
        wait = rolling_wait((send.time for send in phone.sends), self.sends, now)
        if send is None or send.state != "pending":
            return wait
        send.state = "rejected"
        if "phone" not in kept:
            phone.sends.remove(send)
        slot = who.purpose, who.bind
        if phone.challenges.get(slot) is send.challenge and not phone.sends_of(send.challenge):
            del phone.challenges[slot]
        for scope, subject, rates in self._wide(ip):
            for rate in () if scope in kept else rates:
                start, count = self.windows.get((subject, rate.seconds), (0, 0))
                if start == taken - taken % (rate.seconds * 1000):
                    self.windows[subject, rate.seconds] = (start, max(0, count - 1))
        return wait

    # Verifying

    def verify(self, now: int, op: Hashable, who: Who, code: str, ip: str | None) -> Answer:
        policy, phone = self.policy, self.phones[who.phone]
        if (proof := phone.proofs.get(op)) and proof.ends > now:
            return self._proved(proof)
        if op in phone.failures:
            return Answer("wrong_code", {"attempts_left": phone.failures[op][1]})
        charged = [] if ip is None or op in self.guesses else [("ip", ("failures", ip), policy.ip_failures)]
        waits = rolling_waits((at for at, _ in phone.failures.values()), self.failures, now)
        wait = max(waits.values(), default=0)
        for _, subject, rates in charged:
            if ip_waits := self._window_waits(subject, rates, now):
                return self._limited(now, who, {"ip": ip_waits, "failures": waits})
        live = phone.live(who, now)
        if not self._is_blocked(who.phone) and not wait and live and live.code == code:
            phone.proofs[op] = proof = Proof(now, now + policy.proof_ttl * 1000)
            phone.consecutive = 0
            del phone.challenges[who.purpose, who.bind]
            return self._proved(proof)
        self._charge(charged, now)
        if self._is_blocked(who.phone) or wait or live is None:
            self.guesses.add(op)
        if self._is_blocked(who.phone):
            return Answer("blocked")
        if wait:
            return self._limited(now, who, {"failures": waits})
        if live is None:
            return Answer("expired_code")
        live.wrong += 1
        left = policy.attempts - live.wrong
        phone.failures[op] = (now, left)
        phone.consecutive += 1
        if not left:
            del phone.challenges[who.purpose, who.bind]
        return Answer("wrong_code", {"attempts_left": left})

    def redeem(self, now: int, op: Hashable, phone: str, verified_by: Hashable, ends: int) -> Answer:
        proof = self.phones[phone].proofs.get(verified_by)
        if ends <= now:
            return Answer("expired_token")
        if proof is None or proof.redeemed_by not in {None, op}:
            return Answer("used_token")
        proof.redeemed_by = op
        return self._proved(proof)

    # Reading and ending

    def status(self, now: int, who: Who) -> Answer:
        live = self.phones[who.phone].live(who, now)
        return Answer("none") if live is None else Answer("challenge", self._describe(now, who, None, live), live)

    def standing(self, now: int, phone: str) -> Answer:
        sends = [send.time for send in self.phones[phone].sends]
        failures = [at for at, _ in self.phones[phone].failures.values()]

        def left(prefix: str, of_sends: Iterable[Rate], of_failures: Iterable[Rate], most: int) -> dict[str, Any]:
            verify_ms = rolling_wait(failures, of_failures, now)
            return {
                f"{prefix}blocked": self.phones[phone].consecutive >= most,
                f"{prefix}sends_left": rolling_left(sends, of_sends, now),
                f"{prefix}send_in": math.ceil(max(verify_ms, rolling_wait(sends, of_sends, now)) / 1000),
                f"{prefix}failures_left": rolling_left(failures, of_failures, now),
                f"{prefix}verify_in": math.ceil(verify_ms / 1000),
            }

        whole = self.policy.max_consecutive_failures
        evidence = {
            "consecutive_failures": self.phones[phone].consecutive,
            **left("", self.sends, self.failures, self.most_consecutive),
            **left("device_", self.policy.sends, self.policy.failures, whole),
        }
        return Answer("standing", evidence)

    def revoke(self, who: Who) -> None:
        self.phones[who.phone].challenges.pop((who.purpose, who.bind), None)

    def unblock(self, phone: str) -> None:
        self.phones[phone].consecutive = 0
        self.phones[phone].failures.clear()

    def erase(self, phone: str) -> None:
        self.phones.pop(phone, None)

    def instants(self, kind: str, now: int) -> list[int]:
        """Return the future times at which something of a kind changes by itself."""
        policy, phones = self.policy, self.phones.values()
        sends = [send for phone in phones for send in phone.sends]
        failures = [at for phone in phones for at, _ in phone.failures.values()]
        found: Iterable[int] = {
            "life": [send.ends for send in sends],
            "fresh code": [send.challenge.start + policy.max_age * 1000 - FRESH_MS for send in sends],
            "settled": [send.time + SETTLE_MS for send in sends],
            "sends": [send.time + rate.seconds * 1000 for send in sends for rate in self.sends],
            "failures": [at + rate.seconds * 1000 for at in failures for rate in self.failures],
            "proof": [proof.ends for phone in phones for proof in phone.proofs.values()],
            "window": [start + seconds * 1000 for (_, seconds), (start, _) in self.windows.items()],
        }[kind]
        return sorted({instant for instant in found if instant > now})

    def remembers(self, now: int, who: Who, key: str) -> bool:
        """Return whether the result for a used key is still defined, which it is for a day."""
        used = [send.time for send in self.phones[who.phone].sends if (send.who, send.key) == (who, key)]
        used += [at for op, (at, _) in self.phones[who.phone].failures.items() if op[:2] == (who, key)]
        return all(now - at < DAY_MS - 3_600_000 for at in used)

    # Helpers of the rules

    def _is_blocked(self, phone: str) -> bool:
        return self.phones[phone].consecutive >= self.most_consecutive

    def _wide(self, ip: str | None) -> list[tuple[str, Hashable, tuple[Rate, ...]]]:
        limits = [("region", "CN", self.policy.region_sends.get("CN", ())), ("total", "all", self.policy.total_sends)]
        return limits if ip is None else [("ip", ("sends", ip), self.policy.ip_sends), *limits]

    def _window_waits(self, subject: Hashable, rates: Iterable[Rate], now: int) -> dict[Rate, int]:
        waits = {}
        for rate in rates:
            window = rate.seconds * 1000
            start, count = self.windows.get((subject, rate.seconds), (0, 0))
            if start == now - now % window and count >= rate.limit:
                waits[rate] = start + window - now
        return waits

    def _charge(self, limits: Iterable[tuple[str, Hashable, tuple[Rate, ...]]], now: int) -> None:
        for _, subject, rates in limits:
            for rate in rates:
                current = now - now % (rate.seconds * 1000)
                start, count = self.windows.get((subject, rate.seconds), (0, 0))
                self.windows[subject, rate.seconds] = (current, count + 1 if start == current else 1)

    def _limited(self, now: int, who: Who, waits: dict[str, dict[Rate, int]]) -> Answer:
        by_limit = {(scope, rate): wait for scope, its_waits in waits.items() for rate, wait in its_waits.items()}
        wait, status = max(by_limit.values()), self.status(now, who)
        longest = OneOf(limit for limit, its_wait in by_limit.items() if its_wait == wait)
        evidence = {"limit": longest, "retry_after": math.ceil(wait / 1000)}
        return Answer("rate_limit", evidence | status.evidence, status.subject)

    def _describe(self, now: int, who: Who, send: Send | None, live: Challenge | None) -> dict[str, Any]:
        phone, sends = self.phones[who.phone], [send] if send else []
        if live is not None and send is None:
            latest = max(send.time for send in phone.sends_of(live))
            sends = [send for send in phone.sends_of(live) if send.time == latest]
        ends = sends[0].ends if live is None else phone.ends(live)
        return {
            "expires_at": ends,
            "expires_in": whole_seconds(max(0, ends - now)),
            "attempts_left": self.policy.attempts - live.wrong if live else 0,
            "delivery": OneOf(send.delivery(now) for send in sends),
            "replayed": False,
            **self._sends_evidence(now, who),
        }

    def _sends_evidence(self, now: int, who: Who) -> dict[str, Any]:
        times = [send.time for send in self.phones[who.phone].sends]
        wait = rolling_wait(times, self.sends, now)
        return {
            "resend_at": now + wait,
            "resend_in": math.ceil(wait / 1000),
            "sends_left": rolling_left(times, self.sends, now),
        }

    def _proved(self, proof: Proof) -> Answer:
        return Answer("proved", {"verified_at": proof.issued, "expires_at": proof.ends}, proof)
