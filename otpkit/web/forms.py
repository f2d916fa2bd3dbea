"""The two forms of a sign-up or a login: one for the number and one for the code.

The visitor's progress is kept in `state`, a mapping of texts in the web framework's session, separate for each purpose.
Its random `id` is what the visitor's codes are tied to. Its `csrf` token is in the forms, which other sites can't read.
Everything else is read from the `OTP` each time the page is shown, so that the page shows the current state.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias
from urllib.parse import parse_qsl, quote

from otpkit import (
    OTP,
    AsyncOTP,
    BlockedError,
    CaptchaRequiredError,
    Challenge,
    ConfigurationError,
    OTPError,
    PhoneError,
    Policy,
    Proof,
    RateLimitError,
    TokenError,
    fold,
    normalize,
)
from otpkit.aio import config_of
from otpkit.core.arguments import check_purpose
from otpkit.effects import PageFlow
from otpkit.errors import Language
from otpkit.gateways.base import Channel
from otpkit.languages import DEFAULT, languages
from otpkit.phone import resolve
from otpkit.web.brand import NO_BRAND, Brand
from otpkit.web.captchas import NO_SOURCES, ShownCaptcha, answer_in, asks_always, captcha_of_error, fresh_captcha
from otpkit.web.devices import DeviceCookie, device_cookie
from otpkit.web.discreet import CodeRefusedError, presumed_challenge, tells_of_number
from otpkit.web.headers import page_headers
from otpkit.web.paths import own_path, with_next
from otpkit.web.regions import Region, regions_of
from otpkit.web.sessions import ProofCookie, State, bind_of, cookie_of, is_tied
from otpkit.web.visitors import preferred_language

MAX_BODY: Final = 16_384  # bytes of a form
MAX_FIELDS: Final = 20

Step = Literal["phone", "code"]
Known: TypeAlias = Callable[[str], bool | Awaitable[bool]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The parts of a request that a page needs.

    Attributes:
        url: the decoded path. Forms are sent to it, and the visitor is redirected to it.
        ip: the visitor's IP address, or None.
        accept_language: the header `Accept-Language`.
        language: the language from `?lang=`, or "".
        hidden: more hidden fields of every form, such as a framework's CSRF token.
        cookie: the value of the cookie `cookie_name(purpose)`, "" if there is none; None skips its check
            (`take_proof`).
        devices: the value of the cookie `DEVICES_COOKIE`, "" if there is none.
        next: the `?next=` of the request. It is kept in the page's address if it is a path of this site.
        known: a function that gets a number as E.164 and returns True if it is the verified number of the account that
            is logged in, for `OTP.issue(known=…)`; None knows none. It must never depend on the form.
    """

    url: str
    ip: str | None = None
    accept_language: str = ""
    language: str = ""
    hidden: Mapping[str, str] = field(default_factory=dict)
    cookie: str | None = field(default=None, repr=False)
    devices: str = field(default="", repr=False)
    next: str = ""
    known: Known | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """The content of a page.

    Attributes:
        purpose: the purpose of the codes.
        step: the form to show, `phone` or `code`.
        language: the language of the page.
        url: the path to send forms to.
        hidden: the hidden fields of every form. Add the field `action` with the value `send`, `verify` or `restart`.
        regions: the regions to choose from.
        region: the code of the chosen region.
        typed: the number as typed, after an error.
        phone: the number as E.164, at the step `code`.
        code_length: the number of digits of a code.
        attempts: the number of wrong codes that a new code allows.
        challenge: the live challenge of the visitor's number, or None.
        retry_in: seconds until a code may be requested; 0 is now.
        problem: a sentence for the visitor; or `stale` (the form is from an earlier visit, or cookies are off); or
            `switched` (another tab has changed the number); or `too_long` (the form is longer than `MAX_BODY`); or "".
        error: the stable word of the error that `problem` describes. With `blocked`, the number gets no code.
        nonce: the nonce of inline scripts and styles.
        next: the `?next=` to keep in the address that forms are sent to.
        notice: `again` if the same code was sent again, `called` if it was sent by a call, `again_unsure` or
            `called_unsure` if that is uncertain, or "".
        verify_in: seconds until a code may be tried; 0 is now.
        brand: the look of the site.
        can_call: True if a gateway can also call this number. Then a form with the action `call` may be shown.
        captcha: the captcha to show in the form of its `action`, or None.
    """

    purpose: str
    step: Step
    language: Language
    url: str
    hidden: Mapping[str, str]
    regions: tuple[Region, ...]
    region: str
    typed: str
    phone: str
    code_length: int
    attempts: int
    challenge: Challenge | None
    retry_in: int
    problem: str
    error: str
    nonce: str
    next: str = ""
    notice: str = ""
    verify_in: int = 0
    brand: Brand = NO_BRAND
    can_call: bool = False
    captcha: ShownCaptcha | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a request: a page, a redirect, or a `proof`.

    With a `proof`, the application decides how to respond to the verified phone. Set `cookies` with the response:
    `take_proof` needs `cookie`, and `devices` makes the browser a device of the phone. Either is None if there is none.
    """

    status: int
    headers: Mapping[str, str]
    body: str = ""
    proof: Proof | None = None
    cookie: ProofCookie | None = None
    devices: DeviceCookie | None = None

    @property
    def cookies(self) -> list[ProofCookie | DeviceCookie]:
        """The cookies to set with the response."""
        return [each for each in (self.cookie, self.devices) if each is not None]


class PhoneForms:
    """The forms for one purpose.

    Args:
        purpose: the purpose of the codes.
        policy: the policy of the `OTP`. It defines the length of a code and the accepted regions.
        render: returns the HTML of a `View`.
        keep_proof: True to keep the proof in the session after a correct code, for a later form to redeem.
        discreet: True to show the same pages, whatever was sent to the number or guessed for it; see
            `otpkit.web.discreet`.
        brand: the look of the site, for `View.brand`. The pages' headers allow its logo.

    Raises:
        ConfigurationError: the purpose is not valid.
    """

    def __init__(
        self,
        purpose: str,
        policy: Policy,
        render: Callable[[View], str],
        *,
        keep_proof: bool = True,
        discreet: bool = False,
        brand: Brand = NO_BRAND,
    ) -> None:
        self.purpose = check_purpose(purpose)
        self._policy = policy
        self._render = render
        self._keep_proof = keep_proof
        self._discreet = discreet
        self._brand = brand
        self._regions = {language: regions_of(policy.regions, language) for language in languages()}

    def show(self, state: State, asked: Asked) -> PageFlow[Answer]:
        """Answer a GET.

        Args:
            state: the session's state of the purpose.
            asked: the request.

        Raises:
            ConfigurationError: from a call of the `OTP`.
        """
        _begin(state)
        if asked.language in languages():
            state["language"] = asked.language
            return _redirect(asked)
        if "token" in state and is_tied(state["token"], asked.cookie):
            try:
                proof = yield lambda otp: otp.check(state["token"], self.purpose, bind=state["id"])
            except TokenError:
                del state["token"]
            else:
                return _verified(proof)
        notice = state.pop("notice", "")
        if notice == "switched":
            return (yield from self._page(state, asked, notice))
        return (yield from self._page(state, asked, notice=notice))

    def submit(self, state: State, form: Mapping[str, str] | None, asked: Asked) -> PageFlow[Answer]:
        """Answer a POST. A form that is sent twice gets the same answer twice, and acts once.

        Args:
            state: the session's state of the purpose.
            form: the fields of the form; None if it is longer than `MAX_BODY`, and was not read.
            asked: the request.

        Raises:
            ConfigurationError: from a call of the `OTP`.
        """
        if form is None or sum(map(len, form.values())) > MAX_BODY:  # A framework may have read a form of any size.
            _begin(state)
            return (yield from self._page(state, asked, "too_long", 413))
        if not _is_ours(state, form):
            _begin(state)
            return (yield from self._page(state, asked, "stale", 403))
        try:
            return (yield from self._take(state, form, asked))
        except ConfigurationError:
            raise  # It is the developer's mistake, not the visitor's.
        except OTPError as error:
            if isinstance(error, RateLimitError) and error.challenge is not None:
                state["phone"] = error.challenge.phone  # A code is live and can still be entered.
            if isinstance(error, CaptchaRequiredError):
                # It is kept for when the page is reloaded, such as in another language.
                state["captcha"], state["captcha_action"] = error.provider, form["action"]
            shown = CodeRefusedError() if self._hides(error) else error
            return (yield from self._page(state, asked, error=shown, form=form))

    def refuse(
        self, state: State, asked: Asked, problem: Mapping[Language, str], status: int = 403
    ) -> PageFlow[Answer]:
        """Show the form for the number again with a message of the application, such as that there is no account.

        Args:
            state: the session's state of the purpose.
            asked: the request.
            problem: the message by language. If the visitor's language is missing, English is used.
            status: the HTTP status.
        """
        for name in ("phone", "token", "captcha"):
            state.pop(name, None)
        _begin(state)
        return (yield from self._page(state, asked, problem.get(_language(state, asked)) or problem[DEFAULT], status))

    def _take(self, state: State, form: Mapping[str, str], asked: Asked) -> PageFlow[Answer]:
        action, key = form.get("action"), form.get("key") or None
        device = asked.devices or None
        options: dict[str, Any] = {"bind": state["id"], "ip": asked.ip, "idempotency_key": key, "device": device}
        if action in {"send", "call"}:
            phone = self._number(form) if "phone" in form else state.get("phone", "")
            # The form may be forged: a call that no gateway can make is a mistake of the developer's for `issue`.
            by_call = action == "call" and (yield lambda otp: _can_call(otp, phone))
            if by_call and key:
                options["idempotency_key"] = f"{key}.call"  # The page's other forms have the same key.
            options["captcha"] = answer_in(form)
            known = asked.known
            options["discreet"] = self._discreet
            options["known"] = known is not None and (yield lambda _: known(phone))
            yield from self._issue(state, phone, options, "voice" if by_call else "sms")
        elif action == "verify" and form.get("phone") not in {None, state.get("phone")}:
            state["notice"] = "switched"
        elif action == "verify" and "phone" in state:
            code = fold(form.get("code", ""))
            proof = yield lambda otp: otp.verify(state["phone"], code, self.purpose, **options)
            devices = device_cookie(proof, asked.devices, max_age=self._policy.device_ttl)
            if not self._keep_proof:
                return _verified(proof, devices=devices)
            state["token"] = proof.token
            return _verified(proof, cookie_of(proof), devices)
        elif action == "restart":
            for name in ("phone", "token", "challenge", "key", "captcha"):
                state.pop(name, None)
        return _redirect(asked)

    def _issue(self, state: State, phone: str, options: Mapping[str, Any], channel: Channel) -> PageFlow[None]:
        key = options["idempotency_key"] or ""
        try:
            challenge = yield lambda otp: otp.issue(phone, self.purpose, channel=channel, **options)
        except OTPError as error:
            if not self._hides(error):
                raise
        else:
            phone = challenge.phone
        if self._discreet:
            is_again, delivery = phone == state.get("phone") and bool(self._presumed(phone, state).expires_in), ""
            if phone != state.get("phone") or not self._presumed(phone, state).resend_in:
                state["asked"] = str(int(time.time()))  # If a code is requested again too early, keep the first time.
        else:
            is_again, delivery = challenge.id == state.get("challenge"), challenge.delivery
            state["challenge"] = challenge.id
        if is_again and key != state.get("key"):  # The key is equal if the first form is sent twice.
            notice = "called" if channel == "voice" else "again"
            state["notice"] = notice if delivery in {"accepted", "delivered"} else f"{notice}_unsure"
        state["phone"], state["key"] = phone, key
        for name in ("captcha", "captcha_action"):
            state.pop(name, None)

    def _hides(self, error: OTPError) -> bool:
        return self._discreet and tells_of_number(error)

    def _presumed(self, phone: str, state: State) -> Challenge:
        age = int(time.time()) - int(state.setdefault("asked", str(int(time.time()))))
        return presumed_challenge(phone, self.purpose, self._policy, age=max(0, age))

    def _number(self, form: Mapping[str, str]) -> str:
        """Return the form's number as E.164. Without a country code, it belongs to the region chosen beside it."""
        return normalize(form["phone"], self._region(form), regions=self._policy.regions)

    def _region(self, form: Mapping[str, str]) -> str:
        chosen = form.get("region", "")
        return chosen if chosen in self._policy.regions else self._policy.default_region

    def _page(
        self,
        state: State,
        asked: Asked,
        problem: str = "",
        status: int = 200,
        *,
        error: OTPError | None = None,
        form: Mapping[str, str] | None = None,
        notice: str = "",
    ) -> PageFlow[Answer]:
        phone, typed = state.get("phone", ""), form or {}
        language = _language(state, asked)
        challenge, send_in, silent = yield from self._live(state, asked.devices or None) if phone else _nothing()
        can_call = bool(phone) and (yield lambda otp: _can_call(otp, phone))
        # A blocked number gets no new code, whatever the error of the last request is.
        error = silent if isinstance(silent, BlockedError) else error or silent
        if error:
            problem, status = problem or error.message(language), max(status, error.status)
        retry_after = (error and error.retry_after) or 0
        is_failures = isinstance(error, RateLimitError) and error.scope == "failures"
        is_gone = bool(phone) and challenge is None
        captcha = yield lambda otp: self._captcha(
            otp, state, typed, error, can_call=can_call, is_at_once=not phone or is_gone
        )
        nonce = secrets.token_urlsafe(16)
        view = View(
            purpose=self.purpose,
            step="code" if phone else "phone",
            language=language,
            url=_address(asked),
            hidden={
                "csrf": state["csrf"],
                "key": secrets.token_urlsafe(16),
                # Carry the phone in the form: with two tabs open, each tab verifies against the number it shows.
                **({"phone": phone} if phone else {}),
                **asked.hidden,
            },
            regions=self._regions[language],
            region=self._region(typed),
            typed=typed.get("phone", ""),
            phone=phone,
            code_length=self._policy.code_length,
            attempts=self._policy.attempts,
            challenge=challenge,
            retry_in=max(retry_after, send_in),
            problem=problem,
            error=error.code if error else "",
            nonce=nonce,
            next=own_path(asked.next),
            notice=notice,
            verify_in=retry_after if is_failures else 0,
            brand=self._brand,
            can_call=can_call,
            captcha=captcha,
        )
        csp = NO_SOURCES if captcha is None else captcha.csp
        return Answer(status, page_headers(language, nonce, retry_after, self._brand, csp), self._render(view))

    def _captcha(
        self,
        otp: OTP | AsyncOTP,
        state: State,
        form: Mapping[str, str],
        error: OTPError | None,
        *,
        can_call: bool,
        is_at_once: bool,
    ) -> ShownCaptcha | None:
        """Return the captcha to show: that of the error, the one asked for before, or the one asked for every time."""
        action = "call" if can_call and form.get("action") == "call" else "send"
        if isinstance(error, CaptchaRequiredError):
            return captcha_of_error(otp, self.purpose, error, action)
        # An answer is not used up by another error. If it has become too old, the next page shows a new captcha.
        is_kept = error is not None and form.get("action") in {"send", "call"}
        answer = (answer_in(form) or "") if is_kept else ""
        if provider := state.get("captcha"):
            action = "call" if can_call and state.get("captcha_action") == "call" else "send"
            return fresh_captcha(otp, self.purpose, action, provider, answer)
        return fresh_captcha(otp, self.purpose, "send", answer=answer) if is_at_once and asks_always(otp) else None

    def _live(self, state: State, device: str | None) -> PageFlow[tuple[Challenge | None, int, OTPError | None]]:
        """Return the live challenge (or None), the seconds until a code may be sent, and any error of these calls."""
        phone = state["phone"]
        if self._discreet:
            presumed = self._presumed(phone, state)
            return (presumed, presumed.resend_in, None) if presumed.expires_in else (None, 0, None)
        try:
            challenge = yield lambda otp: otp.status(phone, self.purpose, bind=state["id"], device=device)
            if challenge is not None:
                return challenge, challenge.resend_in, None
            # This reveals no more than `issue` would, and saves the visitor a request that must fail.
            standing = yield lambda otp: otp.standing(phone)
            is_known = bool(device) and (yield lambda otp: otp.check_device(device, phone)) is not None
        except ConfigurationError:
            raise
        except OTPError as silent:
            return None, 0, silent
        if is_known:
            return None, standing.device_send_in, BlockedError() if standing.device_blocked else None
        return None, standing.send_in, BlockedError() if standing.blocked else None


