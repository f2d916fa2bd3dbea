"""Class-based views with the two forms of a sign-up or a login: `path("login/", LoginView.as_view())`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.middleware.csrf import get_token
from django.shortcuts import resolve_url
from django.utils.decorators import method_decorator
from django.utils.http import url_has_allowed_host_and_scheme
from django.views import View
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.debug import sensitive_post_parameters

from otpkit import ConfigurationError, Proof, web
from otpkit.errors import Language
from otpkit.frames import without_locals
from otpkit.integrations.django.conf import brand, forwarded_hops, get_otp, language
from otpkit.integrations.django.sessions import leave_session, log_in, proof_cookie, session_of, set_cookie
from otpkit.languages import languages, texts
from otpkit.web import pages


@without_locals
@method_decorator((sensitive_post_parameters("phone", "code"), csrf_protect), name="dispatch")
class PhoneView(View):
    """The two forms for one purpose. It is the base class of the views below, and of your own for other purposes.

    The code is tied to the visitor's session. The page uses Django's active language, if otpkit has it, else English.
    Each sent form can cost you a message: set `OTP(guard=…)`, or put a risk check in `post`, before `super().post(…)`.

    Attributes (also arguments of `as_view`):
        purpose: the purpose of the codes, such as `payment`.
        success_url: the URL of this site, or the name of a URL, to redirect to after a correct code. Browsers block
            redirects to other sites after a form (CSP, `form-action`). If the page was called with `?next=` and a URL
            of this site, that URL comes first.
        keep_proof: True to keep the proof in the session for `redeem`. While the proof lives, each visit of the page
            calls `verified` again.
        discreet: True to show strangers the same pages, whatever was sent to a number or guessed for it; see
            `otpkit.web.discreet`.
    """

    purpose: str = ""
    success_url: Any = None
    keep_proof: bool = True
    discreet: bool = False
    _next_url: str = ""

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Show the form for the number, or the form for the code."""
        wanted = request.GET.get("next", "")
        is_ours = url_has_allowed_host_and_scheme(wanted, {request.get_host()}, require_https=request.is_secure())

        def show(forms: web.PhoneForms, state: web.State) -> web.PageFlow[web.Answer]:
            if is_ours:
                state["next"] = wanted
            return forms.show(state, self._asked())

        return self._answer(show)

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Send a code, verify a code, or start again."""
        form = request.POST.dict()
        return self._answer(lambda forms, state: forms.submit(state, form, self._asked()))

    def verified(self, proof: Proof) -> HttpResponse:
        """Return the response for a verified number. Override it. If the form is sent twice, it is called twice.

        Args:
            proof: the proof of the number.
        """
        return HttpResponseRedirect(self.get_success_url())

    def get_success_url(self) -> str:
        """Return the URL to redirect to after a correct code."""
        return self._next_url or self._own_url()

    def known(self, phone: str) -> bool:
        """Return True if this very number is verified for the account that is logged in. Override it.

        The guard then asks for a captcha where it would refuse. Never answer from the form: it would exempt every
        stranger, and tell them who has an account.

        Args:
            phone: the number as E.164.
        """
        return False

    def render(self, view: web.View) -> str:
        """Return the HTML of the page. Override it to use your own template.

        The page's Content-Security-Policy allows only inline scripts and styles with the nonce `view.nonce`.

        Args:
            view: the content of the page.
        """
        return pages.render(view)

    def refuse(self, problem: Mapping[Language, str], status: int = 403) -> HttpResponse:
        """Show the form for the number again, with a message for the visitor.

        Args:
            problem: the message in each language (`en`, `zh`).
            status: the HTTP status.
        """
        return self._answer(lambda forms, state: forms.refuse(state, self._asked(), problem, status))

    def _own_url(self) -> str:
        if self.success_url is None:
            raise ConfigurationError(f"{type(self).__name__} needs success_url.", "Pass it to as_view().")
        return resolve_url(self.success_url)

    def _asked(self) -> web.Asked:
        meta = self.request.META
        return web.Asked(
            url=self.request.path,
            ip=web.client_ip(meta.get("REMOTE_ADDR"), meta.get("HTTP_X_FORWARDED_FOR", ""), forwarded_hops()),
            accept_language=language(),
            language=self.request.GET.get("lang", ""),
            hidden={"csrfmiddlewaretoken": get_token(self.request)},
            cookie=proof_cookie(self.request, self.purpose),
            devices=self.request.COOKIES.get(web.DEVICES_COOKIE, ""),
            known=self.known,
        )

    def _answer(self, flow: Callable[[web.PhoneForms, web.State], web.PageFlow[web.Answer]]) -> HttpResponse:
        otp = get_otp()
        keeps, discreet = self.keep_proof, self.discreet
        forms = web.PhoneForms(
            self.purpose, otp.policy, self.render, keep_proof=keeps, discreet=discreet, brand=brand()
        )
        with web.visit(session_of(self.request), self.purpose) as state:
            answer = web.drive(flow(forms, state), otp)
            if answer.proof is not None:
                self._end(state)
        if answer.proof is None:
            return HttpResponse(answer.body, status=answer.status, headers=dict(answer.headers))
        if self.request.method == "POST":  # The new session has the proof. The old one is not saved.
            leave_session(self.request)
        response = self.verified(answer.proof)
        response.headers.setdefault("Cache-Control", "no-store")
        for cookie in answer.cookies:
            set_cookie(response, cookie)
        return response

    def _end(self, state: web.State) -> None:
        self._next_url = state.pop("next", "")
        if not self.keep_proof:  # The form is finished; keep only the language.
            for name in set(state) - {"language"}:
                del state[name]


class SignupView(PhoneView):
    """A view that verifies a number and redirects to `success_url`, the form that creates the account.

    Call `redeem` in that form. The view behaves the same for a number that has an account, so that strangers can't find
    out which numbers have one. `?next=` is passed on to the form.
    """

    purpose = "signup"

    def get_success_url(self) -> str:
        """Return the URL of the form that creates the account, with `?next=` if the page was called with it."""
        url = self._own_url()
        if self._next_url:
            url += ("&" if "?" in url else "?") + urlencode({"next": self._next_url})
        return url


class LoginView(PhoneView):
    """A view that logs in the user with the verified number, in a new session, by `PhoneBackend`.

    It redirects to `?next=`, `success_url` or `settings.LOGIN_REDIRECT_URL`. It reveals only after the verification if
    a number has an account. Staff, superusers and inactive users get the same response as a number without an account,
    so that it does not reveal whose number it is. If you set your own `purpose`, add it to `OTPKIT["LOGIN_PURPOSES"]`.
    """

    purpose = "login"
    keep_proof = False

    def verified(self, proof: Proof) -> HttpResponse:
        """Log in, and redirect."""
        return super().verified(proof) if log_in(self.request, proof) else self.no_account(proof)

    def no_account(self, proof: Proof) -> HttpResponse:
        """Return the response for a verified number without a user who may log in by phone.

        Override it to offer a sign-up. The number may still belong to an inactive user or to staff. Let that form find
        the existing user, as `get_or_create` does; `log_in` then refuses them.

        Args:
            proof: the proof of the number.
        """
        return self.refuse({each: texts(each)["pages"]["no_account"] for each in languages()})

    def _own_url(self) -> str:
        return resolve_url(self.success_url or settings.LOGIN_REDIRECT_URL)
