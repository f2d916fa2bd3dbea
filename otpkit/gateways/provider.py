"""What the providers' adapters share: one exchange, its failures told apart, and answers read with suspicion."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, NamedTuple, TypeVar

from otpkit.effects import Flow, HttpRequest, HttpResponse, NotConnected, TransportFailure, http
from otpkit.errors import ConfigurationError, GatewayRejectedError, RejectionCategory, RejectionConcern, sentence
from otpkit.gateways.base import Receipt
from otpkit.template import Template

__all__ = ["Provider", "json_object", "message_id"]

# A short word without a whole mobile number in it; anything longer may be a message.
_TOKEN: Final = re.compile(r"(?!.*[0-9]{10})[A-Za-z0-9._-]{1,64}")
_MESSAGE_ID: Final = re.compile(r"[!-~]{1,128}")
_SHORT_NUMBER: Final = re.compile(r"[0-9]{1,5}")
NO_ROWS: Final = "the body is no JSON array; pass Push the body's bytes unchanged"
_E164: Final = re.compile(r"\+[1-9][0-9]{6,14}")


MINUTE: Final = 60  # seconds
HOUR: Final = 3600
DAY: Final = 86_400


class Refusal(NamedTuple):
    """A row of a provider's table of errors: the code says that nothing was sent.

    `source` is the document that has the code. `concerns` is as in `GatewayRejectedError`; None leaves it to the
    category. `retry_after` is the length, in seconds, of the limit's window, where the code alone says it: after so
    long a rolling window has ended, and a calendar day too, in whatever zone.
    """

    category: RejectionCategory
    problem: str
    remedy: str
    source: str = ""
    concerns: RejectionConcern | None = None
    retry_after: int | None = None


class Doubt(NamedTuple):
    """A row for a code that leaves open whether anything was sent."""

    problem: str
    remedy: str
    source: str = ""


Row = TypeVar("Row", Refusal, Doubt)


def documented(source: str, rows: Mapping[str, Row]) -> dict[str, Row]:
    """Return rows by their codes, each with the document that has it."""
    return {code: row._replace(source=source) for code, row in rows.items()}


def family_of(text: str, rows: Mapping[str, Row]) -> str | None:
    """Return the code in the table that a text is, or the longest that ends in `*` and that it begins with."""
    if text in rows:
        return text
    families = [family for family in rows if family.endswith("*") and text.startswith(family[:-1])]
    return max(families, key=len, default=None)


def row_of(code: str, rows: Mapping[str, Row]) -> Row | None:
    """Return the row of a code, or of the most particular family that it belongs to."""
    family = family_of(code, rows)
    return None if family is None else rows[family]


@dataclass(frozen=True, slots=True)
class Provider:
    """A provider as errors and receipts name it.

    Args:
        name: a word of small letters, as `Gateway.name` is.
        title: the name for people, with which sentences begin.
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
            category: what kind of refusal it is, as `GatewayRejectedError.category` has it.
            problem: what is wrong, as the rest of a sentence.
            remedy: who should do what, as the rest of a sentence.
            code: the provider's error code; "" if it gave none.
            retry_after: seconds after which the same call may succeed; None if that is not known.
            concerns: the number, region, template or text that alone is refused, as `GatewayRejectedError.concerns` has
                it; None leaves it to the category.
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
        """Return the error for a row of the provider's table; `retry_after` is what the answer says, in seconds."""
        wait = retry_after if retry_after is not None else row.retry_after
        return self.rejection(row.category, row.problem, row.remedy, code, wait, row.concerns)

    def uncertain(self) -> Receipt:
        """Return the receipt of a message that may or may not have been sent."""
        return Receipt(self.name, outcome="uncertain")

    def require_body(self, template: Template) -> None:
        """Check that a template has the text that this provider is handed.

        Args:
            template: the template to check.

        Raises:
            ConfigurationError: the template has no body.
        """
        if template.body is None:
            raise ConfigurationError(
                f"Template.body is not set, and {self.title} sends a text, not a template.",
                "Pass body= with the text, its variables as ${name}.",
            )

    def hand_over(
        self, request: HttpRequest, read: Callable[[HttpResponse], Receipt | GatewayRejectedError]
    ) -> Flow[Receipt]:
        """Make the request that sends, and let `read` judge its answer.

        Args:
            request: the request, which is made once.
            read: takes the answer, and returns the receipt, or the error for what was certainly not sent.

        Returns the receipt; it is uncertain if the message may have been sent and no whole answer came.

        Raises:
            GatewayRejectedError: `read` returned one, or no connection was made.
        """
        answer = yield from ask(request)
        if isinstance(answer, NotConnected):
            remedy = "the operator must check the address and the way there; then the same call may succeed"
            raise self.rejection("connection", str(answer), remedy)
        if isinstance(answer, TransportFailure):
            return self.uncertain()
        verdict = read(answer)
        if isinstance(verdict, GatewayRejectedError):
            raise verdict
        return verdict


def ask(request: HttpRequest) -> Flow[HttpResponse | TransportFailure]:
    """Make a request; a failure is a value here, so that what is raised for it has no context."""
    try:
        return (yield from http(request))
    except TransportFailure as failure:
        return failure


def json_object(response: HttpResponse) -> dict[str, Any]:
    """Return the JSON object that an answer is.

    Args:
        response: the answer.

    Returns the object, or an empty one for anything else.
    """
    found = read_json(response.text)
    return found if isinstance(found, dict) else {}


def read_json(text: str | bytes) -> Any:
    """Return what a JSON text says, or None where it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def text_of(value: object) -> str:
    """Return a string or a whole number as text; anything else is ""."""
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else ""


def token(value: object) -> str:
    """Return a provider's word, such as an error code; "" for what is none, or may hold a number."""
    return matched(_TOKEN, text_of(value))


def message_id(value: object) -> str:
    """Return a provider's id of a message.

    Args:
        value: what the answer has for the id.

    Returns the id, or "" for what is no text of 1 to 128 printable ASCII characters.
    """
    return matched(_MESSAGE_ID, value)


def phone(value: object) -> str:
    """Return a phone that is E.164, or ""."""
    return matched(_E164, value)


def mail_date(value: object) -> datetime | None:
    """Return the time that a text like `Thu, 25 Nov 2021 10:27:00 +0800` says, at UTC, or None."""
    try:
        return parsedate_to_datetime(text_of(value)).astimezone(UTC)
    except (ValueError, TypeError, OverflowError):
        return None


def header(headers: Mapping[str, str], name: str) -> str:
    """Return a header of a request that was pushed, whatever the case of its name; "" where it has none."""
    return next((value for each, value in headers.items() if each.lower() == name), "")


def seconds(value: object) -> int | None:
    """Return a header's whole number of seconds, or None."""
    return int(value) if isinstance(value, str) and _SHORT_NUMBER.fullmatch(value) else None


def count(value: object) -> int:
    """Return a small whole number, given as such or as text; 0 for what is none."""
    text = text_of(value)
    return int(text) if _SHORT_NUMBER.fullmatch(text) else 0


def matched(pattern: re.Pattern[str], value: object) -> str:
    """Return a text that has a form, or ""."""
    return value if isinstance(value, str) and pattern.fullmatch(value) else ""
