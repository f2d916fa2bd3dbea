"""Shared parts of Alibaba Cloud's SMS and voice APIs: credentials, signed requests, and parsing of answers."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from otpkit.core.checks import Checks
from otpkit.effects import Flow, HttpRequest, HttpResponse, TransportFailure
from otpkit.errors import GatewayRejectedError
from otpkit.gateways import validation
from otpkit.gateways.aliyun import signing
from otpkit.gateways.aliyun.errors import NO_RECORD, flow_control_window, row_of, says_nothing
from otpkit.gateways.base import Receipt
from otpkit.gateways.credentials import Credentials, CredentialsSource, current, source
from otpkit.gateways.provider import Provider, Refusal, ask, json_object, message_id, seconds, token

VERSION: Final = "2017-05-25"  # Both APIs have this version.
NEEDED_CREDENTIALS: Final = (("access_key_id", "credentials"), ("access_key_secret", "credentials"))


class Api:
    """One of the two APIs: its URL, its credentials, and its table of error codes."""

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
        self._host, self._path = signing.place_of(self.base_url)

    def credentials(self) -> Flow[Credentials]:
        """Return the credentials to sign with. If they come from a function, call it for each request.

        Raises:
            GatewayRejectedError: the function failed or returned no credentials, category `account`. Nothing was sent.
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
        """Return a signed request with the date `at`; None means now, by this host's clock."""
        # The request's repr hides the parameters, so tracebacks that show local variables do not reveal them.
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
            takes_trace=True,  # Only the named headers are signed. Alibaba Cloud's SDK adds others of the caller's too.
        )

    def read_receipt(self, response: HttpResponse, id_field: str) -> Receipt | GatewayRejectedError:
        """Return the receipt of a send: accepted if `Code` is OK, else uncertain; or the error of a certain refusal."""
        body = json_object(response) if response.status == 200 else {}
        if body.get("Code") == "OK":
            return Receipt(self.provider.name, message_id(body.get(id_field)))
        return self._refusal(response) or self.provider.uncertain()

    def query(self, request: HttpRequest) -> Flow[dict[str, Any] | None]:
        """Make a query, and return the answer's JSON object, or None if there is no readable answer.

        The object has the `Code` OK, or a code for a record that does not exist.

        Raises:
            GatewayRejectedError: the API refused the query.
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
                "request", "the query is refused", "the operator must look up the error code", code
            )
        return refusal

    def _refusal(self, response: HttpResponse) -> GatewayRejectedError | None:
        """Return the error if the request was certainly refused, or None if the answer is uncertain."""
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
            remedy = "the account's owner must have the limit raised, or the operator must add another gateway"
            return self.provider.rejection("quota", f"the account makes too many calls ({status})", remedy, code, wait)
        if response.status == 401:
            problem = f"the AccessKey is not accepted ({status})"
            return self.provider.rejection("account", problem, "the operator must check the AccessKey", code)
        problem = f"the request is refused ({status})"
        return self.provider.rejection(
            "request", problem, "the operator must look up the error code, and check base_url", code
        )
