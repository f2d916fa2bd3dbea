"""`sandbox` and `demo`, which serve until Ctrl-C, and `demo --check`."""

from __future__ import annotations

import re
import shlex
import socket
import time
from datetime import UTC, datetime

import pytest
import requests
from cli_process import PHONE, Ended, otpkit, python, running
from support.secrets import SECRET

from otpkit import OTP
from otpkit.gateways.aliyun.signing import signed_headers
from otpkit.gateways.credentials import Credentials

QUIET = Ended(0, "", "")


def variables(printed: str) -> dict[str, str]:
    """Return the variables of `export` lines, as a shell reads them."""
    lines = [shlex.split(line) for line in printed.splitlines() if line.startswith("export ")]
    return dict(tuple(line[1].split("=", 1)) for line in lines)  # type: ignore[misc]


def test_the_printed_variables_reach_the_local_gateway(monkeypatch: pytest.MonkeyPatch) -> None:
    args = ("--port", "0", "--app-key", "a key", "--app-secret", "it's $HOME", "--receipt-after", "0")
    with running("sandbox", *args, until="APP_SECRET") as sandbox:
        printed = variables(sandbox.head)
        assert printed["OTPKIT_GATEWAY"] == "alidayu"
        assert printed["OTPKIT_ALIDAYU_BASE_URL"] == f"{sandbox.base_url}/gw/alidayu"
        for name, value in printed.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("OTPKIT_TEMPLATE_CODE", "SMS_585014")
        monkeypatch.setenv("OTPKIT_TEMPLATE_SIGN_NAME", "阿里大鱼")
        with OTP.from_env(redis="memory://", secret=SECRET) as otp:
            assert otp.issue(PHONE).delivery == "accepted"
            assert otp.delivery(PHONE).state == "delivered"
        assert f"Inbox: {sandbox.base_url}/\n" in sandbox.head
        assert PHONE in requests.get(sandbox.base_url, timeout=10).text
        assert sandbox.interrupt() == QUIET


def test_the_sandbox_takes_an_access_key_and_pushes_receipts_where_it_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as receiver:
        receiver.settimeout(20)
        url = f"http://127.0.0.1:{receiver.getsockname()[1]}/{{provider}}"
        args = ("--access-key-id", "an-id", "--access-key-secret", "s", "--receipts-url", url, "--receipt-after", "0")
        with running("sandbox", "--port", "0", *args, until="APP_SECRET") as sandbox:
            assert f"Dysmsapi and Dyvmsapi: {sandbox.base_url}, with the access key an-id\n" in sandbox.head
            params = {"PhoneNumbers": PHONE, "SignName": "阿里大鱼", "TemplateCode": "SMS_1"}
            headers = signed_headers(
                Credentials("an-id", "s"),
                action="SendSms",
                version="2017-05-25",
                host=sandbox.base_url.removeprefix("http://"),
                params=params,
                date=datetime.now(UTC),
                nonce="once",
            )
            sent = requests.post(sandbox.base_url, params=params, headers=headers, timeout=10).json()
            assert sent["Code"] == "OK"
            connection, _ = receiver.accept()
            with connection:
                assert connection.recv(65_536).startswith(b"POST /dysmsapi HTTP/1.1\r\n")
            assert sandbox.interrupt() == QUIET


def test_the_demo_serves_its_page_and_the_inbox_until_interrupted() -> None:
    with running("demo", "--port", "0", until="Ctrl-C") as demo, requests.Session() as session:
        assert f"{demo.base_url}/signup\n" in demo.head
        page = session.get(f"{demo.base_url}/signup", timeout=10)
        assert page.status_code == 200
        page = session.get(f"{demo.base_url}/signup/account", timeout=10)  # This is the frame next to the inbox.
        fields = dict(re.findall(r'name="(action|csrf|key)" value="([^"]*)"', page.text))
        shown = session.post(page.url, data=fields | {"phone": PHONE}, timeout=10)
        assert "+86 138 0013 8000" in shown.text
        assert "【otpkit】" in session.get(demo.base_url, timeout=10).text
        assert demo.interrupt() == QUIET  # A connection is still open.


