"""A shell that runs scripts in plain Lua, and flows without Redis and without a network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from lupa import lua51

from otpkit import Budget, Event, Guard, Policy, Template
from otpkit.core.config import build
from otpkit.core.flows import Flows
from otpkit.effects import Call, Emit, Outbound, RunScript, Together
from otpkit.errors import GatewayRejectedError, OTPError, StoreUnavailableError
from otpkit.gateways import Failover, Message
from otpkit.testing import Outbox

FIGURES = b":{stats}:s"  # The one key whose values may be longer.
MAX_VALUE = 64  # Bytes. Above this, Redis no longer uses its compact encoding of a hash.
PRICES = {"CN": "0.05 CNY"}
WRITES = ("HSET", "HDEL", "DEL", "SET", "SETRANGE", "PEXPIRE", "PERSIST", "XADD", "XTRIM", "HINCRBY")
GLOBALS = b"string math table tonumber tostring ipairs pairs unpack type redis KEYS ARGV"


class Refused(Exception):
    """The server's refusal of one command of a script. Earlier writes of the script remain."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A refused command: the `nth` write of a run, or every `command`; of one script, or on one kind of key."""

    nth: int = 0
    command: str = ""
    script: str = ""
    key_end: str = ""

    def hits(self, script: str, command: str, key: bytes, nth: int) -> bool:
        """Return whether this call is refused. `nth` counts the writes of a run from 1."""
        return (
            (not self.script or script == self.script)
            and key.endswith(self.key_end.encode())
            and (command == self.command if self.command else nth == self.nth)
        )


class Lua:
    """Scripts on plain dicts, in a Lua environment where an undeclared global is an error."""

    def __init__(self) -> None:
        self.data: dict[bytes, Any] = {}
        self.lives: dict[bytes, int] = {}
        """The time to live in milliseconds of each key that has one. No time passes."""
        self.fault: Fault | None = None
        self.writes = 0
        """The number of writes that the latest run tried."""
        self.refused = 0
        """The number of writes that `fault` refused, in all runs."""
        self._running = ""
        self.seen: set[str] = set()
        runtime = lua51.LuaRuntime(encoding=None, unpack_returned_tuples=True)
        self._table = runtime.table_from
        self._functions: dict[str, Any] = {}
        self._compile = runtime.eval(
            b"""function(text, names)
                local known, outer = {}, _G
                for name in string.gmatch(names, '%S+') do known[name] = true end
                local room = setmetatable({}, {
                    __index = function(_, name)
                        if not known[name] then error('undeclared global read: ' .. name, 2) end
                        return outer[name]
                    end,
                    __newindex = function(_, name) error('global set: ' .. name, 2) end,
                })
                return setfenv(assert(loadstring(text)), room)
            end"""
        )
        self._globals = runtime.globals()
        self._globals.redis = self._table({b"call": self._call, b"pcall": self._pcall})

    def run(self, effect: RunScript[object]) -> Any:
        """Run one script, and return its reply in the form that a client returns."""
        self.seen.add(effect.script.name)
        self._running, self.writes = effect.script.name, 0
        self._globals.KEYS = self._table([key.encode() for key in effect.keys])
        self._globals.ARGV = self._table([a if isinstance(a, bytes) else str(a).encode() for a in effect.args])
        return self._plain(self._function(effect.script.text)())

    def _function(self, text: str) -> Any:
        """Return the function of a script. It keeps nothing from one run to the next."""
        if text not in self._functions:
            self._functions[text] = self._compile(text.encode(), GLOBALS)
        return self._functions[text]

    def _plain(self, reply: Any) -> Any:
        if lua51.lua_type(reply) == "table":
            return [self._plain(item) for item in reply.values()]
        return int(reply) if isinstance(reply, float) else reply

    def _call(self, command: bytes, key: bytes, *args: Any) -> Any:
        assert isinstance(key, bytes)
        texts = [a if isinstance(a, bytes) else f"{a:.14g}".encode() for a in args]
        name = command.decode()
        if name in WRITES:
            self.writes += 1
            if self.fault is not None and self.fault.hits(self._running, name, key, self.writes):
                self.refused += 1
                raise Refused(f"{name} of {self._running}")
        reply = getattr(self, f"_{name.lower()}")(key, *texts)
        for gone in self.lives.keys() - self.data.keys():
            del self.lives[gone]
        return reply

    def _pcall(self, command: bytes, key: bytes, *args: Any) -> Any:
        try:
            return self._call(command, key, *args)
        except Refused as error:
            return self._table({b"err": str(error).encode()})

    def _hincrby(self, key: bytes, name: bytes, number: bytes) -> int:
        fields = self.data.setdefault(key, {})
        fields[name] = b"%d" % (int(fields.get(name, b"0")) + int(number))
        return int(fields[name])

    def _hgetall(self, key: bytes) -> Any:
        return self._table([part for item in self.data.get(key, {}).items() for part in item])

    def _hget(self, key: bytes, name: bytes) -> Any:
        return self.data.get(key, {}).get(name, False)

    def _hset(self, key: bytes, *names_and_values: bytes) -> int:
        assert max(map(len, names_and_values)) <= MAX_VALUE or key.endswith(FIGURES)
        self.data.setdefault(key, {}).update(zip(names_and_values[::2], names_and_values[1::2], strict=True))
        return len(names_and_values) // 2

    def _hdel(self, key: bytes, *names: bytes) -> int:
        found = sum(self.data.get(key, {}).pop(name, None) is not None for name in names)
        if self.data.get(key) == {}:
            del self.data[key]
        return found

    def _del(self, *keys: bytes) -> int:
        return sum(self.data.pop(key, None) is not None for key in keys)

    def _exists(self, key: bytes) -> int:
        return int(key in self.data)

    def _get(self, key: bytes) -> Any:
        return self.data.get(key, False)

    def _setrange(self, key: bytes, place: bytes, value: bytes) -> int:
        old, start = self.data[key], int(place)
        assert start + len(value) <= len(old)
        self.data[key] = old[:start] + value + old[start + len(value) :]
        return len(old)

    def _set(self, key: bytes, value: bytes, *options: bytes) -> Any:
        if options == (b"KEEPTTL",):
            pass
        elif options == (b"XX", b"KEEPTTL"):
            if key not in self.data:
                return False
        elif b"NX" in options and key in self.data:
            return False
        elif options:
            life, ms = [each for each in options if each != b"NX"]
            assert life == b"PX"
            self.lives[key] = int(ms)
            assert self.lives[key] > 0
        else:
            self.lives.pop(key, None)
        self.data[key] = value
        return b"OK"

    def _pttl(self, key: bytes) -> int:
        return self.lives.get(key, -1) if key in self.data else -2

    def _pexpire(self, key: bytes, ms: bytes) -> int:
        assert int(ms) > 0
        if key in self.data:
            self.lives[key] = int(ms)
        return int(key in self.data)

    def _xadd(self, key: bytes, *words: bytes) -> bytes:
        assert words[0] == b"MAXLEN"
        most, entry, *fields = words[1:]
        stream = self.data.setdefault(key, [])
        assert not stream or _place(stream[-1][0]) < _place(entry)
        stream.append((entry, fields))
        del stream[: -int(most)]
        return entry

    def _xtrim(self, key: bytes, kind: bytes, least: bytes) -> int:
        assert kind == b"MINID"
        kept = [entry for entry in self.data.get(key, []) if _place(entry[0]) >= _place(least)]
        gone = len(self.data.get(key, [])) - len(kept)
        if gone:
            self.data[key] = kept
        return gone

    def _xlen(self, key: bytes) -> int:
        return len(self.data.get(key, []))

    def _xrange(self, key: bytes, start: bytes, end: bytes, _: bytes, count: bytes) -> Any:
        assert (start, end) == (b"-", b"+")
        return self._entries(self.data.get(key, [])[: int(count)])

    def _xrevrange(self, key: bytes, end: bytes, start: bytes, _: bytes, count: bytes) -> Any:
        assert end == b"+"
        least = (0, 0) if start == b"-" else _place(start)
        found = [entry for entry in reversed(self.data.get(key, [])) if _place(entry[0]) >= least]
        return self._entries(found[: int(count)])

    def _entries(self, entries: list[Any]) -> Any:
        return self._table([self._table([entry, self._table(fields)]) for entry, fields in entries])

    def _persist(self, key: bytes) -> int:
        return int(self.lives.pop(key, None) is not None)


