"""Read the files that settings name. A pipe that nobody writes to delays the program by some seconds, and no longer.

A service reads its settings again while it runs. A thread that waits for ever would keep it from ending.
"""

from __future__ import annotations

import errno
import os
import select
import stat
import time
from typing import Final

PIPE_S: Final = 10.0
"""Seconds in which everything must be written to a pipe."""
_PART: Final = 65_536


def read_bytes(path: str, most: int = -1) -> tuple[bytes, int]:
    """Return the content of a file and its mode.

    Args:
        path: the path of the file.
        most: the number of bytes after which reading stops; -1 reads all.

    Raises:
        OSError: it can't be read. `TimeoutError`: it is a pipe, and its writer did not finish in time.
        ValueError: the path has a null character.
    """
    with open(path, "rb", opener=_open) as file:
        mode = os.fstat(file.fileno()).st_mode
        return _read_pipe(file.fileno(), most) if stat.S_ISFIFO(mode) else file.read(most) or b"", mode


def _open(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))  # Without it, opening a pipe waits for a writer.


def _read_pipe(descriptor: int, most: int) -> bytes:
    found, until = b"", time.monotonic() + PIPE_S
    while most < 0 or len(found) < most:
        ready, _, _ = select.select([descriptor], [], [], max(0.0, until - time.monotonic()))
        if not ready:
            raise TimeoutError(errno.ETIMEDOUT, f"it is a pipe, and its writer did not finish in {PIPE_S:.0f} s")
        part = os.read(descriptor, _PART)
        if not part:
            break
        found += part
    return found if most < 0 else found[:most]
