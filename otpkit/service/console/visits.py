"""One request to the console: who made it, in which language, with which form, and if it is let through."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from http.cookies import CookieError, SimpleCookie
from typing import Any, Final
from urllib.parse import parse_qsl, quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import Receive, Scope, Send

from otpkit.languages import languages
from otpkit.service.console.pages import HEADERS, PAGES, render
from otpkit.service.console.sessions import Session, Sessions
from otpkit.service.console.words import Words
from otpkit.service.keys import KNOWN
from otpkit.settings.operators import Operator
from otpkit.web import preferred_language
from otpkit.web.bodies import read_bounded

PATH: Final = "/console"
SESSION, SIGN_IN, NUMBER, LANGUAGE = (
    f"otpkit_console{name}" for name in ("", "_sign_in", "_number", "_language")
)  # cookies
_MAX_FORM: Final = 16_384  # bytes
_MAX_FIELDS: Final = 20
_YEAR: Final = 31_536_000

Handler = Callable[["Visit"], Awaitable[Response]]


class Visit:
    """One request to the console: its operator, language, form and cookies."""

    def __init__(self, request: Request, sessions: Sessions, public_url: str) -> None:
        self.request = request
        self.base = f"{request.scope.get('root_path', '')}{PATH}"
        self.session: Session | None = sessions.find(self.cookie(SESSION))
        self._sessions = sessions
        self._public_url = public_url
        self.form: Mapping[str, str] = {}

    def cookie(self, name: str) -> str:
        """Return the value of a cookie, or ""."""
        return str(self._cookies.get(name, ""))

    @cached_property
    def _cookies(self) -> Mapping[str, str]:
        try:
            found = SimpleCookie(self.request.headers.get("cookie", "")[:8192])
        except CookieError:
            return {}
        return {name: morsel.value for name, morsel in found.items()}

    @cached_property
    def words(self) -> Words:
        """The texts of the chosen language, else of the browser's."""
        chosen = self.cookie(LANGUAGE)
        header = self.request.headers.get("accept-language", "")
        return Words(chosen if chosen in languages() else preferred_language(header))

    @property
    def operator(self) -> Operator:
        """The signed-in operator."""
        assert self.session is not None  # noqa: S101 - `_Endpoint` lets nobody else through.
        return self.session.operator

    @property
    def token(self) -> str:
        """The token for the forms of this page."""
        return "" if self.session is None else self._sessions.form_token(self.session.id)

    @property
    def is_secure(self) -> bool:
        """True if the browser uses https: by this connection, a proxy's word, or the address of the page."""
        headers = self.request.headers
        return "https" in {
            self.request.scope["scheme"],
            headers.get("x-forwarded-proto", "").partition(",")[0].strip().lower(),
            headers.get("origin", "").partition(":")[0],
            self._public_url.partition(":")[0],
        }

    def set_cookie(self, response: Response, name: str, value: str, life: int) -> None:
        """Set a cookie of the console; an empty value deletes it."""
        response.set_cookie(
            name,
            value,
            max_age=life if value else 0,
            path=self.base,
            secure=self.is_secure,
            httponly=True,
            samesite="strict",
        )

    def page(self, template: str, page: str, status: int = 200, **values: Any) -> Response:
        """Return a page for this visit."""
        query = "&".join(
            f"{quote(name)}={quote(value)}" for name, value in self.request.query_params.items() if name == "hours"
        )
        found = {"token": self.token, "here": f"?{query}&" if query else "?"} | values
        if self.request.method == "POST":  # Other languages are links to what GET shows.
            found["here"] = f"{self.base}{dict(PAGES).get(page, '')}?"
        return render(template, self.words, base=self.base, page=page, status=status, session=self.session, **found)

    def go(self, path: str) -> Response:
        """Redirect to a page. Reloading that page does not send the form again."""
        return RedirectResponse(f"{self.base}{path}", 303, HEADERS)


@dataclass(frozen=True, slots=True, eq=False)
class Endpoint:
    """A route's ASGI application: it lets only those through who may, and reads the form."""

    handler: Handler
    sessions: Sessions
    public_url: str
    needs: str

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        visit = Visit(request, self.sessions, self.public_url)
        await (await self._answer(visit))(scope, receive, send)

    async def _answer(self, visit: Visit) -> Response:
        request, session = visit.request, visit.session
        chosen = request.query_params.get("lang", "")
        if request.method in {"GET", "HEAD"} and chosen in languages():
            return _switched(visit, chosen)
        if session is not None:
            request.scope.setdefault("state", {})[KNOWN] = session.operator.name
        elif self.needs:
            return self._signed_out(visit)
        if request.method == "POST":
            visit.form = await _read_form(request)
            token = visit.form.get("token", "")
            is_known = session is None or not self.needs or self.sessions.is_form_token(session.id, token)
            if not is_known or not _is_own(request, self.public_url):
                return visit.page("problem", "", 403, problem=visit.words.t["refused_form"], token=visit.token)
        if self.needs == "operator" and not visit.operator.may_act:
            return visit.page("problem", "", 403, problem=visit.words.t["refused_role"])
        return await self.handler(visit)

    def _signed_out(self, visit: Visit) -> Response:
        if visit.request.query_params.get("part"):
            return Response(status_code=401, headers=HEADERS)
        page = next((name for name, path in PAGES if f"{PATH}{path}" == _path_of(visit.request)), "")
        return visit.go(f"/sign-in?next={page}" if page else "/sign-in")


def _switched(visit: Visit, language: str) -> Response:
    """Remember the chosen language, and redirect to the same page."""
    query = "&".join(
        f"{quote(name)}={quote(value)}" for name, value in visit.request.query_params.items() if name != "lang"
    )
    path = _path_of(visit.request).removeprefix(PATH)
    response = visit.go(f"{path}?{query}" if query else path)
    visit.set_cookie(response, LANGUAGE, language, _YEAR)
    return response


def _path_of(request: Request) -> str:
    return str(request.scope["path"]).removeprefix(str(request.scope.get("root_path", "")))


async def _read_form(request: Request) -> dict[str, str]:
    """Return the fields of a form; of one that is too long or has too many fields, none."""
    body = await read_bounded(request.stream(), _MAX_FORM, drain=8 * _MAX_FORM)
    try:
        pairs = parse_qsl((body or b"").decode("ascii", "replace"), max_num_fields=_MAX_FIELDS, errors="replace")
    except ValueError:
        return {}
    return {name: value.strip() for name, value in pairs}


def _is_own(request: Request, public_url: str) -> bool:
    """Return True unless the browser says that a page of another site sent the form (W3C, Fetch Metadata)."""
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is not None:
        return site == "same-origin"
    host = request.headers.get("host", "")
    return origin is None or origin in {f"http://{host}", f"https://{host}"} or public_url.startswith(f"{origin}/")
