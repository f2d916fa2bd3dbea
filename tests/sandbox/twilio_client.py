"""Twilio's official SDK for Python with an HTTP client that calls a sandbox, as Twilio's guide describes."""

from __future__ import annotations

from typing import Any

from sandbox_client import Client
from twilio.base.exceptions import TwilioRestException
from twilio.http.http_client import TwilioHttpClient
from twilio.rest import Client as Twilio

__all__ = ["TwilioRestException", "twilio_client"]


class _Local(TwilioHttpClient):
    def __init__(self, base_url: str) -> None:
        super().__init__(timeout=5)
        self._base_url = base_url

    def request(self, method: str, url: str, **options: Any) -> Any:
        return super().request(method, url.replace("https://api.twilio.com", self._base_url), **options)


def twilio_client(
    client: Client, user: str = "ACsandbox", password: str = "sandbox-secret", account: str = "ACsandbox"
) -> Twilio:
    """Return the client of one sandbox."""
    return Twilio(user, password, account, http_client=_Local(client.address.base_url), environment={"-": ""})
