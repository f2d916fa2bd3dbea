"""The network between an `OTP` and its store, as it may be: replies are lost, scripts run twice or never arrive."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import redis

from otpkit import OTP
from otpkit.gateways import Message
from otpkit.testing import MovableClock

GAP_S = 0.125  # between a script and the same script again


@dataclass
class Call:
    """One call under way: what each script does to the model, how the network treats it, and what the gateway does.

    Faults are, for a script: `twice` (its reply was lost, and it was run again), `lost` (it ran, and no answer ever
    came), and `down` (it never ran).
    """

    steps: Mapping[str, Callable[[int], object]]
    faults: Mapping[str, str] = field(default_factory=dict)
    gateway: Callable[[Message], str] | None = None


class Wire:
    """What lies around the calls: the clock, the call under way, and what was found wrong in the middle of it."""

    def __init__(self, client: type[redis.Redis], options: Mapping[str, Any], clock: MovableClock) -> None:
        self.client = type("WiredClient", (_Wired, client), {"wire": self})(**options)
        self.clock = clock
        self.call = Call({})
        self.broken: list[BaseException] = []
        self._names: dict[str, str] = {}

    def learn(self, otp: OTP) -> None:
        """Learn which script is which."""
        scripts = otp._config.scripts
        listed = [getattr(scripts, each.name) for each in fields(scripts)]
        self._names = {text: script.name for script in listed for text in (script.sha, script.text)}

    def now(self) -> int:
        """The time in milliseconds."""
        return int(self.clock.now * 1000)

    def note(self, check: Callable[[], object]) -> None:
        """Keep what a check raises until the call is over: inside of it, it would pass for a failure of the gateway."""
        try:
            check()
        except BaseException as error:
            self.broken.append(error)

    def run(self, execute: Callable[..., Any], command: tuple[Any, ...]) -> Any:
        """Run one script, its model beside it, as the call's faults will have it."""
        name, call = self._names[command[1]], self.call
        fault = call.faults.get(name, "")
        if fault == "down":
            raise redis.ConnectionError("the server is down")
        reply = self._run_once(execute, command, call.steps[name])
        if fault == "twice":
            self.clock.advance(GAP_S)
            now_at = 3 + command[2]  # what the server's own clock would say the second time
            command = (*command[:now_at], *[self.now()][: len(command) - now_at], *command[now_at + 1 :])
            reply = self._run_once(execute, command, call.steps[name])
        if fault == "lost":
            raise redis.TimeoutError("no answer came")
        return reply

    def _run_once(self, execute: Callable[..., Any], command: tuple[Any, ...], step: Callable[[int], object]) -> Any:
        arguments = command[3 + command[2] :]
        reply = execute(*command)
        self.note(lambda: step(self.now()))
        if arguments and arguments[0] != self.now():
            self.broken.append(AssertionError(f"a script was told {arguments[0]} at {self.now()}"))
        return reply


class _Wired:
    """Mixed into a client."""

    wire: Wire

    def execute_command(self, *command: Any, **options: Any) -> Any:
        execute = super().execute_command  # type: ignore[misc]
        if command[0] in {"EVALSHA", "EVAL"}:
            return self.wire.run(execute, command)
        return execute(*command, **options)
