"""Twilio: messages by the resource Messages, calls that speak the code by the resource Calls.

Sources: https://www.twilio.com/docs/messaging/api/message-resource, https://www.twilio.com/docs/voice/api/call-resource.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from datetime import datetime
from html import escape
from typing import ClassVar, Final
from urllib.parse import urlencode

from otpkit.core.checks import Checks
from otpkit.effects import Flow, HttpRequest, TransportFailure
from otpkit.errors import ConfigurationError, GatewayRejectedError
from otpkit.gateways import validation
from otpkit.gateways.base import Channel, Delivery, Gateway, Message, Push, Receipt, Receipts
from otpkit.gateways.provider import ask, header, matched
from otpkit.gateways.twilio.errors import PROVIDER
from otpkit.gateways.twilio.responses import SEND_ID, SID, judge_send, judge_trace, origin, read_form, read_push
from otpkit.gateways.twilio.signing import is_signed
from otpkit.template import Template

_ACCOUNT: Final = re.compile(r"[A-Za-z0-9]+")
_COPY: Final = "Copy it from Twilio's console"
_LANGUAGE: Final = re.compile(r"[A-Za-z]{2,3}(?:-[A-Za-z0-9]+)*")


_REMEDY: Final = (
    "behind a proxy, pass Push the URL that Twilio calls (service.public_url of `otpkit serve`); check auth_token too"
)


class Twilio(Gateway):
    """The gateway of Twilio. It sends a template's `body` as it is written; a call says the code's digits, twice.

    Args:
        account_sid: the account's SID.
        auth_token: its auth token. Twilio signs receipts with it, whoever sent the message; so it is needed beside an
            API key where receipts are pushed here, and may be left out elsewhere.
        api_key_sid: the SID of an API key, to send with in place of the auth token; and
        api_key_secret: its secret.
        sender: the number or sender id that messages come from; or
        messaging_service_sid: the Messaging Service that picks one.
        voice_sender: the number that calls come from; with it `channels` has `voice`.
        status_callback: the URL, as Twilio calls it, whose requests are given to `receipts`; the send id is added to
            its query.
        language: of the voice that says the digits.
        base_url: where the API is; `http://` is for loopback alone, for the token travels in clear.
        timeout: seconds to connect and seconds to answer; one number means both.
        proxy: the URL of a proxy to go through, such as `http://user:password@proxy.example:3128`. What the environment
            says of proxies counts for nothing, and `http://` of loopback goes directly.

    Raises ConfigurationError for anything that can't work, naming the field and the remedy.
    """

    name: ClassVar[str] = PROVIDER.name
    can_trace: ClassVar[bool] = True
    knows_message_id: ClassVar[bool] = True
    needs: ClassVar[tuple[tuple[str, ...], ...]] = (
        ("auth_token", "api_key_sid"),
        ("sender", "messaging_service_sid", "voice_sender"),
    )

    def __init__(
        self,
        account_sid: str,
        auth_token: str | None = None,
        *,
        api_key_sid: str | None = None,
        api_key_secret: str | None = None,
        sender: str | None = None,
        messaging_service_sid: str | None = None,
        voice_sender: str | None = None,
        status_callback: str | None = None,
        language: str = "en-US",
        base_url: str = "https://api.twilio.com",
        timeout: tuple[float, float] | float = (3, 10),
        proxy: str | None = None,
    ) -> None:
        with Checks() as checks:
            if not matched(_ACCOUNT, account_sid):
                checks.add("account_sid", "account_sid is no SID.", f"{_COPY}, like AC and 32 digits.")
            if not matched(_LANGUAGE, language):
                checks.add("language", "language is no language tag.", "Write it like en-US or cmn-CN.")
            user, password = account_sid, auth_token
            key_given = api_key_sid is not None or api_key_secret is not None
            if auth_token is not None or not key_given:
                checks.value("auth_token", validation.header_value, auth_token)
            if key_given:
                user, password = checks.of("api_key_sid", _api_key, api_key_sid, api_key_secret) or (user, password)
            self._from = checks.of("sender", _origin, sender, messaging_service_sid) or {}
            self._voice_from = voice_sender
            if voice_sender is not None:
                checks.value("voice_sender", validation.header_value, voice_sender)
            if checks.passed("sender", "messaging_service_sid", "voice_sender"):
                self.channels = checks.of("sender", _channels, self._from, voice_sender)
            self._callback = status_callback
            if status_callback is not None:
                checks.value("status_callback", validation.whole_url, status_callback)
            if status_callback is not None and auth_token is None:
                problem = "status_callback needs auth_token: Twilio signs what it pushes there with it."
                checks.add("auth_token", problem, "Pass auth_token too.")
            self.base_url = checks.value("base_url", validation.base_url, base_url)
            self.timeout = checks.value("timeout", validation.timeouts, timeout)
            self._proxy = checks.value("proxy", validation.proxy_url, proxy)
        basic = base64.b64encode(f"{user}:{password}".encode()).decode()
        self._headers = {"Authorization": f"Basic {basic}"}
        self._auth_token = auth_token
        self._language = language
        self._account_url = f"{self.base_url}/2010-04-01/Accounts/{account_sid}"

    def __repr__(self) -> str:
        return f"Twilio(base_url={self.base_url!r}, timeout={self.timeout!r}, channels={sorted(self.channels)})"

    def check(self, template: Template) -> None:
        """Raise ConfigurationError for a template without `body`, where messages are sent and not calls alone."""
        if "sms" in self.channels:
            PROVIDER.require_body(template)

    def send(self, message: Message) -> Flow[Receipt]:
        """Send one message, or make one call, by one POST.

        Raises GatewayRejectedError where it was certainly not sent: a 4xx, no connection, a channel without a sender.
        """
        if message.channel not in self.channels:
            field = "voice_sender" if message.channel == "voice" else "sender or messaging_service_sid"
            raise PROVIDER.rejection(
                "configuration", f"it has nobody to send {message.channel} from", f"the operator must pass {field}"
            )
        return (yield from PROVIDER.hand_over(self._send_request(message), judge_send))

    def trace(self, phone: str, send_id: str, sent_at: datetime, message_id: str = "") -> Flow[Delivery]:
        """Ask for the message or the call that the receipt's `message_id` names; without one nothing is known.

        Raises GatewayRejectedError where the gateway refuses to say.
        """
        if not matched(SID, message_id):
            return Delivery(state="unknown", gateway=self.name)
        resource = "Calls" if message_id.startswith("CA") else "Messages"
        url = f"{self._account_url}/{resource}/{message_id}.json"
        answer = yield from ask(
            HttpRequest(method="GET", url=url, headers=self._headers, timeout=self.timeout, proxy=self._proxy)
        )
        found = None if isinstance(answer, TransportFailure) else judge_trace(answer)
        if isinstance(found, GatewayRejectedError):
            raise found
        return found or Delivery(state="unknown", gateway=self.name)

    def receipts(self, push: Push) -> Receipts:
        """Read a status callback of a message or a call; one that Twilio has not signed is answered by 403.

        Raises ConfigurationError without the auth token, with which it is signed.
        """
        if self._auth_token is None:
            raise ConfigurationError(
                "The auth token is missing, and Twilio signs receipts with it.", "Pass auth_token beside the API key."
            )
        params, signature = read_form(push.body), header(push.headers, "x-twilio-signature")
        problem = ""
        if params is None:
            problem = "the body is no form; pass Push the body's bytes unchanged"
        elif not signature:
            problem = "X-Twilio-Signature is missing; Twilio did not send this, or a proxy removes the header"
        elif not is_signed(push.url, params, signature, self._auth_token):
            problem = f"the signature does not match the URL{origin(push.url)}; {_REMEDY}"
        if params is None or problem:
            return Receipts((), 403, "text/plain", problem=problem)
        delivery = read_push(dict(params), push.url)
        return Receipts(() if delivery is None else (delivery,), content_type="text/xml", body=b"<Response/>")

    def _send_request(self, message: Message) -> HttpRequest:
        fields = {"To": message.phone}
        if message.channel == "voice":
            resource = "Calls"
            fields |= {"From": self._voice_from or "", "Twiml": _spoken(message.code, self._language)}
        else:
            resource = "Messages"
            fields |= {**self._from, "Body": message.template.fill(message.params, signed=False)}
        if self._callback:
            joint = "&" if "?" in self._callback else "?"
            fields["StatusCallback"] = f"{self._callback}{joint}{SEND_ID}={message.send_id}"
        headers = {**self._headers, "Content-Type": "application/x-www-form-urlencoded"}
        url = f"{self._account_url}/{resource}.json"
        return HttpRequest(
            method="POST",
            url=url,
            headers=headers,
            timeout=self.timeout,
            body=urlencode(fields).encode(),
            proxy=self._proxy,
        )


def _api_key(sid: object, secret: object) -> tuple[str, str]:
    with Checks() as checks:
        if not matched(_ACCOUNT, sid):
            checks.add("api_key_sid", "api_key_sid is no SID.", f"{_COPY}, like SK and 32 digits.")
        password = checks.value("api_key_secret", validation.header_value, secret)
    return str(sid), password


def _origin(sender: str | None, messaging_service_sid: str | None) -> dict[str, str]:
    if sender is not None and messaging_service_sid is not None:
        raise ConfigurationError(
            "sender and messaging_service_sid are both set, and the service picks a sender.", "Pass one of them."
        )
    if sender is not None:
        return {"From": validation.header_value("sender", sender)}
    if messaging_service_sid is not None:
        with Checks() as checks:
            checks.value("messaging_service_sid", validation.header_value, messaging_service_sid)
        return {"MessagingServiceSid": messaging_service_sid}
    return {}


def _channels(origin: Mapping[str, str], voice_from: str | None) -> frozenset[Channel]:
    sms: set[Channel] = {"sms"} if origin else set()
    voice: set[Channel] = {"voice"} if voice_from else set()
    if not sms | voice:
        raise ConfigurationError(
            "There is no sender.", "Pass sender or messaging_service_sid for messages, voice_sender for calls."
        )
    return frozenset(sms | voice)


def _spoken(code: str, language: str) -> str:
    # Commas make a pause, and keep the digits from being read as one number.
    digits = escape(", ".join(code))
    say = f'<Say language="{escape(language)}">{digits}</Say>'
    return f'<Response><Pause length="1"/>{say}<Pause length="1"/>{say}</Response>'
