"""The commands of Alidayu's document run unchanged except for the host. Other targets beyond ASCII work too."""

from __future__ import annotations

import http.client
import io
import json
import shutil
import socket
import subprocess
import sys
import types
import urllib.request
from collections.abc import Iterator
from contextlib import redirect_stdout
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sandbox_client import Clock
from support.servers import unavailable

from otpkit.sandbox import Address, Sandbox, running
from otpkit.sandbox.server import encoded

HOST = "https://ca.aliyuncs.com"

# From the document, without the line breaks of its page.
CURL_SEND = (
    "curl --get -include '{host}/gw/alidayu/sendSms?rec_num=18000000000&sms_template_code=SMS_10000"
    "&sms_free_sign_name=测试签名001&sms_type=normal&extend=1234' "
    """--data-urlencode 'sms_param={{"code":"1234","product":"alidayu"}}' """
    "-H 'X-Ca-Key: appKey' -H 'X-Ca-Secret: appSecret'"
)
CURL_QUERY = (
    "curl --get --include '{host}/gw/alidayu/querySmsDetail?rec_num=13000000000&query_date=20160106&current_page=1"
    "&page_size=10' -H 'X-Ca-Key: appKey' -H 'X-Ca-Secret: appSecret'"
)
PYTHON_SEND = """
# coding=utf-8
import urllib2
url = "https://ca.aliyuncs.com/gw/alidayu/sendSms" \\
     + "?rec_num=13000000000" \\
     + "&sms_template_code=SMS_4215006" \\
     + "&sms_free_sign_name=登录验证" \\
     + "&sms_type=normal" \\
     + "&extend=1234" \\
     + '&sms_param={"code":"1234","product":"alidayu"}'
req = urllib2.Request(url)
req.add_header("X-Ca-Key", "appKey")
req.add_header("X-Ca-Secret", "appSecret")
resp = urllib2.urlopen(req)
content = resp.read()
if content:
   print(content)
"""
PYTHON_QUERY = """
# coding=utf-8
import urllib2
url = "https://ca.aliyuncs.com/gw/alidayu/querySmsDetail" \\
     + "?rec_num=13000000000" \\
     + "&query_date=20160107" \\
     + "&current_page=1" \\
     + "&page_size=10"
req = urllib2.Request(url)
req.add_header("X-Ca-Key", "appKey")
req.add_header("X-Ca-Secret", "appSecret")
resp = urllib2.urlopen(req)
content = resp.read()
if content:
   print(content)
"""


@pytest.fixture
def sandbox(clock: Clock) -> Sandbox:
    clock.now = datetime(2016, 1, 7, 4, tzinfo=UTC).timestamp()  # Noon in Shanghai on the document's day.
    return Sandbox(app_key="appKey", app_secret="appSecret", clock=clock)


@pytest.fixture
def address(sandbox: Sandbox) -> Iterator[Address]:
    with running(sandbox) as address:
        yield address


def curl(line: str, address: Address, directory: Path) -> tuple[str, Any]:
    """Run a command in a shell, and return the answer's status line and its JSON."""
    if shutil.which("curl") is None:
        unavailable("curl is not installed")
    command = ["sh", "-c", line.format(host=address.base_url)]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=30, check=True)
    head, _, body = done.stdout.partition("\n\n")
    return head.splitlines()[0], json.loads(body)


class _Connection(http.client.HTTPConnection):
    """Sends a target as Python 2 does: unquoted, in UTF-8."""

    def _encode_request(self, request: str) -> bytes:
        return request.encode()

    def _validate_path(self, url: str) -> None:
        pass


class _Handler(urllib.request.HTTPHandler):
    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_Connection, req)


