"""SIGHUP makes `otpkit serve` read its settings again: no request is lost, and wrong settings change nothing."""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
from serve_command import SECONDS, Slow, config, environment, serving
from support.event_receiver import SECRET as WEBHOOK_SECRET
from support.service import KEY, PHONE, SECRET

from otpkit.errors import ConfigurationError
from otpkit.service import Metrics
from otpkit.service.process import build
from otpkit.service.reloading import Generation, Reloader
from otpkit.settings import Settings, read_settings

NEW_KEY = KEY[::-1]
RELOADED = "The settings were reloaded."
MANY = 100


@pytest.fixture
def webhook() -> Iterator[Slow]:
    with Slow() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.answer.set()
        server.shutdown()


def wait_until(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.02)


def log_until(process: subprocess.Popen[str], text: str) -> str:
    """Return what a process writes to standard error, up to a line with a text."""
    assert process.stderr is not None
    found = ""
    while text not in found:
        line = process.stderr.readline()
        assert line, found
        found += line
    return found


def reloaded(process: subprocess.Popen[str], text: str = RELOADED) -> str:
    """Send SIGHUP, and return the log up to a text."""
    process.send_signal(signal.SIGHUP)
    return log_until(process, text)


def change(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")


def post(url: str, path: str, key: str = KEY, **body: str) -> requests.Response:
    headers = {"Authorization": f"Bearer {key}"}
    return requests.post(f"{url}/v1/{path}", json={"phone": PHONE, **body}, headers=headers, timeout=SECONDS)


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    process.terminate()
    _, log = process.communicate(timeout=SECONDS)
    return process.returncode, log


def test_requests_in_flight_survive_a_reload(valkey_url: str, namespace: str, tmp_path: Path, webhook: Slow) -> None:
    """They end with the settings that they began with. The next ones have the new key and policy.

    A store that does not answer is not taken: a mistyped password would end a working service. A signal while the
    process ends does nothing.
    """
    file = config(tmp_path, valkey_url, webhook, namespace)
    phones = [f"+86139{number:08}" for number in range(MANY)]
    with serving(file) as (process, url), ThreadPoolExecutor(MANY) as threads:
        calls = [threads.submit(post, url, "challenges", phone=phone) for phone in phones]
        wait_until(lambda: len(webhook.codes) == MANY)
        change(file, f'key = "{KEY}"', f'key = "{NEW_KEY}"')
        change(file, "[templates.signup]", "[policy]\ncode_length = 8\n\n[templates.signup]")
        reloaded(process)
        assert post(url, "challenges/status").status_code == 401
        assert post(url, "challenges/status", NEW_KEY).status_code == 404
        assert not any(each.done() for each in calls)
        webhook.answer.set()
        assert [each.result(SECONDS).status_code for each in calls] == [201] * MANY
        assert post(url, "challenges", NEW_KEY).status_code == 201
        assert len(webhook.codes[-1]) == 8
        schema = requests.get(f"{url}/openapi.json", timeout=SECONDS).json()["components"]["schemas"]
        assert "{8}" in schema["VerificationRequest"]["properties"]["code"]["pattern"]
        change(file, valkey_url, "redis://127.0.0.1:1/0")
        assert "redis_url has changed, and the new store can't be used: " in reloaded(process, "can't be used")
        assert requests.get(f"{url}/readyz", timeout=SECONDS).status_code == 200
        webhook.answer.clear()
        last = threads.submit(post, url, "challenges", NEW_KEY, phone=f"{PHONE[:-1]}1")
        wait_until(lambda: len(webhook.codes) == MANY + 2)
        with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))) as idle:
            process.terminate()
            assert idle.recv(1) == b""  # Idle connections are closed as the end begins.
        process.send_signal(signal.SIGHUP)
        webhook.answer.set()
        assert last.result(SECONDS).status_code == 201
        assert ended(process) == (0, "")


def test_wrong_settings_leave_the_old_ones(tmp_path: Path, webhook: Slow) -> None:
    """The log has the text of the start. A setting that is read only at the start is named.

    With right ones, a purpose that is added can be used, and what is in the embedded store stays.
    """
    webhook.answer.set()
    file, secret = config(tmp_path, "memory://", webhook), tmp_path / "secret"
    secret.write_text(SECRET, encoding="utf-8")
    secret.chmod(0o600)
    change(file, f'secret = "{SECRET}"\nnamespace', f'secret_file = "{secret}"\nnamespace')
    good = file.read_text(encoding="utf-8")
    kept = "were not reloaded, and the old ones stay. "

    def refused(*expected: str) -> None:
        with pytest.raises(ConfigurationError) as error:
            read_settings({}, str(file), serves=True)
        log = reloaded(process, str(error.value))
        assert kept in log
        assert all(each in log for each in expected)
        assert post(url, "challenges/status").status_code == 404
        file.write_text(good, encoding="utf-8")

    with serving(file) as (process, url):
        other = f"{PHONE[:-1]}1"
        assert post(url, "challenges", phone=other).status_code == 201
        assert post(url, "challenges", phone=f"{PHONE[:-1]}2", purpose="login").status_code == 403
        change(file, "port = 0", "port = 0\nforwarded_hops = 99")
        change(file, 'purposes = ["signup"]', 'purposes = ["sign up!"]')
        refused("service.forwarded_hops must be a whole number", "sign up!")
        file.write_text("port = = 1", encoding="utf-8")
        refused("can't be read as a TOML file")
        secret.chmod(0o644)
        refused(f"{file}: secret_file", "is open to every user of the system (mode 0644)")
        secret.chmod(0o600)
        secret.write_text("", encoding="utf-8")
        refused("is empty")
        secret.write_text(SECRET, encoding="utf-8")
        change(file, "port = 0", "port = 9\nworkers = 2")
        log = reloaded(process)
        assert "service.port has changed. It is read only at the start: restart the service.\n" in log
        assert "service.workers has changed." in log
        change(file, 'redis_url = "memory://"', 'redis_url = "redis://127.0.0.1:1/0"')
        change(file, "[keys.shop]", '[templates.login]\ncode = "SMS_2"\nsign_name = "x"\n\n[keys.shop]')
        change(file, 'purposes = ["signup"]', 'purposes = ["signup", "login"]')
        assert "redis_url has changed." in reloaded(process)
        assert post(url, "challenges", phone=f"{PHONE[:-1]}2", purpose="login").status_code == 201
        assert post(url, "verifications", phone=other, code=webhook.codes[0]).status_code == 200
        status, log = ended(process)
    assert (status, SECRET in log, KEY in log) == (0, False, False)


