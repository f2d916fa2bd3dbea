"""What the guard has counted and decided, and operators' overrides: for operators, never for visitors."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, NamedTuple, TypeAlias, get_args

from otpkit.core.addresses import network_of, read_visitor
from otpkit.core.audit import Operator, Target, audited, count_event
from otpkit.core.config import Config
from otpkit.core.scripts.guard import Counts, RegionCounts
from otpkit.core.subject import Subject
from otpkit.core.tokens import from_ms
from otpkit.effects import Emit, Flow, RunScript, run, run_together
from otpkit.errors import ConfigurationError, OTPError
from otpkit.guard.protection import RANGE_DIGITS, TOTAL, Protection
from otpkit.guard.rule import Rule, allowances
from otpkit.models import Event
from otpkit.phone import resolve

OverrideScope: TypeAlias = Literal["range", "ip", "net", "region", "total"]
SCOPES: Final = ("range", "ip", "net", "region", "total", "guesses")
OUTCOMES: Final = ("captcha", "refused", "observed")

LENGTHS_MS: Final = {"range": 21_600_000, "ip": 900_000, "net": 900_000}
"""The length of a bucket of the records that have one."""
_RECORD_SIZE, _REGION_SIZE = 32, 118  # In bytes, without an override.
_LEAST_S, _MOST_S = 60, 30 * 86_400  # The life of an override.
_MOST_HOURS: Final = 168
_MOST_SUBJECTS: Final = 20  # Of one scope, in a report.
_MOST_NOTED: Final = 100  # The decisions that a process holds before it writes them.
_LETTERS: Final = {"allow": "a", "block": "b", "clear": "-"}
_DONE: Final = {"allow": "allowed", "block": "blocked", "clear": "cleared"}
_NO_GUARD = "This OTP has no guard.", "Pass guard=Guard(), or set OTPKIT_GUARD_MODE."


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectReport:
    """The counts of one subject of a scope.

    `name` is a pseudonym; of a region, its code, and "*" for all regions. `unverified` and `verified` are the sends of
    the scope's longest window, `allowance` is what it may have unverified there. `is_over` is True if it is over the
    allowance of one of its windows. `decisions` are the captchas and refusals of the last week. `override` is `allow`,
    `block` or "", until `override_ends`.
    """

    scope: str
    name: str
    unverified: int
    verified: int
    allowance: float
    is_over: bool
    decisions: int = 0
    override: str = ""
    override_ends: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScopeReport:
    """The decisions about one scope: how often it asked for a captcha, refused, or would have (`observed`).

    `over` is the number of its noted subjects that are over their allowance now. At most 500 subjects are noted.
    """

    scope: str
    captcha: int
    refused: int
    observed: int
    over: int
    subjects: tuple[SubjectReport, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardReport:
    """What the guard decided in the last `hours`, and what it counts at `at`. `scopes` are in the order of the rule.

    `observing_since` is when a guard in the mode `observe` first decided something or made a report, since the latest
    decision or report of one in the mode `enforce`. It is None in another mode.
    """

    at: datetime
    hours: int
    mode: str
    scopes: tuple[ScopeReport, ...]
    observing_since: datetime | None = None


class _Wanted(NamedTuple):
    scope: str
    name: str
    key: str
    decisions: int = 0


def guard_report(config: Config, hours: int, phone: str | None, ip: str | None) -> Flow[GuardReport]:
    """Return the report; with a phone or an address, the subjects are those of it alone."""
    protection = _protection(config)
    if type(hours) is not int or not 1 <= hours <= _MOST_HOURS:
        raise ConfigurationError(f"hours is {hours!r:.20}.", f"Pass a whole number from 1 to {_MOST_HOURS}.")
    yield from _write_notes(config, protection)
    notes = config.scripts.notes(notes_key=protection.notes_key, since_key=protection.since_key, now=config.now_arg())
    noted = yield from run(notes)
    lines = noted.noted.split("\n") if noted.noted else []
    decisions: dict[tuple[str, str], int] = {}
    wanted: list[_Wanted] = []
    since = noted.now_ms // 3_600_000 - hours
    for field, value in zip(lines[::2], lines[1::2], strict=True):
        words = field.split(" ")
        if words[0] == "s" and phone is None and ip is None:
            wanted.append(_Wanted(words[1], words[2], protection.record_key(words[2]), int(value.split(" ")[1])))
        elif words[0].isdigit() and int(words[0]) > since:
            decisions[words[1], words[2]] = decisions.get((words[1], words[2]), 0) + int(value)
    wanted.sort(key=lambda each: -each.decisions)
    if phone is not None or ip is not None:
        wanted = list(_subjects_of(config, protection, phone, ip))
    else:
        wanted = [each for scope in SCOPES for each in [w for w in wanted if w.scope == scope]]
        wanted += [_Wanted("region", region, protection.region_key(region)) for region in sorted(_regions(config))]
        if protection.has_total:
            wanted.append(_Wanted("total", TOTAL, protection.region_key(TOTAL)))
    looks: list[RunScript[Counts | RegionCounts]] = [
        config.scripts.look(record_key=each.key, now=config.now_arg(), length_ms=LENGTHS_MS.get(each.scope, 0))
        for each in wanted
    ]
    found = (yield from run_together(looks)) if looks else []
    rule = protection.guard.rule
    subjects = [report for each, counts in zip(wanted, found, strict=True) for report in _reports(each, counts, rule)]
    scopes = tuple(
        ScopeReport(
            scope=scope,
            **{outcome: decisions.get((outcome, scope), 0) for outcome in OUTCOMES},
            over=sum(each.is_over for each in subjects if each.scope == scope),
            subjects=tuple([each for each in subjects if each.scope == scope][:_MOST_SUBJECTS]),
        )
        for scope in SCOPES
    )
    mode, since_ms = protection.guard.mode, noted.since_ms
    return GuardReport(
        at=from_ms(noted.now_ms),
        hours=hours,
        mode=mode,
        scopes=scopes,
        observing_since=from_ms(since_ms) if since_ms and mode == "observe" else None,
    )


def override(config: Config, action: str, scope: str, subject: str, seconds: int, operator: Operator) -> Flow[None]:
    """Allow or block a scope for some time, or clear that; write it to the audit, and report it by events."""
    protection = _protection(config)
    if scope not in get_args(OverrideScope):
        known = ", ".join(get_args(OverrideScope))
        raise ConfigurationError(f"The scope {scope!r:.20} can't be overridden.", f"Choose one of {known}.")
    if type(seconds) is not int or not _LEAST_S <= seconds <= _MOST_S:
        raise ConfigurationError(f"seconds is {seconds!r:.20}.", f"Pass a whole number from {_LEAST_S} to {_MOST_S}.")
    name = _name_of(config, protection, scope, subject)
    yield from audited(
        config,
        _override(config, action, scope, _key_of(protection, scope, name), seconds),
        operation=f"guard_{action}",
        action=f"guard_{_DONE[action]}",
        operator=operator,
        target=Target(scope=scope, subject=name),
    )


def _override(config: Config, action: str, scope: str, record_key: str, seconds: int) -> Flow[None]:
    size = _RECORD_SIZE if scope in LENGTHS_MS else _REGION_SIZE
    yield from run(
        config.scripts.override(
            record_key=record_key,
            now=config.now_arg(),
            letter=_LETTERS[action],
            life_ms=seconds * 1000,
            size=size,
        )
    )
    if config.listener is not None:
        yield Emit(Event(name="guard", operation=f"guard_{action}", outcome=_DONE[action], detail=scope, scope=scope))


def note(
    config: Config, protection: Protection, subject: Subject, ip: object, outcome: str, scopes: Sequence[str]
) -> Flow[None]:
    """Note a decision for the report, in this process. Once a second, what it has noted is written."""
    names = {"range": protection.pseudonym("range", subject.phone[:-RANGE_DIGITS])}
    visitor = None if ip is None else read_visitor(ip)
    if visitor is not None:
        names["ip"] = protection.pseudonym("ip", visitor.name)
        names["net"] = protection.pseudonym("net", network_of(visitor))
    noted = protection.noted
    for scope in dict.fromkeys("ip" if scope == "guard_ip" else scope for scope in scopes):
        if scope in SCOPES:
            decision = (outcome, scope, names.get(scope, ""))
            noted[decision] = noted.get(decision, 0) + 1
            if outcome == "refused":
                yield from count_event(
                    config, "guard_refused", phone_id=subject.phone_id, scope=scope, subject=names.get(scope, "")
                )
    if len(noted) >= _MOST_NOTED or abs(config.elapsed_s() - protection.noted_s) >= 1:
        yield from _write_notes(config, protection)


def _write_notes(config: Config, protection: Protection) -> Flow[None]:
    """Write the mode and what this process has noted. What Redis refuses is lost, for it is only for the report."""
    noted, protection.noted, protection.noted_s = protection.noted, {}, config.elapsed_s()
    note = config.scripts.note(
        notes_key=protection.notes_key,
        since_key=protection.since_key,
        now=config.now_arg(),
        mode=protection.letter if protection.is_on else "-",
        decisions=[(*decision, count) for decision, count in noted.items()],
    )
    with suppress(OTPError):
        yield from run(note)


def _protection(config: Config) -> Protection:
    if config.protection is None:
        raise ConfigurationError(*_NO_GUARD)
    return config.protection


def _regions(config: Config) -> frozenset[str]:
    regions = config.policy.regions
    return frozenset(list(regions)[:_MOST_SUBJECTS]) if len(regions) > _MOST_SUBJECTS else frozenset(regions)


def _subjects_of(config: Config, protection: Protection, phone: str | None, ip: str | None) -> list[_Wanted]:
    found = []
    policy = config.policy
    if phone is not None:
        number, region = resolve(phone, policy.regions, policy.default_region)
        name = protection.pseudonym("range", number[:-RANGE_DIGITS])
        found += [_Wanted("range", name, protection.record_key(name))]
        found += [_Wanted("region", region, protection.region_key(region))]
    if ip is not None and (visitor := read_visitor(ip)) is not None:
        for scope, text in (("ip", visitor.name), ("net", network_of(visitor))):
            name = protection.pseudonym(scope, text)
            found.append(_Wanted(scope, name, protection.record_key(name)))
    return found


def _name_of(config: Config, protection: Protection, scope: str, subject: str) -> str:
    """Return the name of a subject at rest: a pseudonym, a region's code, or `TOTAL`."""
    policy = config.policy
    if scope == "range":
        number, _ = resolve(subject, policy.regions, policy.default_region)
        return protection.pseudonym("range", number[:-RANGE_DIGITS])
    if scope == "region":
        if subject not in policy.regions:
            raise ConfigurationError(f"{subject!r:.20} is not among Policy.regions.", "Pass one of them, such as 'CN'.")
        return subject
    if scope == "total":
        return TOTAL
    visitor = read_visitor(subject)
    if visitor is None:
        raise ConfigurationError("No visitor has this address.", "Pass a public IP address.")
    return protection.pseudonym(scope, visitor.name if scope == "ip" else network_of(visitor))


