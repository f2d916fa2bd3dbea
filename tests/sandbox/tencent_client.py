"""Tencent Cloud's official SDK for Python, pointed at a sandbox. Its time is the sandbox's."""

from __future__ import annotations

import json
from typing import Any
from unittest import mock

from sandbox_client import Client
from tencentcloud.common import abstract_client
from tencentcloud.common.credential import Credential
from tencentcloud.common.exception.tencent_cloud_sdk_exception import TencentCloudSDKException
from tencentcloud.common.profile.client_profile import ClientProfile
from tencentcloud.common.profile.http_profile import HttpProfile
from tencentcloud.sms.v20190711 import models as old_models
from tencentcloud.sms.v20190711.sms_client import SmsClient as OldSmsClient
from tencentcloud.sms.v20210111 import models
from tencentcloud.sms.v20210111.sms_client import SmsClient

__all__ = ["TencentCloud", "TencentCloudSDKException"]


class TencentCloud:
    """The client of one sandbox. Results are plain objects."""

    def __init__(
        self,
        client: Client,
        *,
        secret_id: str = "sandbox",
        secret_key: str = "sandbox-secret",
        token: str | None = None,
        sign: str = "TC3-HMAC-SHA256",
        method: str = "POST",
    ) -> None:
        self.client = client
        http = HttpProfile(
            protocol="http", endpoint=f"{client.address.host}:{client.address.port}", reqMethod=method, reqTimeout=5
        )
        profile = ClientProfile(signMethod=sign, httpProfile=http)
        self.sms = SmsClient(Credential(secret_id, secret_key, token), "ap-guangzhou", profile)
        self.old_sms = OldSmsClient(Credential(secret_id, secret_key, token), "ap-guangzhou", profile)

    def send(self, *phones: str, **changes: Any) -> list[dict[str, Any]]:
        """Call SendSms, and return the status of each number."""
        fields = {
            "PhoneNumberSet": list(phones or ("+8613800138000",)),
            "SmsSdkAppId": "1400006666",
            "TemplateId": "1110",
            "SignName": "腾讯云",
            "TemplateParamSet": ["123456", "5"],
            "SessionContext": "send-1",
            **changes,
        }
        request = models.SendSmsRequest()
        request._deserialize({name: value for name, value in fields.items() if value is not None})
        statuses: list[dict[str, Any]] = self._call("SendSms", request)["SendStatusSet"]
        return statuses

    def pull(self, **changes: Any) -> list[dict[str, Any]]:
        """Call PullSmsSendStatus."""
        request = models.PullSmsSendStatusRequest()
        request._deserialize({"Limit": 100, "SmsSdkAppId": "1400006666", **changes})
        rows: list[dict[str, Any]] = self._call("PullSmsSendStatus", request)["PullSmsSendStatusSet"]
        return rows

    def pull_by_number(self, phone: str = "+8613800138000", **changes: Any) -> list[dict[str, Any]]:
        """Call PullSmsSendStatusByPhoneNumber for the last hour."""
        begin = int(self.client.clock.now) - 3600
        fields = {"BeginTime": begin, "Offset": 0, "Limit": 100, "PhoneNumber": phone, "SmsSdkAppId": "1"}
        request = models.PullSmsSendStatusByPhoneNumberRequest()
        request._deserialize({**fields, **changes})
        rows: list[dict[str, Any]] = self._call("PullSmsSendStatusByPhoneNumber", request)["PullSmsSendStatusSet"]
        return rows

    def call_old(self, action: str, **fields: Any) -> dict[str, Any]:
        """Make a call of version 2019-07-11, and return its answer."""
        request = getattr(old_models, f"{action}Request")()
        request._deserialize(fields)
        return self._call(action, request, self.old_sms)

    def _call(self, action: str, request: Any, sms: Any = None) -> dict[str, Any]:
        with mock.patch.object(abstract_client.time, "time", mock.Mock(return_value=self.client.clock.now)):
            answer = getattr(sms or self.sms, action)(request)
        decoded: dict[str, Any] = json.loads(answer.to_json_string())
        return decoded
