"""Shared parts of the captchas whose provider is asked by HTTP: settings, one exchange, and what its codes mean.

The visitor chooses the answer, so nothing that an answer can cause may be `CaptchaSilent`: the guard would fall back to
a weaker captcha. Only the provider's own trouble and the deployment's own keys are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from hashlib import sha256
from ipaddress import ip_address
from typing import Any, ClassVar, Final, NamedTuple

from otpkit.captcha.base import MAX_ANSWER, Captcha, CaptchaCheck, CaptchaSilent, Reason, Verdict
from otpkit.core.checks import Checks
from otpkit.effects import Flow, HttpRequest, HttpResponse, TransportFailure
from otpkit.errors import ConfigurationError, GatewayRejectedError, sentence
from otpkit.gateways import validation
from otpkit.gateways.credentials import Credentials, CredentialsSource, current
from otpkit.gateways.provider import Provider, ask, read_json

MAX_RESPONSE: Final = 65_536  # In bytes.
FORM: Final = "application/x-www-form-urlencoded"
WAIT: Final = "wait, and look at the provider's status page if it continues"
_TOKEN: Final = re.compile(r"[!-~]+")
_HOSTNAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?")
_SEPARATORS: Final = re.compile(r"[\s,]+")


class Trouble(NamedTuple):
    """The meaning of a code that says nothing about the visitor. The texts are clauses without a full stop."""

    problem: str
    remedy: str
    misconfigured: bool = False


Meaning = Reason | Trouble


class RemoteCaptcha(Captcha):
    """A captcha whose provider is asked by HTTP, with a key that is never in a URL."""

    title: ClassVar[str]
    """The provider's name in errors."""
    single_use: ClassVar[bool] = True

    base_url: str
    timeout: tuple[float, float]
    hostnames: frozenset[str] = frozenset()
    _proxy: str | None

    def __repr__(self) -> str:
        return f"{type(self).__name__}(base_url={self.base_url!r}, timeout={self.timeout!r})"

    def _connect(self, checks: Checks, base_url: str, timeout: tuple[float, float] | float, proxy: str | None) -> None:
        """Check and set the arguments that all these captchas have."""
        self.base_url = checks.value("base_url", validation.base_url, base_url)
        self.timeout = checks.value("timeout", validation.timeouts, timeout)
        self._proxy = checks.value("proxy", validation.proxy_url, proxy)

    def _request(
        self, path: str, *, headers: Mapping[str, str], body: bytes, params: Mapping[str, str] | None = None
    ) -> HttpRequest:
        return HttpRequest(
            method="POST",
            url=f"{self.base_url}{path}",
            params=params or {},
            headers=headers,
            timeout=self.timeout,
            body=body,
            proxy=self._proxy,
            max_response=MAX_RESPONSE,
        )

    def _exchange(self, request: HttpRequest) -> Flow[tuple[HttpResponse, dict[str, Any]]]:
        """Make a request, and return the response with its JSON object.

        Raises:
            CaptchaSilent: there is no response, it is a 429 or a 5xx, or its body is not a JSON object.
        """
        response = yield from ask(request)
        if isinstance(response, TransportFailure):
            raise self._silent(Trouble(f"it did not answer ({response})", "the operator must check the network"))
        if response.status == 429:
            raise self._silent(Trouble("it refused a call, because there are too many (HTTP 429)", WAIT))
        body = read_json(response.text)
        if response.status >= 500 or not isinstance(body, dict):
            raise self._silent(Trouble(f"its answer can't be used (HTTP {response.status})", WAIT))
        return response, body

    def _credentials(self, provider: Provider, source: Credentials | CredentialsSource) -> Flow[Credentials]:
        """Return the key to sign with.

        Raises:
            CaptchaSilent: the application's credentials function failed.
        """
        try:
            found: Credentials | None = yield from current(provider, source)
        except GatewayRejectedError:
            found = None
        if found is None:
            raise self._silent(Trouble("the credentials function failed", "the operator must check it", True))
        return found

    def _unreadable(self, response: HttpResponse) -> CaptchaSilent:
        return self._silent(Trouble(f"its answer has another form than documented (HTTP {response.status})", WAIT))

    def _silent(self, trouble: Trouble) -> CaptchaSilent:
        problem = f"{self.title}: {trouble.problem}."
        return CaptchaSilent(problem, sentence(trouble.remedy), provider=self.name, misconfigured=trouble.misconfigured)

    def _judged(self, meaning: Meaning, life_s: int) -> Verdict:
        """Return the verdict that a code means, or raise `CaptchaSilent`."""
        if isinstance(meaning, Trouble):
            raise self._silent(meaning)
        return Verdict(meaning == "", meaning, life_s)


def meaning_of(code: str, rows: Mapping[str, Meaning]) -> Meaning | None:
    """Return the meaning of a code, or of the longest prefix (`prefix*`) that matches it; None for an unknown code."""
    families = [family for family in rows if family.endswith("*") and code.startswith(family[:-1])]
    return rows.get(code) if code in rows or not families else rows[max(families, key=len)]


def is_token(answer: object, most: int = MAX_ANSWER) -> bool:
    """Return True if an answer is a token: 1 to `most` printable ASCII characters without blanks."""
    return isinstance(answer, str) and len(answer) <= most and _TOKEN.fullmatch(answer) is not None


def fields_of(answer: object, *names: str) -> dict[str, str] | None:
    """Return the fields of an answer that is a JSON object of tokens, or None if one is missing or no token."""
    if not isinstance(answer, str) or len(answer) > MAX_ANSWER:
        return None
    found = read_json(answer)
    if not isinstance(found, dict) or not all(is_token(found.get(name)) for name in names):
        return None
    return {name: found[name] for name in names}


def action_of(purpose: str, form: re.Pattern[str]) -> str:
    """Return the action of a purpose: the purpose itself if the provider accepts it, else its hash as a word."""
    if form.fullmatch(purpose):
        return purpose
    return f"p{sha256(purpose.encode('utf-8', 'surrogatepass')).hexdigest()[:30]}"


def visitor(check: CaptchaCheck) -> str:
    """Return the visitor's IP address, or "" if it is not known or not an address."""
    try:
        return str(ip_address(check.ip or ""))
    except ValueError:
        return ""


def read_hostnames(field: str, value: object) -> frozenset[str]:
    """Return host names, from several or from a text with blanks or commas between them.

    Raises:
        ConfigurationError: one of them is not a host name.
    """
    names = _SEPARATORS.split(value) if isinstance(value, str) else value
    found = [each for each in names if each != ""] if isinstance(names, Iterable) else [None]
    if not all(isinstance(each, str) and _HOSTNAME.fullmatch(each) for each in found):
        raise ConfigurationError(
            f"{field} contains something else than host names.",
            'Pass names without scheme and port, like ["www.example.com"].',
        )
    return frozenset(str(each).lower() for each in found)


def read_site_key(field: str, value: object) -> str:
    """Return a public key of a site, which the page shows.

    Raises:
        ConfigurationError: it is not a word.
    """
    if not is_token(value, 256):
        raise ConfigurationError(
            f"{field} is empty or not a word.", "Copy it again from the captcha's console, without other characters."
        )
    return str(value)