def _key_of(protection: Protection, scope: str, name: str) -> str:
    return protection.record_key(name) if scope in LENGTHS_MS else protection.region_key(name)


def _reports(wanted: _Wanted, counts: Counts | RegionCounts, rule: Rule) -> list[SubjectReport]:
    override = ("", "allow", "block")[counts.override]
    ends = from_ms(counts.ends_ms) if counts.override else None

    def report(scope: str, unverified: int, allowance: float, *, is_over: bool) -> SubjectReport:
        return SubjectReport(
            scope=scope,
            name=wanted.name,
            unverified=unverified,
            verified=counts.verified,
            allowance=round(allowance, 2),
            is_over=is_over,
            decisions=wanted.decisions,
            override=override,
            override_ends=ends,
        )

    if isinstance(counts, Counts):
        allowance = allowances(rule)[wanted.scope].of(counts.verified)
        return [report(wanted.scope, counts.unverified, allowance, is_over=counts.unverified >= allowance)]
    regions, usual = (max(1, counts.regions) if wanted.name == TOTAL else 1), counts.share / 10_000
    short = rule.short_floor * regions + (rule.short_times * usual + rule.short_share) * counts.short_verified
    day = rule.day_floor * regions + (usual + rule.day_share) * counts.verified
    is_over = counts.short_unverified >= short or counts.unverified >= day
    found = [report(wanted.scope, counts.unverified, day, is_over=is_over)]
    if wanted.name != TOTAL:
        guesses = rule.guesses_floor + rule.guesses_share * counts.verified
        found.append(report("guesses", counts.guesses, guesses, is_over=counts.guesses >= guesses))
    return found
