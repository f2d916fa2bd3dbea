"""The audit: what operators did and why, and security events, by pseudonym."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from typing import Final, NamedTuple, TypeVar

from otpkit.core.config import Config
from otpkit.core.crypto import encode_id, new_id
from otpkit.core.mentions import mentions_phone
from otpkit.core.scripts.audit import LENGTH, AuditPage, Occurrence, Row
from otpkit.core.tokens import from_ms, to_ms
from otpkit.effects import Emit, Flow, run
from otpkit.errors import ConfigurationError, OTPError
from otpkit.models import Audit, AuditEntry, Event
from otpkit.policy import DAY_S

T = TypeVar("T")

MAX_TEXT: Final = 256  # In characters.
MOST_ENTRIES: Final = 10_000
_PAGE: Final = 500  # The entries that one script looks at.
_MOST_PENDING: Final = 100
_BEGUN, _DONE = "begun", "done"
_LEAVE_OUT = "Leave the number out: the entry names it by its pseudonym."


class Operator(NamedTuple):
    """The operator of a call, and the reason. Both are checked texts, and may be ""."""

    actor: str
    reason: str


class Target(NamedTuple):
    """What an operator's action is about: a phone's pseudonym and region, or a scope and its subject."""

    phone_id: str = ""
    region: str = ""
    scope: str = ""
    subject: str = ""


def read_operator(config: Config, actor: object, reason: object) -> Operator:
    """Return the operator of a call.

    Controls and other characters that can't be seen become blanks, so that an entry is one line everywhere.

    Raises:
        ConfigurationError: a text is too long, or seems to hold a phone number.
    """
    who, why = _line("actor", actor), _line("reason", reason)
    for name, text in (("actor", who), ("reason", why)):
        if text and mentions_phone(text, config.policy, any_digits=name == "reason"):
            raise ConfigurationError(f"{name} seems to hold a phone number.", _LEAVE_OUT)
    return Operator(who, why)


def audited(
    config: Config, flow: Flow[T], *, operation: str, action: str, operator: Operator, target: Target
) -> Flow[T]:
    """Write an operator's action to the audit, carry it out, and write how it ended; then report it by an event.

    Args:
        config: the checked arguments of the `OTP`.
        flow: the action.
        operation: the name of the call, for the event.
        action: the action's name in the audit.
        operator: the operator.
        target: what the action is about.

    Raises:
        StoreUnavailableError: the entry can't be written, and nothing was done.
        ConfigurationError: Redis refuses to write the entry, and nothing was done.
    """
    entry = encode_id(new_id())
    refusal: OTPError | None = None
    try:
        yield from _write(config, entry, action, operator, target, _BEGUN)
    except OTPError as error:
        refusal = error
    if refusal is not None:
        problem = f"Nothing was done, because the action can't be written to the audit. {refusal.problem}"
        raise type(refusal)(problem, refusal.remedy) from refusal.__cause__
    try:
        result = yield from flow
    except OTPError as error:
        with suppress(OTPError):
            yield from _write(config, entry, action, operator, target, error.code)
        raise
    with suppress(OTPError):  # The entry then stays `begun`.
        yield from _write(config, entry, action, operator, target, _DONE)
    if config.listener is not None:
        yield Emit(
            Event(
                name="operator",
                operation=operation,
                outcome=action,
                detail=operator.actor,
                phone_id=target.phone_id,
                region=target.region,
                scope=target.scope,
            )
        )
    return result


def write_event(
    config: Config, action: str, *, phone_id: str = "", scope: str = "", subject: str = "", times: int | None = None
) -> Flow[None]:
    """Write a security event, and those that are counted. If Redis refuses, it is lost: it never breaks a call.

    Args:
        config: the checked arguments of the `OTP`.
        action: the event's name in the audit.
        phone_id: the pseudonym of the phone, or "".
        scope: its scope, or "".
        subject: the name of its subject at rest, or "".
        times: how often it happened, for an event that is counted by its scope and subject; None for one that is
            written each time.
    """
    is_single = int(times is None)
    yield from _flush(
        config, (Occurrence(encode_id(new_id()), action, phone_id, scope, subject, times or 1, is_single),)
    )


def count_event(config: Config, action: str, *, phone_id: str = "", scope: str = "", subject: str = "") -> Flow[None]:
    """Count a security event of a kind that can be frequent. Once a second, what is counted is written."""
    trail = config.trail
    trail.count(Occurrence(encode_id(new_id()), action, phone_id, scope, subject, 1, 0))
    if len(trail.pending) >= _MOST_PENDING or abs(config.elapsed_s() - trail.written_s) >= 1:
        yield from _flush(config)


def read_audit(config: Config, phone_id: str, since: datetime | None, limit: int) -> Flow[Audit]:
    """Return entries, newest first; with `phone_id`, only those of that phone."""
    if type(limit) is not int or not 1 <= limit <= MOST_ENTRIES:
        raise ConfigurationError(f"limit is {limit!r:.20}.", f"Pass a whole number from 1 to {MOST_ENTRIES}.")
    if since is not None and (not isinstance(since, datetime) or since.tzinfo is None):
        raise ConfigurationError("since must be an aware datetime or None.", "Pass one such as datetime.now(UTC).")
    since_ms = 0 if since is None else max(0, to_ms(since))
    if config.trail.pending:
        yield from _flush(config)
    found: list[AuditEntry] = []
    oldest, is_capped = [], False
    for key in (config.trail.actions_key, config.trail.events_key):
        rows: dict[str, Row] = {}
        ends: dict[str, str] = {}
        start = "+"
        while start and len(rows) < limit:
            page: AuditPage = yield from run(
                config.scripts.audit_entries(
                    stream_key=key, now=config.now_arg(), start=start, since_ms=since_ms, phone_id=phone_id, count=_PAGE
                )
            )
            kept_ms = page.now_ms - config.policy.audit_days * DAY_S * 1000
            _join((row for row in page.rows if row.at_ms >= max(since_ms, kept_ms)), rows, ends)
            start = page.rest
        is_capped = is_capped or page.length >= LENGTH
        oldest += [page.oldest_ms] if page.oldest_ms else []
        found += [_entry(row, ends) for row in list(rows.values())[:limit]]
    found.sort(key=lambda entry: entry.at, reverse=True)
    return Audit(entries=tuple(found[:limit]), is_capped=is_capped, oldest=from_ms(min(oldest)) if oldest else None)


def _join(page: Iterable[Row], rows: dict[str, Row], ends: dict[str, str]) -> None:
    """Add the rows of a page, newest first. An operation may have several: its beginning, its end, and repeats."""
    for row in page:
        if row.outcome not in {"", _BEGUN}:
            ends.setdefault(row.operation, row.outcome)
            rows.setdefault(row.operation, row)
        elif row.operation in ends or row.operation not in rows:
            rows[row.operation] = row  # The time of an action is that of its beginning.


def _entry(row: Row, ends: dict[str, str]) -> AuditEntry:
    return AuditEntry(
        id=row.operation,
        at=from_ms(row.at_ms),
        action=row.action,
        actor=row.actor,
        reason=row.reason,
        phone_id=row.phone_id,
        scope=row.scope,
        subject=row.subject,
        outcome=ends.get(row.operation, row.outcome),
        count=int(row.times),
    )


def _write(config: Config, entry: str, action: str, operator: Operator, target: Target, outcome: str) -> Flow[None]:
    yield from run(
        config.scripts.audit_action(
            stream_key=config.trail.actions_key,
            now=config.now_arg(),
            operation=entry,
            action=action,
            actor=operator.actor,
            reason=operator.reason,
            phone_id=target.phone_id,
            scope=target.scope,
            subject=target.subject,
            outcome=outcome,
        )
    )


def _flush(config: Config, events: tuple[Occurrence, ...] = ()) -> Flow[None]:
    trail = config.trail
    pending, trail.pending, trail.written_s = trail.pending, {}, config.elapsed_s()
    events += tuple(pending.values())
    with suppress(OTPError):
        yield from run(
            config.scripts.audit_events(
                stream_key=trail.events_key, counts_key=trail.counts_key, now=config.now_arg(), events=events
            )
        )


def _line(name: str, value: object) -> str:
    """Return a text as one line of characters that can be seen."""
    if not isinstance(value, str):
        raise ConfigurationError(f"{name} must be text.", "Pass a str, or leave it out.")
    text = " ".join("".join(each if each.isprintable() else " " for each in value[: 4 * MAX_TEXT]).split())
    if len(text) > MAX_TEXT or len(value) > 4 * MAX_TEXT:
        raise ConfigurationError(f"{name} is longer than {MAX_TEXT} characters.", "Shorten it.")
    return text
