"""The figures: count what scripts of phones can't count, and read all of them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Final

from otpkit.core.config import Config
from otpkit.core.crypto import encode_id
from otpkit.core.scripts.figures import Counter
from otpkit.core.tallies import NO_GATEWAY, OTHER
from otpkit.core.tokens import from_ms
from otpkit.effects import Flow, run
from otpkit.errors import ConfigurationError, OTPError
from otpkit.guard.money import decimal_of
from otpkit.models import Figures, Stats

HOURS_KEPT: Final = 840
"""The hours that are kept one by one: 35 days. Older ones are kept by UTC day."""
MOST_HOURS: Final = 9_600
"""The hours of 400 days, after which figures are removed."""
_HOUR_MS: Final = 3_600_000
_DAY_HOURS: Final = 24
_PAUSE_S: Final = 5.0  # Without the node of the figures, each call would wait for it in vain.
_FIRST_MS: Final = 256  # The end of the first bucket of receive.lua.


def add(config: Config, operation: bytes, figures: Sequence[str], *, end: str = "") -> Flow[None]:
    """Count figures apart, once for an operation. What fails is not counted, and changes no result.

    Args:
        config: the checked arguments of the `OTP`.
        operation: the id of the send or of the verification.
        figures: what to count, each as a label and what follows it.
        end: tells apart what is counted for the same operation at different times.
    """
    tallies = config.tallies
    if not figures or config.elapsed_s() < tallies.resumes_s:
        return
    script = config.scripts.add_figures(
        stats_key=tallies.key,
        memory_key=f"{tallies.key}:{encode_id(operation)}{end}",
        now=config.now_arg(),
        figures=[f" {figure[1:]}" for figure in figures],
    )
    try:
        yield from run(script)
    except OTPError:
        tallies.resumes_s = config.elapsed_s() + _PAUSE_S


def add_refusal(config: Config, operation: bytes, region: str, what: str) -> Flow[None]:
    """Count a refused call apart. `what` is `l` and the scope of a limit, or `g` and the guard's decision."""
    yield from add(config, operation, [f" {region} {NO_GATEWAY} {what}"], end=":r")


def stats(config: Config, hours: object) -> Flow[Stats]:
    """Return the figures of the last hours, the current one included.

    Raises:
        ConfigurationError: `hours` is not a whole number from 1 to 9600.
    """
    if type(hours) is not int or not 1 <= hours <= MOST_HOURS:
        raise ConfigurationError(f"hours is {hours!r:.20}.", f"Pass a whole number from 1 to {MOST_HOURS}.")
    by_day = hours > HOURS_KEPT
    found = yield from run(
        config.scripts.figures(stats_key=config.tallies.key, now=config.now_arg(), hours=0 if by_day else hours)
    )
    now = found.now_ms // _HOUR_MS
    step = _DAY_HOURS if by_day else 1
    first = (now - hours + 1) // step * step
    total, spans = _Sum(), {hour: _Sum() for hour in range(first, now + 1, step)}
    regions: dict[str, _Sum] = {}
    gateways: dict[str, _Sum] = {}
    for counter in found.counters:
        if (span := spans.get(counter.hour // step * step)) is None:
            continue  # It is older, or ahead of a clock that was set back.
        region, gateway = (OTHER_NAME if name == OTHER else name for name in (counter.region, counter.gateway))
        sums = [total, span, regions.setdefault(region, _Sum())]
        if gateway != NO_GATEWAY:
            sums.append(gateways.setdefault(gateway, _Sum()))
        for each in sums:
            each.add(counter)
    return Stats(
        since=from_ms(first * _HOUR_MS),
        until=from_ms(found.now_ms),
        currency=config.costs.currency,
        total=total.figures(),
        regions={name: regions[name].figures() for name in sorted(regions)},
        gateways={name: gateways[name].figures() for name in sorted(gateways)},
        spans=tuple((from_ms(hour * _HOUR_MS), each.figures()) for hour, each in spans.items()),
    )


OTHER_NAME: Final = "other"
_MESSAGE: Final = re.compile(r"(o?)([au])([0-9]+)")
_COUNTS: Final[Mapping[str, str]] = {"r": "rejected", "f": "failed", "v": "verified", "w": "wrong_codes"}


class _Sum:
    """The sum of counters."""

    def __init__(self) -> None:
        self._counts = dict.fromkeys(("sent", "uncertain", "relayed", "delivered", *_COUNTS.values()), 0)
        self._limited: dict[str, int] = {}
        self._guard: dict[str, int] = {}
        self._micros = 0
        self._relayed_micros = 0
        self._buckets: dict[int, int] = {}

    def add(self, counter: Counter) -> None:
        """Add a counter. One of another kind is of a later version, and is skipped."""
        kind, rest, count = counter.what[:1], counter.what[1:], counter.number
        if message := _MESSAGE.fullmatch(counter.what):
            is_relayed, outcome, micros = message[1] == "o", message[2], int(message[3])
            self._counts["sent"] += count
            self._counts["uncertain"] += count if outcome == "u" else 0
            self._counts["relayed"] += count if is_relayed else 0
            self._micros += count * micros
            self._relayed_micros += count * micros if is_relayed else 0
        elif kind == "d" and rest.isdigit():
            self._counts["delivered"] += count
            self._buckets[int(rest)] = self._buckets.get(int(rest), 0) + count
        elif kind in {"l", "g"} and rest:
            table = self._limited if kind == "l" else self._guard
            table[rest] = table.get(rest, 0) + count
        elif counter.what in _COUNTS:
            self._counts[_COUNTS[counter.what]] += count

    def figures(self) -> Figures:
        """Return the figures."""
        return Figures(
            **self._counts,
            limited=dict(sorted(self._limited.items())),
            guard=dict(sorted(self._guard.items())),
            cost=decimal_of(self._micros),
            relayed_cost=decimal_of(self._relayed_micros),
            receipt_p50=_quantile(self._buckets, 0.50),
            receipt_p95=_quantile(self._buckets, 0.95),
        )


def _quantile(buckets: Mapping[int, int], share: float) -> float | None:
    """Return the seconds that a share of the receipts took at most: the middle of its bucket; None without any."""
    rank = math.ceil(share * sum(buckets.values()))
    for bucket in sorted(buckets):
        rank -= buckets[bucket]
        if rank <= 0:
            return middle_ms(bucket) / 1000
    return None


def middle_ms(bucket: int) -> float:
    """Return the middle of a bucket of receive.lua, in milliseconds."""
    if bucket == 0:
        return _FIRST_MS / 2
    doublings, quarter = divmod(bucket - 1, 4)
    return float(_FIRST_MS * 2**doublings * (1 + (quarter + 0.5) / 4))


def bucket_of(elapsed_ms: int) -> int:
    """Return the bucket of a time, as receive.lua does."""
    if elapsed_ms < _FIRST_MS:
        return 0
    doublings = min(18, (elapsed_ms // _FIRST_MS).bit_length() - 1)
    return 1 + 4 * doublings + min(3, ((elapsed_ms >> doublings) - _FIRST_MS) // 64)
