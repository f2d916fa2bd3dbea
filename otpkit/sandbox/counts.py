"""How many requests came in, per call and phone. No I/O, no lock: the sandbox has one."""

from __future__ import annotations

from collections.abc import Collection
from itertools import islice

from otpkit.sandbox.calls import APIS, Api


class Counts:
    """Counts all requests of each call, and those of the newest `max_phones` phones."""

    def __init__(self, max_phones: int) -> None:
        self._max_phones = max_phones
        self._totals: dict[Api, int] = dict.fromkeys(APIS, 0)
        self._by_phone: dict[Api, dict[str, int]] = {api: {} for api in APIS}

    def add(self, api: Api, phones: Collection[str]) -> None:
        """Count one request."""
        self._totals[api] += 1
        counts = self._by_phone[api]
        for phone in phones:
            counts[phone] = counts.get(phone, 0) + 1
        for oldest in list(islice(counts, max(0, len(counts) - self._max_phones))):
            del counts[oldest]

    def shown(self) -> dict[Api, dict[str, object]]:
        """Return `{"sendSms": {"total": 1, "by_phone": {"13800138000": 1}}, …}`."""
        return {api: {"total": self._totals[api], "by_phone": dict(self._by_phone[api])} for api in APIS}
