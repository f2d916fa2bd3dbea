"""Shared parts of the providers' adapters: one HTTP exchange, its failures by kind, and strict parsing of answers."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, NamedTuple, TypeVar

from otpkit.effects import Flow, HttpRequest, HttpResponse, NotConnected, TransportFailure, http
from otpkit.errors import ConfigurationError, GatewayRejectedError, RejectionCategory, RejectionConcern, sentence
from otpkit.gateways.base import Receipt
from otpkit.template import Template

__all__ = ["Provider", "json_object", "message_id"]

# A short word that contains no whole mobile number. A longer text may be a message.
_TOKEN: Final = re.compile(r"(?!.*[0-9]{10})[A-Za-z0-9._-]{1,64}")
_MESSAGE_ID: Final = re.compile(r"[!-~]{1,128}")
_SHORT_NUMBER: Final = re.compile(r"[0-9]{1,5}")
NO_ROWS: Final = "the body is not a JSON array; pass the body's bytes to Push unchanged"
_E164: Final = re.compile(r"\+[1-9][0-9]{6,14}")


MINUTE: Final = 60  # seconds
HOUR: Final = 3600
DAY: Final = 86_400


class Refusal(NamedTuple):
    """A row of a provider's error table, for a code that means that nothing was sent.

    `source` is the document that lists the code. `concerns` is that of `GatewayRejectedError`; with None the category
    decides. `retry_after` is the length of the limit's window in seconds, if the code alone determines it. After that
    time a rolling window has ended, and so has a calendar day in any time zone.
    """

    category: RejectionCategory
    problem: str
    remedy: str
    source: str = ""
    concerns: RejectionConcern | None = None
    retry_after: int | None = None


class Doubt(NamedTuple):
    """A row of a provider's error table, for a code after which the message may or may not have been sent."""

    problem: str
    remedy: str
    source: str = ""


Row = TypeVar("Row", Refusal, Doubt)


def documented(source: str, rows: Mapping[str, Row]) -> dict[str, Row]:
    """Return the rows by code, each with the document that lists it."""
    return {code: row._replace(source=source) for code, row in rows.items()}


def family_of(text: str, rows: Iterable[str]) -> str | None:
    """Return the table's key for a text: the same code, or the longest matching prefix that is written `prefix*`."""
    if text in rows:
        return text
    families = [family for family in rows if family.endswith("*") and text.startswith(family[:-1])]
    return max(families, key=len, default=None)


def row_of(code: str, rows: Mapping[str, Row]) -> Row | None:
    """Return the row of a code, or of the longest prefix (`prefix*`) that matches it."""
    family = family_of(code, rows)
    return None if family is None else rows[family]


def remedy_in(code: str, *tables: Mapping[str, Refusal] | Mapping[str, Doubt]) -> str:
    """Return what a provider's tables say of a code, and what to do about it; "" if none has it."""
    for rows in tables:
        family = family_of(code, rows)
        if family is not None:
            return f"{sentence(rows[family].problem)} {sentence(rows[family].remedy)}"
    return ""


