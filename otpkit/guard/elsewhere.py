"""A guard's scopes on a cluster, where they lie on other nodes than phones.

Each scope judges a send and counts it in one step, all side by side, before the phone's own script decides. A send that
is then not made is taken back everywhere, once. A verification is moved after its result: what fails there leaves the
send counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Final, NamedTuple

from otpkit.core.config import Config
from otpkit.core.crypto import encode_id
from otpkit.core.scripts.parse import Raw
from otpkit.core.scripts.scopes import Move, NarrowCount, WideCount
from otpkit.effects import Flow, RunScript, run, run_together
from otpkit.errors import OTPError
from otpkit.guard.protection import Protection
from otpkit.guard.report import LENGTHS_MS
from otpkit.guard.rule import allowances

_RANGE, _ADDRESS, _GUESS = 1, 2, 16  # The scopes of phone.lua.
_WIDE_NAMES: Final = {8: "region", 16: "total"}
EXEMPT: Final = 512
"""What judge_elsewhere.lua adds for a device that region and total don't count."""


class _Narrow(NamedTuple):
    """A range, an address or a network: its scope, its value in judge.lua, the scope of its errors, and its key."""

    name: str
    value: int
    error: str
    key: str


class _Wide(NamedTuple):
    """A region and all regions together. Without the latter, the region's key stands in."""

    region: str
    total: str


def _placed(protection: Protection, keys: tuple[str, ...]) -> tuple[list[_Narrow], _Wide]:
    """Return the scopes whose keys `Protection.keys` returned."""
    narrow = [_Narrow("range", 1, "range", keys[0])]
    if protection.has_address(keys):
        narrow += [_Narrow("ip", 2, "guard_ip", keys[-2]), _Narrow("net", 4, "guard_ip", keys[-1])]
    return narrow, _Wide(keys[1], keys[2] if protection.has_total else keys[1])


def _memory(key: str, operation: bytes, end: str = "") -> str:
    """Return the key that remembers for two minutes what was done for an operation. It lies in its scope's slot."""
    return f"{key}:{encode_id(operation)}{end}"


class Flags(NamedTuple):
    """What the scopes must know of a call, as characters for judge.lua."""

    mode: str
    captcha: str
    known: bool
    safe: bool
    has_many_ranges: bool
    asked: bool


