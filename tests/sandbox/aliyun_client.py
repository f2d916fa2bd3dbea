"""Aliyun's older SDK for Python (signature version 1.0), pointed at a sandbox. Its dates are the sandbox's."""

from __future__ import annotations

import json
from typing import Any
from unittest import mock

from aliyunsdkcore.acs_exception.exceptions import ServerException
from aliyunsdkcore.auth.composer import rpc_signature_composer
from aliyunsdkcore.auth.credentials import AccessKeyCredential, StsTokenCredential
from aliyunsdkcore.client import AcsClient
from aliyunsdkcore.request import CommonRequest, RpcRequest
from aliyunsdkdysmsapi.request.v20170525.QuerySendDetailsRequest import QuerySendDetailsRequest
from aliyunsdkdysmsapi.request.v20170525.SendBatchSmsRequest import SendBatchSmsRequest
from aliyunsdkdysmsapi.request.v20170525.SendSmsRequest import SendSmsRequest
from aliyunsdkdyvmsapi.request.v20170525.ClickToDialRequest import ClickToDialRequest
from aliyunsdkdyvmsapi.request.v20170525.QueryCallDetailByCallIdRequest import QueryCallDetailByCallIdRequest
from aliyunsdkdyvmsapi.request.v20170525.SingleCallByTtsRequest import SingleCallByTtsRequest
from aliyunsdkdyvmsapi.request.v20170525.SingleCallByVoiceRequest import SingleCallByVoiceRequest
from sandbox_client import Client

__all__ = ["REQUESTS", "Aliyun", "CommonRequest", "RpcRequest", "ServerException"]

REQUESTS: dict[str, type[RpcRequest]] = {
    "SendSms": SendSmsRequest,
    "SendBatchSms": SendBatchSmsRequest,
    "QuerySendDetails": QuerySendDetailsRequest,
    "SingleCallByTts": SingleCallByTtsRequest,
    "SingleCallByVoice": SingleCallByVoiceRequest,
    "ClickToDial": ClickToDialRequest,
    "QueryCallDetailByCallId": QueryCallDetailByCallIdRequest,
}


class Aliyun:
    """The client of one sandbox. Results are as received."""

    def __init__(
        self, client: Client, *, key: str = "sandbox", secret: str = "sandbox-secret", token: str | None = None
    ) -> None:
        self.client = client
        credential = StsTokenCredential(key, secret, token) if token else AccessKeyCredential(key, secret)
        self.acs = AcsClient(region_id="cn-hangzhou", credential=credential, auto_retry=False)

    def call(self, action: str, fields: dict[str, Any], *, method: str | None = None) -> Any:
        """Make a call with its own request class."""
        request = REQUESTS[action]()
        for name, value in fields.items():
            getattr(request, f"set_{name}")(value)
        return json.loads(self.do(request, method=method))

    def do(self, request: Any, *, method: str | None = None) -> bytes:
        """Send a request."""
        request.set_endpoint(f"{self.client.address.host}:{self.client.address.port}")
        if method is not None:
            request.set_method(method)
        date = mock.Mock(return_value=self.client.utc())
        with mock.patch.object(rpc_signature_composer.helper, "get_iso_8061_date", date):
            done: bytes = self.acs.do_action_with_exception(request)
        return done