@dataclass(frozen=True, slots=True)
class Provider:
    """The names of a provider in errors and receipts.

    Args:
        name: the name in lower case, as in `Gateway.name`.
        title: the display name, with which error texts begin.
    """

    name: str
    title: str

    def rejection(
        self,
        category: RejectionCategory,
        problem: str,
        remedy: str,
        code: str = "",
        retry_after: int | None = None,
        concerns: RejectionConcern | None = None,
    ) -> GatewayRejectedError:
        """Return the error for a refusal: nothing was sent.

        Args:
            category: the kind of refusal, one of `GatewayRejectedError.category`.
            problem: the cause, a clause in lower case without a full stop.
            remedy: the person who must act and the action, a clause in lower case without a full stop.
            code: the provider's error code; "" if there is none.
            retry_after: seconds after which the same call may succeed; None if unknown.
            concerns: the part of the request that is refused, one of `GatewayRejectedError.concerns`; with None the
                category decides.

        Returns:
            The error, to be raised.
        """
        said = f"{self.title}, error {code}" if code else self.title
        return GatewayRejectedError(
            f"{said}: {problem}.",
            sentence(remedy),
            gateway=self.name,
            gateway_code=code,
            category=category,
            concerns=concerns,
            retry_after=retry_after,
        )

    def refused(self, row: Refusal, code: str = "", retry_after: int | None = None) -> GatewayRejectedError:
        """Return the error for a row of the provider's table. `retry_after` comes from the answer, in seconds."""
        wait = retry_after if retry_after is not None else row.retry_after
        return self.rejection(row.category, row.problem, row.remedy, code, wait, row.concerns)

    def uncertain(self) -> Receipt:
        """Return the receipt of a message that may or may not have been sent."""
        return Receipt(self.name, outcome="uncertain")

    def require_body(self, template: Template) -> None:
        """Check that a template has the text that this provider sends.

        Args:
            template: the template to check.

        Raises:
            ConfigurationError: the template has no body.
        """
        if template.body is None:
            raise ConfigurationError(
                f"Template.body is not set, and {self.title} sends a text, not a template.",
                "Pass body= with the text; write its variables as ${name}.",
            )

    def hand_over(
        self, request: HttpRequest, read: Callable[[HttpResponse], Receipt | GatewayRejectedError]
    ) -> Flow[Receipt]:
        """Make the request that sends a message, and interpret its answer by `read`.

        Args:
            request: the request. It is made once.
            read: takes the answer and returns a receipt, or an error if the message was certainly not sent.

        Returns:
            The receipt. It is uncertain if the request may have arrived and no complete answer came.

        Raises:
            GatewayRejectedError: `read` returned one, or no connection was made.
        """
        answer = yield from ask(request)
        if isinstance(answer, NotConnected):
            remedy = "the operator must check the address and the network; then the same call may succeed"
            raise self.rejection("connection", str(answer), remedy)
        if isinstance(answer, TransportFailure):
            return self.uncertain()
        verdict = read(answer)
        if isinstance(verdict, GatewayRejectedError):
            raise verdict
        return verdict


def ask(request: HttpRequest) -> Flow[HttpResponse | TransportFailure]:
    """Make a request. Return a failure as a value, so that an error raised for it has no exception context."""
    try:
        return (yield from http(request))
    except TransportFailure as failure:
        return failure


def json_object(response: HttpResponse) -> dict[str, Any]:
    """Return the JSON object in a response's body.

    Args:
        response: the response.

    Returns:
        The object, or an empty dict if the body is anything else.
    """
    found = read_json(response.text)
    return found if isinstance(found, dict) else {}


def read_json(text: str | bytes) -> Any:
    """Return the value of a JSON text, or None if it is not JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def text_of(value: object) -> str:
    """Return a string or a whole number as text, or "" for any other value."""
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else ""


def token(value: object) -> str:
    """Return a provider's word, such as an error code, or "" if it is not one or may contain a phone number."""
    return matched(_TOKEN, text_of(value))


def message_id(value: object) -> str:
    """Return a provider's id of a message.

    Args:
        value: the answer's field, of any type.

    Returns:
        The id, or "" if the value is not a str of 1 to 128 printable ASCII characters without spaces.
    """
    return matched(_MESSAGE_ID, value)


def phone(value: object) -> str:
    """Return a number in E.164, or "" for any other value."""
    return matched(_E164, value)


def mail_date(value: object) -> datetime | None:
    """Return the UTC time of a text like `Thu, 25 Nov 2021 10:27:00 +0800`, or None if it is not a date."""
    try:
        return parsedate_to_datetime(text_of(value)).astimezone(UTC)
    except (ValueError, TypeError, OverflowError):
        return None


def header(headers: Mapping[str, str], name: str) -> str:
    """Return a header of a pushed request, or "" if it is absent. `name` is in lower case; case is ignored."""
    return next((value for each, value in headers.items() if each.lower() == name), "")


def seconds(value: object) -> int | None:
    """Return the whole number of seconds in a header, or None for any other value."""
    return int(value) if isinstance(value, str) and _SHORT_NUMBER.fullmatch(value) else None


def count(value: object) -> int:
    """Return a whole number of up to five digits, from an int or a str, or 0 for any other value."""
    text = text_of(value)
    return int(text) if _SHORT_NUMBER.fullmatch(text) else 0


def matched(pattern: re.Pattern[str], value: object) -> str:
    """Return the value if it is a str that matches the whole pattern, or ""."""
    return value if isinstance(value, str) and pattern.fullmatch(value) else ""
