"""Queries for a provider's records of sent messages, by number and by day in Shanghai, page by page."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Final, Generic, NamedTuple, Protocol, TypeVar

from otpkit.effects import Flow
from otpkit.errors import GatewayRejectedError
from otpkit.frames import without_locals
from otpkit.gateways.base import Message
from otpkit.gateways.china_time import days_around
from otpkit.gateways.provider import Provider
from otpkit.transport.http import drive

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
P = TypeVar("P", bound="Page[object]")

MAX_PAGE_SIZE: Final = 50  # rows
TRACE_PAGES: Final = 4  # pages for each day
MAX_PAGES: Final = 100  # An iteration reads no more pages: no number receives 5000 messages a day.
LOOK_TIMEOUT: Final = (2.0, 3.0)  # Seconds. A send and its look end well before the send is treated as abandoned.

Timeout = tuple[float, float]


class Page(Protocol[T_co]):
    """One page of records."""

    @property
    def details(self) -> tuple[T_co, ...]:
        """The rows of the page."""


class Query(NamedTuple):
    """One query. `number` is in the provider's format; `timeout` is in seconds, None for that of the gateway."""

    number: str
    day: date
    biz_id: str | None = None
    page: int = 1
    page_size: int = MAX_PAGE_SIZE
    timeout: Timeout | None = None


@dataclass(frozen=True, slots=True)
class Records(Generic[T]):
    """The records of one gateway.

    `ask` makes one query and returns None if there is no readable answer. `send_id_of` returns the send id of a row.
    `is_early` returns True for a refusal that can mean that the day has not begun by the gateway's clock. Such a day
    has no records.
    """

    provider: Provider
    ask: Callable[[Query], Flow[Page[T] | None]]
    send_id_of: Callable[[T], str]
    is_early: Callable[[GatewayRejectedError], bool]

    def looked_for(self, message: Message, number: str, timeout: Timeout) -> Flow[bool]:
        """Return whether one bounded query finds the record of an uncertain message. This never raises."""
        sent_at = message.sent_at or datetime.now(UTC)
        (connect, answer), (most_connect, most_answer) = timeout, LOOK_TIMEOUT
        bounded = (min(connect, most_connect), min(answer, most_answer))
        try:
            return (yield from self.find(number, message.send_id, sent_at, pages=1, timeout=bounded)) is not None
        except Exception:  # noqa: BLE001 - The message may still arrive, so a failed look must not fail the send.
            return False

    def find(
        self, number: str, send_id: str, sent_at: datetime, *, pages: int = TRACE_PAGES, timeout: Timeout | None = None
    ) -> Flow[T | None]:
        """Return the record of a send made at about `sent_at`, or None. Query two days if midnight is near."""
        today, *neighbour = days_around(sent_at)
        found = yield from self._find_on(Query(number, today, timeout=timeout), send_id, pages)
        for day in neighbour:
            try:
                found = found or (yield from self._find_on(Query(number, day, timeout=timeout), send_id, pages))
            except GatewayRejectedError as refusal:
                if not self.is_early(refusal):
                    raise
        return found

    def _find_on(self, query: Query, send_id: str, pages: int) -> Flow[T | None]:
        for page in range(1, pages + 1):
            found = yield from self.ask(query._replace(page=page))
            if found is None:
                return None
            for detail in found.details:
                if self.send_id_of(detail) == send_id:
                    return detail
            if len(found.details) < MAX_PAGE_SIZE:
                return None
        return None

    @without_locals
    def each(self, number: str, day: date, biz_id: str | None) -> Iterator[T]:
        """Iterate over a day's records until a page has fewer than 50 rows. This blocks."""
        for page in range(1, MAX_PAGES + 1):
            details = answered(self.provider, self.ask(Query(number, day, biz_id, page))).details
            yield from details
            if len(details) < MAX_PAGE_SIZE:
                return
        problem = f"the records do not end after {MAX_PAGES} pages"
        raise self.provider.rejection("request", problem, "the developer must pass biz_id")


def is_page(page: object, page_size: object) -> bool:
    """Return whether `page` is 1 or more and `page_size` is from 1 to 50 rows."""
    return _is_whole(page) and _is_whole(page_size, MAX_PAGE_SIZE)


def _is_whole(number: object, most: int | None = None) -> bool:
    if not isinstance(number, int) or isinstance(number, bool):
        return False
    return number >= 1 and (most is None or number <= most)


def answered(provider: Provider, asking: Flow[P | None]) -> P:
    """Make one query and return its page. This blocks. Raise GatewayRejectedError if there is no readable answer."""
    found = drive(asking)
    if found is None:
        raise provider.rejection("connection", "the query got no readable answer", "the query may be repeated")
    return found
