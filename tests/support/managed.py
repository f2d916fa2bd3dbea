"""A proxy like that of managed clusters. It reads each script, and refuses one whose keys it can't determine.

The rules and errors are those of Alibaba Cloud's clusters (`script_check_enable`): a key is an element of the KEYS
array, no other Lua variable; some versions take no variable as an index either. Keys of one call lie in one slot.
"""

from __future__ import annotations

import re
import socket
import socketserver
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, Self
from urllib.parse import urlsplit

from redis.crc import key_slot

BAD_SCRIPT = (
    b"-ERR bad lua script for redis cluster, all the keys that the script uses should be passed using the KEYS array, "
    b"and KEYS should not be in expression\r\n"
)
OTHER_SLOT = b"-ERR eval/evalsha command keys must be in same slot\r\n"
NO_KEY = b"-ERR for redis cluster, eval/evalsha number of keys can't be negative or zero\r\n"
LENIENT = re.compile(r"KEYS\[(\d+|[A-Za-z_]\w*)\]")
STRICT = re.compile(r"KEYS\[\d+\]")
_KEYLESS = {"time"}
_ALL_KEYS = {"del", "unlink", "exists", "mget"}


def is_accepted(text: str, key: re.Pattern[str]) -> bool:
    """Return whether the check accepts a script: every key of every call has the form that `key` matches."""
    for found in re.finditer(r"redis\s*\.\s*p?call", text):
        arguments = _arguments(text, found.end())
        if not arguments or not re.fullmatch(r"""(['"])\w+\1""", arguments[0]):
            return False
        command = arguments[0][1:-1].lower()
        if command in _KEYLESS:
            continue
        keys = arguments[1:] if command in _ALL_KEYS else arguments[1:2]
        others = arguments[len(keys) + 1 :]
        if not keys or not all(key.fullmatch(each) for each in keys):
            return False
        if any(re.search(r"\bKEYS\b|redis\s*\.", each) for each in others):
            return False
    return not re.search(r"\bunpack\b", text)


def _arguments(text: str, at: int) -> list[str]:
    """Return the arguments of the call whose name ends at `at`."""
    depth, start, found = 0, at, []
    for i in range(at, len(text)):
        if text[i] in "([{":
            depth += 1
            if depth == 1:
                start = i + 1
        elif text[i] in ")]}":
            depth -= 1
        if depth == 0 or (depth == 1 and text[i] == ","):
            found.append(text[start:i].strip())
            start = i + 1
        if depth == 0:
            break
    return found


class ManagedProxy:
    """A proxy before a server. `strict` accepts only digits as indices; `one_slot` refuses keys of several slots."""

    def __init__(self, upstream_url: str, *, strict: bool = False, one_slot: bool = False) -> None:
        self._path = Path(urlsplit(upstream_url).path)
        self._key, self._one_slot = STRICT if strict else LENIENT, one_slot
        self.read = 0
        """The number of scripts that it has read."""
        proxy = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with suppress(OSError, EOFError):
                    proxy._serve(self.request)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            allow_reuse_address = True
            block_on_close = False

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"redis://127.0.0.1:{self._server.server_address[1]}/0"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _serve(self, client: socket.socket) -> None:
        with socket.socket(socket.AF_UNIX) as upstream:
            upstream.connect(str(self._path))
            requests, replies = client.makefile("rb"), upstream.makefile("rb")
            while request := _value(requests):
                refusal = self._refusal(_parts(request))
                if not refusal:
                    upstream.sendall(request)
                client.sendall(refusal or _value(replies))

    def _refusal(self, parts: list[bytes]) -> bytes:
        name = parts[0].upper()
        if name in {b"EVAL", b"EVALSHA"}:
            keys = parts[3 : 3 + int(parts[2])]
            if not keys:
                return NO_KEY
            if self._one_slot and len(set(map(key_slot, keys))) > 1:
                return OTHER_SLOT
        text = parts[1] if name == b"EVAL" else parts[2] if parts[:1] == [b"SCRIPT"] and parts[1] == b"LOAD" else None
        if text is None:
            return b""
        self.read += 1
        return b"" if is_accepted(text.decode(), self._key) else BAD_SCRIPT


def _value(stream: Any) -> bytes:
    """Read one value of the protocol, unchanged."""
    line = _line(stream)
    if line[:1] in b"*~>%":
        count = int(line[1:]) * (2 if line[:1] == b"%" else 1)
        return line + b"".join(_value(stream) for _ in range(count))
    if line[:1] in b"$=!" and int(line[1:]) >= 0:
        return line + bytes(stream.read(int(line[1:]) + 2))
    return line


def _line(stream: BinaryIO) -> bytes:
    line = stream.readline()
    if not line:
        raise EOFError
    return line


def _parts(request: bytes) -> list[bytes]:
    parts, at = [], request.index(b"\r\n") + 2
    while at < len(request):
        end = request.index(b"\r\n", at)
        length = int(request[at + 1 : end])
        parts.append(request[end + 2 : end + 2 + length])
        at = end + 4 + length
    return parts
