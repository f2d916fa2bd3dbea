"""The JSON calls of a purpose, for single-page and mobile apps: their paths, bodies and answers, without a framework.

It needs the extra `json`. FastAPI reads bodies by its own dependencies and runs the flows of `JsonCalls`. Flask and
Django REST framework pass whole requests to `JsonCalls.answer`. Errors of the `OTP` are raised, and the framework's
handler answers them by `refusal`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Generic, TypeAlias, TypeVar

from otpkit import ConfigurationError, OTPError, Policy, fold, normalize
from otpkit.effects import PageFlow
from otpkit.frames import without_locals
from otpkit.web.discreet import CodeRefusedError, presumed_challenge, tells_of_number
from otpkit.web.forms import MAX_BODY, Answer
from otpkit.web.problems import MEDIA_TYPE, Problem, plain_problem
from otpkit.web.schemas import CodeToSend, CodeToVerify, PhoneChallenge, PhoneProof, PhoneToVerify
from otpkit.web.sessions import require_bind

try:
    from pydantic import Field, TypeAdapter, ValidationError
except ModuleNotFoundError as missing:
    raise ConfigurationError("otpkit.web.json_calls needs pydantic.", "Run: pip install 'otpkit[json]'.") from missing

JSON_TYPE: Final = "application/json"
ANSWER_HEADERS: Final[Mapping[str, str]] = {"Cache-Control": "no-store"}
"""The headers of an answer, which holds a proof, or values that soon change."""
MAX_KEY: Final = 200  # The longest Idempotency-Key, in characters.
_MAX_DETAIL: Final = 300  # In characters. The text may contain anything that the client sent.
_NAME: Final = re.compile(r"[A-Za-z_-]{1,32}")  # Only such names are repeated in errors.
_KEY: Final = TypeAdapter[str](Annotated[str, Field(min_length=1, max_length=MAX_KEY)])

Known: TypeAlias = Callable[[str], bool | Awaitable[bool]]
B = TypeVar("B", bound=PhoneToVerify)


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """What the application knows about the client of a call.

    Args:
        bind: the text that the codes are tied to, such as an id in the session. It must not be empty.
        ip: the client's IP address, or None if it is unknown.
        known: a function (async or not, as the `OTP`) that returns True if a number is the verified number of the
            account that is logged in. None knows no number.
    """

    bind: str = field(repr=False)
    ip: str | None = None
    known: Known | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonRequest:
    """A request to one of the calls.

    Args:
        content_type: the header `Content-Type`, "" if there is none.
        read: a function that returns the body, or None if it has more than `MAX_BODY` bytes. It is called once the type
            is right.
        client: a function that returns the `Client`. It is called once the body is valid.
        key: the header `Idempotency-Key`, or None.
    """

    content_type: str
    read: Callable[[], bytes | None]
    client: Callable[[], Client]
    key: str | None = None


@dataclass(frozen=True, slots=True)
class JsonCall(Generic[B]):
    """One call: the path below the purpose's prefix, the model of its body, and the status of its answer."""

    name: str
    path: str
    model: type[B]
    status: int = 200


ISSUE: Final = JsonCall("issue", "/challenges", CodeToSend, 202)
STATUS: Final = JsonCall("status", "/challenges/status", PhoneToVerify)
VERIFY: Final = JsonCall("verify", "/verifications", CodeToVerify)


def calls_of(*, discreet: bool = False) -> tuple[JsonCall[Any], ...]:
    """Return the calls of a purpose. With `discreet`, a client can't request the status of a challenge."""
    return (ISSUE, VERIFY) if discreet else (ISSUE, STATUS, VERIFY)