@pytest.mark.parametrize(("command", "until"), [("sandbox", "APP_SECRET"), ("demo", "Ctrl-C")])
def test_pages_that_watch_the_inbox_do_not_hold_up_the_end(command: str, until: str) -> None:
    with running(command, "--port", "0", until=until) as served:
        streams = [requests.get(f"{served.base_url}/api/events", stream=True, timeout=10) for _ in range(3)]
        assert [stream.status_code for stream in streams] == [200] * 3
        start = time.monotonic()
        assert served.interrupt() == QUIET
        assert time.monotonic() - start < 5
        for stream in streams:
            stream.close()


def test_a_port_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for command in ("sandbox", "demo"):
            done = otpkit(command, "--port", port)
            assert (done.status, done.out) == (2, "")
            assert f"port {port}" in done.err
            assert done.err.count("\n") == 1


def test_receipts_from_the_past_are_refused() -> None:
    done = otpkit("sandbox", "--port", "0", "--receipt-after", "-1")
    assert (done.status, done.out) == (2, "")
    assert "receipt_after" in done.err


def test_an_address_that_is_none_is_refused() -> None:
    done = otpkit("sandbox", "--port", "0", "--receipts-url", "hook")
    assert (done.status, done.out) == (2, "")
    assert "'hook' is not a URL to push receipts to" in done.err


def test_an_open_address_is_warned_of_and_printed_so_that_it_can_be_reached() -> None:
    with running("sandbox", "--host", "0.0.0.0", "--port", "0", until="APP_SECRET") as sandbox:
        assert sandbox.base_url.startswith("http://127.0.0.1:")
        assert requests.get(sandbox.base_url, timeout=10).status_code == 200
        done = sandbox.interrupt()
    assert done.status == 0
    assert done.err == "Warning: anyone who can reach 0.0.0.0 can read every code.\n"


def test_the_check_tells_the_whole_story() -> None:
    done = otpkit("demo", "--check")
    assert (done.status, done.err) == (0, "")
    steps = re.findall(r"^ ?(\d+)\. .+\n      (.+)\n      -> (.+)$", done.out, re.MULTILINE)
    assert [int(number) for number, _, _ in steps] == list(range(1, 11))
    answers = [answer for _, _, answer in steps]
    for answer, start in zip(
        answers,
        (
            "a gateway that speaks Alidayu's wire format at http://127.0.0.1:",
            "Challenge: accepted",
            "【otpkit】Your otpkit code is ",
            "Delivery: delivered",
            "RateLimitError: ",
            "WrongCodeError: That code is not right. Attempts left: 4.",
            "Proof ",
            "ExpiredCodeError: ",
            "Proof ",
            "UsedTokenError: ",
        ),
        strict=True,
    ):
        assert answer.startswith(start)
    code = re.search(r"code is (\d{6})", answers[2])
    assert code
    elsewhere = done.out.replace(f"phone={PHONE}", "").replace(answers[2], "")
    assert code[1] not in elsewhere
    assert PHONE not in elsewhere


BROKEN = """
import sys
from otpkit.cli import demo, main
exec(sys.argv.pop(1))
main()
"""


@pytest.mark.parametrize(
    ("fault", "surprise"),
    [
        ("demo._other_than = lambda code: code", "should have raised WrongCodeError"),
        ("demo.PHONE = '+8613900050001'", "GatewayRejectedError"),
        ("demo.PHONE = '+8613900100071'", "the delivery is failed"),
        ("demo.PHONE = '+8613900100090'", "the inbox holds 0 messages"),
    ],
)
def test_a_surprise_is_told_and_ends_the_check(fault: str, surprise: str) -> None:
    done = python("-c", BROKEN, fault, "demo", "--check")
    assert done.status == 1
    assert surprise in done.err
    assert "Traceback" not in done.err
