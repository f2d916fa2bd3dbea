"""Django REST framework: the JSON calls as views, and parts for your own views that redeem a proof.

It needs the extra `rest`.

::

    # urls.py
    urlpatterns = [
        path("api/signup/", include(phone_urls("signup"))),
        path("api/accounts/", CreateAccount.as_view()),
    ]


    class AccountSerializer(VerifiedPhoneMixin, serializers.Serializer):
        name = serializers.CharField()

        def create(self, validated):
            return User.objects.get_or_create(username=validated["phone"])[0]

The calls, their bodies and their answers are those of the FastAPI integration. They read only `application/json`, which
browsers send to another site only if that site allows it (CORS). So other sites can't use the visitor's session here.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

from django.http import HttpRequest, HttpResponse
from django.http.request import RawPostDataException
from django.urls import URLPattern, path
from django.utils.translation import get_language

from otpkit import ConfigurationError, OTPError, Proof, UsedTokenError
from otpkit.frames import without_locals
from otpkit.integrations.django.conf import brand, forwarded_hops, get_otp
from otpkit.integrations.django.sessions import fingerprint_of, kept_token, session_of
from otpkit.web import MAX_BODY, MEDIA_TYPE, bind_of, client_ip, drive, fingerprint, language_of, refusal, visit
from otpkit.web.bodies import read_bounded_from
from otpkit.web.fingerprints import is_form
from otpkit.web.json_calls import ISSUE, Client, JsonCall, JsonCalls, JsonRequest, calls_of, wrong_type
from otpkit.web.sessions import REPLAYED, require_bind

try:
    from rest_framework.exceptions import UnsupportedMediaType
    from rest_framework.negotiation import DefaultContentNegotiation
    from rest_framework.parsers import BaseParser
    from rest_framework.permissions import BasePermission
    from rest_framework.renderers import JSONRenderer
    from rest_framework.request import Request
    from rest_framework.views import APIView
except ImportError as missing:
    raise ConfigurationError(
        "otpkit.integrations.django.rest needs Django REST framework.", "Run: pip install 'otpkit[rest]'."
    ) from missing

__all__ = ["HasPhoneProof", "PhoneCallView", "VerifiedPhoneMixin", "phone_urls", "redeem"]

Bind = Callable[[Request], str]
Known = Callable[[Request, str], bool]
_BODY = "otpkit_body"  # the attribute of a request that keeps its body, or None if that is too long


class _BoundedParser(BaseParser):  # type: ignore[misc]
    """A parser that keeps the bytes of a body for the view. It refuses nothing; the view does."""

    media_type = "application/json"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        """Return the JSON of a body, such as for a permission that looks at the phone; {} if it is no JSON."""
        body = read_bounded_from(stream.read, MAX_BODY)
        setattr(parser_context["request"], _BODY, body)
        try:
            return json.loads(body or b"{}")
        except (ValueError, RecursionError):
            return {}


class _AnyAccept(DefaultContentNegotiation):  # type: ignore[misc]
    """The choice of a renderer that refuses no `Accept`: the calls have one form of answer."""

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        """Return the first renderer."""
        return renderers[0], renderers[0].media_type


@without_locals
class PhoneCallView(APIView):  # type: ignore[misc]
    """One of the JSON calls. `phone_urls` returns all three.

    It needs no login: `authentication_classes` and `permission_classes` are empty. Your settings' throttles apply.

    Attributes (also arguments of `phone_urls`):
        call: the call.
        purpose: the purpose of the codes. Never let the visitor choose it.
        bind: a function that takes the request and returns the text to tie the codes to, such as a device's id. It must
            be a secret of the visitor, and never empty. None uses the session.
        known: a function that takes the request and a number as E.164. It returns True if this very number is verified
            for the account that is logged in. The guard then asks for a captcha where it would refuse. It must not
            answer from the body. If it reads `request.user`, set `authentication_classes` too.
        discreet: True to return the same answers to strangers, whatever was sent to a number or guessed for it; see
            `otpkit.web.discreet`. Then there is no `POST challenges/status`.
    """

    call: JsonCall[Any] = ISSUE
    purpose: str = "signup"
    bind: Bind | None = None
    known: Known | None = None
    discreet: bool = False

    authentication_classes: ClassVar[Any] = ()
    permission_classes: ClassVar[Any] = ()
    parser_classes: ClassVar[Any] = (_BoundedParser,)
    renderer_classes: ClassVar[Any] = (JSONRenderer,)
    content_negotiation_class = _AnyAccept

    def post(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        """Answer the call."""
        otp = get_otp()
        asked = JsonRequest(
            content_type=request.content_type or "",
            read=partial(_read, request),
            client=self._client,
            key=request.headers.get("Idempotency-Key"),
        )
        found = drive(JsonCalls(self.purpose, otp.policy, self.discreet).answer(self.call, asked), otp)
        return HttpResponse(found.body, status=found.status, headers=dict(found.headers))

    def handle_exception(self, exc: Exception) -> HttpResponse:
        """Answer an `OTPError` with a problem document, and any other error as Django REST framework does."""
        if isinstance(exc, UnsupportedMediaType) and (found := wrong_type("")):
            return HttpResponse(found.json(), MEDIA_TYPE, found.status, headers=dict(found.headers))
        if isinstance(exc, ConfigurationError) or not isinstance(exc, OTPError):
            response: HttpResponse = super().handle_exception(exc)
            return response
        headers, session = self.request.headers, getattr(self.request, "session", {})
        language = language_of(session, self.purpose, headers.get("Accept-Language") or get_language() or "")
        answer = refusal(exc, language, accept=headers.get("Accept", ""), brand=brand())
        return HttpResponse(answer.body, status=answer.status, headers=dict(answer.headers))

    def _client(self) -> Client:
        request, meta = self.request, self.request.META
        bind = _session_bind(request, self.purpose) if self.bind is None else self.bind(request)
        ip = client_ip(meta.get("REMOTE_ADDR"), meta.get("HTTP_X_FORWARDED_FOR", ""), forwarded_hops())
        return Client(bind=bind, ip=ip, known=None if self.known is None else partial(self.known, request))


def phone_urls(
    purpose: str = "signup",
    *,
    bind: Bind | None = None,
    known: Known | None = None,
    discreet: bool = False,
    view: type[PhoneCallView] = PhoneCallView,
    **options: Any,
) -> list[URLPattern]:
    """Return the URLs of the JSON calls for a purpose: `path("api/signup/", include(phone_urls("signup")))`.

    - `POST challenges` `{"phone"}` sends a code: 202 with its `delivery`, `expires_in`, `resend_in`, …
    - `POST challenges/status` `{"phone"}` returns the same for the live challenge, or null. It sends nothing.
    - `POST verifications` `{"phone", "code"}` returns a `token`. `redeem` reads it from the header `Phone-Proof`.

    The last call also returns a `device` token. Keep it on the visitor's device, and send it as `device` with each of
    these calls. An `Idempotency-Key` makes the first and the last call safe to repeat. With `OTP(guard=…)`, a call may
    get 403 `captcha_required` with the `provider` and `parameters` of a captcha: show it, and repeat the call with its
    answer as `captcha`.

    Args:
        purpose: the purpose of the codes. Never let the visitor choose it.
        bind: see `PhoneCallView`.
        known: see `PhoneCallView`.
        discreet: see `PhoneCallView`.
        view: a subclass of `PhoneCallView`.
        options: other attributes of the view, such as `throttle_classes`, `authentication_classes` and
            `permission_classes`.
    """
    is_discreet = discreet or view.discreet
    given = {"bind": bind, "known": known}
    options |= {name: value for name, value in given.items() if value is not None}  # A subclass may have its own.
    return [
        path(
            call.path.removeprefix("/"),
            view.as_view(call=call, purpose=purpose, discreet=is_discreet, **options),
            name=f"otpkit_{purpose}_{call.name}",
        )
        for call in calls_of(discreet=is_discreet)
    ]


@without_locals
def redeem(
    request: Request | HttpRequest, purpose: str = "signup", *, bind: Bind | None = None, replay: bool = False
) -> Proof:
    """Redeem the proof of a request. A proof can be redeemed only once.

    The token is read from the header `Phone-Proof`, else from the session, where the pages keep it. Call this once the
    rest of the request is valid, so that a mistake in another field uses up no proof. `VerifiedPhoneMixin` does so.

    A repeated `Idempotency-Key` raises `UsedTokenError` by default, because the client chooses the key and one proof
    must create one account. With `replay=True`, a repeated request gets the same proof while it lives, if its method,
    URL and body are the same, and `proof.replayed` is True. Then return the account that exists. If it does not exist,
    because the process or the connection ended before it was created, create it. Put a unique constraint on the phone.

    Args:
        request: the request.
        purpose: the purpose passed to `phone_urls`.
        bind: the function passed to `phone_urls`. The token is then read from the header only.
        replay: True to accept a repeated request with the same `Idempotency-Key`.

    Returns:
        The proof. `proof.phone` is verified.

    Raises:
        TokenError: there is no proof, or it is used or expired. If the view does not catch the error,
            `PhoneErrorMiddleware` answers with a problem document.
        StoreUnavailableError: Redis is not available.
    """
    plain: Any = request._request if isinstance(request, Request) else request
    plain.otpkit_purpose = purpose
    key = request.headers.get("Idempotency-Key") or None
    asked = None if key is None else _fingerprint(request, plain)
    token, bound = _proof_of(request, purpose, bind, is_taken=True)
    proof = get_otp().redeem(token, purpose, bind=bound, idempotency_key=key, request=asked)
    if proof.replayed and not replay:
        raise UsedTokenError(*REPLAYED)
    return proof


@without_locals
class HasPhoneProof(BasePermission):  # type: ignore[misc]
    """A permission that refuses a request without a valid proof, before its body is looked at. It uses up no proof.

    Attributes, for a subclass:
        purpose: the purpose passed to `phone_urls`.
        bind: a method that returns the same text as the function passed to `phone_urls`, or None.
    """

    purpose: str = "signup"
    bind: Bind | None = None

    def has_permission(self, request: Request, view: Any) -> bool:
        """Return True, or raise a `TokenError`, which `PhoneErrorMiddleware` answers."""
        request._request.otpkit_purpose = self.purpose
        token, bound = _proof_of(request, self.purpose, self.bind, is_taken=False)
        get_otp().check(token, self.purpose, bind=bound)
        return True


@without_locals
class VerifiedPhoneMixin:
    """A mixin for a serializer that redeems the proof of its request, once all its fields are valid.

    `validated_data["phone"]` is then the verified number, and `serializer.proof` the proof. The serializer needs the
    request in its context, as generic views pass it. It can't be nested in another one, whose fields are checked later.

    Attributes, for a subclass:
        proof_purpose: the purpose passed to `phone_urls`.
        proof_bind: a method that returns the same text as the function passed to `phone_urls`, or None.
        proof_replay: True to accept a repeated request with the same `Idempotency-Key`; see `redeem`.
        proof_field: the name in `validated_data`.
    """

    proof_purpose: str = "signup"
    proof_bind: Bind | None = None
    proof_replay: bool = False
    proof_field: str = "phone"
    proof: Proof | None = None

    def run_validation(self, *args: Any, **kwargs: Any) -> Any:
        """Check all fields, then redeem the proof.

        Raises:
            ConfigurationError: the serializer has no request in its context.
        """
        serializer: Any = self
        validated: Any = super().run_validation(*args, **kwargs)  # type: ignore[misc]
        request = serializer.context.get("request")
        if request is None:
            raise ConfigurationError(
                f"{type(self).__name__} has no request in its context.", 'Pass context={"request": request}.'
            )
        self.proof = redeem(request, self.proof_purpose, bind=self.proof_bind, replay=self.proof_replay)
        return {**validated, self.proof_field: self.proof.phone}


def _read(request: Request) -> bytes | None:
    _ = request.data  # The view's parser reads the body, unless a permission has caused that before.
    found: bytes | None = getattr(request, _BODY, b"")
    return found


def _session_bind(request: Request | HttpRequest, purpose: str) -> str:
    with visit(session_of(request), purpose) as state:
        return bind_of(state)


def _proof_of(request: Request | HttpRequest, purpose: str, bind: Bind | None, *, is_taken: bool) -> tuple[str, str]:
    """Return the token of a request, and the text that it is tied to. `is_taken` ends the visitor's forms."""
    given = request.headers.get("Phone-Proof", "")
    if bind is not None:
        return given, require_bind(bind(request))
    with visit(session_of(request), purpose) as state:
        return given or kept_token(request, purpose, state if is_taken else dict(state)), bind_of(state)


def _fingerprint(request: Request | HttpRequest, plain: HttpRequest) -> str:
    if isinstance(request, Request) and not is_form(request.content_type or ""):
        try:
            _ = plain.body
        except RawPostDataException:  # A parser has consumed the body as a stream.
            content = json.dumps(request.data, sort_keys=True, default=str).encode()
            return fingerprint(request.method or "", request.get_full_path(), content)
    return fingerprint_of(request)
