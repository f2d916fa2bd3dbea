"""django-allauth: an adapter that sends its phone codes through otpkit. It needs the extra `allauth`.

::

    # settings.py
    ACCOUNT_ADAPTER = "otpkit.integrations.django.allauth.PhoneAdapter"
    ACCOUNT_FORMS = {
        "verify_phone": "otpkit.integrations.django.allauth.forms.VerifyPhoneForm",
        "confirm_login_code": "otpkit.integrations.django.allauth.forms.ConfirmLoginCodeForm",
        "confirm_reauthentication_code": "otpkit.integrations.django.allauth.forms.ConfirmReauthenticationCodeForm",
    }

With these forms, the code is otpkit's own, by `OTP.issue` and `OTP.verify`: it is not in the session, wrong codes are
counted in Redis, and the guard learns which messages were verified. Without a form of a step, and for allauth's
headless API, allauth makes, keeps and compares the code, and `OTP.send` delivers it.
"""

from __future__ import annotations

import logging
import secrets
import string
from typing import Any, ClassVar, Final

from django.apps import apps
from django.contrib import messages
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import FieldDoesNotExist
from django.db import router, transaction
from django.http import HttpRequest, HttpResponseRedirect, JsonResponse
from django.utils.http import escape_leading_slashes
from django.utils.module_loading import import_string

from otpkit import ConfigurationError, OTPError, RateLimitError, StoreUnavailableError
from otpkit.frames import without_locals
from otpkit.integrations.django.allauth.steps import (
    LOGIN,
    PHONE_CODE,
    REAUTHENTICATE,
    STATE,
    VERIFY,
    Sent,
    keep,
    visitor_of,
)
from otpkit.integrations.django.backends import PhoneBackend
from otpkit.integrations.django.conf import find_field, get_otp, language, user_phone_field
from otpkit.integrations.django.forms import PhoneField
from otpkit.integrations.django.sessions import session_of
from otpkit.web import bind_of, visit
from otpkit.web.captchas import answer_in

try:
    from allauth.account import app_settings as account_settings
    from allauth.account.adapter import DefaultAccountAdapter, get_adapter
    from allauth.core import context
    from allauth.core.exceptions import ImmediateHttpResponse
except ImportError as missing:
    raise ConfigurationError(
        "otpkit.integrations.django.allauth needs django-allauth.", "Run: pip install 'otpkit[allauth]'."
    ) from missing

__all__ = ["PhoneAdapter", "PhoneAdapterMixin"]

_SENT: Final = ("account/messages/phone_verification_sent.txt", "account/messages/login_code_sent.txt")
_REFUSED: Final = "otpkit_refused"  # the attribute of a request whose message was not sent
_log: Final = logging.getLogger("otpkit.integrations.django")


class AdapterPhoneField(PhoneField):
    """The field for a number in allauth's forms. It cleans to E.164, then asks the adapter's `clean_phone`."""

    def clean(self, value: Any) -> Any:
        """Return the number in E.164.

        Raises:
            ValidationError: it is not a phone number of the policy's regions, or the adapter refuses it.
        """
        phone = super().clean(value)
        return get_adapter().clean_phone(phone) if phone else phone


