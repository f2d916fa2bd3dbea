"""The sign-up page on a socket, with a clock that moves when told to, and a client of it that posts its forms."""

from __future__ import annotations

import contextlib
import html
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import requests

from otpkit import OTP
from otpkit.cli.demo import TEMPLATE, local_sandbox
from otpkit.gateways import Alidayu
from otpkit.sandbox import Sandbox, running
from otpkit.sandbox.signup import SignUpPage
from otpkit.testing import MovableClock


@dataclass
class Site:
    """A page that is served."""

    url: str
    sandbox: Sandbox
    clock: MovableClock

    def code(self, phone: str) -> str:
        """Return the code of the newest message to a phone."""
        code = self.sandbox.messages(phone)[0].code
        assert code
        return code


@contextlib.contextmanager
def site() -> Iterator[Site]:
    """Serve a page of its own for the length of the block."""
    sandbox, clock = local_sandbox(), MovableClock(time.time())
    page = SignUpPage(sandbox)
    with running(sandbox, extra_routes=page.routes()) as address:
        gateway = Alidayu("sandbox", "sandbox-secret", base_url=address.gateway_url)
        page.connect(OTP("memory://", gateway, TEMPLATE, "a secret for tests, and for tests alone", clock=clock))
        try:
            yield Site(f"{address.base_url}/signup", sandbox, clock)
        finally:
            page.close()


def wrong(code: str) -> str:
    """Return a code that differs."""
    return f"{code[:-1]}{(int(code[-1]) + 1) % 10}"


@dataclass
class Visitor:
    """A browser without scripts."""

    site: Site
    language: str = "en"
    session: requests.Session = field(default_factory=requests.Session)
    page: str = ""

    def look(self) -> requests.Response:
        """Open the page."""
        return self._keep(self.session.get(self.site.url, headers=self._headers(), timeout=10))

    def fields(self, action: str) -> dict[str, str]:
        """Return the hidden fields of one of the page's forms."""
        forms = (dict(re.findall(r'name="(action|csrf|key)" value="([^"]*)"', form)) for form in self._forms())
        return next(form for form in forms if form["action"] == action)

    def post(self, action: str, **typed: str) -> requests.Response:
        """Fill one of the page's forms in and send it."""
        return self.send(self.fields(action) | typed)

    def send(self, fields: dict[str, str], **headers: str) -> requests.Response:
        """Send a form, and go where the answer leads."""
        options = {"headers": self._headers() | headers, "timeout": 10}
        return self._keep(self.session.post(self.site.url, data=fields, **options))  # type: ignore[arg-type]

    @property
    def problem(self) -> str:
        """What the page says went wrong, or nothing."""
        found = re.search(r'role="alert">([^<]*)<', self.page)
        return html.unescape(found[1]) if found else ""

    def _forms(self) -> list[str]:
        return re.findall(r"<form.*?</form>", self.page, re.DOTALL)

    def _headers(self) -> dict[str, str]:
        return {"Accept-Language": self.language}

    def _keep(self, answer: requests.Response) -> requests.Response:
        self.page = answer.text
        return answer
