"""The start and the stop of the server."""

from __future__ import annotations

import logging
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import Any
from urllib.parse import urlencode

import pytest
import requests
from sandbox_client import sms
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from otpkit.errors import ConfigurationError
from otpkit.sandbox import Fault, Sandbox, create_app, running

HEADERS = {"X-Ca-Key": "sandbox", "X-Ca-Secret": "sandbox-secret"}


def test_a_running_sandbox_is_gone_after_its_block() -> None:
    before = threading.enumerate()
    with running(Sandbox()) as address:
        assert address.base_url == f"http://127.0.0.1:{address.port}"
        assert address.gateway_url == f"{address.base_url}/gw/alidayu"
        assert requests.get(address.base_url, timeout=5).status_code == 200
    with pytest.raises(requests.ConnectionError):
        requests.get(address.base_url, timeout=5)
    assert threading.enumerate() == before


def test_a_block_that_fails_stops_the_server_and_keeps_its_error() -> None:
    with pytest.raises(KeyError), running(Sandbox()) as address:
        raise KeyError
    with pytest.raises(requests.ConnectionError):
        requests.get(address.base_url, timeout=5)


def test_a_port_can_be_chosen_and_used_again() -> None:
    with running(Sandbox()) as address:
        port = address.port
    with running(Sandbox(), port) as address:
        assert address.port == port


@pytest.mark.parametrize("port", [-1, 70_000])
def test_a_port_that_does_not_exist_is_refused(port: int) -> None:
    with pytest.raises(ConfigurationError, match="Can't listen"), running(Sandbox(), port):
        pass


def test_a_port_that_is_taken_is_named() -> None:
    with (
        running(Sandbox()) as address,
        pytest.raises(ConfigurationError, match=f"port {address.port}"),
        running(Sandbox(), address.port),
    ):
        pass


def test_two_sandboxes_know_nothing_of_each_other() -> None:
    with running(Sandbox()) as one, running(Sandbox(app_key="k", app_secret="钥匙")) as two:
        assert requests.get(f"{one.gateway_url}/sendSms", sms(), headers=HEADERS, timeout=5).json()["success"]
        assert requests.get(f"{two.gateway_url}/sendSms", sms(), headers=HEADERS, timeout=5).status_code == 403
        own = {"X-Ca-Key": "k", "X-Ca-Secret": "钥匙".encode()}
        assert requests.get(f"{two.gateway_url}/sendSms", sms(), headers=own, timeout=5).json()["success"]


def test_an_answer_under_way_holds_the_end_up_for_a_moment_only(caplog: pytest.LogCaptureFixture) -> None:
    sandbox = Sandbox()
    sandbox.add_fault(Fault("late", delay=600))
    with running(sandbox) as address:
        connection = socket.create_connection((address.host, address.port), timeout=5)
        head = "".join(f"{name}: {value}\r\n" for name, value in HEADERS.items())
        query = requests.Request("GET", "http://x/gw/alidayu/sendSms", params=sms()).prepare().path_url
        connection.sendall(f"GET {query} HTTP/1.1\r\nHost: x\r\n{head}\r\n".encode())
        until = time.monotonic() + 5
        while not sandbox.messages() and time.monotonic() < until:
            time.sleep(0.01)
        assert sandbox.messages()
        before = time.monotonic()
    with connection:
        assert time.monotonic() - before < 4
    assert caplog.records == []


def test_requests_leave_no_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "uvicorn"), running(Sandbox()) as address:
        requests.get(f"{address.gateway_url}/sendSms", sms(), headers=HEADERS, timeout=5)
    assert "123456" not in "".join(record.getMessage() for record in caplog.records if "uvicorn" in record.name)


def test_the_log_of_a_host_that_runs_uvicorn_too_stays_its_own(caplog: pytest.LogCaptureFixture) -> None:
    error, access = logging.getLogger("uvicorn.error"), logging.getLogger("uvicorn.access")
    before = list(error.filters), access.propagate
    with caplog.at_level(logging.INFO, "uvicorn.error"), caplog.at_level(logging.INFO, "uvicorn.access"):
        with running(Sandbox()) as address:
            requests.get(f"{address.gateway_url}/sendSms", sms(), headers=HEADERS, timeout=5)
            error.info("the host's own")
            access.info("the host's own")
        assert [record.getMessage() for record in caplog.records if "uvicorn" in record.name] == ["the host's own"] * 2
        assert (error.level, access.level) == (logging.INFO, logging.INFO)
        assert (error.filters, access.propagate) == before


def test_further_routes_can_be_mounted() -> None:
    async def hello(_: Request) -> PlainTextResponse:
        return PlainTextResponse("hello")

    with running(Sandbox(), extra_routes=[Route("/signup", hello)]) as address:
        assert requests.get(f"{address.base_url}/signup", timeout=5).text == "hello"
        assert requests.get(address.base_url, timeout=5).status_code == 200


def test_further_names_can_be_allowed() -> None:
    with running(Sandbox(), allowed_hosts=["sms.example.com"]) as address:
        names = ["sms.example.com", "SMS.example.com:8025", "other.example.com"]
        replies = [requests.get(address.base_url, headers={"Host": name}, timeout=5) for name in names]
    assert [reply.status_code for reply in replies] == [200, 200, 403]


async def test_under_another_server_the_application_says_what_it_can_not_do() -> None:
    sandbox = Sandbox()
    sandbox.add_fault(Fault("drop"))
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/gw/alidayu/sendSms",
        "query_string": urlencode(sms()).encode(),
        "headers": [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()],
    }
    started: list[int] = []

    async def send(event: dict[str, Any]) -> None:
        started.extend([event["status"]] if "status" in event else [])

    with pytest.raises(ConfigurationError, match=r"otpkit\.sandbox\.serve"):
        await create_app(sandbox)(scope, None, send)
    assert started == [500]


SERVE = """
from otpkit.sandbox import Sandbox, serve
serve(Sandbox(), port=0, on_ready=lambda address: print(address.base_url, flush=True))
print("ended")
"""


def test_serving_ends_quietly_when_interrupted() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SERVE], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            base_url = process.stdout.readline().strip()
            assert requests.get(f"{base_url}/api/stats", timeout=5).status_code == 200
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=20)
        finally:
            process.kill()
    assert (out, err, process.returncode) == ("ended\n", "", 0)


MISSING = """
import sys
sys.modules[sys.argv[1]] = None
from otpkit.errors import ConfigurationError
from otpkit.sandbox import Fault, Sandbox
Sandbox().add_fault(Fault("drop"))
try:
    from otpkit.sandbox import running
except ConfigurationError as exc:
    print(exc)
"""


@pytest.mark.parametrize("library", ["starlette", "uvicorn", "jinja2"])
def test_a_missing_library_is_named_with_the_extra_that_brings_it(library: str) -> None:
    done = subprocess.run([sys.executable, "-c", MISSING, library], capture_output=True, text=True, check=True)
    assert library in done.stdout
    assert "pip install 'otpkit[sandbox]'" in done.stdout


def test_a_name_that_does_not_exist_is_an_ordinary_error() -> None:
    with pytest.raises(ImportError):
        from otpkit.sandbox import nonsense  # noqa: F401