@without_locals
class PhoneAdapterMixin:
    """A mixin for an allauth adapter: `class Adapter(PhoneAdapterMixin, DefaultAccountAdapter)`.

    The number is in the field `OTPKIT["USER_PHONE_FIELD"]`. If a message is refused, the visitor sees why, in words: on
    the page of the code after a sign-up, whose user exists by then, else on the page where it was requested. A gateway
    that may or may not have sent it counts as sent.

    Attributes, for a subclass:
        verified_field: the boolean field beside the number that is True once it is verified.
        signup_purpose: the purpose of codes that verify a number, at a sign-up or a change.
        login_purpose: the purpose of codes that log in, or authenticate again.
        discreet: True to show no refusal at a sign-up either. By default, with `ACCOUNT_PREVENT_ENUMERATION`, only the
            start of a login by code shows none, because a number without a user gets no message.
    """

    verified_field: ClassVar[str] = "phone_verified"
    signup_purpose: ClassVar[str] = "signup"
    login_purpose: ClassVar[str] = "login"
    discreet: ClassVar[bool] = False

    def phone_form_field(self, **kwargs: Any) -> Any:
        """Return the field for a number."""
        return AdapterPhoneField(**kwargs)

    def generate_phone_verification_code(self, *, user: AbstractBaseUser, phone: str) -> str:
        """Return a code with the digits of `Policy.code_length`. With otpkit's forms it is never sent, and no code."""
        return PHONE_CODE + "".join(secrets.choice(string.digits) for _ in range(get_otp().policy.code_length))

    def send_verification_code_sms(self, user: AbstractBaseUser, phone: str, code: str, **kwargs: Any) -> None:
        """Send a code.

        Raises:
            ConfigurationError: otpkit or the project is not set up correctly.
            ImmediateHttpResponse: the message was refused, and the visitor stays where they are.
        """
        request: HttpRequest = context.request
        step, otp = _step(kwargs), get_otp()
        is_ours = _has_form(request, step)
        with visit(session_of(request), STATE) as state:
            bind = bind_of(state)
        purpose, options = self._purpose(step), self._options(request, user, phone)
        refused: OTPError | None = None
        try:
            if is_ours:
                otp.issue(phone, purpose, bind=bind, **options)
            else:
                otp.send(phone, purpose, code.removeprefix(PHONE_CODE), minutes=_minutes(step), **options)
        except ConfigurationError:
            raise
        except OTPError as error:
            refused = error
        is_again = _is_resend(request)
        if refused is not None and not is_again:
            self._refuse(request, step, refused)
        if is_ours:
            with visit(session_of(request), STATE) as state:
                keep(state, step, code, Sent(phone, purpose))
        if refused is not None and is_again:  # allauth has replaced the step's code before.
            self._refuse(request, step, refused)

    def add_message(
        self, request: HttpRequest, level: int, message_template: str | None = None, *args: Any, **kwargs: Any
    ) -> None:
        """Add a message, unless it says that a code was sent and none was."""
        if message_template in _SENT and getattr(request, _REFUSED, False):
            return
        super().add_message(request, level, message_template, *args, **kwargs)  # type: ignore[misc]

    def set_phone(self, user: AbstractBaseUser, phone: str, verified: bool) -> None:
        """Store the user's number. A user who has given the same number and has not verified it, loses it.

        Otherwise a stranger could sign up with a number, and its owner could not, or would log in to that account.

        Raises:
            ConfigurationError: the user model lacks a field.
        """
        holder, name = _holder(user)
        if not hasattr(holder, self.verified_field):
            raise ConfigurationError(
                f"{holder.__class__.__name__} has no field {self.verified_field!r} for whether the number is verified.",
                "Add a BooleanField(default=False), or set verified_field of the adapter to the field's name.",
            )
        setattr(holder, name, phone)
        setattr(holder, self.verified_field, verified)
        if holder.pk is None:
            return
        others = holder.__class__._default_manager.filter(**{name: phone, self.verified_field: False})
        with transaction.atomic(using=router.db_for_write(holder.__class__, instance=holder)):
            others.exclude(pk=holder.pk).update(**{name: None})
            holder.save(update_fields=[name, self.verified_field])

    def get_phone(self, user: AbstractBaseUser) -> tuple[str, bool] | None:
        """Return the user's number and if it is verified, or None."""
        holder, name = _holder(user)
        phone = getattr(holder, name)
        return (phone, bool(getattr(holder, self.verified_field, False))) if phone else None

    def set_phone_verified(self, user: AbstractBaseUser, phone: str) -> None:
        """Store the number as the user's verified one. The user's may have changed while the code was on its way."""
        self.set_phone(user, phone, True)

    def get_user_by_phone(self, phone: str) -> AbstractBaseUser | None:
        """Return the user who has verified a number, or None."""
        user = PhoneBackend().find_user(phone)
        return user if user is not None and self.get_phone(user) == (phone, True) else None

    def _purpose(self, step: str) -> str:
        return self.signup_purpose if step == VERIFY else self.login_purpose

    def _options(self, request: HttpRequest, user: AbstractBaseUser, phone: str) -> dict[str, Any]:
        """Return the arguments of `issue` and `send` that depend on the request."""
        return {
            **visitor_of(request),
            "captcha": answer_in(request.POST.dict()),
            "known": request.user == user and self.get_phone(user) == (phone, True),
        }

    def _refuse(self, request: HttpRequest, step: str, error: OTPError) -> None:
        """Show why no message was sent. Return where allauth must go on, to the page of the code.

        Raises:
            ImmediateHttpResponse: the visitor stays on the page where they are, and an earlier code stays valid.
        """
        _log.info("No code was sent for allauth's step %s: %s.", step, error.code)
        setattr(request, _REFUSED, True)
        is_again, is_signup = _is_resend(request), step == VERIFY and request.user.is_anonymous
        is_live = isinstance(error, RateLimitError) and error.challenge is not None
        is_hidden = (is_signup and self.discreet) or (step == LOGIN and account_settings.PREVENT_ENUMERATION)
        if is_hidden and not isinstance(error, StoreUnavailableError):
            setattr(request, _REFUSED, False)
            return
        text = error.message(language())
        if _is_headless(request):
            if not is_signup or is_again:
                body = {"status": error.status, "errors": [{"message": text, "code": error.code}]}
                raise ImmediateHttpResponse(JsonResponse(body, status=error.status))
            return
        if not apps.is_installed("django.contrib.messages"):
            raise error  # PhoneErrorMiddleware answers it with a page.
        self.add_message(request, messages.WARNING if is_live else messages.ERROR, message=text)
        if is_live or (is_signup and not is_again):
            return
        raise ImmediateHttpResponse(HttpResponseRedirect(_own_url(request)))


