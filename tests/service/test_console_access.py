"""Who may use the console: keys, sessions, wrong keys, and other sites. Without a browser."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from hashlib import sha256
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import urlencode

import pytest
import redis
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import ASGIApp
from support.console import OPERATOR_KEY, OPERATORS, Seen, told
from support.secrets import SECRET
from support.service import KEYS, TEMPLATE

from otpkit import AsyncOTP, ConfigurationError, Policy
from otpkit.aio import config_of
from otpkit.doctor.keys import examine_keys
from otpkit.service import Operator, create_app, create_console
from otpkit.service.console.attempts import KeyAttempts
from otpkit.service.console.operators import Operators
from otpkit.service.console.sessions import Sessions
from otpkit.testing import MovableClock, Outbox


@dataclass
class Reply:
    """A response: its status, headers, cookies and text."""

    status: int
    headers: dict[str, str]
    cookies: SimpleCookie
    text: str


class Visitor:
    """A browser without a screen: it keeps cookies, and sends forms with their tokens."""

    def __init__(self, app: ASGIApp, base: str = "/console", address: str = "203.0.113.9") -> None:
        self.app, self.base, self.address = app, base, address
        self.jar: dict[str, str] = {}

    async def ask(self, method: str, path: str = "", form: dict[str, str] | None = None, **headers: str) -> Reply:
        path, _, query = path.partition("?")
        given = {"host": "console.test", "cookie": "; ".join(f"{name}={value}" for name, value in self.jar.items())}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "root_path": "",
            "path": f"{self.base}{path}",
            "raw_path": f"{self.base}{path}".encode(),
            "query_string": query.encode(),
            "scheme": "http",
            "headers": [(name.encode(), value.encode()) for name, value in given.items()],
            "client": (self.address, 1),
            "server": ("console.test", 80),
        }
        sent: list[Any] = []

        async def receive() -> Any:
            return {"type": "http.request", "body": urlencode(form or {}).encode(), "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        await self.app(scope, receive, send)
        cookies: SimpleCookie = SimpleCookie()
        found = {}
        for name, value in sent[0]["headers"]:
            if name == b"set-cookie":
                cookies.load(value.decode())
            found[name.decode()] = value.decode()
        self.jar |= {name: morsel.value for name, morsel in cookies.items()}
        text = b"".join(each.get("body", b"") for each in sent[1:]).decode()
        return Reply(sent[0]["status"], found, cookies, text)

    async def sign_in(self, key: str = OPERATOR_KEY, **headers: str) -> Reply:
        page = await self.ask("GET", "/sign-in")
        token = re.search(r'name="token" value="([^"]+)"', page.text)
        return await self.ask("POST", "/sign-in", {"key": key, "token": token[1] if token else ""}, **headers)


@pytest.fixture
async def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture
async def otp(redis_url: str, namespace: str, clock: MovableClock) -> AsyncIterator[AsyncOTP]:
    async with AsyncOTP(redis_url, Outbox(), TEMPLATE, SECRET, namespace=namespace, clock=clock) as otp:
        with told(Seen()):
            yield otp


@pytest.fixture
def visitor(otp: AsyncOTP) -> Visitor:
    return Visitor(create_console(otp, OPERATORS))


class TestSession:
    async def test_lasts_eight_hours(self, visitor: Visitor, clock: MovableClock) -> None:
        reply = await visitor.sign_in()
        assert (reply.status, reply.cookies["otpkit_console"]["max-age"]) == (303, "28800")
        clock.advance(8 * 3600 - 1)
        assert (await visitor.ask("GET")).status == 200
        clock.advance(1)
        assert (await visitor.ask("GET")).headers["location"] == "/console/sign-in?next=overview"

    async def test_ends_when_the_operator_is_removed_or_has_another_key(self, visitor: Visitor, otp: AsyncOTP) -> None:
        await visitor.sign_in()
        assert (await visitor.ask("GET")).status == 200
        others = [OPERATORS[1], Operator("ann", sha256(b"another key of ann").digest(), "operator")]
        for operators in (OPERATORS[1:], others[1:]):
            visitor.app = create_console(otp, operators)
            assert (await visitor.ask("GET")).status == 303

    async def test_follows_a_change_of_role(self, visitor: Visitor, otp: AsyncOTP) -> None:
        await visitor.sign_in()
        visitor.app = create_console(otp, [Operator("ann", OPERATORS[0].digest, "viewer")])
        page = await visitor.ask("GET", "/guard")
        assert "Override a scope" not in page.text
        token = re.search(r'name="token" value="([^"]+)"', page.text)
        assert token
        assert (await visitor.ask("POST", "/guard", {"token": token[1]})).status == 403

    async def test_is_worth_nothing_elsewhere(self, visitor: Visitor, redis_url: str, namespace: str) -> None:
        await visitor.sign_in()
        for options in ({"namespace": f"{namespace}-other"}, {"namespace": namespace, "secret": SECRET[::-1]}):
            secret = options.pop("secret", SECRET)
            async with AsyncOTP(redis_url, Outbox(), TEMPLATE, secret, **options) as other:  # type: ignore[arg-type]
                visitor.app = create_console(other, OPERATORS)
                assert (await visitor.ask("GET")).status == 303

    async def test_no_other_signed_value_stands_in_for_it(self, visitor: Visitor, otp: AsyncOTP) -> None:
        sessions = Sessions(config_of(otp), Operators(OPERATORS))
        mark = sessions.open("session", sessions.begin(OPERATORS[0]))
        assert mark
        for kind in ("form", "sign-in", "number"):
            visitor.jar["otpkit_console"] = sessions.seal(kind, 60, who="ann", key=mark["key"], id="x")
            assert (await visitor.ask("GET")).status == 303

    @pytest.mark.parametrize("cookie", ["", "x", "a.b", "é", "x" * 5000, '"', "..", "\x00"])
    async def test_nonsense_is_no_session(self, visitor: Visitor, cookie: str) -> None:
        visitor.jar["otpkit_console"] = cookie
        assert (await visitor.ask("GET")).status == 303

    async def test_cookie_is_secure_with_https(self, otp: AsyncOTP) -> None:
        for options, headers in (
            ({}, {"x_forwarded_proto": "https"}),
            ({}, {"origin": "https://console.test"}),
            ({"public_url": "https://console.test"}, {}),
        ):
            visitor = Visitor(create_console(otp, OPERATORS, **options))  # type: ignore[arg-type]
            assert (await visitor.sign_in(**headers)).cookies["otpkit_console"]["secure"]
        assert not (await Visitor(create_console(otp, OPERATORS)).sign_in()).cookies["otpkit_console"]["secure"]


class TestWrongKeys:
    async def test_five_a_minute_are_compared(self, visitor: Visitor, clock: MovableClock) -> None:
        statuses = [(await visitor.sign_in("wrong")).status for _ in range(6)]
        assert statuses == [403] * 5 + [429]
        reply = await visitor.sign_in()
        assert (reply.status, reply.headers["retry-after"]) == (429, "60")
        clock.advance(60)
        assert (await visitor.sign_in()).status == 303

    async def test_all_processes_count_together(self, otp: AsyncOTP, visitor: Visitor) -> None:
        for _ in range(5):
            await visitor.sign_in("wrong")
        assert (await Visitor(create_console(otp, OPERATORS)).sign_in("wrong")).status == 429

    async def test_another_address_is_not_held_up(self, otp: AsyncOTP, visitor: Visitor) -> None:
        for _ in range(6):
            await visitor.sign_in("wrong")
        visitor.address = "203.0.113.10"
        assert (await visitor.sign_in()).status == 303

    async def test_right_keys_do_not_count(self, visitor: Visitor) -> None:
        for _ in range(12):
            visitor.jar.clear()
            assert (await visitor.sign_in()).status == 303

    async def test_forwarded_address_counts_behind_own_proxies_alone(self, otp: AsyncOTP) -> None:
        for hops, last in ((0, 429), (1, 403)):
            visitor = Visitor(create_console(otp, OPERATORS, forwarded_hops=hops), address=f"198.51.100.{hops + 1}")
            for place in range(5):
                await visitor.sign_in("wrong", x_forwarded_for=f"192.0.2.{place}")
            assert (await visitor.sign_in("wrong", x_forwarded_for="192.0.2.99")).status == last

    async def test_addresses_of_one_household_count_together(self, otp: AsyncOTP) -> None:
        attempts = KeyAttempts(otp)
        for place in range(5):
            assert (await attempts.begin(f"2001:db8::{place}")).wait == 0
        assert (await attempts.begin("2001:db8::99")).wait > 0

    async def test_a_process_remembers_few_addresses(self, otp: AsyncOTP) -> None:
        attempts = KeyAttempts(otp)
        for place in range(5000):
            attempts._count_here(str(place))
        assert len(attempts._here) == 4096

    async def test_what_is_counted_has_a_known_form(self, visitor: Visitor, redis_url: str, namespace: str) -> None:
        await visitor.sign_in("wrong")
        await visitor.sign_in()
        with redis.Redis.from_url(redis_url) as client:
            report = examine_keys(client, namespace, Policy())
        assert report.ok, report.findings
        assert report.kinds["limit"] == 1

    async def test_the_key_is_in_no_log(self, visitor: Visitor, caplog: pytest.LogCaptureFixture) -> None:
        await visitor.sign_in("a-wrong-key-that-nobody-may-see")
        weak = "weak"
        visitor.app = create_console(
            await _otp_of(visitor), [Operator("eve", sha256(weak.encode()).digest(), "operator")]
        )
        reply = await visitor.sign_in(weak)
        assert (reply.status, "too weak" in reply.text) == (403, True)
        assert "a-wrong-key" not in caplog.text


async def _otp_of(visitor: Visitor) -> AsyncOTP:
    return visitor.app._app.routes[0].endpoint.handler.__self__._otp  # type: ignore[attr-defined,no-any-return]


class TestSignInForm:
    async def test_needs_its_own_token(self, visitor: Visitor, otp: AsyncOTP) -> None:
        assert (await visitor.ask("POST", "/sign-in", {"key": OPERATOR_KEY})).status == 403
        other = Visitor(visitor.app)
        page = await other.ask("GET", "/sign-in")
        token = re.search(r'name="token" value="([^"]+)"', page.text)
        assert token
        await visitor.ask("GET", "/sign-in")
        assert (await visitor.ask("POST", "/sign-in", {"key": OPERATOR_KEY, "token": token[1]})).status == 403

    async def test_of_another_site_is_refused(self, visitor: Visitor) -> None:
        assert (await visitor.sign_in(sec_fetch_site="cross-site")).status == 403
        assert (await visitor.sign_in(origin="https://evil.example")).status == 403
        assert (await visitor.sign_in(sec_fetch_site="same-origin")).status == 303

    @pytest.mark.parametrize("target", ["https://evil.example", "//evil.example", "unknown", "audit"])
    async def test_leads_to_own_pages_alone(self, visitor: Visitor, target: str) -> None:
        page = await visitor.ask("GET", f"/sign-in?next={target}")
        token = re.search(r'name="token" value="([^"]+)"', page.text)
        assert token
        reply = await visitor.ask("POST", "/sign-in", {"key": OPERATOR_KEY, "token": token[1], "next": target})
        assert reply.headers["location"] == ("/console/audit" if target == "audit" else "/console")


class TestRoutes:
    async def test_all_pages_need_a_session(self, visitor: Visitor) -> None:
        for path in ("", "/number", "/guard", "/gateways", "/audit"):
            assert (await visitor.ask("GET", path)).status == 303
        for path in ("/number", "/number/erase", "/guard", "/gateways/open", "/sign-out"):
            assert (await visitor.ask("POST", path)).status == 303
        assert (await visitor.ask("GET", "?part=live")).status == 401

    async def test_headers_are_strict(self, visitor: Visitor) -> None:
        await visitor.sign_in()
        for path in ("", "/sign-in", "/number", "/guard", "/gateways", "/audit", "?part=live"):
            headers = (await visitor.ask("GET", path)).headers
            policy = headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert (headers["cache-control"], headers["x-frame-options"]) == ("no-store", "DENY")

    async def test_static_files_are_two(self, visitor: Visitor) -> None:
        for name, status in (("console.css", 200), ("console.js", 200), ("app.py", 404), ("..%2fapp.py", 404)):
            assert (await visitor.ask("GET", f"/static/{name}")).status == status

    async def test_there_is_no_console_without_operators(self, otp: AsyncOTP) -> None:
        assert (await Visitor(create_app(otp, KEYS)).ask("GET")).status == 404
        assert (await Visitor(create_app(otp, KEYS, operators=OPERATORS)).ask("GET")).status == 303
        with pytest.raises(ConfigurationError, match="has no operator"):
            create_console(otp, [])

    async def test_links_hold_below_another_path(self, otp: AsyncOTP) -> None:
        app = Starlette(routes=[Mount("/otp", create_app(otp, KEYS, operators=OPERATORS))])
        visitor = Visitor(app, "/otp/console")
        reply = await visitor.sign_in()
        assert (reply.headers["location"], reply.cookies["otpkit_console"]["path"]) == ("/otp/console", "/otp/console")
        page = (await visitor.ask("GET")).text
        links = re.findall(r'(?:href|src|action|data-live)="(/[^"]*)"', page)
        assert links
        assert all(link.startswith("/otp/console") for link in links)

    async def test_forms_of_any_size_and_kind_are_answered(self, visitor: Visitor) -> None:
        await visitor.sign_in()
        for form in ({"x" * 9: "y" * 100_000}, {f"field{n}": "x" for n in range(100)}, {"token": "\x00é"}):
            assert (await visitor.ask("POST", "/guard", form)).status == 403


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Operator("", b"x" * 32), "name"),
        (lambda: Operator("a" * 65, b"x" * 32), "name"),
        (lambda: Operator("ann <script>", b"x" * 32), "name"),
        (lambda: Operator("ann", b"x" * 32, "root"), "role"),  # type: ignore[arg-type]
        (lambda: Operator.of_digest("ann", "abc"), "SHA-256"),
        (lambda: Operators([Operator("ann", b"x" * 32), Operator("bob", b"x" * 32)]), "same key"),
        (lambda: Operators([Operator("ann", b"x" * 32), Operator("ann", b"y" * 32)]), "same name"),
    ],
)
def test_wrong_operators_are_refused(make: Callable[[], object], words: str) -> None:
    """The error says what is wrong with them."""
    with pytest.raises(ConfigurationError, match=words):
        make()
