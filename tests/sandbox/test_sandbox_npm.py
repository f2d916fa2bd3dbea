"""The providers' SDKs for Node.js, run against the sandbox: Aliyun's old and new ones, Tencent Cloud's and Twilio's."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.servers import unavailable

from otpkit.sandbox import Address, Sandbox, running

DIRECTORY = Path(__file__).parent / "npm"
ALIYUN = ["pop-core GET", "pop-core POST", "pop-core with a token", "dysmsapi-2017-05-25", "dysmsapi20170525"]
TENCENT = ["tencent TC3 POST", "tencent TC3 GET", "tencent HmacSHA256 POST", "tencent HmacSHA1 GET"]
TWILIO = ["twilio", "twilio with an API key"]
REFUSALS = {
    **dict.fromkeys(ALIYUN, "SignatureDoesNotMatch"),
    **dict.fromkeys(TENCENT, "AuthFailure.SignatureFailure"),
    **dict.fromkeys(TWILIO, "20003"),
}


@pytest.fixture(scope="module")
def node() -> str:
    found = shutil.which("node")
    if found is None:
        unavailable("node is not installed")
    if not (DIRECTORY / "node_modules").is_dir():
        unavailable(f"the SDKs are not installed; run: npm ci --ignore-scripts --prefix {DIRECTORY}")
    return found


@pytest.fixture
def sandbox() -> Sandbox:
    return Sandbox(receipt_after=0)


@pytest.fixture
def address(sandbox: Sandbox) -> Iterator[Address]:
    with running(sandbox) as address:
        yield address


def run(node: str, name: str, address: Address, *secret: str) -> dict[str, Any]:
    """Return a client's results by the names of its calls, or its error."""
    command = [node, str(DIRECTORY / "clients.js"), name, address.base_url, *secret]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@pytest.mark.parametrize("name", ALIYUN)
def test_sdk_of_aliyun_runs(node: str, address: Address, sandbox: Sandbox, name: str) -> None:
    result = run(node, name, address)
    assert {answer["Code"] for answer in result.values()} == {"OK"}, result
    sent = [message for message in sandbox.messages() if message.channel == "sms"][::-1]
    assert [(message.phone, message.sign_name, message.code) for message in sent] == [
        ("13800138000", "阿里 大鱼'*()!~", "123456"),
        ("13800138000", "一", "111111"),
        ("+85251234567", "二", "222222"),
    ]
    assert (result["send"]["BizId"], result["batch"]["BizId"]) == (sent[0].biz_id, sent[1].biz_id)
    rows = result["details"]["SmsSendDetailDTOs"]["SmsSendDetailDTO"]
    assert [row["Content"] for row in rows] == ["【一】code=111111", "【阿里 大鱼'*()!~】code=123456"]


@pytest.mark.parametrize("name", TENCENT)
def test_sdk_of_tencent_cloud_runs(node: str, address: Address, sandbox: Sandbox, name: str) -> None:
    result = run(node, name, address)
    sent = {message.phone: message.biz_id for message in sandbox.messages()}
    statuses = result["send"]["SendStatusSet"]
    assert [(status["Code"], status["SerialNo"]) for status in statuses] == [
        ("Ok", sent["13800138000"]),
        ("Ok", sent["13700137000"]),
    ]
    [row] = result["details"]["PullSmsSendStatusSet"]
    assert (row["SerialNo"], row["ReportStatus"], row["SessionContext"]) == (sent["13800138000"], "SUCCESS", "send-1")
    assert len(result["pulled"]["PullSmsSendStatusSet"]) == 2


def test_older_version_of_tencent_cloud_runs(node: str, address: Address, sandbox: Sandbox) -> None:
    result = run(node, "tencent 2019-07-11", address)
    [status], [row] = result["send"]["SendStatusSet"], result["pulled"]["PullSmsSendStatusSet"]
    assert (status["Code"], status["SerialNo"]) == ("Ok", sandbox.messages()[0].biz_id)
    assert (row["SerialNo"], row["NationCode"], row["PurePhoneNumber"]) == (status["SerialNo"], "86", "13800138000")


@pytest.mark.parametrize("name", TWILIO)
def test_sdk_of_twilio_runs(node: str, address: Address, sandbox: Sandbox, name: str) -> None:
    result = run(node, name, address)
    assert (result["send"]["status"], result["call"]["status"]) == ("queued", "queued")
    assert result["details"] == {"status": "delivered", "call": "completed"}
    assert [(message.phone, message.code, message.biz_id) for message in sandbox.messages()] == [
        ("+85251234567", "012", result["call"]["sid"]),
        ("13800138000", "012345", result["send"]["sid"]),
    ]


@pytest.mark.parametrize(("name", "code"), REFUSALS.items())
def test_sdk_tells_of_a_wrong_secret(node: str, address: Address, sandbox: Sandbox, name: str, code: str) -> None:
    assert run(node, name, address, "wrong")["error"] == code
    assert sandbox.messages() == []