class Counting:
    """The scopes of one send, and the captcha's answer that it uses up."""

    def __init__(self, config: Config, protection: Protection, keys: tuple[str, ...]) -> None:
        self._config = config
        self._protection = protection
        self._narrow, self._wide = _placed(protection, keys)
        self._operation = b""
        self._answer_key = ""
        self._answer_ms: int | str = 0
        self._flags: Flags | None = None
        self._is_used = False
        self._found: list[NarrowCount] = []
        self._wide_found = WideCount(0, 0, 0, 0, 0)

    def calls(self, operation: bytes, flags: Flags, answer_key: str, answer_ms: int | str) -> list[RunScript[Raw]]:
        """Return the scripts that count the send, to run side by side."""
        self._operation, self._flags = operation, flags
        self._answer_key, self._answer_ms = answer_key, answer_ms
        config, allowed = self._config, allowances(self._protection.guard.rule)
        refuses = {
            "range": "f" if flags.has_many_ranges and not flags.known else "n",
            "ip": "n" if flags.known else "q",
            "net": "n",
        }
        calls: list[RunScript[Raw]] = []
        for scope in self._narrow:
            floor, share, far = allowed[scope.name]
            calls.append(
                config.scripts.count_narrow(
                    record_key=scope.key,
                    memory_key=_memory(scope.key, operation),
                    now=config.now_arg(),
                    guard=f"{flags.mode}{flags.captcha}{flags.safe:d}{flags.asked:d}{refuses[scope.name]}",
                    floor=repr(floor),
                    share=repr(share),
                    far=repr(far),
                    length_ms=LENGTHS_MS[scope.name],
                )
            )
        calls.append(self._count_wide(flags.captcha))
        if answer_key:
            calls.append(
                config.scripts.claim(
                    answer_key=answer_key, now=config.now_arg(), operation=operation, life_ms=answer_ms
                )
            )
        return calls

    def take(self, replies: Sequence[Raw]) -> Flow[None]:
        """Take the replies of `calls`. If its captcha's answer was used before, count the send in the region too."""
        places = len(self._narrow)
        self._found, self._wide_found = list(replies[:places]), replies[places]
        self._is_used = bool(self._answer_key) and not replies[-1]
        if self._is_used:
            self._wide_found = yield from run(self._count_wide("n"))

    def verdict(self) -> str:
        """Return what the scopes found, for judge_elsewhere.lua."""
        wide = self._wide_found
        judged, counted_in = wide.judged, wide.counted_in
        refusing, wait_ms = _WIDE_NAMES.get(wide.scope, "-"), wide.wait_ms
        for scope, found in zip(self._narrow, self._found, strict=True):
            judged += scope.value * found.is_over
            if found.is_counted and scope.name != "net":
                counted_in += scope.value
            if found.wait_ms > wait_ms:
                refusing, wait_ms = scope.error, found.wait_ms
        counted_ms = wide.now_ms if wide.counted_in else 0
        return f" {judged} {refusing} {wait_ms} {counted_in} {counted_ms} {self._found[0].now_ms}"

    @property
    def is_used(self) -> bool:
        """True if the captcha's answer was used before."""
        return self._is_used

    def give_back(self) -> Flow[None]:
        """Take back what was counted for a refused send, once, and release the captcha's answer.

        What fails stays counted.
        """
        yield from self._take_back("b")

    def uncount(self) -> Flow[None]:
        """Take back what was counted for a send that was not made, once. Its captcha's answer stays used."""
        self._answer_key = ""
        yield from self._take_back("u")

    def _take_back(self, move: str) -> Flow[None]:
        if self._flags is None:
            return
        config = self._config
        calls: list[RunScript[Raw]] = [
            _move_narrow(config, scope, self._operation, move, 0)
            for place, scope in enumerate(self._narrow)
            if not self._found or self._found[place].is_counted
        ]
        if not self._found or self._wide_found.counted_in:
            calls.append(_move_wide(config, self._wide, self._operation, move, 0, 0))
        if self._answer_key and not self._is_used:
            calls.append(
                config.scripts.claim(
                    answer_key=self._answer_key, now=config.now_arg(), operation=self._operation, life_ms=0
                )
            )
        yield from _quietly(calls)

    def exempt(self) -> Flow[None]:
        """Take back what the region and all regions counted: the send's device is exempt from them."""
        if self._wide_found.counted_in:
            yield from _quietly([_move_wide(self._config, self._wide, self._operation, "u", 0, 0)])

    def _count_wide(self, captcha: str) -> RunScript[WideCount]:
        config, flags = self._config, self._flags
        if flags is None:
            raise AssertionError("nothing is counted yet")
        return config.scripts.count_wide(
            region_key=self._wide.region,
            memory_key=_memory(self._wide.region, self._operation),
            total_key=self._wide.total,
            now=config.now_arg(),
            guard=f"{flags.mode}{captcha}{flags.safe:d}{flags.asked:d}{self._protection.has_total:d}",
        )


def move_verified(
    config: Config, protection: Protection, phone: str, region: str, ip: object, moves: Iterable[Move]
) -> list[RunScript[Raw]]:
    """Return the scripts that move verified sends on other nodes.

    Args:
        config: the checked arguments of the `OTP`.
        protection: its guard.
        phone: the verified phone as E.164.
        region: its region.
        ip: the address that verified it, or None: it is credited.
        moves: what the phone's script returned.
    """
    narrow, wide = _placed(protection, protection.keys(phone, region, ip))
    calls: list[RunScript[Raw]] = []
    for move in moves:
        if move.scopes & _RANGE:
            calls += [_move_narrow(config, scope, move.operation, "v", move.range_ms) for scope in narrow]
        if move.scopes & ~(_RANGE | _ADDRESS):
            calls.append(_move_wide(config, wide, move.operation, "v", move.counted_ms, move.scopes))
    return calls


def count_guesses(config: Config, protection: Protection, region: str, moves: Iterable[Move]) -> list[RunScript[Raw]]:
    """Return the scripts that count guesses at challenges in a region. The arguments are those of `move_verified`."""
    wide = _Wide(protection.region_key(region), protection.region_key(region))
    return [_move_wide(config, wide, each.operation, "g", each.counted_ms, _GUESS) for each in moves]


def _move_narrow(config: Config, scope: _Narrow, operation: bytes, move: str, at_ms: int) -> RunScript[bool]:
    return config.scripts.move_narrow(
        record_key=scope.key,
        memory_key=_memory(scope.key, operation),
        now=config.now_arg(),
        move=move,
        at_ms=at_ms,
        length_ms=LENGTHS_MS[scope.name],
    )


def _move_wide(
    config: Config, wide: _Wide, operation: bytes, move: str, at_ms: int, counted_in: int
) -> RunScript[bool]:
    return config.scripts.move_wide(
        region_key=wide.region,
        memory_key=_memory(wide.region, operation, ":g" if move == "g" else ""),
        total_key=wide.total,
        now=config.now_arg(),
        move=move,
        at_ms=at_ms,
        counted_in=counted_in,
    )


def _quietly(calls: Sequence[RunScript[Raw]]) -> Flow[None]:
    if calls:
        with suppress(OTPError):
            yield from run_together(calls)
