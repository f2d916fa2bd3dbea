"""Walk through the keys of a namespace, and report each that otpkit does not know or that holds what it must not."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from otpkit.core.mentions import mentions_phone
from otpkit.core.stored import Contents, StoredKind, is_doctors, kind_of
from otpkit.policy import Policy

_BATCH: Final = 500
_MOST_SHOWN: Final = 100
_ROW: Final = re.compile(rb"[0-9]{7,}")
_ENTRIES: Final = 1000
_SLACK_MS: Final = 1000


@dataclass(frozen=True, slots=True)
class KeyFinding:
    """A key with a problem. Digits of a key of an unknown form are shown as `*`: it may hold a number."""

    key: str
    kind: str
    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyReport:
    """What a walk found. `kinds` counts the keys of each kind, `findings` are the first 100 of `problems`."""

    keys: int
    kinds: Mapping[str, int]
    problems: int
    findings: tuple[KeyFinding, ...]

    @property
    def ok(self) -> bool:
        """True if there is no problem."""
        return self.problems == 0


def examine_keys(client: Any, namespace: str, policy: Policy) -> KeyReport:
    """Examine all keys of a namespace, on each primary of a cluster. It changes nothing.

    Args:
        client: a sync redis-py client.
        namespace: the namespace.
        policy: the policy, whose regions' numbers are looked for.
    """
    kinds: Counter[str] = Counter()
    findings: list[KeyFinding] = []
    problems = 0
    for node in _nodes(client):
        scan = node.scan_iter(f"{namespace}:*", count=_BATCH)
        while keys := list(islice(scan, _BATCH)):
            for name, found in _examine(node, [_bytes(key) for key in keys], namespace, policy):
                kinds[name] += 1
                problems += len(found)
                findings += found[: _MOST_SHOWN - len(findings)]
    return KeyReport(keys=kinds.total(), kinds=dict(kinds), problems=problems, findings=tuple(findings))


def _nodes(client: Any) -> Iterable[Any]:
    if not hasattr(client, "get_primaries"):
        return (client,)
    return [client.get_redis_connection(node) for node in client.get_primaries()]


def _examine(client: Any, keys: list[bytes], namespace: str, policy: Policy) -> Iterator[tuple[str, list[KeyFinding]]]:
    """Yield the kind of each key, and its problems. Keys that end meanwhile, and a running doctor's, are skipped."""
    start = len(namespace) + 1
    pipe = client.pipeline(transaction=False)
    for key in keys:
        pipe.type(key)
        pipe.pttl(key)
    replies = pipe.execute(raise_on_error=False)
    for key, shape, life in zip(keys, replies[::2], replies[1::2], strict=True):
        if is_doctors(key[start:]) or (shape := _bytes(shape)) == b"none" or life == -2:
            continue
        kind = kind_of(key[start:])
        if kind is None:
            shown = re.sub(r"[0-9]", "*", repr(key.decode("latin-1"))[1:-1])[:120]
            yield "unknown", [KeyFinding(shown, "unknown", "No kind of key has this form.")]
            continue
        problems = _problems(client, key, kind, shape, life, policy)
        yield kind.name, [KeyFinding(key.decode("latin-1"), kind.name, each) for each in problems]


def _problems(client: Any, key: bytes, kind: StoredKind, shape: bytes, life: object, policy: Policy) -> list[str]:
    if shape.decode() != kind.shape or not isinstance(life, int):
        return [f"It is not a {kind.shape}."]
    found: list[str] = []
    value = b""
    for name, value in _contents(client, key, kind):
        form = kind.field(name, value)
        if form is None:
            found.append("A field or a value has no known form.")
        elif _is_readable(name, value, form.contents, policy):
            found.append("It may hold a phone number or a code that can be read.")
    if life == -1 and not kind.may_stay(value):
        found.append("It has no life.")
    if life > 1000 * kind.longest_s + _SLACK_MS:
        found.append(f"It lives longer than {kind.longest_s} seconds.")
    return list(dict.fromkeys(found))


def _contents(client: Any, key: bytes, kind: StoredKind) -> Iterator[tuple[bytes, bytes]]:
    """Yield each field's name and value; of a string, an empty name and its value."""
    if kind.shape == "string":
        value = client.get(key)
        if value is not None:
            yield b"", _bytes(value)
    elif kind.shape == "hash":
        for name, value in client.hgetall(key).items():
            yield _bytes(name), _bytes(value)
    else:
        start = "-"
        while entries := client.xrange(key, start, "+", count=_ENTRIES):
            for entry, fields in entries:
                start = f"({_bytes(entry).decode()}"
                for name, value in fields.items():
                    yield _bytes(name), _bytes(value)


def _is_readable(name: bytes, value: bytes, contents: Contents, policy: Policy) -> bool:
    if contents == "opaque":
        return _ROW.search(name) is not None or _ROW.search(value) is not None
    return contents == "free" and mentions_phone(_unescaped(value.decode("latin-1")), policy, any_digits=False)


def _unescaped(text: str) -> str:
    """Return the text of a JSON string without its quotes, as the audit stores texts; any other text unchanged."""
    with suppress(ValueError):
        return str(json.loads(f'"{text}"'))
    return text


def _bytes(value: Any) -> bytes:
    return value.encode("utf-8", "surrogateescape") if isinstance(value, str) else bytes(value)
