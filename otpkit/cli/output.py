"""Print results as a table or as JSON. Phones are masked, and codes are never printed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, fields
from datetime import datetime

import typer
from rich.console import Console
from rich.text import Text

from otpkit.doctor.findings import Report, Status
from otpkit.doctor.keys import KeyReport
from otpkit.gateways.base import Delivery
from otpkit.guard.budgets import Spending
from otpkit.guard.report import GuardReport, SubjectReport
from otpkit.models import Audit, AuditEntry, Challenge, Erased, GatewayStanding, Proof, Sent, Standing, mask

Row = dict[str, object]
_AUDIT_FIELDS = tuple(field.name for field in fields(AuditEntry))
_COLOURS: dict[Status, str] = {"ok": "green", "warning": "yellow", "problem": "bold red"}


def challenge_row(challenge: Challenge) -> Row:
    """Return the fields of a challenge that may be shown."""
    return {
        "delivery": challenge.delivery,
        "phone": mask(challenge.phone),
        "purpose": challenge.purpose,
        "id": challenge.id,
        "expires_at": challenge.expires_at,
        "expires_in": challenge.expires_in,
        "resend_at": challenge.resend_at,
        "resend_in": challenge.resend_in,
        "attempts_left": challenge.attempts_left,
        "sends_left": challenge.sends_left,
        "replayed": challenge.replayed,
        "gateway": challenge.gateway,
    }


def sent_row(sent: Sent) -> Row:
    """Return the fields of a message with another system's code that may be shown."""
    return {
        "delivery": sent.delivery,
        "phone": mask(sent.phone),
        "purpose": sent.purpose,
        "id": sent.id,
        "resend_at": sent.resend_at,
        "resend_in": sent.resend_in,
        "sends_left": sent.sends_left,
        "replayed": sent.replayed,
        "gateway": sent.gateway,
    }


def proof_row(proof: Proof, *, with_token: bool, with_device: bool = False) -> Row:
    """Return the fields of a proof that may be shown.

    `with_token` adds the token, which contains the phone; `with_device` adds the device's token, which does not.
    """
    row: Row = {
        "id": proof.id,
        "phone": mask(proof.phone),
        "purpose": proof.purpose,
        "verified_at": proof.verified_at,
        "expires_at": proof.expires_at,
        "fixed": proof.fixed,
    }
    row |= {"token": proof.token} if with_token else {}
    return row | ({"device": proof.device} if with_device else {})


def delivery_row(delivery: Delivery) -> Row:
    """Return the fields of a delivery that a gateway reported."""
    return {
        "state": delivery.state,
        "gateway": delivery.gateway,
        "result_code": delivery.result_code,
        "sent_at": delivery.sent_at,
        "received_at": delivery.received_at,
    }


def standing_row(standing: Standing) -> Row:
    """Return the fields of a phone's standing that may be shown."""
    return {
        "phone": mask(standing.phone),
        "blocked": standing.blocked,
        "limited": standing.limited,
        "consecutive_failures": standing.consecutive_failures,
        "sends_left": standing.sends_left,
        "send_in": standing.send_in,
        "failures_left": standing.failures_left,
        "verify_in": standing.verify_in,
        "device_blocked": standing.device_blocked,
        "device_sends_left": standing.device_sends_left,
        "device_send_in": standing.device_send_in,
        "device_failures_left": standing.device_failures_left,
        "device_verify_in": standing.device_verify_in,
    }


def standing_word(standing: Standing) -> str:
    """Return a phone's standing as one or two words."""
    return "blocked" if standing.blocked else "limited" if standing.limited else "all clear"


def spending_row(spending: Spending) -> Row:
    """Return what a budget has spent. Amounts are decimal numbers in `currency`."""
    budget = spending.budget
    return {
        "budget": str(budget),
        "currency": spending.currency,
        "amount": f"{budget.limit}".partition(" ")[0],
        "spent": f"{spending.spent}",
        "left": f"{spending.left}",
        "open": f"{spending.open}",
        "spent_this_hour": f"{spending.spent_this_hour}",
        "hour_left": f"{spending.hour_left}",
        "starts_at": spending.starts_at,
        "ends_at": spending.ends_at,
        **{f"refused_by_{reason}": count for reason, count in spending.refused.items()},
    }


def audit_row(entry: AuditEntry) -> Row:
    """Return the fields of an entry of the audit."""
    return {name: getattr(entry, name) for name in _AUDIT_FIELDS}


def erased_row(erased: Erased) -> Row:
    """Return what was removed of a phone."""
    return {f"erased_{name}": value for name, value in asdict(erased).items()}


def show_audit(audit: Audit) -> None:
    """Print the entries of an audit: a line for each, with its reason below."""
    console = Console()
    if not audit.entries:
        console.print("No entries.", soft_wrap=True)
    for entry in audit.entries:
        about = " ".join(filter(None, (entry.scope, entry.subject, entry.phone_id)))
        times = f" x{entry.count}" if entry.count > 1 else ""
        line = Text.assemble(
            (entry.at.isoformat(sep=" ", timespec="seconds"), "dim"),
            f"  {entry.action}{times}",
            f"  {about}" if about else "",
            (f"  by {entry.actor}" if entry.actor else "", "bold"),
            (f"  {entry.outcome}" if entry.outcome else "", "green" if entry.outcome == "done" else "yellow"),
        )
        console.print(line, soft_wrap=True)
        if entry.reason:
            console.print(Text.assemble("    ", entry.reason), soft_wrap=True)
    if audit.is_capped:
        warning = "The audit has reached its greatest length: older entries may be gone before their time."
        console.print(Text(warning, "yellow"), soft_wrap=True)


