"""The servers of the tests start, answer, and never outlive the tests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from support.servers import MAX_SOCKET_PATH, Server, find_redis, find_valkey, ping, running, start, unavailable

BINARIES: list[Callable[[], str | None]] = [find_valkey, find_redis]


@pytest.fixture(params=BINARIES, ids=["valkey", "redis"])
def binary(request: pytest.FixtureRequest) -> str:
    found: str | None = request.param()
    if found is None:
        unavailable(f"{request.param.__name__}() found none")
    return found


@pytest.fixture
def short_directory() -> Iterator[str]:
    """Yield a directory for the files of a killed parent. pytest's own paths are too long for a socket."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as path:
        yield path


def wait_until(condition: Callable[[], bool], seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def runs(pid: int) -> bool:
    """Return whether a process runs. A zombie does not count."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_server_answers_on_its_socket_alone_and_writes_nothing(binary: str) -> None:
    with running(binary) as server, redis.Redis.from_url(server.url) as client:
        assert client.ping()
        assert client.config_get("port") == {"port": "0"}
        assert client.config_get("save") == {"save": ""}
        assert client.config_get("appendonly") == {"appendonly": "no"}
        assert client.info("server")["process_id"] == server.pid


def test_further_options_reach_the_server(binary: str) -> None:
    with running(binary, "--maxmemory", "7mb") as server, redis.Redis.from_url(server.url) as client:
        assert client.config_get("maxmemory") == {"maxmemory": str(7 * 1024 * 1024)}


def test_a_stopped_server_leaves_nothing_behind(binary: str) -> None:
    with running(binary) as server:
        pass
    assert server.process.returncode is not None
    assert not server.socket_path.parent.exists()
    server.stop()


def test_two_servers_share_nothing(binary: str) -> None:
    with running(binary) as one, running(binary) as other:
        with redis.Redis.from_url(one.url) as client:
            client.set("key", "value")
        with redis.Redis.from_url(other.url) as client:
            assert client.get("key") is None


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")
def test_a_server_dies_with_a_parent_that_was_killed(binary: str, short_directory: str) -> None:
    program = (
        "import sys; from support import servers; print(servers.start(sys.argv[1]).pid, flush=True); sys.stdin.read()"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program, binary],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parent,
        env={**os.environ, "TMPDIR": short_directory},
    )
    with parent:
        assert parent.stdout is not None
        server_pid = int(parent.stdout.readline())
        assert runs(server_pid)
        parent.send_signal(signal.SIGKILL)
    assert wait_until(lambda: not runs(server_pid))


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_server_is_stopped_by_a_parent_that_ends(binary: str) -> None:
    program = "import sys; from support import servers; s = servers.start(sys.argv[1]); print(s.pid, s.socket_path)"
    ended = subprocess.run(
        [sys.executable, "-c", program, binary],
        capture_output=True,
        check=True,
        cwd=Path(__file__).parent,
        text=True,
    )
    pid, path = ended.stdout.split()
    assert wait_until(lambda: not runs(int(pid)))
    assert not Path(path).parent.exists()


def test_a_server_that_does_not_start_is_an_error_with_its_last_words(binary: str) -> None:
    with pytest.raises(RuntimeError, match=r"ended with status \d+: "):
        start(binary, "--no-such-option", "1")


def test_a_server_is_not_started_from_a_thread_that_would_end_it() -> None:
    caught: list[BaseException] = []

    def attempt() -> None:
        try:
            start("redis-server")
        except RuntimeError as error:
            caught.append(error)

    thread = threading.Thread(target=attempt)
    thread.start()
    thread.join()
    assert "main thread" in str(caught[0])


def test_a_long_temporary_directory_gives_a_socket_path_that_fits(
    binary: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / ("d" * MAX_SOCKET_PATH)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    with running(binary) as server:
        assert len(bytes(server.socket_path)) <= MAX_SOCKET_PATH
        assert ping(server.socket_path)
    assert list(deep.iterdir()) == []


def test_a_socket_that_does_not_exist_does_not_answer(tmp_path: Path) -> None:
    assert not ping(tmp_path / "s.sock")


def test_the_fixtures_give_urls_of_servers_that_answer(valkey_url: str, redis_url: str) -> None:
    assert valkey_url != redis_url
    for url in (valkey_url, redis_url):
        with redis.Redis.from_url(url) as client:
            assert client.ping()


def test_every_store_has_a_url(store_url: str, namespace: str) -> None:
    assert store_url == "memory://" or store_url.startswith(("unix://", "redis://", "rediss://"))
    assert namespace.isalnum()


def test_a_missing_server_skips_a_test_but_fails_it_under_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no server"):
        unavailable("no server")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="no server"):
        unavailable("no server")


def test_a_second_stop_does_nothing(binary: str) -> None:
    server: Server = start(binary)
    server.stop()
    server.stop()
    assert not runs(server.pid)
