"""The console on a socket in a thread: with figures and gateways that the test sets, and a real store for the rest."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from typing import Any
from unittest.mock import patch

from otpkit import AsyncOTP, Budget, Guard, Policy, Spending
from otpkit.guard.report import GuardReport, ScopeReport, SubjectReport
from otpkit.listening import listen
from otpkit.models import Figures, Stats
from otpkit.service import Operator, create_console
from otpkit.service.server import Server
from otpkit.testing import Outbox
from support.secrets import SECRET
from support.service import TEMPLATE

OPERATOR_KEY = "key-of-ann-the-operator-0123456789-abc"
VIEWER_KEY = "key-of-bob-the-viewer-0123456789-abcde"
OPERATORS = (
    Operator("ann", sha256(OPERATOR_KEY.encode()).digest(), "operator"),
    Operator("bob", sha256(VIEWER_KEY.encode()).digest(), "viewer"),
)
REGIONS = {"CN": 0.62, "HK": 0.14, "US": 0.12, "SG": 0.07, "GB": 0.05}
RHYTHM = (12, 8, 6, 5, 8, 20, 45, 70, 90, 100, 95, 90, 82, 85, 90, 88, 85, 90, 96, 100, 92, 70, 45, 25)  # by hour
GATEWAYS = {"alidayu": 0.7, "twilio": 0.3}


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a gateway stands, as `otpkit.models.GatewayStanding`."""

    name: str
    state: str = "closed"
    failures: int = 0
    open_until: datetime | None = None
    last_error: str = ""
    last_error_at: datetime | None = None
    remedy: str = ""
    by_hand: bool = False