def _place(entry: bytes) -> tuple[int, int]:
    """Return the id of a stream's entry as numbers."""
    ms, _, number = entry.partition(b"-")
    return int(ms), int(number or 0)


class Shell:
    """The smallest possible shell: it runs flows without Redis and without a network."""

    def __init__(
        self,
        *,
        clustered: bool,
        policy: Policy | None = None,
        guard: Guard | None = None,
        budgets: tuple[Budget, ...] = (Budget("9 CNY/day"),),
        prices: Mapping[str, str] = PRICES,
        on_event: Callable[[Event], object] | None = None,
    ) -> None:
        self.lua = Lua()
        self._on_event = on_event
        self.sent: list[Message] = []
        self.rejects = False
        self.suspends = False
        self.now = 1_767_225_600.0
        policy = policy or Policy(
            sends="30/day", total_sends="20/day", region_sends={"CN": "20/day"}, attempts=2, max_consecutive_failures=3
        )
        self.flows = Flows(
            build(
                Failover([self._gateway, Outbox()]),
                Template("SMS_1", "otpkit"),
                "a secret for the tests of scripts, and for them alone",
                policy=policy,
                index_secret=None,
                fixed_codes=(),
                namespace="t",
                listener=on_event,
                clock=lambda: self.now,
                clustered=clustered,
                guard=guard,
                budgets=budgets,
                prices=prices if budgets else None,
            )
        )

    def _gateway(self, message: Message) -> str:
        if self.rejects:
            raise GatewayRejectedError("no", category="number")
        if self.suspends:
            raise GatewayRejectedError("no", category="account")
        self.sent.append(message)
        return "id"

    def _perform(self, effect: Any) -> Any:
        if isinstance(effect, Together):
            return [self._run(script) for script in effect.scripts]
        if isinstance(effect, Emit):
            return None if self._on_event is None else self._on_event(effect.event)
        if isinstance(effect, RunScript):
            return self._run(effect)
        assert isinstance(effect, Outbound)
        assert isinstance(effect.effect, Call)
        return effect.effect.function(effect.effect.argument)

    def _run(self, effect: RunScript[object]) -> Any:
        try:
            return effect.script.read(self.lua.run(effect), effect.args)
        except Refused as error:
            refusal = str(error)
        raise StoreUnavailableError(refusal)

    def drive(self, flow: Any) -> Any:
        """Run a flow to its end."""
        try:
            effect = next(flow)
            while True:
                try:
                    reply = self._perform(effect)
                except (OTPError, TimeoutError) as error:
                    failure = error
                else:
                    effect = flow.send(reply)
                    continue
                effect = flow.throw(failure)
        except StopIteration as stop:
            return stop.value
