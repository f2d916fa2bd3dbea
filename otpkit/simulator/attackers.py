"""Attackers: what they ask for, from where, and how fast."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Final, Literal

from otpkit.simulator.people import TARGET_BLOCK
from otpkit.simulator.places import BLOCKS, OFFICE, any_number, datacentre_address, ipv4, number
from otpkit.simulator.site import Reply, Request, Site

Source = Literal["datacentre", "proxies", "office"]
USES: Final = 2  # Requests from one residential proxy.
VICTIM: Final = number(12_345, 6789)
OWN_BLOCK: Final = 50_000
RANGES: Final = 100  # The ranges of an attacker who owns some.


@dataclass(slots=True)
class Haul:
    """What an attacker got.

    Attributes:
        attempted: the messages that were wanted.
        sent: the messages that were sent.
        solved: the captchas that were passed.
        guesses: the codes that could be tried at the challenges, all together.
        first_stop: the seconds from the first attempt to the first that got no message at once, or None.
    """

    attempted: int = 0
    sent: int = 0
    solved: int = 0
    guesses: int = 0
    first_stop: float | None = None
    _attempts: dict[str, int] = field(default_factory=dict)

    def count(self, reply: Reply) -> None:
        """Count a message that was sent, and the codes that its challenge accepts."""
        self.sent += 1
        if reply.challenge not in self._attempts:
            self._attempts[reply.challenge] = reply.attempts
            self.guesses += reply.attempts


class Attacker:
    """A bot that asks for messages.

    Args:
        site: the site under attack.
        haul: what to count the messages in.
        random: its random generator.
        source: where its requests come from.
        bot_pass: the share of captchas that it passes.
    """

    def __init__(self, site: Site, haul: Haul, random: Random, *, source: Source, bot_pass: float) -> None:
        self._site = site
        self._haul = haul
        self.random = random
        self._source = source
        self._bot_pass = bot_pass
        self._address, self._uses = "", USES
        self._began: float | None = None

    def attempt(self, phone: str) -> Reply:
        """Ask for one message. If a captcha is wanted, try to pass it once.

        An answer that does not pass is not sent to the site: it would be refused before anything is counted.
        """
        haul, timeline = self._haul, self._site.timeline
        if self._began is None:
            self._began = timeline.second
        haul.attempted += 1
        ip = self._next_address()
        reply = self._site.issue(Request(phone=phone, ip=ip, party="attacker"))
        if reply.kind != "sent" and haul.first_stop is None:
            haul.first_stop = timeline.second - self._began
        if reply.kind == "captcha" and self.random.random() < self._bot_pass:
            haul.solved += 1
            reply = self._site.issue(Request(phone=phone, ip=ip, party="attacker", captcha=True))
        if reply.kind == "sent":
            haul.count(reply)
        return reply

    def guess(self, phone: str, times: int) -> None:
        """Try wrong codes at a phone's challenge."""
        for _ in range(times):
            self._site.verify(phone, self._next_address(), right=False)

    def buy(self, phone: str) -> None:
        """Type the right code: the number is the attacker's."""
        self._site.verify(phone, self._next_address(), right=True)

    def _next_address(self) -> str:
        if self._source == "office":
            return OFFICE
        if self._source == "datacentre":
            return datacentre_address(self.random)
        if self._uses >= USES:
            self._address, self._uses = ipv4(self.random), 0
        self._uses += 1
        return self._address


Target = Callable[[Random, int], str]
"""Return the number of an attempt, from the attacker's generator and the attempt's index."""


def one_range(random: Random, index: int) -> str:
    """Walk through the numbers of one range that pays out."""
    return number(OWN_BLOCK, index % 10_000)


def peoples_range(random: Random, index: int) -> str:
    """Walk through the numbers of a range that some of the day's people belong to."""
    return number(TARGET_BLOCK, index % 10_000)


def own_ranges(random: Random, index: int) -> str:
    """Draw a number of a hundred ranges that pay out."""
    return any_number(random, range(OWN_BLOCK, OWN_BLOCK + RANGES))


def scattered(random: Random, index: int) -> str:
    """Draw any number of the country."""
    return any_number(random, range(BLOCKS))


def victim(random: Random, index: int) -> str:
    """Return the same number always."""
    return VICTIM


@dataclass(frozen=True, slots=True, kw_only=True)
class Campaign:
    """An attack: how many messages are wanted, in what time, of which numbers, and what is done with them.

    Args:
        count: the attempts.
        lasts: in seconds.
        target: the numbers.
        bought: the share of the sent codes that the attacker types, because the numbers are the attacker's.
        guesses: the wrong codes that are tried after each message; None tries as many as the challenge accepts.
    """

    count: int
    lasts: float
    target: Target
    bought: float = 0.0
    guesses: int | None = 0

    def run(self, attacker: Attacker) -> Iterator[float]:
        """Make the attempts at random moments, evenly over the time."""
        gap = self.lasts / self.count
        for index in range(self.count):
            phone = self.target(attacker.random, index)
            reply = attacker.attempt(phone)
            if reply.kind == "sent":
                if self.bought and attacker.random.random() < self.bought:
                    attacker.buy(phone)
                elif self.guesses != 0:
                    attacker.guess(phone, reply.attempts if self.guesses is None else self.guesses)
            elif self.target is victim and self.guesses != 0:
                attacker.guess(phone, 1)
            yield attacker.random.expovariate(1 / gap)
