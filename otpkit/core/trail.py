"""Where the audit of one `OTP` lies, and the security events that it has counted and not yet written."""

from __future__ import annotations

from otpkit.core.scripts.audit import Occurrence


class Trail:
    """The keys of the audit, and what this process has still to write.

    Operators' actions and security events have a stream each: whatever strangers cause, it pushes out no action.
    """

    def __init__(self, namespace: str) -> None:
        self.actions_key = f"{namespace}:{{audit}}:o"
        self.events_key = f"{namespace}:{{audit}}:s"
        self.counts_key = f"{namespace}:{{audit}}:n"
        self.pending: dict[tuple[str, str, str], Occurrence] = {}
        """Counted events by action, scope and subject."""
        self.written_s = 0.0  # When it wrote last, by `Config.elapsed_s`.

    def count(self, event: Occurrence) -> None:
        """Add a counted event to those to write."""
        place = event.action, event.scope, event.subject
        known = self.pending.get(place)
        self.pending[place] = event if known is None else known._replace(times=known.times + event.times)
