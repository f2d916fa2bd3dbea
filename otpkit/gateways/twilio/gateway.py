"""The gateway of Twilio: messages by the resource Messages, calls that speak the code by the resource Calls.

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
from otpkit.gateways.provider import ask, header, matched, remedy_in
from otpkit.gateways.twilio.errors import PROVIDER, REFUSALS, UNCERTAIN
from otpkit.gateways.twilio.responses import SEND_ID, SID, judge_send, judge_trace, origin, read_form, read_push
from otpkit.gateways.twilio.signing import is_signed
from otpkit.template import Template

_ACCOUNT: Final = re.compile(r"[A-Za-z0-9]+")
_COPY: Final = "Copy it from Twilio's console"
_TAKES_TRACE: Final = True  # Requests are not signed. Twilio's SDK sends further headers of the caller's.
_LANGUAGE: Final = re.compile(r"[A-Za-z]{2,3}(?:-[A-Za-z0-9]+)*")


_REMEDY: Final = (
    "behind a proxy, Push needs the URL that Twilio calls (service.public_url of `otpkit serve`); check auth_token too"
)


class Twilio(Gateway):
    """The gateway of Twilio. It sends a template's `body` without the signature. A call reads the code's digits twice.

    Args:
        account_sid: the account's SID.
        auth_token: the account's auth token. Twilio signs receipts with it, even for messages sent with an API key. It
            is optional only if an API key is set and no receipts are pushed here.
        api_key_sid: the SID of an API key, used for requests in place of the auth token.
        api_key_secret: the API key's secret, required with `api_key_sid`.
        sender: the number or sender id that sends messages; not with `messaging_service_sid`.
        messaging_service_sid: the Messaging Service that chooses the sender; not with `sender`.
        voice_sender: the number that makes calls; if it is set, `channels` contains `voice`.
        status_callback: the URL that Twilio calls with receipts, whose requests go to `receipts`; the send id is added
            to its query. None requests no receipts.
        language: the language tag of the voice, like `en-US`.
        base_url: the API's URL; `http://` is allowed for loopback only, because the token is sent unencrypted.
        timeout: connect timeout and response timeout, in seconds; one number sets both.
        proxy: the URL of an HTTP proxy, such as `http://user:password@proxy.example:3128`; None connects directly. The
            environment's proxy variables are ignored, and `http://` to loopback is always direct.

    Raises:
        ConfigurationError: an argument is not valid. The error names the field and the remedy.
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
                checks.add("account_sid", "account_sid is not a SID.", f"{_COPY}: AC and 32 digits.")
            if not matched(_LANGUAGE, language):
                checks.add("language", "language is not a language tag.", "Write it like en-US or cmn-CN.")
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
                problem = "status_callback needs auth_token, because Twilio signs its receipts with it."
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
        """Check that a template has a `body`, if this gateway sends messages. Calls do not need it.

        Args:
            template: the template to check.

        Raises:
            ConfigurationError: the template has no `body`, and `channels` contains `sms`.
        """
        if "sms" in self.channels:
            PROVIDER.require_body(template)

    def send(self, message: Message) -> Flow[Receipt]:
        """Send one message, or make one call, by one POST.

        Args:
            message: the message to send, or to read to the user.

        Returns:
            The receipt, accepted or uncertain.

        Raises:
            GatewayRejectedError: the message was certainly not sent: a 4xx, no connection, or no sender for the
                channel.
        """
        if message.channel not in self.channels:
            field = "voice_sender" if message.channel == "voice" else "sender or messaging_service_sid"
            raise PROVIDER.rejection(
                "configuration", f"no sender is set for {message.channel}", f"the operator must pass {field}"
            )
        return (yield from PROVIDER.hand_over(self._send_request(message), judge_send))

    def remedy_for(self, code: str) -> str:
        """Return what to do about one of the provider's error codes."""
        return remedy_in(code, REFUSALS, UNCERTAIN)

    def trace(self, phone: str, send_id: str, sent_at: datetime, message_id: str = "") -> Flow[Delivery]:
        """Query the delivery of a message or a call by its message id.

        Args:
            phone: not used.
            send_id: not used.
            sent_at: not used.
            message_id: the message id of the receipt.

        Returns:
            The delivery. Its state is `unknown` without a message id, without an answer, or if Twilio does not know
            the message (404).

        Raises:
            GatewayRejectedError: Twilio refused the query.
        """
        if not matched(SID, message_id):
            return Delivery(state="unknown", gateway=self.name)
        resource = "Calls" if message_id.startswith("CA") else "Messages"
        url = f"{self._account_url}/{resource}/{message_id}.json"
        answer = yield from ask(
            HttpRequest(
                method="GET",
                url=url,
                headers=self._headers,
                timeout=self.timeout,
                proxy=self._proxy,
                takes_trace=_TAKES_TRACE,
            )
        )
        found = None if isinstance(answer, TransportFailure) else judge_trace(answer)
        if isinstance(found, GatewayRejectedError):
            raise found
        return found or Delivery(state="unknown", gateway=self.name)

    def receipts(self, push: Push) -> Receipts:
        """Parse a status callback of a message or a call, and check its signature.

        Source: https://www.twilio.com/docs/usage/webhooks/webhooks-security.

        Args:
            push: the HTTP request that Twilio made.

        Returns:
            The delivery. For a request without a valid signature the response has the status 403.

        Raises:
            ConfigurationError: the auth token is not set. The signature can't be checked without it.
        """
        if self._auth_token is None:
            raise ConfigurationError(
                "auth_token is not set, and Twilio signs receipts with it.", "Pass auth_token as well as the API key."
            )
        params, signature = read_form(push.body), header(push.headers, "x-twilio-signature")
        problem = ""
        if params is None:
            problem = "the body is not a form; pass the body's bytes to Push unchanged"
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
            takes_trace=_TAKES_TRACE,
        )


def _api_key(sid: object, secret: object) -> tuple[str, str]:
    with Checks() as checks:
        if not matched(_ACCOUNT, sid):
            checks.add("api_key_sid", "api_key_sid is not a SID.", f"{_COPY}: SK and 32 digits.")
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
            "No sender is set.", "Pass sender or messaging_service_sid for messages, voice_sender for calls."
        )
    return frozenset(sms | voice)


def _spoken(code: str, language: str) -> str:
    # Commas make pauses, so the voice does not read the digits as one number.
    digits = escape(", ".join(code))
    say = f'<Say language="{escape(language)}">{digits}</Say>'
    return f'<Response><Pause length="1"/>{say}<Pause length="1"/>{say}</Response>'
