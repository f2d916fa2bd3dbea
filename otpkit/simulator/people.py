"""Honest users: when they come, from where, and what they do."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from random import Random
from typing import Final

from otpkit.simulator.places import CARRIER_NAT, OFFICE, OWNER_ADDRESS, any_number, home_address, number
from otpkit.simulator.site import Reply, Request, Site
from otpkit.simulator.timeline import DAY_S, Timeline
from otpkit.simulator.traces import Trace

# The arrivals of each hour of a day, in thousandths: few at night, a peak at noon and one in the evening.
HOURS: Final = (14, 9, 6, 5, 5, 9, 18, 32, 47, 55, 58, 60, 63, 58, 54, 54, 55, 57, 60, 65, 70, 66, 50, 30)
_SUMS: Final = tuple(accumulate(HOURS))

TRIES: Final = 3  # Requests without a code, after which a person leaves.
CAPTCHA_TRIES: Final = 3
CAPTCHA_PASSED: Final = 0.97  # of one try, by a person
MOST_WAIT_S: Final = 900  # A person who would wait longer is counted as refused.
MESSAGES: Final = 3  # A person asks for no more.
AGAIN: Final = 0.5  # of those whose message brought no verification: they ask for another one.
LATE: Final = 0.05  # of messages arrive after a minute or more.
IMPATIENT: Final = 0.5  # of those whose message is late: they ask again before it arrives.
TYPO: Final = 0.05  # of codes are typed wrong the first time.
OFFICE_SIZE: Final = 100  # Fewer come if they would be more than 3 % of a day; of the NAT, more than 5 %.
NAT_SIZE: Final = 1_000
IN_TARGET: Final = 20  # People of each day whose numbers are in the range that attackers may choose.
TARGET_BLOCK: Final = 77_777
OWNER_HOURS: Final = (9, 14, 20)  # When the owner of an attacked phone logs in.


@dataclass(slots=True)
class Tally:
    """What happened to the honest people of a run. Each person is counted once in each line.

    Attributes:
        people: who came.
        refused: who got no code in three tries because of a rule or a limit.
        by_money: who got none because of a budget.
        unserved: who got none because of the gateway.
        captcha: who was asked for a captcha.
        verified: whose number was verified in the end.
        sent: the messages that they got, all together.
    """

    people: int = 0
    refused: int = 0
    by_money: int = 0
    unserved: int = 0
    captcha: int = 0
    verified: int = 0
    sent: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits:
    """The conversion of messages: the share that is verified, and a lower one for a part of the day."""

    conversion: float
    fallen: float | None = None
    falls_at: float = 0.0

    def at(self, second: float) -> float:
        """Return the conversion of a message that is sent `second` seconds after the start."""
        return self.conversion if self.fallen is None or second < self.falls_at else self.fallen


def moment(random: Random) -> float:
    """Return a second of the day, drawn by the curve of arrivals."""
    hour = bisect(_SUMS, random.random() * _SUMS[-1])
    return (min(hour, 23) + random.random()) * 3600


class Crowd:
    """The honest people of one day.

    Args:
        site: the site that they use.
        tally: what to count them in.
        habits: their conversion.
        seed: what all draws depend on.
        day: the day, from 0.
    """

    def __init__(self, site: Site, tally: Tally, habits: Habits, seed: str, day: int = 0) -> None:
        self._site = site
        self._tally = tally
        self._habits = habits
        self._seed = f"{seed}/honest/{day}"
        self._day = day

    def gather(self, timeline: Timeline, count: int) -> None:
        """Let a day's people come: at home, in one office, behind one carrier's NAT, and some in the target range."""
        random = Random(self._seed)
        office = min(OFFICE_SIZE, 3 * count // 100)
        nat = min(NAT_SIZE, count // 20)
        arrivals = []
        for index in range(count):
            at, phone, ip = moment(random), any_number(random), home_address(random)
            if index < office:  # A third of the office comes in the hour after nine.
                at, ip = (9 + random.random() * (9 if index % 3 else 1)) * 3600, OFFICE
            elif index < office + nat:
                ip = CARRIER_NAT
            elif index >= count - IN_TARGET:
                phone = number(TARGET_BLOCK, random.randrange(10_000))
            arrivals.append((at, index, phone, ip))
        arrivals.sort()
        timeline.start(self._arrive(timeline, arrivals), self._day * DAY_S)

    def rush(self, timeline: Timeline, count: int, at: float) -> None:
        """Let people come within 60 seconds, beside those of the day."""
        random = Random(f"{self._seed}/rush")
        arrivals = sorted(
            (at + 60 * random.random(), 1_000_000 + i, any_number(random), home_address(random)) for i in range(count)
        )
        timeline.start(self._arrive(timeline, arrivals), self._day * DAY_S)

    def return_to(self, timeline: Timeline, phone: str, hours: Sequence[int], *, keeps_device: bool) -> None:
        """Let the owner of one phone log in at these hours of the day. Each time counts as one person.

        Args:
            timeline: the clock.
            phone: the phone.
            hours: the hours of the day.
            keeps_device: whether the owner's browser keeps the device of a proof.
        """
        arrivals = [(3600.0 * hour, 2_000_000 + hour, phone, OWNER_ADDRESS) for hour in hours]
        timeline.start(self._arrive(timeline, arrivals, keeps_device=keeps_device), self._day * DAY_S)

    def replay(self, timeline: Timeline, log: Trace) -> None:
        """Let the people of a log come. Each of its messages counts as one person."""
        timeline.start(self._replay(timeline, log), 0)

    def _replay(self, timeline: Timeline, log: Trace) -> Iterator[float]:
        habits = Habits(conversion=0.5)
        for index, line in enumerate(log.lines):
            yield line.second - timeline.second
            fates = (_Fate(Random(f"{self._seed}/log/{index}")),)
            fates[0].settle(verified=line.verified)
            random = Random(f"{self._seed}/{index}")
            person = Person(self._site, self._tally, habits, random, line.phone, line.ip, fates)
            timeline.start(person.live(), timeline.second)

    def _arrive(
        self, timeline: Timeline, arrivals: list[tuple[float, int, str, str]], *, keeps_device: bool = False
    ) -> Iterator[float]:
        start = self._day * DAY_S
        for at, index, phone, ip in arrivals:
            yield start + at - timeline.second
            person = Person(self._site, self._tally, self._habits, Random(f"{self._seed}/{index}"), phone, ip)
            person.keeps_device = keeps_device
            timeline.start(person.live(), timeline.second)


class Person:
    """One honest person. What they do depends on their own random generator, whatever the rule is.

    `keeps_device` is whether their browser keeps the device of a proof.
    """

    keeps_device = False

    def __init__(
        self,
        site: Site,
        tally: Tally,
        habits: Habits,
        random: Random,
        phone: str,
        ip: str,
        fates: Sequence[_Fate] = (),
    ) -> None:
        self._site = site
        self._tally = tally
        self._habits = habits
        self._random = random
        self._phone = phone
        self._ip = ip
        self._saw_captcha = False
        # Draw what may happen now, so that a rule's answers don't shift the draws that follow.
        self._fates = fates or [_Fate(random) for _ in range(MESSAGES)]

    def live(self) -> Iterator[float]:
        """Ask for a code, read it, type it; ask again if it does not come."""
        self._tally.people += 1
        for fate in self._fates:
            reply = yield from self._request()
            if reply.kind != "sent":
                self._leave(reply)
                return
            if (yield from self._read(fate, reply)):
                self._tally.verified += 1
                return
            if not fate.again:
                return
            yield fate.pause

    def _leave(self, reply: Reply) -> None:
        tally = self._tally
        if reply.kind == "money":
            tally.by_money += 1
        elif reply.kind == "rejected":
            tally.unserved += 1
        else:
            tally.refused += 1

    def _request(self) -> Generator[float, None, Reply]:
        """Ask until a message is sent, three times at most. Return the last reply."""
        for _ in range(TRIES):
            reply = self._ask()
            if reply.kind == "captcha":
                reply = yield from self._solve(reply)
            if reply.kind == "sent" or reply.kind == "captcha" or reply.wait > MOST_WAIT_S:
                return reply
            yield reply.wait + self._random.uniform(1, 20) if reply.wait else self._random.uniform(60, 300)
        return reply

    def _solve(self, reply: Reply) -> Generator[float, None, Reply]:
        if not self._saw_captcha:
            self._saw_captcha = True
            self._tally.captcha += 1
        for _ in range(CAPTCHA_TRIES):
            yield self._random.uniform(5, 20)
            passed = self._random.random() < CAPTCHA_PASSED
            reply = self._ask(passed)
            if reply.kind != "captcha":
                break
        return reply

    def _ask(self, captcha: bool | None = None) -> Reply:
        device = self._site.devices.get(self._phone) if self.keeps_device else None
        request = Request(phone=self._phone, ip=self._ip, party="honest", captcha=captcha, device=device)
        reply = self._site.issue(request)
        self._tally.sent += reply.kind == "sent"
        return reply

    def _read(self, fate: _Fate, reply: Reply) -> Generator[float, None, bool]:
        """Wait for the message, and type its code. Return whether the number is verified."""
        if not reply.delivered or fate.luck >= self._habits.at(self._site.timeline.second):
            return False
        wait = fate.delay
        if fate.impatient:
            yield 25.0
            self._ask()  # Too early: the page shows the form of the live code.
            yield 40.0
            yield from self._request()
            wait = max(5.0, wait - 65.0)
        yield wait
        if fate.typo:
            self._type(right=False)
            yield 8.0
        return self._type(right=True)

    def _type(self, *, right: bool) -> bool:
        return self._site.verify(self._phone, self._ip, right=right, keeps_device=self.keeps_device)


class _Fate:
    """What will become of one message, if it is sent."""

    __slots__ = ("again", "delay", "impatient", "luck", "pause", "typo")

    def __init__(self, random: Random) -> None:
        late = random.random() < LATE
        self.luck = random.random()
        self.delay = random.uniform(70, 230) if late else random.uniform(10, 50)
        self.impatient = late and random.random() < IMPATIENT
        self.typo = random.random() < TYPO
        self.again = random.random() < AGAIN
        # Most ask again while the code is live, some much later.
        self.pause = random.uniform(65, 180) if random.random() < 0.8 else random.uniform(330, 900)

    def settle(self, *, verified: bool) -> None:
        """Take what is known from a log in place of chance."""
        self.luck = 0.0 if verified else 1.0
        self.delay = min(self.delay, 50.0)
        self.again = self.impatient = self.typo = False
