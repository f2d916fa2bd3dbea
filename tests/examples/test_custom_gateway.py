"""examples/custom_gateway.py, unchanged: its one command, and its gateway's three outcomes over HTTP."""

from __future__ import annotations

import re
import runpy
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from example_process import EXAMPLES, SECONDS
from support.secrets import SECRET

from otpkit import OTP, ConfigurationError, GatewayRejectedError, Template
from otpkit.gateways import Gateway

PHONE = "+8613800138000"
TEMPLATE = Template("text", "otpkit", body="Your code is ${code}")


@contextmanager
def carrier(answer: bytes) -> Iterator[str]:
    """Yield the URL of a server that reads one request, and sends this answer or closes the connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            peer, _ = listener.accept()
            with peer:
                peer.recv(65536)
                peer.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/messages"
        thread.join(SECONDS)


@pytest.fixture(scope="module")
def kind() -> Any:
    return runpy.run_path(str(EXAMPLES / "custom_gateway.py"))["Carrier"]


def issue(gateway: Gateway) -> str:
    with OTP("memory://", gateway, TEMPLATE, SECRET) as otp:
        return otp.issue(PHONE).delivery


def test_its_one_command_verifies_a_phone() -> None:
    command = [sys.executable, str(EXAMPLES / "custom_gateway.py")]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=True, timeout=SECONDS)
    assert re.fullmatch(
        r"The phone shows: 【otpkit】Your code is \d{6}\nThe message is accepted\.\nVerified: \+8613800138000\n",
        done.stdout,
    )
    assert done.stderr == ""


def test_a_202_is_accepted(kind: Any) -> None:
    with carrier(b'HTTP/1.1 202 Accepted\r\nContent-Length: 10\r\n\r\n{"id":"x"}') as url:
        assert issue(kind(url, "key")) == "accepted"


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n"])
def test_anything_unclear_is_uncertain(kind: Any, answer: bytes) -> None:
    with carrier(answer) as url:
        assert issue(kind(url, "key")) == "uncertain"


def test_a_4xx_and_a_connection_that_was_never_made_are_rejections(kind: Any) -> None:
    with carrier(b"HTTP/1.1 400 X\r\nContent-Length: 0\r\n\r\n") as url, pytest.raises(GatewayRejectedError) as refused:
        issue(kind(url, "key"))
    assert (refused.value.gateway, refused.value.category) == ("carrier", "request")
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        with pytest.raises(GatewayRejectedError) as refused:
            issue(kind(f"http://127.0.0.1:{held.getsockname()[1]}/", "key"))
    assert refused.value.category == "connection"


def test_a_template_without_a_text_is_refused(kind: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"Template\.body"):
        kind("http://127.0.0.1/", "key").check(Template("text", "otpkit"))
