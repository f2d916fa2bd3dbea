"""The audit of the soak: the journals and the store must satisfy these invariants after any kill."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from otpkit import Policy
from otpkit.policy import rates_of
from tests.benchmarks.nodes import Node
from tests.benchmarks.soak_journal import Board, Kind, Record, read
from tests.benchmarks.table import Row

CLOCK_S = 0.002  # The server's times are whole milliseconds.
MARGIN_MS = 1000  # Additional time beyond the longest life, because clocks differ.
DAY_MS = 86_400_000
LONGEST_MS = {b"p": DAY_MS + 30_000 + MARGIN_MS, b"c": 400 * DAY_MS + MARGIN_MS}


class Audit:
    """Reads all journals once."""

    def __init__(self, journals: Iterable[Path], board: Board, policy: Policy) -> None:
        self.policy = policy
        self.of: dict[Kind, list[Record]] = {kind: [] for kind in Kind}
        for path in journals:
            for record in read(path):
                self.of[Kind(record.kind)].append(record)
        self.messages: dict[int, list[Record]] = defaultdict(list)
        for message in self.of[Kind.MESSAGE]:
            self.messages[message.phone].append(message)
        self.unsent: dict[int, list[Record]] = defaultdict(list)
        for record in self.of[Kind.UNSENT]:
            self.unsent[record.phone].append(record)
        for phone in {record.phone for records in self.of.values() for record in records}:
            if board.filled_until[phone]:
                self.messages[phone].append(board.first_message(phone))
        for sent in self.messages.values():
            sent.sort(key=lambda message: message.at)

    def rows(self) -> Iterator[Row]:
        """Yield a row for each invariant."""
        yield broken("a send handed over twice", _repeated(m.id for m in self.of[Kind.MESSAGE]))
        yield broken("a proof given twice under one id", _repeated(p.id for p in self.of[Kind.PROOF]))
        yield broken("a code accepted twice", _repeated((p.phone, p.purpose, p.code) for p in self.of[Kind.PROOF]))
        yield broken("a proof without a message of its code", sum(not self._sent(p) for p in self.of[Kind.PROOF]))
        yield broken("a late code accepted", sum(self._is_late(p) for p in self.of[Kind.PROOF]))
        for rate in rates_of(self.policy.sends):
            yield broken(
                f"a phone with more messages than {rate}",
                sum(_exceeds(sent, rate.limit, rate.seconds) for sent in self.messages.values()),
            )
        yield broken("a phone with more wrong codes than its limits", self._wrong_codes())
        yield broken("a proof redeemed twice", _repeated(r.id for r in self.of[Kind.REDEEMED]))
        yield broken("a proof that was given, and lost", len(self.of[Kind.LOST]))

    def _sent(self, proof: Record) -> list[Record]:
        return [m for m in self.messages[proof.phone] if (m.purpose, m.code) == (proof.purpose, proof.code)]

    def _is_late(self, proof: Record) -> bool:
        sent = [m for m in self._sent(proof) if m.began <= proof.at + CLOCK_S]
        if not sent:
            return False  # This is counted as a proof without a message.
        # A send that was not made may have renewed the life, and may have been undone at any time.
        tried = [r for r in self.unsent[proof.phone] if r.purpose == proof.purpose and r.began <= proof.at]
        last = max(record.at for record in (*sent, *tried))
        ends = min(last + self.policy.ttl, sent[0].at + self.policy.max_age)
        return proof.at > ends + CLOCK_S

    def _wrong_codes(self) -> int:
        wrong: dict[int, list[Record]] = defaultdict(list)
        for record in self.of[Kind.WRONG]:
            wrong[record.phone].append(record)
        return sum(
            any(_exceeds(sorted(found, key=lambda r: r.at), r.limit, r.seconds) for r in rates_of(self.policy.failures))
            for found in wrong.values()
        )


def _exceeds(records: list[Record], limit: int, seconds: float) -> bool:
    # Redis counted each between `began` and `at`. So at most `limit` of them began within one window.
    return any(late.at - early.began < seconds - CLOCK_S for early, late in zip(records, records[limit:], strict=False))


def _repeated(items: Iterable[object]) -> int:
    return sum(count - 1 for count in Counter(items).values())


def broken(figure: str, count: int) -> Row:
    """Return the row of an event that must not happen."""
    return Row(figure, f"{count:,}", "0", count == 0)


def keys(primaries: Iterable[Node], most_failures: int) -> Iterator[Row]:
    """Check the expiry of every key of the store."""
    found: Counter[bytes] = Counter()
    immortal = overlong = blocks = 0
    for node in primaries:
        for names in _batches(node):
            lives = _pipelined(node, "PTTL", names)
            for name, life in zip(names, lives, strict=True):
                kind = name[-1:]
                found[kind] += 1
                if life == -1 and kind == b"c" and int(node.say("GET", name)) >= most_failures:
                    blocks += 1
                elif life == -1:
                    immortal += 1
                overlong += life > LONGEST_MS.get(kind, -1)
    yield Row("keys: phones, failure counters, of which blocks", f"{found[b'p']:,}, {found[b'c']:,}, {blocks:,}")
    yield broken("an immortal key that is no block", immortal)
    yield broken("a key with too long a life", overlong)


def _batches(node: Node) -> Iterator[list[bytes]]:
    cursor = -1
    while cursor:
        cursor, names = node.client.scan(max(cursor, 0), count=2000)
        if names:
            yield names


def _pipelined(node: Node, command: str, names: list[bytes]) -> list[int]:
    with node.client.pipeline(transaction=False) as pipe:
        for name in names:
            pipe.execute_command(command, name)
        return list(pipe.execute())
