"""The gateway of Tencent Cloud SMS (腾讯云短信), version 2021-01-11. `SendSms` is signed with TC3-HMAC-SHA256.

Source: https://cloud.tencent.com/document/api/382/55981.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Final

from otpkit.core.checks import Checks
from otpkit.effects import Flow, HttpRequest, TransportFailure
from otpkit.errors import GatewayRejectedError
from otpkit.gateways import validation
from otpkit.gateways.base import MAX_BATCH, Delivery, Gateway, Message, Push, Receipt, Receipts
from otpkit.gateways.credentials import Credentials, CredentialsSource, current, source
from otpkit.gateways.provider import NO_ROWS, ask, read_json, remedy_in
from otpkit.gateways.tencent import signing
from otpkit.gateways.tencent.errors import PROVIDER, REFUSALS, UNCERTAIN
from otpkit.gateways.tencent.responses import judge_send, judge_trace, read_push, read_row

VERSION: Final = "2021-01-11"
_MARGIN: Final = timedelta(minutes=10)  # The clocks of Redis and the provider may differ by this much.
_ROWS: Final = 100  # An answer has at most this many rows.
_THANKS: Final = b'{"result":0,"errmsg":"OK"}'
_PUZZLED: Final = b'{"result":1,"errmsg":"not an array of receipts"}'


class Tencent(Gateway):
    """The gateway of Tencent Cloud SMS.

    The variables of its templates have no names: the values are sent in the order of `Template.params`. Its pushed
    receipts are not signed, so their URL should contain a secret. They identify a message by the receipt's
    `message_id`.

    Args:
        secret_id: the key's SecretId.
        secret_key: the key's SecretKey; it is never sent.
        sdk_app_id: the SMS application's SdkAppId.
        region: the region of the API, like `ap-guangzhou`.
        token: the Token of a temporary key; None for a permanent one.
        credentials: a function that returns `Credentials(id, key, token)`, in place of id, key and token; it is called
            for each request, and may be async with AsyncOTP only.
        base_url: the API's URL; `http://` is allowed for loopback only.
        timeout: connect timeout and response timeout, in seconds; one number sets both.
        proxy: the URL of an HTTP proxy, such as `http://user:password@proxy.example:3128`; None connects directly. The
            environment's proxy variables are ignored, and `http://` to loopback is always direct.

    Raises:
        ConfigurationError: an argument is not valid. The error names the field and the remedy.
    """

    name: ClassVar[str] = PROVIDER.name
    adds_signature: ClassVar[bool] = True
    can_trace: ClassVar[bool] = True
    knows_message_id: ClassVar[bool] = True
    max_push: ClassVar[int] = MAX_BATCH
    needs: ClassVar[tuple[tuple[str, ...], ...]] = (("secret_id", "credentials"), ("secret_key", "credentials"))

    def __init__(
        self,
        secret_id: str | None = None,
        secret_key: str | None = None,
        *,
        sdk_app_id: str,
        region: str = "ap-guangzhou",
        token: str | None = None,
        credentials: CredentialsSource | None = None,
        base_url: str = "https://sms.tencentcloudapi.com",
        timeout: tuple[float, float] | float = (3, 10),
        proxy: str | None = None,
    ) -> None:
        with Checks() as checks:
            names = ("secret_id", "secret_key", "token")
            self._source = checks.of("credentials", source, (secret_id, secret_key, token), credentials, names)
            self._sdk_app_id = checks.value("sdk_app_id", validation.header_value, sdk_app_id)
            checks.value("region", validation.header_value, region)
            self.base_url = checks.value("base_url", validation.base_url, base_url)
            self.timeout = checks.value("timeout", validation.timeouts, timeout)
            self._proxy = checks.value("proxy", validation.proxy_url, proxy)
        self._host = self.base_url.partition("://")[2].partition("/")[0]
        self._region = region

    def __repr__(self) -> str:
        return f"Tencent(base_url={self.base_url!r}, timeout={self.timeout!r})"

    def send(self, message: Message) -> Flow[Receipt]:
        """Send one message by one `SendSms`. `SessionContext` carries the send id.

        Args:
            message: the message to send.

        Returns:
            The receipt, accepted or uncertain.

        Raises:
            GatewayRejectedError: the message was certainly not sent: a documented code, a 4xx, no connection, or no
                credentials.
        """
        credentials = yield from current(PROVIDER, self._source)
        return (yield from PROVIDER.hand_over(self._send_request(credentials, message), judge_send))

    def remedy_for(self, code: str) -> str:
        """Return what to do about one of the provider's error codes."""
        return remedy_in(code, REFUSALS, UNCERTAIN)

    def trace(self, phone: str, send_id: str, sent_at: datetime, message_id: str = "") -> Flow[Delivery]:
        """Query the delivery of a message by `PullSmsSendStatusByPhoneNumber`, which keeps the last seven days.

        It lists only messages for which the carrier has reported a result.

        Args:
            phone: the recipient's number, E.164.
            send_id: the message's send id.
            sent_at: the approximate time of the send, an aware datetime.
            message_id: the message id of the receipt; "" if it returned none.

        Returns:
            The delivery. A message that has a message id and is not listed is `pending`. The state is `unknown` if
            there is no answer, or if a message without a message id is not listed.

        Raises:
            GatewayRejectedError: the gateway refused the query.
        """
        credentials = yield from current(PROVIDER, self._source)
        answer = yield from ask(self._trace_request(credentials, phone, sent_at))
        found = None if isinstance(answer, TransportFailure) else judge_trace(answer)
        if isinstance(found, GatewayRejectedError):
            raise found
        if found is None:
            return Delivery(state="unknown", gateway=self.name)
        for row in found:
            if send_id == row.get("SessionContext") or (message_id and message_id == row.get("SerialNo")):
                return read_row(row)
        return Delivery(state="pending" if message_id else "unknown", gateway=self.name)

    def receipts(self, push: Push) -> Receipts:
        """Parse receipts that Tencent Cloud pushed (短信下发状态通知), a JSON array.

        Tencent Cloud does not sign its pushes, so the URL that it calls should contain a secret.

        Args:
            push: the HTTP request that Tencent Cloud made.

        Returns:
            The deliveries. For a push that is not a JSON array the response has the status 400.
        """
        rows = read_json(push.body)
        if not isinstance(rows, list):
            return Receipts((), 400, body=_PUZZLED, problem=NO_ROWS)
        read = (read_push(row) for row in rows if isinstance(row, dict))
        return Receipts(tuple(delivery for delivery in read if delivery is not None), body=_THANKS)

    def _send_request(self, credentials: Credentials, message: Message) -> HttpRequest:
        fields = {
            "PhoneNumberSet": [message.phone],
            "SmsSdkAppId": self._sdk_app_id,
            "TemplateId": message.template.code,
            "SignName": message.template.sign_name,
            "TemplateParamSet": list(message.params.values()),
            "SessionContext": message.send_id,
        }
        return self._request(credentials, "SendSms", fields, message.sent_at or datetime.now(UTC))

    def _trace_request(self, credentials: Credentials, phone: str, sent_at: datetime) -> HttpRequest:
        fields = {
            "BeginTime": int((sent_at - _MARGIN).timestamp()),
            "Offset": 0,
            "Limit": _ROWS,
            "PhoneNumber": phone,
            "SmsSdkAppId": self._sdk_app_id,
        }
        return self._request(credentials, "PullSmsSendStatusByPhoneNumber", fields, datetime.now(UTC))

    def _request(
        self, credentials: Credentials, action: str, fields: Mapping[str, Any], moment: datetime
    ) -> HttpRequest:
        body = json.dumps(fields).encode()
        headers = signing.signed_headers(
            credentials,
            service="sms",
            host=self._host,
            action=action,
            version=VERSION,
            body=body,
            timestamp=int(moment.timestamp()),
            region=self._region,
        )
        return HttpRequest(
            method="POST",
            url=f"{self.base_url}/",
            headers=headers,
            timeout=self.timeout,
            body=body,
            proxy=self._proxy,
            takes_trace=True,  # Two headers are signed. Tencent Cloud's SDK adds others of the caller's too.
        )
