"""The store of a simulation: `OTPKIT_REDIS_URL`, else a private server in a temporary directory, else `memory://`."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from otpkit.errors import OTPError
from otpkit.store.errors import REDIS_ERRORS
from otpkit.store.sync import SyncStore
from otpkit.store.url import MEMORY_URL

SERVERS: Final = ("valkey-server", "redis-server")
_PATIENCE_S: Final = 60
_START_S: Final = 10.0
_STOP_S: Final = 5.0
# The shell ends the server when its standard input closes, so that the server does not outlive this process.
_GUARDED: Final = '"$@" <&- & read -r _; kill $! 2>/dev/null; wait'
_BATCH: Final = 1_000


@contextmanager
def store_url(environ: Mapping[str, str]) -> Iterator[str]:
    """Give the URL of the store: of the environment, of a server that runs for this block alone, or `memory://`.

    Args:
        environ: the environment variables.
    """
    if url := environ.get("OTPKIT_REDIS_URL", "").strip():
        yield url
        return
    binary = next(filter(None, map(shutil.which, SERVERS)), None)
    if binary is None or os.name != "posix":
        yield MEMORY_URL
        return
    with tempfile.TemporaryDirectory(prefix="otpkit-") as directory:
        socket = Path(directory) / "s.sock"
        options = ("--port", "0", "--unixsocket", str(socket), "--dir", directory, "--save", "", "--appendonly", "no")
        command = ["/bin/sh", "-c", _GUARDED, "sh", binary, *options, "--logfile", str(Path(directory) / "log")]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True)  # noqa: S603
        try:
            yield f"unix://{socket}?db=0" if _answers(socket, process) else MEMORY_URL
        finally:
            process.communicate(timeout=_STOP_S)


def _answers(socket: Path, process: subprocess.Popen[bytes]) -> bool:
    deadline = time.monotonic() + _START_S
    while not socket.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def open_store(url: str) -> SyncStore:
    """Return a store whose client waits long for its server: on a busy machine a run must not fail at a pause.

    Args:
        url: the URL.
    """
    store = SyncStore(url)
    if url != MEMORY_URL and store.shape == "pool":
        store.client.connection_pool.connection_kwargs |= {"socket_timeout": _PATIENCE_S}
    return store


def measure_and_clear(url: str, namespace: str) -> int | None:
    """Delete all keys of a run. Return the bytes that they used, or None if the store can't tell.

    Args:
        url: the store.
        namespace: the namespace of the run. No other keys are touched.
    """
    if url == MEMORY_URL:
        return None
    store = open_store(url)
    used = 0
    try:
        client = store.client
        batch: list[bytes] = []
        for key in client.scan_iter(match=f"{namespace}:*", count=_BATCH):
            batch.append(key)
            if len(batch) == _BATCH:
                used += _forget(client, batch)
                batch.clear()
        return used + (_forget(client, batch) if batch else 0)
    except REDIS_ERRORS as error:
        failure = OTPError(
            f"The keys of the simulation could not be deleted ({type(error).__name__}).",
            f"They begin with {namespace}: and end by themselves.",
        )
    finally:
        store.close()
    raise failure


def _forget(client: object, keys: list[bytes]) -> int:
    pipe = client.pipeline(transaction=False)  # type: ignore[attr-defined]
    for key in keys:
        pipe.memory_usage(key)
    for key in keys:
        pipe.unlink(key)
    return sum(int(each or 0) for each in pipe.execute()[: len(keys)])
