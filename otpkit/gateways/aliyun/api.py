"""What Alibaba Cloud's SMS and voice APIs share: credentials, a signed request, and an answer's verdict."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlsplit

from otpkit.core.checks import Checks
from otpkit.effects import Flow, HttpRequest, HttpResponse, TransportFailure
from otpkit.errors import GatewayRejectedError
from otpkit.gateways import validation
from otpkit.gateways.aliyun import signing
from otpkit.gateways.aliyun.errors import NO_RECORD, flow_control_window, row_of, says_nothing
from otpkit.gateways.base import Receipt
from otpkit.gateways.credentials import Credentials, CredentialsSource, current, source
from otpkit.gateways.provider import Provider, Refusal, ask, json_object, message_id, seconds, token

VERSION: Final = "2017-05-25"  # of both APIs
NEEDED_CREDENTIALS: Final = (("access_key_id", "credentials"), ("access_key_secret", "credentials"))

_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


class Api:
    """One of the two APIs: where it is, who signs, and what its error codes mean."""

    def __init__(
        self,
        provider: Provider,
        rows: Mapping[str, Refusal],
        static: tuple[str | None, str | None, str | None],
        credentials: CredentialsSource | None,
        base_url: str,
        timeout: tuple[float, float] | float,
        proxy: str | None,
    ) -> None:
        self.provider = provider
        self.rows = rows
        with Checks() as checks:
            self._source = checks.of("credentials", source, static, credentials)
            self.base_url = checks.value("base_url", validation.base_url, base_url)
            self.timeout = checks.value("timeout", validation.timeouts, timeout)
            self._proxy = checks.value("proxy", validation.proxy_url, proxy)
        parts = urlsplit(self.base_url)
        self._host = parts.netloc.removesuffix(_DEFAULT_PORTS[parts.scheme])  # as HTTP writes it
        self._path = f"{parts.path}/"

    def credentials(self) -> Flow[Credentials]:
        """Return the credentials to sign with; a function that gives them is called each time.

        Raises GatewayRejectedError of category `account` where it raises, or gives none: nothing was sent.
        """
        return (yield from current(self.provider, self._source))

    def request(
        self,
        credentials: Credentials,
        action: str,
        params: Mapping[str, str],
        *,
        at: datetime | None = None,
        timeout: tuple[float, float] | None = None,
    ) -> HttpRequest:
        """Return a signed request, made `at` this time; None is now, by this host's clock."""
        # Its repr hides the parameters: no frame that errors are raised in holds them in clear.
        headers = signing.signed_headers(
            credentials,
            action=action,
            version=VERSION,
            host=self._host,
            params=params,
            date=at or datetime.now(UTC),
            nonce=secrets.token_hex(16),
            path=self._path,
        )
        return HttpRequest(
            method="POST",
            url=f"{self.base_url}/",
            params=params,
            headers=headers,
            timeout=timeout or self.timeout,
            proxy=self._proxy,
        )

    def read_receipt(self, response: HttpResponse, id_field: str) -> Receipt | GatewayRejectedError:
        """Judge the answer to a call that sends: accepted where `Code` is OK, rejected where it surely is not."""
        body = json_object(response) if response.status == 200 else {}
        if body.get("Code") == "OK":
            return Receipt(self.provider.name, message_id(body.get(id_field)))
        return self._refusal(response) or self.provider.uncertain()

    def query(self, request: HttpRequest) -> Flow[dict[str, Any] | None]:
        """Ask, and return the answer's object, once its `Code` is OK; None where there is no such answer.

        Raises GatewayRejectedError where the API refuses to say.
        """
        answer = yield from ask(request)
        if isinstance(answer, TransportFailure):
            return None
        verdict = self._read_query(answer)
        if isinstance(verdict, GatewayRejectedError):
            raise verdict
        return verdict

    def _read_query(self, response: HttpResponse) -> dict[str, Any] | GatewayRejectedError | None:
        body = json_object(response)
        code = token(body.get("Code"))
        if (response.status == 200 and code == "OK") or code in NO_RECORD:
            return body
        refusal = self._refusal(response)
        if refusal is None and response.status == 200 and code and not says_nothing(code):
            return self.provider.rejection(
                "request", "the query is refused", "the operator must look its code up", code
            )
        return refusal

    def _refusal(self, response: HttpResponse) -> GatewayRejectedError | None:
        """Return the error for what was certainly refused; None where the answer leaves it open."""
        if response.status != 200 and not 400 <= response.status < 500:
            return None
        body = json_object(response)
        code = token(body.get("Code"))
        wait = seconds(response.headers.get("retry-after"))
        row = row_of(code, self.rows)
        if row is not None:
            if row.category == "rate_limit":
                wait = flow_control_window(body.get("Message")) or wait
            return self.provider.refused(row, code, wait if row.category in {"rate_limit", "quota"} else None)
        if response.status == 200 or says_nothing(code):
            return None
        status = f"HTTP {response.status}"
        if response.status == 429:
            remedy = "the account's owner must have the limit raised, or the operator have another gateway"
            return self.provider.rejection("quota", f"the account makes too many calls ({status})", remedy, code, wait)
        if response.status == 401:
            problem = f"the AccessKey is not accepted ({status})"
            return self.provider.rejection("account", problem, "the operator must check the AccessKey", code)
        problem = f"the request is refused ({status})"
        return self.provider.rejection(
            "request", problem, "the operator must look its code up, and check base_url", code
        )
