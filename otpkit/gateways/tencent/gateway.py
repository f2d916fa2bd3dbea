"""Tencent Cloud SMS (腾讯云短信), version 2021-01-11: messages by `SendSms`, signed with TC3-HMAC-SHA256.

Source: https://cloud.tencent.com/document/api/382/55981.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Final, Literal

from otpkit.effects import Flow, HttpRequest, HttpResponse, TransportFailure
from otpkit.errors import GatewayRejectedError, RejectionCategory
from otpkit.gateways import validation
from otpkit.gateways.base import MAX_BATCH, Delivery, Gateway, Message, Push, Receipt, Receipts
from otpkit.gateways.china_time import read_moment
from otpkit.gateways.credentials import Credentials, CredentialsSource, current, source
from otpkit.gateways.provider import NO_ROWS, ask, json_object, message_id, phone, read_json, seconds, text_of, token
from otpkit.gateways.tencent import signing
from otpkit.gateways.tencent.errors import PROVIDER, REFUSALS, UNCERTAIN

VERSION: Final = "2021-01-11"
_MARGIN: Final = timedelta(minutes=10)  # that clocks may differ by
_ROWS: Final = 100  # the most of one answer
_State = Literal["pending", "delivered", "failed", "unknown"]
_STATES: Final[dict[str, _State]] = {
    "SUCCESS": "delivered",
    "FAIL": "failed",
    "": "pending",  # the carrier has not reported yet
}
_STATUSES: Final[dict[int, RejectionCategory]] = {401: "account", 429: "quota"}
_THANKS: Final = b'{"result":0,"errmsg":"OK"}'
_PUZZLED: Final = b'{"result":1,"errmsg":"not an array of receipts"}'


class Tencent(Gateway):
    """The gateway of Tencent Cloud SMS.

    Its templates' variables have no names: the values are passed in the order of `Template.params`. What is pushed to
    `receipts` is not signed, so its URL should hold a secret; it names a message by the receipt's `message_id`.

    Args:
        secret_id: the key's SecretId.
        secret_key: its SecretKey, which signs and never travels.
        sdk_app_id: the SMS application's SdkAppId.
        region: where the API is called.
        token: the Token of a temporary key.
        credentials: in place of id, key and token, a function that returns `Credentials(id, key, token)`, called for
            each request; an async one with AsyncOTP alone.
        base_url: where the API is; `http://` is for loopback alone.
        timeout: seconds to connect and seconds to answer; one number means both.
        proxy: the URL of a proxy to go through, such as `http://user:password@proxy.example:3128`. What the environment
            says of proxies counts for nothing, and `http://` of loopback goes directly.

    Raises ConfigurationError for anything that can't work, naming the field and the remedy.
    """

    name: ClassVar[str] = PROVIDER.name
    adds_signature: ClassVar[bool] = True
    can_trace: ClassVar[bool] = True
    knows_message_id: ClassVar[bool] = True
    max_push: ClassVar[int] = MAX_BATCH

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
        if credentials is None:
            validation.header_value("secret_id", secret_id)
            validation.header_value("secret_key", secret_key)
            validation.header_value("token", "none" if token is None else token)
        self._source = source((secret_id, secret_key, token), credentials)
        self._sdk_app_id = validation.header_value("sdk_app_id", sdk_app_id)
        self.base_url = validation.base_url("base_url", base_url)
        self._host = self.base_url.partition("://")[2].partition("/")[0]
        self._headers = {
            "Content-Type": signing.CONTENT_TYPE,
            "Host": self._host,
            "X-TC-Version": VERSION,
            "X-TC-Region": validation.header_value("region", region),
        }
        self.timeout = validation.timeouts("timeout", timeout)
        self._proxy = validation.proxy_url("proxy", proxy)

    def __repr__(self) -> str:
        return f"Tencent(base_url={self.base_url!r}, timeout={self.timeout!r})"

    def send(self, message: Message) -> Flow[Receipt]:
        """Send one message by one `SendSms`; `SessionContext` carries the send id.

        Raises GatewayRejectedError where it was certainly not sent: a documented code, a 4xx, no connection, no
        credentials.
        """
        credentials = yield from current(PROVIDER, self._source)
        return (yield from PROVIDER.hand_over(self._send_request(credentials, message), _judge_send))

    def trace(self, phone: str, send_id: str, sent_at: datetime, message_id: str = "") -> Flow[Delivery]:
        """Ask `PullSmsSendStatusByPhoneNumber` what became of a send; it knows the last seven days.

        It tells of messages that the carrier has reported on: one that it accepted and does not tell of is `pending`.

        Raises GatewayRejectedError where the gateway refuses to say.
        """
        credentials = yield from current(PROVIDER, self._source)
        answer = yield from ask(self._trace_request(credentials, phone, sent_at))
        found = None if isinstance(answer, TransportFailure) else _judge_trace(answer)
        if isinstance(found, GatewayRejectedError):
            raise found
        if found is None:
            return Delivery(state="unknown", gateway=self.name)
        for row in found:
            if send_id == row.get("SessionContext") or (message_id and message_id == row.get("SerialNo")):
                return _read_row(row)
        return Delivery(state="pending" if message_id else "unknown", gateway=self.name)

    def receipts(self, push: Push) -> Receipts:
        """Read receipts that Tencent Cloud pushed (短信下发状态通知): a JSON array, which nobody has signed."""
        rows = read_json(push.body)
        if not isinstance(rows, list):
            return Receipts((), 400, body=_PUZZLED, problem=NO_ROWS)
        read = (_read_push(row) for row in rows if isinstance(row, dict))
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
        body, timestamp = json.dumps(fields).encode(), int(moment.timestamp())
        key_id, key = credentials.access_key_id, credentials.access_key_secret
        signature = signing.authorization(key_id, key, service="sms", host=self._host, body=body, timestamp=timestamp)
        headers = {"X-TC-Action": action, "X-TC-Timestamp": str(timestamp), "Authorization": signature}
        if credentials.security_token is not None:
            headers["X-TC-Token"] = credentials.security_token
        return HttpRequest(
            method="POST",
            url=f"{self.base_url}/",
            headers=self._headers | headers,
            timeout=self.timeout,
            body=body,
            proxy=self._proxy,
        )


def _judge_send(response: HttpResponse) -> Receipt | GatewayRejectedError:
    if 400 <= response.status < 500:
        return _refused_by_status(response) or PROVIDER.uncertain()
    body = _answer(response)
    statuses = body.get("SendStatusSet")
    status = statuses[0] if isinstance(statuses, list) and len(statuses) == 1 else None
    status = status if isinstance(status, dict) else {}
    code = _code(body) or token(status.get("Code"))
    if code == "Ok" and "Error" not in body:
        return Receipt(PROVIDER.name, message_id(status.get("SerialNo")))
    return PROVIDER.refused(REFUSALS[code], code) if code in REFUSALS else PROVIDER.uncertain()


def _judge_trace(response: HttpResponse) -> list[dict[str, Any]] | GatewayRejectedError | None:
    if 400 <= response.status < 500:
        return _refused_by_status(response)
    body = _answer(response)
    if code := _code(body):
        if code in REFUSALS:
            return PROVIDER.refused(REFUSALS[code], code)
        if code in UNCERTAIN or code.startswith("InternalError"):
            return None
        return PROVIDER.rejection("request", "the query is refused", "the operator must look its code up", code)
    rows = body.get("PullSmsSendStatusSet")
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else None


def _refused_by_status(response: HttpResponse) -> GatewayRejectedError | None:
    code, wait = _code(_envelope(response)), seconds(response.headers.get("retry-after"))
    if code in REFUSALS:
        return PROVIDER.refused(REFUSALS[code], code, wait)
    if code in UNCERTAIN:
        return None
    problem = f"the request is refused (HTTP {response.status})"
    category = _STATUSES.get(response.status, "request")
    return PROVIDER.rejection(category, problem, "the operator must check base_url and the keys", code, wait)


def _answer(response: HttpResponse) -> dict[str, Any]:
    return _envelope(response) if response.status == 200 else {}


def _envelope(response: HttpResponse) -> dict[str, Any]:
    inner = json_object(response).get("Response")
    return inner if isinstance(inner, dict) else {}


def _code(body: Mapping[str, Any]) -> str:
    error = body.get("Error")
    return token(error.get("Code")) if isinstance(error, dict) else ""


def _read_row(row: Mapping[str, Any]) -> Delivery:
    return _delivery(row.get("ReportStatus"), row.get("Description"), _moment(row.get("UserReceiveTime")))


def _read_push(row: Mapping[str, Any]) -> Delivery | None:
    to, sid = phone(f"+{text_of(row.get('nationcode'))}{text_of(row.get('mobile'))}"), message_id(row.get("sid"))
    if not to or not sid:
        return None
    received_at = read_moment(text_of(row.get("user_receive_time")))
    at = received_at and received_at.astimezone(UTC)
    return _delivery(row.get("report_status"), row.get("errmsg"), at, phone=to, message_id=sid)


def _delivery(
    status: object, reason: object, received_at: datetime | None, phone: str = "", message_id: str = ""
) -> Delivery:
    state: _State = _STATES.get(text_of(status), "unknown")
    settled = state in {"delivered", "failed"}
    return Delivery(
        state=state,
        gateway=PROVIDER.name,
        result_code=token(reason) if settled else "",
        received_at=received_at if settled else None,
        phone=phone,
        message_id=message_id,
    )


def _moment(value: object) -> datetime | None:
    in_range = isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**32
    return datetime.fromtimestamp(value, UTC) if isinstance(value, int) and in_range else None