class PhoneAdapter(PhoneAdapterMixin, DefaultAccountAdapter):  # type: ignore[misc]
    """allauth's own adapter with phone numbers."""


def _step(kwargs: dict[str, Any]) -> str:
    """Return the name that allauth's setting `ACCOUNT_FORMS` has for the form of the code."""
    if "reauthentication" not in kwargs:
        return VERIFY
    return REAUTHENTICATE if kwargs["reauthentication"] else LOGIN


def _has_form(request: HttpRequest, step: str) -> bool:
    """Return True if the code of a step is typed into one of otpkit's forms."""
    from otpkit.integrations.django.allauth.forms import ChallengeForm

    form = account_settings.FORMS.get(step)
    found = import_string(form) if isinstance(form, str) else form
    return not _is_headless(request) and isinstance(found, type) and issubclass(found, ChallengeForm)


def _minutes(step: str) -> int:
    """Return the life of allauth's code, for the template's `{minutes}`."""
    is_login = step != VERIFY
    seconds: int = account_settings.LOGIN_BY_CODE_TIMEOUT if is_login else account_settings.PHONE_VERIFICATION_TIMEOUT
    return max(1, seconds // 60)


def _is_headless(request: HttpRequest) -> bool:
    return getattr(getattr(request, "allauth", None), "headless", None) is not None


def _is_resend(request: HttpRequest) -> bool:
    name = request.resolver_match.url_name if request.resolver_match else ""
    return request.POST.get("action") == "resend" or (name or "").startswith("resend_")


def _own_url(request: HttpRequest) -> str:
    """Return the URL of the page whose form was sent, with the `next` of the form."""
    query = request.GET.copy()
    if "next" in request.POST:
        query["next"] = request.POST["next"]
    return escape_leading_slashes(request.path) + (f"?{query.urlencode()}" if query else "")


def _holder(user: AbstractBaseUser) -> tuple[Any, str]:
    """Return the object that holds the user's number, and the name of the field."""
    path = user_phone_field()
    try:
        find_field(user.__class__, path)  # The user of a request is a lazy object.
    except FieldDoesNotExist as error:
        raise ConfigurationError(
            f"OTPKIT['USER_PHONE_FIELD'] is not a field of the user model: {error}.",
            "Set it to the field that holds the number.",
        ) from error
    *relations, name = path.split("__")
    holder: Any = user
    for each in relations:
        holder = getattr(holder, each)
    return holder, name
