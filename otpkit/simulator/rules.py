"""The rules that a run can be made with: none, ours, and two published ones, re-implemented from their descriptions.

The re-implementations decide in front of the real flows. They are this project's reading of public texts, not the
products of the companies that are named.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Mapping
from typing import ClassVar, Final, Literal, NamedTuple

from otpkit.simulator.places import RANGE_DIGITS
from otpkit.simulator.timeline import DAY_S

HOUR_S: Final = 3600
Mode = Literal["off", "enforce", "observe"]


class Decider(ABC):
    """A rule that decides in front of the flows.

    Args:
        verified_a_day: the verifications of an ordinary day, for rules that learn from earlier days.
    """

    name: ClassVar[str]
    about: ClassVar[str]

    def __init__(self, verified_a_day: float) -> None:
        self.verified_a_day = verified_a_day

    @abstractmethod
    def refuses(self, phone: str, ip: str, now: float) -> bool:
        """Return whether a request for a message is refused, and count the request."""

    @abstractmethod
    def verified(self, phone: str, ip: str, now: float) -> None:
        """Count a right code."""


class Allow(Decider):
    """No rule beside the limits of the policy."""

    name = "none"
    about = "the limits of the policy alone"

    def refuses(self, phone: str, ip: str, now: float) -> bool:
        return False

    def verified(self, phone: str, ip: str, now: float) -> None:
        return None


class _Window:
    """Times of events within a rolling window."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._times: deque[float] = deque()

    def add(self, now: float) -> None:
        self._times.append(now)

    def count(self, now: float) -> int:
        while self._times and self._times[0] <= now - self._seconds:
            self._times.popleft()
        return len(self._times)


class _LeakyBucket:
    """A count that each request fills by one, and that leaks its whole threshold once a period."""

    def __init__(self, period: float) -> None:
        self._period = period
        self._level = 0.0
        self._updated: float | None = None

    def fill(self, count: int, threshold: float, now: float) -> bool:
        """Add requests, or take back verified ones. Return whether the bucket is over its threshold."""
        elapsed = 0.0 if self._updated is None else now - self._updated
        leaked = elapsed * threshold / self._period
        self._level = max(0.0, min(self._level, threshold) - leaked + count)
        self._updated = now
        return self._level > threshold


class AuthgearAdaptive(Decider):
    """Authgear's adaptive thresholds of unverified messages, by country and by address, with its action of denial.

    From its published specification: leaky buckets, filled before a message is sent and by refused requests too, and
    drained by a verification. Their thresholds for a country are, in 24 hours, max(20, 0.3 × the most verified in one
    day of the last 14, 0.3 × verified in 24 hours), and in one hour max(3, 0.2 × that day's ÷ 6, 0.2 × verified in the
    hour); for an address, max(10, 0.2 × its verified in 24 hours) and max(5, a sixth of that share). Fourteen ordinary
    days are taken as given. Its exemption for numbers that were verified before is not modelled, and neither is its
    rule on several countries, as there is one country here.
    """

    name = "authgear"
    about = "Authgear's adaptive thresholds by country and address, re-implemented from their description"

    def __init__(self, verified_a_day: float) -> None:
        super().__init__(verified_a_day)
        self._verified = {DAY_S: _Window(DAY_S), HOUR_S: _Window(HOUR_S)}
        self._verified_of: dict[str, _Window] = {}
        self._buckets: dict[tuple[str, int], _LeakyBucket] = {}

    def refuses(self, phone: str, ip: str, now: float) -> bool:
        full = [self._fill(subject, period, 1, now) for subject in ("", ip) for period in (HOUR_S, DAY_S)]
        return any(full)

    def verified(self, phone: str, ip: str, now: float) -> None:
        for window in (*self._verified.values(), self._verified_of.setdefault(ip, _Window(DAY_S))):
            window.add(now)
        for subject in ("", ip):
            for period in (HOUR_S, DAY_S):
                self._fill(subject, period, -1, now)

    def _fill(self, subject: str, period: int, count: int, now: float) -> bool:
        bucket = self._buckets.setdefault((subject, period), _LeakyBucket(period))
        return bucket.fill(count, self._threshold(subject, period, now), now)

    def _threshold(self, subject: str, period: int, now: float) -> float:
        if subject:
            verified = self._verified_of[subject].count(now) if subject in self._verified_of else 0
            return max(10, 0.2 * verified) if period == DAY_S else max(5, 0.2 * verified / 6)
        if period == DAY_S:
            return max(20, 0.3 * self.verified_a_day, 0.3 * self._verified[DAY_S].count(now))
        return max(3, 0.2 * self.verified_a_day / 6, 0.2 * self._verified[HOUR_S].count(now))


class PrefixConversion(Decider):
    """A prefix of numbers is shut for twelve hours when it converts badly, and again while that goes on.

    From public descriptions of such services: the numbers that differ in their last four digits are one prefix. With at
    least 20 messages in twelve hours, of which less than 20 % were verified, it is shut.
    """

    name = "prefix"
    about = "prefixes shut for 12 h by their conversion, re-implemented from public descriptions"
    least, share, shut_s = 20, 0.2, 12 * HOUR_S

    def __init__(self, verified_a_day: float) -> None:
        super().__init__(verified_a_day)
        self._sent: dict[str, _Window] = {}
        self._verified: dict[str, _Window] = {}
        self._shut_until: dict[str, float] = {}

    def refuses(self, phone: str, ip: str, now: float) -> bool:
        prefix = phone[:-RANGE_DIGITS]
        if now < self._shut_until.get(prefix, 0):
            return True
        sent = self._sent.setdefault(prefix, _Window(self.shut_s))
        verified = self._verified[prefix].count(now) if prefix in self._verified else 0
        if sent.count(now) >= self.least and verified < self.share * sent.count(now):
            self._shut_until[prefix] = now + self.shut_s
            return True
        sent.add(now)
        return False

    def verified(self, phone: str, ip: str, now: float) -> None:
        self._verified.setdefault(phone[:-RANGE_DIGITS], _Window(self.shut_s)).add(now)


class Rule(NamedTuple):
    """A rule by name: its description, its modes, and the decider in front of the flows, None for ours."""

    name: str
    about: str
    modes: tuple[Mode, ...]
    decider: type[Decider] | None


GUARD: Final = "guard"
BUDGET: Final = "budget"
RULES: Final[Mapping[str, Rule]] = {
    each.name: each
    for each in (
        *(
            Rule(kind.name, kind.about, ("off",) if kind is Allow else ("enforce",), kind)
            for kind in (Allow, AuthgearAdaptive, PrefixConversion)
        ),
        Rule(
            GUARD,
            "otpkit's Guard: captchas where the scope is wide, refusals where it is narrow",
            ("enforce", "observe"),
            None,
        ),
        Rule(
            BUDGET,
            "the same Guard with a budget of twice an ordinary day's cost",
            ("enforce",),
            None,
        ),
    )
}
