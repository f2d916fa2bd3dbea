"""The console for operators: its routes, who may use it, and the calls that its forms make.

A number never stands in the address of a page: it is looked up by POST, and then kept in a signed cookie for a quarter
of an hour. Each form that acts carries the number itself: with two tabs open, each acts on the number it shows.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import timedelta
from secrets import token_urlsafe
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from otpkit.aio import AsyncOTP, config_of, drive_async
from otpkit.core.audit import write_event
from otpkit.core.tokens import from_ms
from otpkit.errors import ConfigurationError, OTPError, PhoneError, StoreUnavailableError
from otpkit.guard.report import GuardReport, SubjectReport
from otpkit.languages import DEFAULT
from otpkit.models import Figures, mask
from otpkit.phone import resolve
from otpkit.service.console import charts, parts, verdicts
from otpkit.service.console.attempts import KeyAttempts
from otpkit.service.console.operators import Operators
from otpkit.service.console.pages import DURATIONS, HEADERS, PAGES, asset
from otpkit.service.console.sessions import FORM_LIFE, LIFE, NUMBER_LIFE, Sessions
from otpkit.service.console.visits import NUMBER, PATH, SESSION, SIGN_IN, Endpoint, Visit
from otpkit.service.console.words import Words, day_of, hour_of
from otpkit.settings.operators import Operator
from otpkit.web import client_ip

_log = logging.getLogger("otpkit.service")

PERIODS: Final = (24, 168, 720)  # hours
_MOST_ROWS: Final = 10  # of the tables of regions and gateways
_ENTRIES, _MOST_ENTRIES = 100, 500
_MODES: Final = {"observe": "observing", "enforce": "enforcing", "off": "off"}

Act = Callable[..., Awaitable[object]]


class Console:
    """The console of one `AsyncOTP`.

    Args:
        otp: what it shows and acts on.
        operators: the people who may use it.
        purposes: the purposes whose live codes it shows.
        forwarded_hops: the number of your own proxies that append to `X-Forwarded-For`.
        public_url: the start of the service's URL as browsers know it, or None.

    Raises:
        ConfigurationError: the operators are not valid.
    """

    def __init__(
        self,
        otp: AsyncOTP,
        operators: Iterable[Operator],
        *,
        purposes: Iterable[str] = (),
        forwarded_hops: int = 0,
        public_url: str | None = None,
    ) -> None:
        self._otp = otp
        self._config = config_of(otp)
        self._operators = Operators(operators)
        self._sessions = Sessions(self._config, self._operators)
        self._attempts = KeyAttempts(otp)
        self._purposes = tuple(sorted({*purposes})) or ("signup",)
        self._hops = forwarded_hops
        self._public_url = public_url or ""

    def routes(self) -> Iterable[Route]:
        """Yield every route."""
        for method, path, handler, needs in (
            ("GET", "", self._overview, "viewer"),
            ("GET", "/number", self._number, "viewer"),
            ("POST", "/number", self._look_up, "viewer"),
            ("POST", "/number/unblock", self._unblock, "operator"),
            ("POST", "/number/revoke", self._revoke, "operator"),
            ("POST", "/number/devices", self._forget_devices, "operator"),
            ("POST", "/number/erase", self._erase, "operator"),
            ("GET", "/guard", self._guard, "viewer"),
            ("POST", "/guard", self._override, "operator"),
            ("GET", "/gateways", self._gateways, "viewer"),
            ("POST", "/gateways/open", self._open, "operator"),
            ("POST", "/gateways/close", self._close, "operator"),
            ("GET", "/audit", self._audit, "viewer"),
            ("GET", "/sign-in", self._sign_in_page, ""),
            ("POST", "/sign-in", self._sign_in, ""),
            ("POST", "/sign-out", self._sign_out, "viewer"),
        ):
            endpoint = Endpoint(handler, self._sessions, self._public_url, needs)
            yield Route(f"{PATH}{path}", endpoint, methods=[method])
        yield Route(f"{PATH}/static/{{name}}", _static, methods=["GET"])

    # Signing in and out

    async def _sign_in_page(self, visit: Visit) -> Response:
        if visit.session is not None:
            return visit.go("")
        notice = {"out": visit.words.t["sign_in"]["out"]}.get(visit.request.query_params.get("done", ""), "")
        return self._sign_in_form(visit, notice=notice)

    def _sign_in_form(self, visit: Visit, status: int = 200, **values: str) -> Response:
        own = visit.cookie(SIGN_IN)
        own = own if self._sessions.open("sign-in", own) else self._sessions.seal("sign-in", LIFE, id=token_urlsafe(16))
        opened = self._sessions.open("sign-in", own) or {}
        token = self._sessions.seal("sign-in form", FORM_LIFE, id=str(opened.get("id")))
        page = visit.form.get("next", visit.request.query_params.get("next", ""))
        response = visit.page("sign_in", "", status, token=token, next=page if page in dict(PAGES) else "", **values)
        visit.set_cookie(response, SIGN_IN, own, LIFE)
        return response

    async def _sign_in(self, visit: Visit) -> Response:
        t = visit.words.t["sign_in"]
        given, own = (
            self._sessions.open("sign-in form", visit.form.get("token", "")),
            self._sessions.open("sign-in", visit.cookie(SIGN_IN)),
        )
        if given is None or own is None or given.get("id") != own.get("id"):
            return self._sign_in_form(visit, 403, problem=visit.words.t["refused_form"])
        client = visit.request.client
        forwarded = ",".join(visit.request.headers.getlist("x-forwarded-for"))
        attempt = await self._attempts.begin(client_ip(client.host if client else None, forwarded, self._hops))
        if attempt.wait:
            problem = t["wait"].format(time=visit.words.duration(attempt.wait))
            response = self._sign_in_form(visit, 429, problem=problem)
            response.headers["retry-after"] = str(attempt.wait)
            return response
        try:
            operator = self._operators.find(visit.form.get("key", ""))
        except ConfigurationError as error:
            _log.warning("An operator can't sign in. %s", error)
            return self._sign_in_form(visit, 403, problem=t["weak"])
        if operator is None:
            await self._note_rejected()
            return self._sign_in_form(visit, 403, problem=t["wrong"])
        await attempt.forgive()
        response = visit.go(dict(PAGES).get(visit.form.get("next", ""), ""))
        visit.set_cookie(response, SESSION, self._sessions.begin(operator), LIFE)
        visit.set_cookie(response, SIGN_IN, "", 0)
        return response

    async def _note_rejected(self) -> None:
        """Write to the audit that a key was rejected. If Redis refuses, it is lost."""
        await drive_async(write_event(self._config, "key_rejected", scope="console", times=1), self._otp)

    async def _sign_out(self, visit: Visit) -> Response:
        response = visit.go("/sign-in?done=out")
        for name in (SESSION, NUMBER):
            visit.set_cookie(response, name, "", 0)
        return response

    # The overview

    async def _overview(self, visit: Visit) -> Response:
        hours = _hours(visit)
        found = await parts.overview(self._otp, hours)
        words, t = visit.words, visit.words.t
        stats = found.stats.value
        chart = charts.chart_of(stats) if stats else None
        now = stats.until if stats else from_ms(self._config.host_ms())
        is_live = visit.request.query_params.get("part") == "live"
        return visit.page(
            "live_page" if is_live else "overview",
            "overview",
            found=found,
            tiles=(
                verdicts.arriving(found.stats, found.gateways, words),
                verdicts.cost(found.stats, found.spending, words),
                verdicts.attacked(found.guard, words),
            ),
            chart=chart,
            chart_title=t["chart"]["hour" if not chart or chart.hours == 1 else "hours" if chart.hours < 24 else "day"],
            chart_summary=_summary(chart, stats.total, words) if chart and stats else "",
            bar_time=lambda bar: hour_of(bar.start) if chart and chart.hours < 6 else day_of(bar.start),
            width=charts.WIDTH,
            height=charts.HEIGHT,
            regions=charts.rows_of(stats.regions.items(), words) if stats else (),
            gateways=charts.rows_of(stats.gateways.items(), words) if stats else (),
            currency=stats.currency if stats else "",
            most_rows=_MOST_ROWS,
            budgets=[_budget_row(each, words) for each in found.spending.value or ()],
            guard_mode=_mode(found.guard.value),
            resting=[each for each in found.gateways.value or () if each.state != "closed"],
            updated_at=now,
            chosen=hours,
            periods=_periods(words),
        )

    # A number

    async def _number(self, visit: Visit) -> Response:
        opened = self._sessions.open("number", visit.cookie(NUMBER)) or {}
        own = visit.session is not None and opened.get("session") == visit.session.id
        return await self._number_page(visit, str(opened["phone"]) if own else "", notice=_notice(visit))

    async def _number_page(self, visit: Visit, phone: str, status: int = 200, **values: str) -> Response:
        policy, t = self._config.policy, visit.words.t["number"]
        found = await parts.number(self._otp, phone, self._purposes) if phone else None
        standing = None if found is None else found.standing.value
        state, level, hint = "", "", ""
        if standing is not None:
            state = "blocked" if standing.blocked else "limited" if standing.limited else "free"
            level = {"blocked": "bad", "limited": "watch", "free": "good"}[state]
            wait = {
                "send": visit.words.duration(standing.send_in),
                "verify": visit.words.duration(standing.verify_in),
            }
            hint = t[f"{state}_hint"].format(**wait)
        regions = [] if policy.regions is None or len(policy.regions) > 20 else sorted(policy.regions)
        return visit.page(
            "number",
            "number",
            status,
            **{"opened": ""} | values,
            found=found,
            phone=self._seal_number(visit, phone) if phone else "",
            shown=mask(phone) if phone else "",
            state=state,
            level=level,
            state_hint=hint,
            purposes=self._purposes,
            regions=regions,
            default_region=policy.default_region,
        )

    def _seal_number(self, visit: Visit, phone: str) -> str:
        session = visit.session.id if visit.session else ""
        return self._sessions.seal("number", LIFE, phone=phone, session=session)

    async def _look_up(self, visit: Visit) -> Response:
        policy = self._config.policy
        try:
            region = visit.form.get("region") or policy.default_region
            phone, _ = resolve(visit.form.get("phone", ""), policy.regions, region)
        except (PhoneError, ConfigurationError):
            return await self._number_page(visit, "", 422, problem=visit.words.t["number"]["not_a_phone"])
        except OTPError:
            return await self._number_page(visit, "", 422, problem=visit.words.t["number"]["not_a_phone"])
        response = visit.go("/number")
        visit.set_cookie(response, NUMBER, self._seal_number(visit, phone), NUMBER_LIFE)
        return response

    async def _unblock(self, visit: Visit) -> Response:
        return await self._act_on_number(visit, "unblock", "unblocked", self._otp.unblock)

    async def _revoke(self, visit: Visit) -> Response:
        purpose = visit.form.get("purpose", "")

        async def revoke(phone: str, *, actor: str, reason: str) -> None:
            await self._otp.revoke(phone, purpose, actor=actor, reason=reason)

        return await self._act_on_number(visit, "revoke", "revoked", revoke)

    async def _forget_devices(self, visit: Visit) -> Response:
        return await self._act_on_number(visit, "devices", "devices_forgotten", self._otp.forget_devices)

    async def _erase(self, visit: Visit) -> Response:
        missing = "" if visit.form.get("sure") == "yes" else visit.words.t["confirm"]["missing"]
        return await self._act_on_number(visit, "erase", "erased", self._otp.erase, missing)

    async def _act_on_number(self, visit: Visit, name: str, done: str, call: Act, problem: str = "") -> Response:
        opened = self._sessions.open("number", visit.form.get("phone", "")) or {}
        if visit.session is None or opened.get("session") != visit.session.id:
            return visit.page("problem", "number", 403, problem=visit.words.t["refused_form"])
        phone = str(opened["phone"])
        status, problem = (422, problem) if problem else await self._try(visit, call, phone)
        if problem:
            return await self._number_page(visit, phone, status, problem=problem, opened=name)
        response = visit.go(f"/number?done={done}")
        visit.set_cookie(response, NUMBER, self._seal_number(visit, phone), NUMBER_LIFE)
        return response

    async def _try(self, visit: Visit, call: Act, *args: Any, **named: Any) -> tuple[int, str]:
        """Make a call as the operator with the form's reason; return a status and "", or what went wrong."""
        t, reason = visit.words.t, " ".join(visit.form.get("reason", "").split())
        if not reason:
            return 422, f"{t['wrong']} {t['reason']}: {t['reason_hint']}"
        try:
            await call(*args, **named, actor=visit.operator.name, reason=reason)
        except StoreUnavailableError:
            return 503, f"{t['wrong']} {t['store_down']}"
        except OTPError as error:
            return (
                422,
                f"{t['wrong']} {error if visit.words.language == DEFAULT else error.message(visit.words.language)}",
            )
        return 303, ""

    # The guard

    async def _guard(self, visit: Visit) -> Response:
        return await self._guard_page(visit, notice=_notice(visit))

    async def _guard_page(self, visit: Visit, status: int = 200, **values: str) -> Response:
        found = await parts.guard_part(self._otp, PERIODS[0])
        return visit.page(
            "guard",
            "guard",
            status,
            **values,
            found=found,
            subjects=_subjects(found.value),
            guard_mode=_mode(found.value),
            typed=visit.form,
        )

    async def _override(self, visit: Visit) -> Response:
        action, scope = visit.form.get("action", ""), visit.form.get("scope", "")
        subject = "" if scope == "total" else visit.form.get("subject", "")
        calls: Mapping[str, tuple[Act, dict[str, Any], str]] = {
            "allow": (self._otp.guard_allow, {"seconds": _seconds(visit)}, "guard_allowed"),
            "block": (self._otp.guard_block, {"seconds": _seconds(visit)}, "guard_blocked"),
            "clear": (self._otp.guard_clear, {}, "guard_cleared"),
        }
        if action not in calls:
            return await self._guard_page(visit, 422, problem=visit.words.t["wrong"])
        call, named, done = calls[action]
        status, problem = await self._try(visit, call, scope, subject, **named)
        if problem:
            return await self._guard_page(visit, status, problem=problem)
        return visit.go(f"/guard?done={done}")

    # The gateways

    async def _gateways(self, visit: Visit) -> Response:
        return await self._gateways_page(visit, notice=_notice(visit))

    async def _gateways_page(self, visit: Visit, status: int = 200, **values: str) -> Response:
        found = await parts.part(self._otp.gateways)
        return visit.page("gateways", "gateways", status, **values, found=found)

    async def _open(self, visit: Visit) -> Response:
        async def open_circuit(gateway: str, **named: Any) -> None:
            await self._otp.open_circuit(gateway, seconds=_seconds(visit), **named)

        return await self._act_on_gateway(visit, open_circuit, "circuit_opened")

    async def _close(self, visit: Visit) -> Response:
        return await self._act_on_gateway(visit, self._otp.close_circuit, "circuit_closed")

    async def _act_on_gateway(self, visit: Visit, call: Act, done: str) -> Response:
        status, problem = await self._try(visit, call, visit.form.get("gateway", ""))
        if problem:
            return await self._gateways_page(visit, status, problem=problem)
        return visit.go(f"/gateways?done={done}")

    # The audit

    async def _audit(self, visit: Visit) -> Response:
        hours = _hours(visit)
        limit = _MOST_ENTRIES if visit.request.query_params.get("limit") == str(_MOST_ENTRIES) else _ENTRIES
        since = from_ms(self._config.host_ms()) - timedelta(hours=hours)
        found = await parts.part(lambda: self._otp.audit(since=since, limit=limit))
        return visit.page(
            "audit",
            "audit",
            found=found,
            chosen=hours,
            periods=_periods(visit.words),
            limit=limit,
            most_entries=_MOST_ENTRIES,
        )


