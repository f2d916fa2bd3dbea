"""Contents of Redis that can be put back, so that a script can be run on any state that a run has reached.

Everything goes over one connection and is pipelined: put a state back, run a script, read what is there, remove it.
"""

from __future__ import annotations

import socket
from collections.abc import Hashable, Iterable
from hashlib import sha1
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import hiredis

_BATCH = 200  # Scripts that are sent before their replies are read.
_REPORTS = b":{audit}:"
"""The part of keys that are not kept: nothing is decided by them, and the order of entries would make many states."""
_FIGURES = b":{stats}:s"
"""The end of the key of the figures. Of its fields, those are kept that count, whatever their order."""
_LIFE_MS = 10_000  # Lives are kept in such steps: the time that a run takes must not make states differ.

# Read the keys and remove them.
_TAKE = b"""
local found = {}
for i = 1, #KEYS do
  local key = KEYS[i]
  local kind = redis.call('TYPE', key).ok
  if kind ~= 'none' then
    local value
    if kind == 'hash' then
      value = redis.call('HGETALL', key)
    elseif kind == 'string' then
      value = redis.call('GET', key)
    else
      value = redis.call('DUMP', key)
    end
    found[#found + 1] = { key, kind, value, redis.call('PTTL', key) }
    redis.call('DEL', key)
  end
end
return found
"""

Stored: TypeAlias = tuple[tuple[bytes, bytes, Any, int], ...]
"""Keys in order, each with its type, its value and its life in ms; -1 is no limit. A hash is its fields and values."""


class Command(NamedTuple):
    """A script with its keys, and its arguments without the first, which is the time and what the script counts."""

    name: str
    text: str
    keys: tuple[str, ...]
    counted: str
    args: tuple[bytes | str | int, ...]


class Job(NamedTuple):
    """A command to run on a stored state at a time in ms. The state and the command are numbers."""

    stored: int
    command: int
    now_ms: int


class Done(NamedTuple):
    """The reply of a job and the state that it left, both as numbers."""

    reply: int
    stored: int


class Register:
    """Numbers for values: equal values get the same number."""

    def __init__(self) -> None:
        self._numbers: dict[Hashable, int] = {}
        self.values: list[Any] = []

    def number(self, value: Hashable) -> int:
        """Return the number of a value."""
        found = self._numbers.get(value)
        if found is None:
            found = self._numbers[value] = len(self.values)
            self.values.append(value)
        return found


class Snapshots:
    """A Redis server of one test process. Nobody else may use it."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(30)
        self._socket.connect(str(path))
        self._reader = hiredis.Reader()
        self._take = self._load(_TAKE)
        self._loaded: set[str] = set()
        self.reset()

    def reset(self) -> None:
        """Forget all states: they are numbered from 0, which is the empty one."""
        self.states, self.commands, self.replies = Register(), Register(), Register()
        self._put: dict[int, bytes] = {}
        self._done: dict[Job, Done] = {}
        self.states.number(())

    def close(self) -> None:
        self._socket.close()

    def run(self, jobs: Iterable[Job]) -> None:
        """Run jobs, each on its own state. `done` then returns their results."""
        wanted = [job for job in dict.fromkeys(jobs) if job not in self._done]
        for start in range(0, len(wanted), _BATCH):
            batch = wanted[start : start + _BATCH]
            sent, expected = b"", []
            for job in batch:
                packed, before = self._packed(job)
                sent += packed
                expected.append(before)
            self._socket.sendall(sent)
            for job, before in zip(batch, expected, strict=True):
                for _ in range(before):
                    self._reply()
                reply, found = self._reply(), self._reply()
                self._done[job] = Done(self.replies.number(_frozen(reply)), self._kept(found))

    def done(self, job: Job) -> Done:
        """Return the result of a job that was run."""
        return self._done[job]

    def knows(self, job: Job) -> bool:
        """Return whether a job was run."""
        return job in self._done

    def stored(self, number: int) -> Stored:
        """Return the contents of a state."""
        found: Stored = self.states.values[number]
        return found

    def aged(self, number: int, ms: int) -> int:
        """Return the state after some time: what has less time to live is gone."""
        stored = self.stored(number)
        left = [(key, kind, value, life - ms if life >= 0 else life) for key, kind, value, life in stored]
        return self.states.number(tuple(each for each in left if each[3] == -1 or each[3] > 0))

    def _load(self, text: bytes) -> bytes:
        self._socket.sendall(hiredis.pack_command(("SCRIPT", "LOAD", text)))
        sha: bytes = self._reply()
        return sha

    def _packed(self, job: Job) -> tuple[bytes, int]:
        """Return the commands of a job, and the number of replies before that of its script."""
        command: Command = self.commands.values[job.command]
        if command.text not in self._loaded:
            self._load(command.text.encode())
            self._loaded.add(command.text)
        put = self._put.get(job.stored)
        stored = self.stored(job.stored)
        if put is None:
            put = self._put[job.stored] = b"".join(map(_restored, stored))
        sha = sha1(command.text.encode(), usedforsecurity=False).hexdigest()
        keys = dict.fromkeys([*[each[0] for each in stored], *[key.encode() for key in command.keys]])
        run = ("EVALSHA", sha, len(command.keys), *command.keys, f"{job.now_ms}{command.counted}", *command.args)
        take = ("EVALSHA", self._take, len(keys), *keys)
        before = sum(2 if each[3] >= 0 else 1 for each in stored)
        return put + hiredis.pack_command(run) + hiredis.pack_command(take), before

    def _kept(self, found: list[Any]) -> int:
        rows = sorted(
            (key, kind, _hash(key, value) if kind == b"hash" else value, -1 if life < 0 else _stepped(life))
            for key, kind, value, life in found
            if _REPORTS not in key
        )
        return self.states.number(tuple(rows))

    def _reply(self) -> Any:
        while (reply := self._reader.gets()) is False:
            received = self._socket.recv(1 << 16)
            assert received, "the server closed the connection"
            self._reader.feed(received)
        if isinstance(reply, hiredis.ReplyError):
            raise reply
        return reply


def _hash(key: bytes, flat: list[bytes]) -> tuple[bytes, ...]:
    if not key.endswith(_FIGURES):
        return tuple(flat)
    pairs = zip(flat[::2], flat[1::2], strict=True)
    return tuple(part for name, value in sorted(pairs) if name[3:4] == b" " for part in (name, value))


def thawed(reply: Any) -> Any:
    """Return a numbered reply as a client returns it: with lists."""
    return [thawed(each) for each in reply] if isinstance(reply, tuple) else reply


def _frozen(reply: Any) -> Any:
    if isinstance(reply, list):
        return tuple(_frozen(each) for each in reply)
    assert not isinstance(reply, hiredis.ReplyError), reply
    return reply


def _stepped(life: int) -> int:
    return max(1, round(life / _LIFE_MS)) * _LIFE_MS


def _restored(row: tuple[bytes, bytes, Any, int]) -> bytes:
    """Return the commands that put one key back: two if it has a life, else one."""
    key, kind, value, life = row
    if kind == b"hash":
        packed: bytes = hiredis.pack_command(("HSET", key, *value))
    elif kind == b"string":
        packed = hiredis.pack_command(("SET", key, value))
    else:
        packed = hiredis.pack_command(("RESTORE", key, 0, value))
    if life >= 0:
        packed += hiredis.pack_command(("PEXPIRE", key, life))
    return packed