@without_locals
@dataclass(frozen=True, slots=True)
class JsonCalls:
    """The calls of one purpose.

    Args:
        purpose: the purpose of the codes.
        policy: the policy of the `OTP`.
        discreet: True to return the same answers to strangers, whatever was sent to a number or guessed for it; see
            `otpkit.web.discreet`.
    """

    purpose: str
    policy: Policy
    discreet: bool = False

    def issue(self, body: CodeToSend, client: Client, key: str | None = None) -> PageFlow[PhoneChallenge]:
        """Send a code. While one is live, send the same code again."""
        phone, known = self._phone(body), client.known
        options: dict[str, Any] = {
            "bind": require_bind(client.bind),
            "ip": client.ip,
            "idempotency_key": key,
            "device": body.device,
            "captcha": body.captcha,
            "known": known is not None and (yield lambda _: known(phone)),
            "discreet": self.discreet,
        }
        challenge = None
        try:
            challenge = yield lambda otp: otp.issue(phone, self.purpose, **options)
        except OTPError as error:
            if not self._hides(error):
                raise
        if self.discreet:
            challenge = presumed_challenge(phone, self.purpose, self.policy)
        return PhoneChallenge.model_validate(challenge)

    def status(self, body: PhoneToVerify, client: Client, key: str | None = None) -> PageFlow[PhoneChallenge | None]:
        """Return the live challenge that this client requested, or None."""
        phone, bind = self._phone(body), require_bind(client.bind)
        found = yield lambda otp: otp.status(phone, self.purpose, bind=bind, device=body.device)
        return None if found is None else PhoneChallenge.model_validate(found)

    def verify(self, body: CodeToVerify, client: Client, key: str | None = None) -> PageFlow[PhoneProof]:
        """Verify a code. A correct code is used up, a wrong one is counted."""
        phone, code = self._phone(body), fold(body.code)
        options: dict[str, Any] = {
            "bind": require_bind(client.bind),
            "ip": client.ip,
            "idempotency_key": key,
            "device": body.device,
        }
        try:
            proof = yield lambda otp: otp.verify(phone, code, self.purpose, **options)
        except OTPError as error:
            if self._hides(error):
                raise CodeRefusedError from None
            raise
        life = proof.expires_at - proof.verified_at
        expires_in = int(life.total_seconds())
        return PhoneProof(token=proof.token, phone=proof.phone, expires_in=expires_in, device=proof.device)

    def answer(self, call: JsonCall[Any], request: JsonRequest) -> PageFlow[Answer]:
        """Answer a request to a call.

        Args:
            call: one of `calls_of`.
            request: the request.

        Raises:
            OTPError: what the calls of the `OTP` raise. Answer it by `otpkit.web.refusal`.
        """
        found = wrong_type(request.content_type)
        if found is not None:
            return _answer(found)
        content = request.read()
        found = unreadable(content)
        if found is not None:
            return _answer(found)
        body, wrong = _validated(call.model, content or b"", request.key)
        if body is None:
            return _answer(malformed(wrong))
        made = yield from getattr(self, call.name)(body, request.client(), request.key)
        text = "null" if made is None else made.model_dump_json()
        return Answer(call.status, {**ANSWER_HEADERS, "Content-Type": JSON_TYPE}, text)

    def _phone(self, body: PhoneToVerify) -> str:
        region = self.policy.default_region if body.region is None else body.region
        return normalize(body.phone, region, regions=self.policy.regions)

    def _hides(self, error: OTPError) -> bool:
        return self.discreet and tells_of_number(error)


def wrong_type(content_type: str) -> Problem | None:
    """Return the problem of a request that is not sent as JSON, or None.

    Browsers send `application/json` to another site only if that site allows it (CORS).

    Args:
        content_type: the header `Content-Type`.
    """
    if content_type.partition(";")[0].strip().lower() == JSON_TYPE:
        return None
    return plain_problem(415, "not_json", "Not JSON", f"Send the header Content-Type: {JSON_TYPE}.")


def unreadable(body: bytes | None) -> Problem | None:
    """Return the problem of a body that is too long or no JSON, or None. An empty body is not one of these.

    Args:
        body: the body, or None if it has more than `MAX_BODY` bytes.
    """
    if body is None:
        return plain_problem(413, "too_long", "Too long", f"Send at most {MAX_BODY} bytes.")
    try:
        json.loads(body or b"null")
    except json.JSONDecodeError as error:
        return malformed([{"loc": ("body", error.pos), "msg": "JSON decode error"}])
    except (ValueError, RecursionError):  # It is not UTF-8, has a huge number, or is nested too deeply.
        return malformed([{"loc": ("body",), "msg": "JSON decode error"}])
    return None


def malformed(errors: Iterable[Mapping[str, Any]]) -> Problem:
    """Return the problem of fields that are missing, unknown or of the wrong type.

    Args:
        errors: the errors as pydantic lists them, with `loc` and `msg`. None repeats the client's input.
    """
    detail = "; ".join(f"{'.'.join(map(_part, each['loc']))}: {each['msg']}" for each in errors)[:_MAX_DETAIL]
    return plain_problem(422, "malformed_request", "The request can't be read", detail)


def _part(part: str | int) -> str:
    """Return a part of a field's place. The name of an unknown field is the client's, and may be a phone or a code."""
    return str(part) if isinstance(part, int) or _NAME.fullmatch(part) else "*"


def _validated(model: type[B], content: bytes, key: str | None) -> tuple[B | None, list[Mapping[str, Any]]]:
    """Return the body as its model; or None, and what is wrong."""
    wrong: list[Mapping[str, Any]] = []
    body = None
    try:
        if key is not None:
            _KEY.validate_python(key)
    except ValidationError as error:
        wrong += [{"loc": ("header", "Idempotency-Key"), "msg": each["msg"]} for each in error.errors()]
    if not content:
        return None, [*wrong, {"loc": ("body",), "msg": "Field required"}]
    given = json.loads(content)
    try:
        body = model.model_validate(given, from_attributes=True)  # as FastAPI does, for the same messages
    except ValidationError as error:
        wrong += [{"loc": ("body", *each["loc"]), "msg": each["msg"]} for each in error.errors()]
    return (None if wrong else body), wrong


def _answer(found: Problem) -> Answer:
    return Answer(found.status, {**found.headers, "Content-Type": MEDIA_TYPE}, found.json().decode())