async def _static(request: Request) -> Response:
    found = asset(request.path_params["name"])
    return Response(status_code=404, headers=HEADERS) if found is None else found


def _hours(visit: Visit) -> int:
    text = visit.request.query_params.get("hours", "")
    return next((each for each in PERIODS if str(each) == text), PERIODS[0])


def _seconds(visit: Visit) -> int:
    text = visit.form.get("seconds", "")
    return next((each for each in DURATIONS if str(each) == text), DURATIONS[0])


def _periods(words: Words) -> list[tuple[int, str]]:
    return list(zip(PERIODS, words.t["hours"], strict=True))


def _notice(visit: Visit) -> str:
    return str(visit.words.t["done"].get(visit.request.query_params.get("done", ""), ""))


def _mode(report: GuardReport | None) -> str:
    return "" if report is None else _MODES[report.mode]


def _subjects(report: GuardReport | None) -> list[SubjectReport]:
    """Return the subjects that are over their allowance or overridden. The wrong codes of a region share its record."""
    found = [each for scope in report.scopes for each in scope.subjects] if report else []
    return [each for each in found if each.is_over or (each.override and each.scope != "guesses")]


def _summary(chart: charts.Chart, total: Figures, words: Words) -> str:
    numbers = {"sent": total.sent, "verified": total.verified, "top": chart.top}
    return str(words.t["chart"]["summary"].format(**{name: words.number(each) for name, each in numbers.items()}))


def _budget_row(spending: Any, words: Words) -> dict[str, Any]:
    t, currency = words.t["spend"], spending.currency
    amount = spending.spent + spending.left
    share = float(spending.spent / amount) if amount else 0.0
    refused = sum(spending.refused.values())
    return {
        "name": str(spending.budget),
        "spent": words.share(share),
        "share": min(1.0, share),
        "level": "bad" if (used := verdicts.used(spending)) >= 1 else "watch" if used >= verdicts.NEARLY else "",
        "left": t["left"].format(left=words.money(spending.left, currency), open=words.money(spending.open, currency)),
        "hour": t["hour"].format(
            spent=words.money(spending.spent_this_hour, currency), left=words.money(spending.hour_left, currency)
        ),
        "refused": t["refused"].format(n=words.number(refused)) if refused else "",
    }
