"""Examine where events go. A webhook is sent one event of its own type."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otpkit.doctor.findings import Finding
from otpkit.effects import NotConnected, TransportFailure

if TYPE_CHECKING:
    from otpkit.settings import Reading

_UNSIGNED: Final = frozenset({401, 403})


def examine_telemetry(reading: Reading) -> list[Finding]:
    """Return the findings about the table `[telemetry]`; none if it is empty or wrong."""
    from otpkit.settings.telemetry import webhook_of

    telemetry = reading.telemetry
    found = []
    if telemetry.log is not None and reading.listeners:
        found.append(Finding("telemetry", "ok", f"Events are logged as {telemetry.log}."))
    webhook = webhook_of(reading.listeners)
    if webhook is not None:
        found.append(webhook_answer(webhook.host, webhook.check()))
    return found


def webhook_answer(host: str, answer: int | TransportFailure) -> Finding:
    """Return the finding about a webhook's answer. No answer stops otpkit, so none is a problem."""
    if isinstance(answer, NotConnected):
        remedy = "Check OTPKIT_TELEMETRY_WEBHOOK_URL, DNS, and the firewall's outgoing rules."
        return Finding("telemetry", "warning", f"The webhook {host} can't be reached: {answer}.", remedy)
    if isinstance(answer, TransportFailure):
        return Finding("telemetry", "warning", f"The webhook {host} does not answer.", "Look at the log of its server.")
    if 200 <= answer < 300:
        return Finding("telemetry", "ok", f"The webhook {host} accepts events.")
    remedy = "Look at the log of its server."
    if answer in _UNSIGNED:
        remedy = "Check that its server has the secret of OTPKIT_TELEMETRY_WEBHOOK_SECRET, and that its clock is right."
    if 300 <= answer < 400:
        remedy = "Set OTPKIT_TELEMETRY_WEBHOOK_URL to the place it redirects to: a redirect is not followed."
    return Finding("telemetry", "warning", f"The webhook {host} answers {answer} to a signed event.", remedy)
