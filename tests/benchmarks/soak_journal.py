"""The shared data of the soak's processes, and their journals: records of one size, in a file each."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import IntEnum
from multiprocessing.sharedctypes import RawArray
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

from otpkit import Policy, Template

PURPOSES = ("signup", "login")
TEMPLATES = {purpose: Template(f"SMS_{number}", "otpkit") for number, purpose in enumerate(PURPOSES)}
SECRET = "a secret of the soak, of 32 bytes or more"


def policy_of(replicas: int) -> Policy:
    """Return the soak's policy: short lives and windows, so that all of them end, and codes too long to guess."""
    return Policy(
        code_length=10,
        ttl=30,
        max_age=120,
        attempts=3,
        sends="1/5 seconds, 4/minute, 8/hour",
        failures="12/hour",
        max_consecutive_failures=5,
        proof_ttl=60,
        replicas=replicas,
    )


class Kind(IntEnum):
    """The type of a record."""

    MESSAGE = 1  # The gateway received it. `began` is the time of the call, `at` the time of the gateway.
    PROOF = 2  # `at` is the time of issue, by the server.
    WRONG = 3
    REDEEMED = 4
    LOST = 5  # A proof that was granted, was never redeemed, and is gone.
    UNAVAILABLE = 6
    UNSENT = 7  # An issue that may have reserved, and sent nothing.


class Record(NamedTuple):
    """One line of a journal. Times are epoch seconds, and `id` is that of a send or a proof."""

    kind: int
    purpose: int
    phone: int
    began: float
    at: float
    code: int
    id: bytes


_RECORD = struct.Struct("<BBIddQ16s")


class Journal:
    """A file of records that the threads of one process write."""

    def __init__(self, path: Path) -> None:
        self._file, self._lock = path.open("wb"), Lock()

    def write(self, record: Record) -> None:
        """Append a record."""
        with self._lock:
            self._file.write(_RECORD.pack(*record))

    def close(self) -> None:
        """Write the buffered records."""
        self._file.close()


def read(path: Path) -> Iterator[Record]:
    """Yield the records of a journal."""
    for fields in _RECORD.iter_unpack(path.read_bytes()):
        yield Record(*fields)


class Board:
    """Arrays in shared memory: the latest code sent to each phone and purpose, and the filling of the store."""

    def __init__(self, phones: int) -> None:
        self.phones = phones
        self._codes: Any = RawArray("Q", phones * len(PURPOSES))
        self.first_codes: Any = RawArray("Q", phones)
        self.filled_from: Any = RawArray("d", phones)
        self.filled_until: Any = RawArray("d", phones)

    def code(self, phone: int, purpose: int) -> int | None:
        """Return the latest code that was sent, or None."""
        found = int(self._codes[phone * len(PURPOSES) + purpose])
        return found - 1 if found else None

    def put(self, phone: int, purpose: int, code: int) -> None:
        """Record a code that was sent."""
        self._codes[phone * len(PURPOSES) + purpose] = code + 1

    def fill(self, phone: int, code: int, began: float, ended: float) -> None:
        """Record the filling of a phone."""
        self.put(phone, 0, code)
        self.first_codes[phone] = code
        self.filled_from[phone], self.filled_until[phone] = began, ended

    def first_message(self, phone: int) -> Record:
        """Return the message of the filling."""
        return Record(
            Kind.MESSAGE, 0, phone, self.filled_from[phone], self.filled_until[phone], self.first_codes[phone], b""
        )


def number_of(phone: str) -> int:
    """Return a phone's number on the board."""
    return int(phone[5:])


def phone_of(number: int) -> str:
    """Return the phone of a number on the board, in E.164."""
    return f"+8613{number:09d}"
