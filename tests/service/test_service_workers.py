"""`otpkit serve --workers 2`: processes on one socket, with a parent that replaces, reloads and ends them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import requests
from serve_command import SECONDS, Slow, config, environment, serving
from support.service import KEY, OTHER_KEY
from test_service_reload import NEW_KEY, change, ended, log_until, post, reloaded, wait_until, webhook

__all__ = ["webhook"]  # the fixture
CHECKED = "The settings were checked. 2 workers reload them."


def workers_of(process: subprocess.Popen[str]) -> set[int]:
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="ascii")
    return set(map(int, children.split()))


def is_alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except FileNotFoundError:
        return False


def requested(url: str) -> int:
    """Return the number of requests for challenges that `/metrics` counts."""
    text = requests.get(f"{url}/metrics", headers={"Authorization": f"Bearer {OTHER_KEY}"}, timeout=SECONDS).text
    lines = [line for line in text.splitlines() if line.startswith('otpkit_requests_total{route="/v1/challenges"')]
    return sum(int(float(line.rpartition(" ")[2])) for line in lines)


def with_reader(file: Path) -> Path:
    with file.open("a", encoding="utf-8") as settings:
        settings.write(f'access_log = false\n\n[keys.reader]\nkey = "{OTHER_KEY}"\npurposes = []\n')
    return file


def test_dead_worker_is_replaced_and_counters_stay(
    valkey_url: str, namespace: str, tmp_path: Path, webhook: Slow
) -> None:
    """The others serve meanwhile. `/metrics` is the sum of all, also of the dead; a reload reaches every worker."""
    webhook.answer.set()
    file = with_reader(config(tmp_path, valkey_url, webhook, namespace))
    with serving(file, "--workers", "2") as (process, url):
        before = workers_of(process)
        assert len(before) == 2
        with ThreadPoolExecutor(8) as threads:
            phones = [f"+86136{number:08}" for number in range(24)]
            answers = list(threads.map(lambda phone: post(url, "challenges", phone=phone), phones))
        assert {answer.status_code for answer in answers} == {201}
        assert requested(url) == 24

        victim = min(before)
        os.kill(victim, signal.SIGKILL)
        assert "Worker 1 was ended by SIGKILL." in log_until(process, "started again")
        for _ in range(5):
            assert requests.get(f"{url}/healthz", timeout=SECONDS).status_code == 200
        wait_until(lambda: len(workers_of(process)) == 2)
        (replacement,) = workers_of(process) - before
        assert requested(url) == 24
        os.kill(replacement, signal.SIGKILL)
        assert "It is started again in 0.5 s." in log_until(process, "Worker 1 was ended")
        wait_until(lambda: len(workers_of(process)) == 2)

        change(file, "port = 0", "port = 70000")
        assert "service.port must be a whole number" in reloaded(process, "were not reloaded")
        assert post(url, "challenges/status").status_code == 404
        change(file, "port = 70000", "port = 0")
        change(file, f'key = "{KEY}"', f'key = "{NEW_KEY}"')
        assert "were not reloaded" not in reloaded(process, CHECKED)
        wait_until(lambda: [post(url, "challenges/status").status_code for _ in range(12)] == [401] * 12)
        assert post(url, "challenges/status", NEW_KEY).status_code == 404
        for pid in workers_of(process):  # The replacements have the new settings too.
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: len(workers_of(process)) == 2)
        assert post(url, "challenges/status", NEW_KEY).status_code == 404
        assert requested(url) == 24
        assert ended(process)[0] == 0


def test_end_of_the_parent_drains_all_workers(valkey_url: str, namespace: str, tmp_path: Path, webhook: Slow) -> None:
    """SIGTERM lets requests end, and refuses new connections. Workers do not outlive a parent that is killed."""
    file = config(tmp_path, valkey_url, webhook, namespace)
    with (
        serving(file, env={"OTPKIT_SERVICE_WORKERS": "2"}) as (process, url),
        ThreadPoolExecutor(8) as threads,
    ):
        workers = workers_of(process)
        phones = [f"+86135{number:08}" for number in range(8)]
        calls = [threads.submit(post, url, "challenges", phone=phone) for phone in phones]
        wait_until(lambda: len(webhook.codes) == 8)
        process.terminate()
        wait_until(lambda: not _accepts(url))
        assert all(map(is_alive, workers))
        webhook.answer.set()
        assert [each.result(SECONDS).status_code for each in calls] == [201] * 8
        assert process.communicate(timeout=SECONDS) == ("", "")
        assert process.returncode == 0
        assert not any(map(is_alive, workers))
    with serving(file, "--workers", "2") as (process, _):
        workers = workers_of(process)
        process.kill()
        wait_until(lambda: not any(map(is_alive, workers)))


def _accepts(url: str) -> bool:
    try:
        requests.get(f"{url}/healthz", timeout=1)
    except requests.ConnectionError:
        return False
    return True


def test_workers_that_cannot_work_are_refused(tmp_path: Path, webhook: Slow) -> None:
    """Each would have its own codes; and a worker that can't begin ends the command, as one process would."""
    file = config(tmp_path, "memory://", webhook)
    command = [sys.executable, "-m", "otpkit", "serve", "--config", str(file), "--workers", "2"]
    assert "codes of its own" in refused(command)
    change(file, "memory://", "redis://127.0.0.1:1/0")
    wrong = {"OTPKIT_TELEMETRY_OTEL": "1", "OTEL_TRACES_EXPORTER": "zipkin"}
    assert "OTEL_TRACES_EXPORTER" in refused(command, wrong)


def refused(command: list[str], variables: Mapping[str, str] | None = None) -> str:
    """Run a command that ends by itself with the status for wrong settings, and return its errors."""
    done = subprocess.run(
        command, env=environment(variables), capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    return done.stderr
