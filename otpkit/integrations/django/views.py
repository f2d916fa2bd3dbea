"""The two forms of a sign-up or a login as class-based views: `path("login/", LoginView.as_view())`."""

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
from otpkit.integrations.django.conf import forwarded_hops, get_otp, language
from otpkit.integrations.django.sessions import leave_session, log_in, proof_cookie, session_of, set_proof_cookie
from otpkit.languages import languages, texts
from otpkit.web import pages


@without_locals
@method_decorator((sensitive_post_parameters("phone", "code"), csrf_protect), name="dispatch")
class PhoneView(View):
    """The forms for one purpose; the base of the two below, and of yours for others.

    Attributes, which `as_view` takes too:
        purpose: what the codes are for, such as `payment`.
        success_url: where the visitor goes once the code was right: a URL of this site, for browsers keep a form's
            answer from leading elsewhere (CSP, `form-action`), or the name of one. A `?next=` of this site, which the
            page was called with, comes first.
        keep_proof: whether the session keeps the proof for `redeem`. While it lives `verified` is then called whenever
            the visitor comes to the page.
        discreet: whether strangers are shown the same, whatever was sent to a number before or guessed for it; see
            `otpkit.web.discreet`.

    The visitor's code is tied to the session. The page speaks Django's active language, English or Chinese. Whoever may
    send the form makes you pay for a message: a CAPTCHA or a risk check belongs into `post`, before `super().post(…)`.
    """

    purpose: str = ""
    success_url: Any = None
    keep_proof: bool = True
    discreet: bool = False
    _next_url: str = ""

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Show the form for the number, or that for the code."""
        wanted = request.GET.get("next", "")
        is_ours = url_has_allowed_host_and_scheme(wanted, {request.get_host()}, require_https=request.is_secure())

        def show(forms: web.PhoneForms, state: web.State) -> web.PageFlow[web.Answer]:
            if is_ours:
                state["next"] = wanted
            return forms.show(state, self._asked())

        return self._answer(show)

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Send a code, verify one, or begin anew."""
        form = request.POST.dict()
        return self._answer(lambda forms, state: forms.submit(state, form, self._asked()))

    def verified(self, proof: Proof) -> HttpResponse:
        """Answer for a number that is verified. Override it; a form that comes twice has it called twice."""
        return HttpResponseRedirect(self.get_success_url())

    def get_success_url(self) -> str:
        """Return where the visitor goes once the code was right."""
        return self._next_url or self._own_url()

    def render(self, view: web.View) -> str:
        """Return the HTML of the page. Override it for a template of yours: the page's policy wants `view.nonce`."""
        return pages.render(view)

    def refuse(self, problem: Mapping[Language, str], status: int = 403) -> HttpResponse:
        """Show the form for the number again, with a sentence for the visitor: one in each language, `en` and `zh`."""
        return self._answer(lambda forms, state: forms.refuse(state, self._asked(), problem, status))

    def _own_url(self) -> str:
        if self.success_url is None:
            raise ConfigurationError(f"{type(self).__name__} needs success_url.", "Give it to as_view() or the class.")
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
        )

    def _answer(self, flow: Callable[[web.PhoneForms, web.State], web.PageFlow[web.Answer]]) -> HttpResponse:
        otp = get_otp()
        keeps, discreet = self.keep_proof, self.discreet
        forms = web.PhoneForms(self.purpose, otp.policy, self.render, keep_proof=keeps, discreet=discreet)
        with web.visit(session_of(self.request), self.purpose) as state:
            answer = web.drive(flow(forms, state), otp)
            if answer.proof is not None:
                self._end(state)
        if answer.proof is None:
            return HttpResponse(answer.body, status=answer.status, headers=dict(answer.headers))
        if self.request.method == "POST":  # the new session has the proof, the old one is not saved
            leave_session(self.request)
        response = self.verified(answer.proof)
        response.headers.setdefault("Cache-Control", "no-store")
        if answer.cookie is not None:
            set_proof_cookie(response, answer.cookie)
        return response

    def _end(self, state: web.State) -> None:
        self._next_url = state.pop("next", "")
        if not self.keep_proof:  # all is over, but for the language
            for name in set(state) - {"language"}:
                del state[name]


class SignupView(PhoneView):
    """Verifies a number and goes to `success_url`, the form that creates the account: there call `redeem`.

    It does the same for a number that has an account already: strangers can't learn which do. A `?next=` is handed on
    to that form.
    """

    purpose = "signup"

    def get_success_url(self) -> str:
        """Return where the form is that creates the account."""
        url = self._own_url()
        if self._next_url:
            url += ("&" if "?" in url else "?") + urlencode({"next": self._next_url})
        return url


class LoginView(PhoneView):
    """Logs in the user with the verified number, in a session of its own, by the backend `PhoneBackend`.

    Goes to `?next=`, `success_url` or `settings.LOGIN_REDIRECT_URL`. Whether a number has an account is told once it is
    verified and not before. Staff, superusers and inactive users get the answer of a number without one, so that it
    does not tell whose number it is. A `purpose` of your own must stand in `OTPKIT["LOGIN_PURPOSES"]`.
    """

    purpose = "login"
    keep_proof = False

    def verified(self, proof: Proof) -> HttpResponse:
        """Log in."""
        return super().verified(proof) if log_in(self.request, proof) else self.no_account(proof)

    def no_account(self, proof: Proof) -> HttpResponse:
        """Answer for a verified number whose user may not log in by phone, or that has none.

        Override it to offer a sign-up. The number may still be that of an inactive user or of the staff: let that form
        find the user who exists, as `get_or_create` does, and `log_in` refuse them.
        """
        return self.refuse({each: texts(each)["pages"]["no_account"] for each in languages()})

    def _own_url(self) -> str:
        return resolve_url(self.success_url or settings.LOGIN_REDIRECT_URL)
