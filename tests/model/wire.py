"""A faulty network between an `OTP` and its store: replies are lost, scripts run twice or never arrive."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import redis

from otpkit import OTP
from otpkit.gateways import Message
from otpkit.testing import MovableClock

GAP_S = 0.125  # Seconds between a script and its repetition.


@dataclass
class Call:
    """One call: the effect of each script on the model, the network's faults, and the gateway's behaviour.

    Faults of a script are `twice` (its reply was lost, and it was run again), `lost` (it ran, and no reply ever came),
    and `down` (it never ran).
    """

    steps: Mapping[str, Callable[[int], object]]
    faults: Mapping[str, str] = field(default_factory=dict)
    gateway: Callable[[Message], str] | None = None


class Wire:
    """The environment of the calls: the clock, the current call, and the errors found during it."""

    def __init__(self, client: type[redis.Redis], options: Mapping[str, Any], clock: MovableClock) -> None:
        self.client = type("WiredClient", (_Wired, client), {"wire": self})(**options)
        self.clock = clock
        self.call = Call({})
        self.broken: list[BaseException] = []
        self._names: dict[str, str] = {}

    def learn(self, otp: OTP) -> None:
        """Record the name of each script."""
        scripts = otp._config.scripts
        listed = [getattr(scripts, each.name) for each in fields(scripts)]
        self._names = {text: script.name for script in listed for text in (script.sha, script.text)}

    def now(self) -> int:
        """Return the time in milliseconds."""
        return int(self.clock.now * 1000)

    def note(self, check: Callable[[], object]) -> None:
        """Keep the error of a check until the call is over.

        Raised inside the call, it would count as a gateway's failure.
        """
        try:
            check()
        except BaseException as error:
            self.broken.append(error)

    def run(self, execute: Callable[..., Any], command: tuple[Any, ...]) -> Any:
        """Run one script and its model, with the call's faults."""
        name, call = self._names[command[1]], self.call
        fault = call.faults.get(name, "")
        if fault == "down":
            raise redis.ConnectionError("the server is down")
        reply = self._run_once(execute, command, call.steps.get(name, _ignored))
        if fault == "twice":
            self.clock.advance(GAP_S)
            now_at = 3 + command[2]  # The server's own clock would show this the second time.
            counted = [f"{self.now()}{str(each).lstrip('0123456789')}" for each in command[now_at : now_at + 1]]
            command = (*command[:now_at], *counted, *command[now_at + 1 :])
            reply = self._run_once(execute, command, call.steps.get(name, _ignored))
        if fault == "lost":
            raise redis.TimeoutError("no answer came")
        return reply

    def _run_once(self, execute: Callable[..., Any], command: tuple[Any, ...], step: Callable[[int], object]) -> Any:
        arguments = command[3 + command[2] :]
        reply = execute(*command)
        self.note(lambda: step(self.now()))
        if arguments and not f"{arguments[0]}".startswith(f"{self.now()}"):
            self.broken.append(AssertionError(f"a script was told {arguments[0]} at {self.now()}"))
        return reply


class _Wired:
    """The commands of a wired client. It is mixed into a client class."""

    wire: Wire

    def execute_command(self, *command: Any, **options: Any) -> Any:
        execute = super().execute_command  # type: ignore[misc]
        if command[0] in {"EVALSHA", "EVAL"}:
            return self.wire.run(execute, command)
        return execute(*command, **options)


def _ignored(now_ms: int) -> None:
    """Do nothing: the model knows nothing of what is written for operators alone."""