def show_keys(report: KeyReport, *, as_json: bool) -> None:
    """Print what a walk through the keys found, or one JSON object."""
    if as_json:
        typer.echo(json.dumps({"ok": report.ok, **asdict(report)}, ensure_ascii=False))
        return
    console = Console()
    for name, count in sorted(report.kinds.items()):
        console.print(Text(f"  {count:>9}  {name}"), soft_wrap=True)
    for finding in report.findings:
        line = Text.assemble(("problem  ", "bold red"), f"{finding.key}  ({finding.kind})  {finding.problem}")
        console.print(line, soft_wrap=True)
    console.print(f"Keys: {report.keys}, problems: {report.problems}.", soft_wrap=True)


def show_budgets(found: Sequence[Spending], *, as_json: bool) -> None:
    """Print what each budget has spent, or one JSON object."""
    rows = [spending_row(each) for each in found]
    if as_json:
        budgets = [{name: plain(value) for name, value in row.items()} for row in rows]
        typer.echo(json.dumps({"budgets": budgets}, ensure_ascii=False))
    elif not rows:
        typer.echo("There is no budget. Set OTPKIT_BUDGETS and OTPKIT_PRICES.")
    for row in [] if as_json else rows:
        title = f"{row['budget']}: {row['spent']} {row['currency']} spent, {row['left']} {row['currency']} left"
        show(title, {name: value for name, value in row.items() if name != "budget"}, as_json=False)


def show(title: str, row: Row, *, as_json: bool) -> None:
    """Print a result: a title and a line for each value, or one JSON object."""
    if as_json:
        typer.echo(json.dumps({name: plain(value) for name, value in row.items()}, ensure_ascii=False))
        return
    console, width = Console(), max(map(len, row))
    console.print(Text(title, "bold"), soft_wrap=True)
    for name, value in row.items():
        label = name.replace("_", " ").ljust(width)
        console.print(Text.assemble("  ", (label, "dim"), "  ", _text(name, value)), soft_wrap=True)


def show_report(report: Report, *, as_json: bool) -> None:
    """Print the doctor's report: a line for each finding and its remedy, or one JSON object."""
    if as_json:
        checks = [asdict(finding) for finding in report.findings]
        typer.echo(json.dumps({"ok": report.ok, "checks": checks}, ensure_ascii=False))
        return
    console = Console()
    width = max(len(finding.name) for finding in report.findings)
    for finding in report.findings:
        mark = Text(f"{finding.status:<7}", _COLOURS[finding.status])
        name = Text(finding.name.replace("_", " ").ljust(width), "bold")
        console.print(Text.assemble(mark, "  ", name, "  ", finding.found), soft_wrap=True)
        if finding.remedy:
            console.print(Text.assemble(" " * (len("problem") + width + 4), "-> ", finding.remedy), soft_wrap=True)
    console.print(f"Problems: {report.count('problem')}, warnings: {report.count('warning')}.", soft_wrap=True)


def show_gateways(found: Sequence[GatewayStanding]) -> None:
    """Print a line for each gateway, with its last error and the remedy."""
    console = Console()
    width = max(len(each.name) for each in found)
    for each in found:
        colour = "green" if each.state == "closed" else "yellow"
        until = "" if each.open_until is None else f" until {_text('', each.open_until)}"
        by_hand = ", by hand" if each.by_hand else ""
        state = Text.assemble((each.state.replace("_", " "), colour), f"{until}{by_hand}")
        failures = f", failures in a row: {each.failures}" if each.failures else ""
        console.print(Text.assemble((each.name.ljust(width), "bold"), "  ", state, failures), soft_wrap=True)
        if each.last_error:
            error = f"last error {each.last_error} at {_text('', each.last_error_at)}"
            console.print(Text.assemble(" " * (width + 2), error), soft_wrap=True)
            console.print(Text.assemble(" " * (width + 2), "-> ", each.remedy), soft_wrap=True)


def show_guard(report: GuardReport) -> None:
    """Print the guard's report: a line for each scope, and one for each of its subjects."""
    console = Console()
    since = "" if report.observing_since is None else f" since {_text('', report.observing_since)}"
    console.print(Text(f"Mode {report.mode}{since}, the last {report.hours} h", "bold"), soft_wrap=True)
    for scope in report.scopes:
        line = (
            f"captcha {scope.captcha}, refused {scope.refused}, observed {scope.observed}; "
            f"over the allowance now: {scope.over}"
        )
        console.print(Text.assemble("  ", (scope.scope.ljust(8), "bold"), line), soft_wrap=True)
        for subject in scope.subjects:
            console.print(Text.assemble("    ", _subject_line(subject)), soft_wrap=True)


def plain(value: object) -> object:
    """Return a value as JSON has it."""
    return value.isoformat() if isinstance(value, datetime) else value


def _text(name: str, value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="seconds")
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or value == "":
        return "-"
    return f"{value} s" if name.endswith("_in") else str(value)


def _subject_line(subject: SubjectReport) -> Text:
    override = ""
    if subject.override_ends is not None:
        override = f", {subject.override} until {subject.override_ends.isoformat(sep=' ', timespec='seconds')}"
    counts = f"unverified {subject.unverified} of {subject.allowance:g}, verified {subject.verified}"
    return Text.assemble(
        (subject.name, "yellow" if subject.is_over else "dim"),
        f"  {counts}{', over' if subject.is_over else ''}{override}",
    )