@dataclass(slots=True)
class Seen:
    """What the console's calls return, and what they were asked to do."""

    stats: Stats | Exception | None = None
    gateways: tuple[Standing, ...] = (Standing(name="alidayu"), Standing(name="twilio"))
    spending: tuple[Spending, ...] | None = None  # None is the store's own, as for the guard.
    guard_report: GuardReport | None = None
    calls: list[tuple[str, tuple[Any, ...], Mapping[str, Any]]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ServedConsole:
    """A running console."""

    url: str
    seen: Seen
    outbox: Outbox
    otp: AsyncOTP


def figures_of(
    hours: int = 24, *, sent: int = 420, conversion: float = 0.91, until: datetime | None = None, **last: int
) -> Stats:
    """Return figures with the rhythm of a day. `last` changes the figures of the last hour."""
    until = until or datetime(2026, 3, 2, 14, 20, tzinfo=UTC)
    start = until.replace(minute=0, second=0, microsecond=0) - timedelta(hours=hours - 1)
    spans = []
    for place in range(hours):
        at = start + timedelta(hours=place)
        count = round(sent * RHYTHM[at.hour] / 100 * (1 + 0.06 * ((place * 7) % 5 - 2)))
        one = Figures(
            sent=count,
            delivered=round(count * 0.97),
            failed=round(count * 0.01),
            verified=round(count * conversion),
            wrong_codes=round(count * 0.06),
            cost=Decimal(count) * Decimal("0.045"),
            receipt_p50=3.4,
        )
        spans.append((at, one))
    if last:
        spans[-1] = (spans[-1][0], replace(spans[-1][1], **last))
    total = sum_of([each for _, each in spans])
    return Stats(
        since=start,
        until=until,
        currency="CNY",
        total=total,
        regions={name: part_of(total, share, place) for place, (name, share) in enumerate(REGIONS.items())},
        gateways={name: part_of(total, share, place) for place, (name, share) in enumerate(GATEWAYS.items())},
        spans=tuple(spans),
    )


def sum_of(found: list[Figures]) -> Figures:
    """Return the sum of figures."""
    names = ("sent", "uncertain", "rejected", "delivered", "failed", "verified", "wrong_codes", "cost")
    sums = {name: sum((getattr(each, name) for each in found), type(getattr(found[0], name))(0)) for name in names}
    return Figures(**sums, receipt_p50=3.4, receipt_p95=9.1)


def part_of(total: Figures, share: float, place: int) -> Figures:
    """Return a part of figures, with a conversion of its own."""
    count = round(total.sent * share)
    lower = (0, 0.02, 0.06, 0.01, 0.04)[place]
    return Figures(
        sent=count,
        verified=round(count * ((total.conversion or 0) - lower)),
        delivered=round(count * 0.97),
        cost=(total.cost * round(share * 100) / 100).quantize(Decimal("0.01")),
        receipt_p50=(3.1, 3.6, 6.8, 4.4, 5.2)[place],
    )


def nothing(until: datetime | None = None) -> Stats:
    """Return the figures of an empty store."""
    until = until or datetime(2026, 3, 2, 14, 20, tzinfo=UTC)
    start = until.replace(minute=0) - timedelta(hours=23)
    spans = tuple((start + timedelta(hours=place), Figures()) for place in range(24))
    return Stats(since=start, until=until, currency="", total=Figures(), regions={}, gateways={}, spans=spans)


def spent(amount: str = "283.40", hour: str = "19.20", *, refused: int = 0, at: datetime | None = None) -> Spending:
    """Return what a budget of 400 CNY a day has spent."""
    spent, limit, hourly = Decimal(amount), Decimal(400), Decimal(60)
    start = (at or datetime(2026, 3, 2, 14, 20, tzinfo=UTC)).replace(hour=0, minute=0, second=0, microsecond=0)
    return Spending(
        budget=Budget("400 CNY/day"),
        currency="CNY",
        spent=spent,
        left=limit - spent,
        open=max(Decimal(0), limit - spent - 80),
        spent_this_hour=Decimal(hour),
        hour_left=max(Decimal(0), hourly - Decimal(hour)),
        starts_at=start,
        ends_at=start + timedelta(days=1),
        refused={"amount": 0, "keep": 0, "hour": refused},
    )


def guarded(*, attacked: bool, at: datetime | None = None) -> GuardReport:
    """Return a report of the guard: of a calm day, or while ranges of numbers are attacked."""
    at = at or datetime(2026, 3, 2, 14, 20, tzinfo=UTC)
    counts = {"range": (412, 1893, 0, 37), "ip": (208, 960, 0, 12), "net": (64, 0, 0, 3), "region": (18, 0, 0, 1)}
    scopes = []
    for name in ("range", "ip", "net", "region", "total", "guesses"):
        captcha, refused, observed, over = counts.get(name, (0, 0, 0, 0)) if attacked else (0, 0, 0, 0)
        pseudonyms = (
            f"UKIrj0XAbGb5WZ{name[0]}Ck2G5p{place}" if name != "region" else "CN" for place in range(min(over, 3))
        )
        subjects = tuple(
            SubjectReport(
                scope=name,
                name=pseudonym,
                unverified=412 - 97 * place,
                verified=3 * place,
                allowance=20 + 1.5 * place,
                is_over=True,
                decisions=900 - 200 * place,
                override="block" if name == "range" and not place else "",
                override_ends=at + timedelta(hours=11) if name == "range" and not place else None,
            )
            for place, pseudonym in enumerate(pseudonyms)
        )
        scopes.append(
            ScopeReport(scope=name, captcha=captcha, refused=refused, observed=observed, over=over, subjects=subjects)
        )
    return GuardReport(at=at, hours=24, mode="enforce", scopes=tuple(scopes))


@contextlib.contextmanager
def told(seen: Seen) -> Iterator[None]:
    """Let figures and gateways be those of `seen`, for every `AsyncOTP`."""

    def call(name: str) -> Any:
        real = getattr(AsyncOTP, name, None)

        async def answer(self: AsyncOTP, *args: Any, **given: Any) -> Any:
            seen.calls.append((name, args, given))
            found = getattr(seen, name, None)
            if isinstance(found, Exception):
                raise found
            if name in {"spending", "guard_report"} and found is None and real is not None:
                return await real(self, *args, **given)
            return (found or nothing()) if name == "stats" else found

        return answer

    with contextlib.ExitStack() as stack:
        for name in ("stats", "spending", "guard_report", "gateways", "open_circuit", "close_circuit"):
            stack.enter_context(patch.object(AsyncOTP, name, call(name), create=True))
        yield


@contextlib.contextmanager
def serving_console(
    url: str,
    namespace: str,
    seen: Seen | None = None,
    *,
    operators: Any = OPERATORS,
    console: Mapping[str, Any] | None = None,
    **options: Any,
) -> Iterator[ServedConsole]:
    """Run the console in a thread. The figures and the gateways are those of `seen`; the rest lies in the store."""
    seen, outbox, ready = seen or Seen(), Outbox(), threading.Event()
    named: dict[str, Any] = {"policy": Policy(), "guard": Guard("enforce"), "budgets": [Budget("400 CNY/day")]}
    named["prices"] = {"*": "0.045 CNY"}
    otp = AsyncOTP(url, outbox, TEMPLATE, SECRET, namespace=namespace, **(named | options))

    listener = listen("127.0.0.1", 0)
    app = create_console(otp, operators, purposes=["signup", "login"], **(console or {}))
    server = Server(app, ready.set, otp.close)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    with told(seen):
        thread.start()
        assert ready.wait(10)
        try:
            yield ServedConsole(f"http://127.0.0.1:{listener.getsockname()[1]}/console", seen, outbox, otp)
        finally:
            server.should_exit = True
            thread.join(10)