def read_form(body: bytes) -> dict[str, str]:
    """Return a form's fields, or {} if there are too many or the body is too long.

    Args:
        body: the request's body, `application/x-www-form-urlencoded`.
    """
    if len(body) > MAX_BODY:
        return {}
    try:
        return dict(parse_qsl(body.decode("ascii", "replace"), keep_blank_values=True, max_num_fields=MAX_FIELDS))
    except ValueError:
        return {}


def _can_call(otp: OTP | AsyncOTP, phone: str) -> bool:
    """Check whether a gateway for this number can also call."""
    config = config_of(otp)
    try:
        _, region = resolve(phone, config.policy.regions, config.policy.default_region)
    except PhoneError:
        return False
    return config.routing.plan_for(region).offers_call


def _nothing() -> PageFlow[tuple[None, int, None]]:
    return None, 0, None
    yield  # a flow that makes no call


def _begin(state: State) -> None:
    bind_of(state)
    state.setdefault("csrf", secrets.token_urlsafe(16))


def _is_ours(state: State, form: Mapping[str, str]) -> bool:
    given, own = form.get("csrf", ""), state.get("csrf", "")
    return bool(own) and "id" in state and secrets.compare_digest(given.encode(errors="replace"), own.encode())


def _language(state: State, asked: Asked) -> Language:
    chosen = state.get("language", "")
    return chosen if chosen in languages() else preferred_language(asked.accept_language)


def _redirect(asked: Asked) -> Answer:
    # Redirect after a POST: reloading the page then sends no form again.
    location = with_next(_address(asked), own_path(asked.next))
    return Answer(303, {"Location": location, "Cache-Control": "no-store"})


def _address(asked: Asked) -> str:
    # A router may accept any path. One that begins with two slashes would lead to another site.
    return "/" + quote(asked.url.lstrip("/"), errors="replace")


def _verified(proof: Proof, cookie: ProofCookie | None = None, devices: DeviceCookie | None = None) -> Answer:
    return Answer(303, {"Cache-Control": "no-store"}, proof=proof, cookie=cookie, devices=devices)
