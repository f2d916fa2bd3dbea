"""What the guard claims, held row by row: the default settings, from the first day, bots that pass 1 % of captchas.

`docs/guides/protection.md` has the same figures as a table.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from simulated import row_of

from otpkit.simulator.rows import Row

HOUR = 3600
BEFORE_THE_CAPTCHA = 60  # Messages of a scattered burst, at 1,000 people a day.
BEFORE_THE_CAPTCHA_AT_20_000 = 150
PASSED = 0.01  # of the requests of a burst, by bots that pass 1 % of captchas
CHANCE = 35  # Messages more, as 100 ± 10 of 10,000 captchas are passed.
ARRIVES = 0.12  # The share of a day that comes during a burst and the 30 minutes after, at its busiest.
SLOW = 75

BURSTS = [
    (name, start)
    for name in ("burst-100-ranges-proxies", "burst-scattered-proxies", "burst-100-ranges", "burst-scattered")
    for start in ("10:00", "20:00")
]
LOCKOUTS = [
    *(f"lockout-region-{rate}-proxies" for rate in (30, 60, 300, 1_200)),
    *(f"lockout-office-{rate}" for rate in (60, 1_200)),
    *(f"lockout-range-{rate}-proxies" for rate in (60, 1_200)),
]
TROUBLES = ["gateway-down", "gateway-rejects", "flash-crowd", "conversion-falls"]


@pytest.mark.parametrize("start", ["10:00", "20:00"])
def test_a_burst_to_one_range_gets_three_messages_in_a_thousand(valkey_url: str, start: str) -> None:
    for attack in ("burst-range", "burst-range-proxies"):
        row = row_of(valkey_url, attack, start=start)
        assert row.sent <= 0.003 * row.attempted
        assert row.honest_refused < 0.001


@pytest.mark.parametrize(("attack", "start"), BURSTS)
def test_a_wide_burst_gets_what_its_captchas_pass(valkey_url: str, attack: str, start: str) -> None:
    row = row_of(valkey_url, attack, start=start)
    assert row.sent - row.captchas_solved <= BEFORE_THE_CAPTCHA
    assert row.sent <= PASSED * row.attempted + CHANCE + BEFORE_THE_CAPTCHA
    assert row.honest_captcha <= ARRIVES
    assert row.honest_refused < 0.001


def test_a_wide_burst_on_a_large_site_gets_little_more(valkey_url: str) -> None:
    """The captcha is asked for later where more people come."""
    row = row_of(valkey_url, "burst-scattered-proxies", honest_per_day=20_000)
    assert row.sent <= PASSED * row.attempted + BEFORE_THE_CAPTCHA_AT_20_000
    assert row.honest_captcha <= ARRIVES
    assert row.honest_refused < 0.001


@pytest.mark.parametrize("source", ["", "-proxies"])
@pytest.mark.parametrize("shape", ["scattered", "100-ranges"])
def test_a_slow_attack_gets_few_messages_a_day(valkey_url: str, shape: str, source: str) -> None:
    for conversion in (0.70, 0.85, 0.95) if source else (0.85,):
        row = row_of(valkey_url, f"slow-{shape}{source}", conversion=conversion)
        assert row.sent <= SLOW
        assert row.honest_refused < 0.001


@pytest.mark.parametrize("attack", ["none", *TROUBLES])
def test_nobody_is_refused_without_an_attack(valkey_url: str, attack: str) -> None:
    row = row_of(valkey_url, attack)
    assert row.honest_refused == 0
    if attack in {"none", "gateway-rejects", "conversion-falls"}:
        assert row.honest_captcha < 0.005


@pytest.mark.parametrize("conversion", [0.70, 0.95])
def test_nobody_sees_a_captcha_in_peace(valkey_url: str, conversion: float) -> None:
    row = row_of(valkey_url, "none", conversion=conversion)
    assert (row.honest_refused, row.honest_captcha) == (0, 0)


@pytest.mark.parametrize("attack", LOCKOUTS)
def test_nobody_is_locked_out(valkey_url: str, attack: str) -> None:
    """Neither a region, nor an office, nor a range."""
    assert row_of(valkey_url, attack).honest_refused == 0


@pytest.mark.parametrize("rate", [60, 1_200])
def test_owner_with_a_device_is_not_locked_out(valkey_url: str, rate: int) -> None:
    """The same attack locks an owner without one out."""
    assert row_of(valkey_url, f"lockout-device-{rate}-proxies").honest_refused == 0
    assert row_of(valkey_url, f"lockout-phone-{rate}-proxies").honest_refused > 0


def test_a_sprayer_opens_no_account(valkey_url: str) -> None:
    """Not even one in a hundred days."""
    for attack in ("sprayer", "sprayer-proxies"):
        row = row_of(valkey_url, attack)
        assert row.expected_guesses <= 0.01
        assert row.expected_guesses <= 5 * row.sent / 10**6


def test_observing_stops_nothing_and_refuses_nobody(valkey_url: str) -> None:
    row = row_of(valkey_url, "burst-scattered-proxies", mode="observe")
    assert row.sent == row.attempted
    assert (row.honest_refused, row.honest_captcha) == (0, 0)


def test_only_money_holds_a_buyer_of_conversions(valkey_url: str) -> None:
    """A budget does, exactly: the run's own books check it for the day."""
    assert row_of(valkey_url, "buyer-proxies").sent == 10_000
    row = row_of(valkey_url, "buyer-proxies", "budget")
    assert (row.sent + row.honest_sent) * 0.045 <= 90.0
    assert row.honest_refused == 0
    assert row.refused_by_money > 0
    assert row_of(valkey_url, "none", "budget").refused_by_money == 0


OTHERS: list[tuple[str, str, Callable[[Row], bool]]] = [
    ("none", "burst-scattered-proxies", lambda row: row.sent == row.attempted),
    ("authgear", "burst-scattered-proxies", lambda row: row.sent < 100),
    ("authgear", "lockout-region-60-proxies", lambda row: row.honest_refused > 0.5),
    ("prefix", "burst-range-proxies", lambda row: row.sent <= 20),
    ("prefix", "burst-scattered-proxies", lambda row: row.sent == row.attempted),
]


@pytest.mark.parametrize(("rule", "attack", "holds"), OTHERS, ids=[f"{rule}-{attack}" for rule, attack, _ in OTHERS])
def test_the_rules_of_others_behave_as_published(
    valkey_url: str, rule: str, attack: str, holds: Callable[[Row], bool]
) -> None:
    assert holds(row_of(valkey_url, attack, rule))