def test_many_reloads_leak_nothing(valkey_url: str, namespace: str, tmp_path: Path, webhook: Slow) -> None:
    """Threads and descriptors are those of one generation. Counters go on, and signals at once are one reload."""
    webhook.answer.set()
    file = config(tmp_path, valkey_url, webhook, namespace)
    table = '[telemetry]\nlog = "json"\nprometheus = true\nwebhook_url = "http://127.0.0.1:9/"\nwebhook_secret = "{}"\n'
    reader = '[keys.reader]\nkey = "{}"\npurposes = []\n'
    with file.open("a", encoding="utf-8") as settings:
        settings.write(table.format(WEBHOOK_SECRET) + reader.format(NEW_KEY))

    def used() -> tuple[int, int]:
        place = Path(f"/proc/{process.pid}")
        return len(list((place / "fd").iterdir())), len(list((place / "task").iterdir()))

    with serving(file) as (process, url):
        counts = []
        for number in range(8):
            assert post(url, "challenges", phone=f"+86137{number:08}").status_code == 201
            reloaded(process)
            counts.append(used())
        wait_until(lambda: all(now <= then + 3 for now, then in zip(used(), counts[2], strict=True)))
        headers = {"Authorization": f"Bearer {NEW_KEY}"}
        metrics = requests.get(f"{url}/metrics", headers=headers, timeout=SECONDS).text
        assert 'otpkit_requests_total{route="/v1/challenges",status="201"} 8.0' in metrics
        assert 'otpkit_listener_dropped_total{listener="WebhookListener"}' in metrics
        for _ in range(50):
            process.send_signal(signal.SIGHUP)
        log_until(process, RELOADED)
        status, log = ended(process)
    assert (status, log.count(RELOADED) < 10) == (0, True)


HUNG_UP = """
import os, signal, otpkit.settings
from otpkit.core import hangups

read, signals = otpkit.settings.read_settings, [signal.SIGHUP]

def read_settings(*args, **options):
    if signals:
        os.kill(os.getpid(), signals.pop())
    return read(*args, **options)

otpkit.settings.read_settings = read_settings
hangups.hold()
from otpkit.cli import main
main()
"""


def test_hangup_during_the_start_is_a_reload(tmp_path: Path, webhook: Slow) -> None:
    """It must not end the process; and settings may have been read before they changed."""
    command = [sys.executable, "-c", HUNG_UP, "serve", "--config", str(config(tmp_path, "memory://", webhook))]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment()) as process:
        log_until(process, RELOADED)
        assert ended(process) == (0, "")


HELD = "import signal; import otpkit; print(signal.getsignal(signal.SIGHUP) != signal.SIG_DFL)\n"


@pytest.mark.parametrize(("command", "held"), [("serve", True), ("console", True), ("issue", False)])
def test_import_of_the_command_holds_hangups(tmp_path: Path, command: str, held: bool) -> None:
    """The import takes longest, so the signals are held before it."""
    program = tmp_path / "otpkit"
    program.write_text(HELD, encoding="utf-8")
    done = subprocess.run([sys.executable, str(program), command], capture_output=True, text=True, check=True)
    assert done.stdout == f"{held}\n"


@pytest.mark.parametrize("arguments", [["-m", "site_of_theirs", "serve"], ["-m", "site_of_theirs", "serve", "otpkit"]])
def test_other_programs_keep_their_hangups(tmp_path: Path, arguments: list[str]) -> None:
    """Whatever their command is."""
    package = tmp_path / "site_of_theirs"
    package.mkdir()
    for name in ("__init__.py", "__main__.py"):
        (package / name).write_text(HELD, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, check=True, cwd=tmp_path, env=environment()
    )
    assert done.stdout == "False\nFalse\n"


async def test_old_settings_are_freed(tmp_path: Path, webhook: Slow) -> None:
    """Nothing holds a generation whose last request is over."""
    file, metrics = config(tmp_path, "memory://", webhook), Metrics()
    made: weakref.WeakSet[Generation] = weakref.WeakSet()
    closed = asyncio.Queue[None]()

    def read() -> Settings:
        return read_settings({}, str(file), serves=True)

    def make(settings: Settings) -> Generation:
        made.add(found := build(settings, metrics))
        return found

    async def on_close(_: Generation) -> None:
        closed.put_nowait(None)

    reloader = Reloader(make(read()), read, make, lambda *_: None, on_close)
    for _ in range(5):
        reloader.reload()
        await asyncio.wait_for(closed.get(), SECONDS)
    await asyncio.sleep(0)
    gc.collect()
    assert len(made) == 1
    await reloader.close()
