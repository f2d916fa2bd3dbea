"""The official SDKs, pointed at a sandbox. They sign with the sandbox's date, so that tests can move its clock."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from alibabacloud_dysmsapi20170525 import models as sms
from alibabacloud_dysmsapi20170525.client import Client as Dysmsapi
from alibabacloud_dyvmsapi20170525 import models as voice
from alibabacloud_dyvmsapi20170525.client import Client as Dyvmsapi
from alibabacloud_tea_openapi.exceptions import AlibabaCloudException
from alibabacloud_tea_openapi.utils_models import Config, OpenApiRequest, Params
from darabonba.runtime import ExtendsParameters, RuntimeOptions
from sandbox_client import Client

CODE = json.dumps({"code": "123456", "product": "alidayu"})
PRODUCTS = {"SingleCallByTts": 11010000138001, "SingleCallByVoice": 11000000300006, "ClickToDial": 11000000300004}

__all__ = ["CODE", "PRODUCTS", "Alibaba", "AlibabaCloudException"]


class Alibaba:
    """Both official clients of one sandbox. Results are as received."""

    def __init__(self, client: Client, secret: str = "sandbox-secret", **config: str) -> None:
        endpoint = f"{client.address.host}:{client.address.port}"
        settings = {"access_key_id": "sandbox", "access_key_secret": secret, **config}
        self.client = client
        self.sms = Dysmsapi(Config(endpoint=endpoint, protocol="http", **settings))
        self.voice = Dyvmsapi(Config(endpoint=endpoint, protocol="http", **settings))

    def runtime(self, **headers: str) -> RuntimeOptions:
        date = f"{datetime.fromtimestamp(self.client.clock.now, UTC):%Y-%m-%dT%H:%M:%SZ}"
        extended = ExtendsParameters(headers={"x-acs-date": date, **headers})
        return RuntimeOptions(extends_parameters=extended, read_timeout=5000)

    def send(self, phone: str = "13800138000", **changes: Any) -> dict[str, Any]:
        """Call SendSms."""
        fields = {"sign_name": "阿里大鱼", "template_code": "SMS_585014", "template_param": CODE, "out_id": "1234"}
        request = sms.SendSmsRequest(phone_numbers=phone, **{**fields, **changes})
        return self.sms.send_sms_with_options(request, self.runtime()).body.to_map()

    def send_batch(self, *phones: str, **changes: Any) -> dict[str, Any]:
        """Call SendBatchSms. Each number has its own signature and code."""
        fields = {
            "phone_number_json": json.dumps(phones),
            "sign_name_json": json.dumps([f"签名{n}" for n in range(len(phones))]),
            "template_code": "SMS_585014",
            "template_param_json": json.dumps([{"code": f"{n:06d}", "product": "alidayu"} for n in range(len(phones))]),
        }
        request = sms.SendBatchSmsRequest(**{**fields, **changes})
        return self.sms.send_batch_sms_with_options(request, self.runtime()).body.to_map()

    def details(self, phone: str = "13800138000", **changes: Any) -> dict[str, Any]:
        """Call QuerySendDetails for the first page of the sandbox's noon."""
        fields = {"send_date": "20270115", "page_size": 50, "current_page": 1}
        request = sms.QuerySendDetailsRequest(phone_number=phone, **{**fields, **changes})
        return self.sms.query_send_details_with_options(request, self.runtime()).body.to_map()

    def sent(self, phone: str = "13800138000", **changes: Any) -> list[dict[str, Any]]:
        """Return the rows of QuerySendDetails."""
        rows: list[dict[str, Any]] = self.details(phone, **changes)["SmsSendDetailDTOs"]["SmsSendDetailDTO"]
        return rows

    def say(self, phone: str = "13800138000", **changes: Any) -> dict[str, Any]:
        """Call SingleCallByTts."""
        fields = {"tts_code": "TTS_1", "tts_param": CODE, "out_id": "1234"}
        request = voice.SingleCallByTtsRequest(called_number=phone, **{**fields, **changes})
        return self.voice.single_call_by_tts_with_options(request, self.runtime()).body.to_map()

    def play(self, phone: str = "13800138000", **changes: Any) -> dict[str, Any]:
        """Call SingleCallByVoice."""
        request = voice.SingleCallByVoiceRequest(called_number=phone, **{"voice_code": "a.wav", **changes})
        return self.voice.single_call_by_voice_with_options(request, self.runtime()).body.to_map()

    def call_detail(self, call_id: str, product: int = PRODUCTS["SingleCallByTts"], **changes: Any) -> dict[str, Any]:
        """Call QueryCallDetailByCallId at the current time."""
        fields = {"query_date": int(self.client.clock.now * 1000), **changes}
        request = voice.QueryCallDetailByCallIdRequest(call_id=call_id, prod_id=product, **fields)
        return self.voice.query_call_detail_by_call_id_with_options(request, self.runtime()).body.to_map()

    def state(self, call_id: str, product: int = PRODUCTS["SingleCallByTts"], **changes: Any) -> dict[str, Any]:
        """Return `Data` of QueryCallDetailByCallId, or {}."""
        data = self.call_detail(call_id, product, **changes).get("Data")
        return json.loads(data) if data else {}

    def call(
        self, action: str, query: dict[str, str] | None = None, *, form: dict[str, str] | None = None, **options: str
    ) -> dict[str, Any]:
        """Make any call with the SDK's signature. `options` are its method and version."""
        params = Params(
            action=action,
            version=options.pop("version", "2017-05-25"),
            method=options.pop("method", "POST"),
            pathname="/",
            protocol="http",
            auth_type="AK",
            style="RPC",
            req_body_type="formData",
            body_type="json",
        )
        request = OpenApiRequest(query=query or {}, body=form)
        return self.sms.call_api(params, request, self.runtime(**options))["body"]
