"""`otpkit healthcheck`: what it asks, and its exit status."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from cli_process import otpkit


class Health(HTTPServer):
    """A service with chosen answers, by path."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        self.statuses = {"/healthz": 200, "/readyz": 200}
        self.asked: list[str] = []


class Answering(BaseHTTPRequestHandler):
    server: Health

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        self.send_response(self.server.statuses[self.path])
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def health() -> Iterator[Health]:
    with Health() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def test_a_service_that_lives_is_healthy(health: Health) -> None:
    done = otpkit("healthcheck", env={"PORT": str(health.server_port)})
    assert (done.status, done.err, health.asked) == (0, "", ["/healthz"])
    assert f"http://127.0.0.1:{health.server_port}/healthz" in done.out


def test_ready_asks_for_the_store(health: Health) -> None:
    health.statuses["/readyz"] = 503
    port = str(health.server_port)
    assert otpkit("healthcheck", "--port", port).status == 0
    done = otpkit("healthcheck", "--ready", "--port", port)
    assert (done.status, done.out) == (1, "")
    assert "503" in done.err
    assert "Redis" in done.err
    assert health.asked == ["/healthz", "/readyz"]


def test_address_is_that_of_serve(health: Health, tmp_path: Path) -> None:
    """The options, PORT, the file, and the default. An address that means every interface is asked at loopback."""
    file = tmp_path / "otpkit.toml"
    file.write_text(f'[service]\nhost = "0.0.0.0"\nport = {health.server_port}\n', encoding="utf-8")
    assert otpkit("healthcheck", "--config", str(file)).status == 0
    wrong = str(closed_port())
    assert otpkit("healthcheck", "--config", str(file), env={"PORT": wrong}).status == 1
    assert otpkit("healthcheck", "--config", str(file), "--port", wrong).status == 1
    assert len(health.asked) == 1


def test_settings_need_not_be_right_to_be_healthy(health: Health, tmp_path: Path) -> None:
    """Only the address counts: the running service has read the settings before."""
    file = tmp_path / "otpkit.toml"
    file.write_text(f'gateway = "pigeon"\n[service]\nport = {health.server_port}\n', encoding="utf-8")
    env = {"OTPKIT_SECRET_FILE": str(tmp_path / "none")}
    assert otpkit("healthcheck", "--config", str(file), env=env).status == 0


def test_nobody_listens() -> None:
    done = otpkit("healthcheck", "--port", str(closed_port()))
    assert (done.status, done.out) == (1, "")
    assert "can't be asked: Connection refused" in done.err
    assert done.err.count("\n") == 1


def test_a_service_that_hangs_is_left_after_three_seconds() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        begin = time.monotonic()
        done = otpkit("healthcheck", "--port", str(silent.getsockname()[1]))
        assert 3 <= time.monotonic() - begin < 20
    assert done.status == 1
    assert "does not answer within 3 s" in done.err


def test_another_protocol_is_no_health() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def babble() -> None:
            client, _ = server.accept()
            with client:
                client.recv(1000)
                client.sendall(b"SSH-2.0-OpenSSH\r\n")

        thread = threading.Thread(target=babble)
        thread.start()
        done = otpkit("healthcheck", "--port", str(server.getsockname()[1]))
        thread.join(20)
    assert done.status == 1
    assert "can't be asked" in done.err


def test_json_tells_both_ends(health: Health) -> None:
    port = str(health.server_port)
    found = json.loads(otpkit("healthcheck", "--json", "--port", port).out)
    assert found == {"healthy": True, "url": f"http://127.0.0.1:{port}/healthz", "problem": None}
    done = otpkit("healthcheck", "--json", "--port", str(closed_port()))
    assert done.status == 1
    assert json.loads(done.out)["healthy"] is False


def test_wrong_settings_of_the_address_are_wrong_usage(tmp_path: Path) -> None:
    file = tmp_path / "otpkit.toml"
    file.write_text("[service]\nport = 70000\n", encoding="utf-8")
    for path in (file, tmp_path / "none.toml"):
        done = otpkit("healthcheck", "--config", str(path))
        assert (done.status, done.out) == (2, "")
        assert "otpkit doctor" in done.err or "none.toml" in done.err