def python(text: str, address: Address, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run a program of Python 2, and return the JSON that it prints."""
    urllib2 = types.ModuleType("urllib2")
    urllib2.Request = urllib.request.Request  # type: ignore[attr-defined]
    urllib2.urlopen = urllib.request.build_opener(_Handler).open  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "urllib2", urllib2)
    printed = io.StringIO()
    with redirect_stdout(printed):
        exec(text.replace(HOST, address.base_url), {})
    return json.loads(eval(printed.getvalue()))


def test_curl_line_sends_message(address: Address, sandbox: Sandbox, tmp_path: Path) -> None:
    status, body = curl(CURL_SEND, address, tmp_path)
    assert (status, body["success"], body["code"]) == ("HTTP/1.1 200 OK", True, "0")
    [message] = sandbox.messages()
    assert (message.phone, message.sign_name, message.extend) == ("18000000000", "测试签名001", "1234")
    assert message.params == {"code": "1234", "product": "alidayu"}


def test_curl_line_asks_for_records(address: Address, tmp_path: Path) -> None:
    status, body = curl(CURL_QUERY, address, tmp_path)
    assert (status, body["values"], body["page_size"]) == ("HTTP/1.1 200 OK", [], 10)


def test_python_lines_send_and_ask(address: Address, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    assert python(PYTHON_SEND, address, monkeypatch)["success"] is True
    [message] = sandbox.messages()
    assert (message.text, message.code) == ("【登录验证】code=1234, product=alidayu", "1234")
    [row] = python(PYTHON_QUERY, address, monkeypatch)["values"]
    assert (row["rec_num"], row["sms_code"], row["extend"]) == ("13000000000", "SMS_4215006", "1234")


QUERY = 'rec_num=13000000000&sms_template_code=S&sms_free_sign_name={}&sms_type=normal&sms_param={{"code":"1"}}'
HEADERS = "Host: x\r\nX-Ca-Key: appKey\r\nX-Ca-Secret: appSecret\r\n"


def request_of(name: str, headers: str = "") -> bytes:
    return f"GET /gw/alidayu/sendSms?{QUERY.format(name)} HTTP/1.1\r\n{HEADERS}{headers}\r\n".encode()


def answers(connection: socket.socket, number: int) -> list[tuple[int, Any]]:
    """Read answers from one connection."""
    found = []
    for _ in range(number):
        response = http.client.HTTPResponse(connection)
        response.begin()
        found.append((response.status, json.loads(response.read())))
    return found


@pytest.mark.parametrize("name", ["登录验证", "a b", "é", "😀", "登录 验证 001", "%E7%99%BB"])
@pytest.mark.parametrize("size", [1, 7, 65_536])
def test_target_is_read_as_it_stands(address: Address, sandbox: Sandbox, name: str, size: int) -> None:
    """The request may arrive in pieces of any size."""
    sent = request_of(name)
    with socket.create_connection((address.host, address.port), timeout=10) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for start in range(0, len(sent), size):
            connection.sendall(sent[start : start + size])
        assert [status for status, _ in answers(connection, 1)] == [200]
    assert [message.sign_name for message in sandbox.messages()] == [name.replace("%E7%99%BB", "登")]


def test_connection_is_kept_for_further_targets(address: Address, sandbox: Sandbox) -> None:
    with socket.create_connection((address.host, address.port), timeout=10) as connection:
        for name in ("一", "二", "三"):
            connection.sendall(request_of(name))
            assert answers(connection, 1)[0][1]["success"] is True
    assert [message.sign_name for message in sandbox.messages()] == ["三", "二", "一"]


def test_text_that_is_not_utf8_is_refused_by_the_gateway(address: Address) -> None:
    """A shell on Windows sends GBK. The error is the gateway's own."""
    with socket.create_connection((address.host, address.port), timeout=10) as connection:
        connection.sendall(request_of("登录").decode().encode("gbk"))
        [(status, body)] = answers(connection, 1)
    assert (status, body["code"]) == (200, "99998")


@pytest.mark.parametrize(
    "line", [b"GET /a\x00b HTTP/1.1", b"GET /a\x7fb HTTP/1.1", b"\x16\x03\x01", b"nonsense", b"GET /"]
)
def test_line_that_is_no_request_is_refused(address: Address, line: bytes) -> None:
    with socket.create_connection((address.host, address.port), timeout=10) as connection:
        connection.sendall(line + b"\r\nHost: x\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"GET /?a=\xe4\xb8\xad HTTP/1.1\r", b"GET /?a=%E4%B8%AD HTTP/1.1\r"),
        (b"GET /?a=1 2 3 HTTP/1.1\r", b"GET /?a=1%202%203 HTTP/1.1\r"),
        (b'GET /?a=%20+~"{}|^ HTTP/1.0', b'GET /?a=%20+~"{}|^ HTTP/1.0'),
        (b"GET /?a=\xff", b"GET /?a=\xff"),
        (b"", b""),
    ],
)
def test_request_line_is_encoded(line: bytes, expected: bytes) -> None:
    assert encoded(line) == expected
