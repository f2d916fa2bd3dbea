"""Run the calls of a scenario through every order of their steps, with faults, and check each end.

A call is a flow: a generator that yields effects and gets their replies. Its next step depends on what it has got so
far alone, and calls meet only in Redis and at providers. So a state of a run is what Redis holds, what each call has
got, and what is still on its way. The explorer takes every possible step from every state, once: two orders that lead
to the same state go on together. It searches by the number of steps, so the first counterexample is a shortest one.

Steps, for each call that has not ended:

- its script runs and the reply arrives;
- `lost`: it runs, the reply is lost, and the store runs the same script again, at any later time;
- `unanswered`: it runs and no reply ever arrives: the flow gets `StoreUnavailableError`;
- `refused`: it does not run, and the flow gets the same error;
- `late`: it runs at any later time, and meanwhile the store has sent it again, or has given up (a server that hangs);
- `unconfirmed`: it runs and too few replicas confirm it, if the policy has replicas;
- `dies`: the call ends before or after the script, because its process dies or its task is cancelled.

A driver that is cancelled drops the flow, and Python closes it. A closed flow must not take another step: that is
checked for each position at which a call can die. A gateway accepts, rejects, or leaves the outcome open, as the
scenario allows, and a call may die before and after it.

The place of a step in the order matters if it touches what another call reads. A message to a gateway does not, nor
does a script that writes for a report alone, so the explorer takes these at once, with their faults (unless the clock
moves meanwhile). Each call is as if alone in its process: it shares no memory with others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from positions import DIES, Beginning, Event, Position, Positions, Sent
from providers import ACCEPTED, Wire
from snapshots import Done, Job, Snapshots, Stored, thawed
from support.rig import TEMPLATE, whole
from support.secrets import SECRET

from otpkit.core import config as configs
from otpkit.core.config import Config
from otpkit.core.flows import Flows
from otpkit.effects import Flow, Outbound, RunScript, Together
from otpkit.policy import stranger_consecutive
from otpkit.testing import MovableClock

NAMESPACE = "o"
FAULTS = frozenset({"lost", "unanswered", "refused", "late", "unconfirmed", "dies"})
REPORTS = frozenset({"add_figures", "audit_action", "audit_events", "note", "note_gateway"})
"""The scripts that write for a report alone. No other call reads that."""
MOST_STATES = 300_000
_FAULT = ("error", "unanswered")


class Violation(AssertionError):
    """An end that breaks a rule, with the order of the steps that led there."""


@dataclass(frozen=True)
class Step:
    """One call of a scenario.

    Args:
        name: its name in a counterexample.
        start: a function that returns the flow, from the flows of the `OTP` and what `needs` returned.
        needs: a function of the state so far that returns what the call needs, or None while that does not exist.
    """

    name: str
    start: Callable[[Flows, Any], Flow[Any]]
    needs: Callable[[View], Any] = lambda _: True


@dataclass(frozen=True)
class Scenario:
    """Calls that run at once, what was done before them, and what must hold at each end.

    Args:
        name: its name in states.json.
        steps: the calls.
        check: a function that raises AssertionError for an end that breaks a rule.
        options: the arguments of the `OTP`, beside the usual ones.
        before: functions of the flows, and of the results and messages so far, that return the calls to make first.
        faults: the most faults of one run.
        kinds: the kinds of faults.
        ticks: seconds by which the clock moves, one after the other, each at any time.
        clustered: True for the flows of a cluster.
        in_order: True if scripts that are independent run one after the other, as with `OTP`. `AsyncOTP` runs them side
            by side.
        seed: a function that puts a bug into the configuration; None for the product as it is.
    """

    name: str
    steps: tuple[Step, ...]
    check: Callable[[Ending], None]
    options: Mapping[str, Any] = field(default_factory=dict)
    before: tuple[Callable[[Flows, Ending], Flow[Any]], ...] = ()
    faults: int = 1
    kinds: frozenset[str] = FAULTS
    ticks: tuple[int, ...] = ()
    clustered: bool = False
    in_order: bool = False
    seed: Callable[[Config], Config] | None = None


class Unseen(NamedTuple):
    """A reply that Redis gave and no call got."""

    call: int
    command: int
    reply: int


class State(NamedTuple):
    """A state of a run. Equal states have equal futures."""

    stored: int
    tick: int
    places: tuple[tuple[int, tuple[Event | None, ...]], ...]
    """For each call its position, and of scripts that run together what each has got. -1 has not begun."""
    late: tuple[tuple[int, int], ...]
    """The calls and commands of requests that may still arrive."""
    faults: int
    hurt: int
    """The calls that had another fault than a lost reply, as bits."""
    unseen: tuple[Unseen, ...]


class Counts(NamedTuple):
    """How much was enumerated: states, steps between them, and orders of steps from the start to an end."""

    states: int
    steps: int
    orders: int


class View:
    """What is known of the calls in a state: their messages and results."""

    def __init__(self, explorer: Explorer, state: State) -> None:
        self._explorer = explorer
        self._state = state

    @property
    def results_before(self) -> list[Any]:
        """The results of the calls that were made before."""
        return self._explorer.results_before

    @property
    def messages_before(self) -> list[Sent]:
        """The messages of these calls."""
        return self._explorer.messages_before

    def sent(self, call: int) -> tuple[Sent, ...]:
        """Return the messages of a call that a gateway has, or may have."""
        position = self._explorer.position(self._state, call)
        return () if position is None else position.sent

    def result(self, call: int) -> Any:
        """Return the result of a call or its error; None if it runs, died or never began."""
        position = self._explorer.position(self._state, call)
        return None if position is None else position.error or position.value


class Ending(View):
    """The end of a run, and what was there before it."""

    @property
    def config(self) -> Config:
        return self._explorer.config

    @property
    def steps(self) -> tuple[Step, ...]:
        return self._explorer.scenario.steps

    @property
    def stored(self) -> Stored:
        """What Redis holds."""
        return self._explorer.snapshots.stored(self._state.stored)

    @property
    def stored_before(self) -> Stored:
        """What Redis held before the run."""
        return self._explorer.snapshots.stored(self._explorer.start)

    @property
    def results(self) -> list[Any]:
        """The results of all calls, as `result` returns them."""
        return [self.result(call) for call in range(len(self._state.places))]

    @property
    def messages(self) -> list[Sent]:
        """The messages of all calls."""
        return [each for call in range(len(self._state.places)) for each in self.sent(call)]

    def is_hurt(self, call: int) -> bool:
        """Return whether a call had another fault than a lost reply."""
        return bool(self._state.hurt >> call & 1)

    def has_fault(self) -> bool:
        """Return whether there was a fault."""
        return self._state.faults < self._explorer.scenario.faults

    def replies(self, script: str) -> list[tuple[int, Any]]:
        """Return the call and the reply of each reply of a script, even of those that no call got."""
        return self._explorer.replies(self._state, script)

    def call(self, start: Callable[[Flows], Flow[Any]]) -> Any:
        """Make one more call on what Redis holds, and return its result or error. Nothing of it remains."""
        return self._explorer.alone(start, self._state.stored, self._state.tick, "a further call")[0]


Label = tuple[str, int, Any, Any]


class Explorer:
    """The exploration of one scenario."""

    def __init__(self, scenario: Scenario, snapshots: Snapshots) -> None:
        self.scenario = scenario
        self.snapshots = snapshots
        clock = MovableClock()
        moments = [clock.now]
        for seconds in scenario.ticks:
            moments.append(moments[-1] + seconds)
        self._ms = [int(1000 * moment) for moment in moments]
        usual: dict[str, Any] = {
            "gateway": Wire(),
            "template": TEMPLATE,
            "secret": SECRET,
            "index_secret": None,
            "fixed_codes": (),
            "namespace": NAMESPACE,
            "listener": None,
            "clock": clock,
            "clustered": scenario.clustered,
            "policy": whole(),
        }
        config = configs.build(**(usual | dict(scenario.options)))
        self.config = config if scenario.seed is None else scenario.seed(config)
        self._flows = Flows(self.config)
        snapshots.reset()
        self._positions = Positions(self.config, snapshots, clock, moments)
        self._roots: dict[tuple[int, Any, int], int] = {}
        self._came_from: dict[State, tuple[State, Label] | None] = {}
        self._lived: set[int] = set()
        self.start = 0
        self.results_before: list[Any] = []
        self.messages_before: list[Sent] = []

    def run(self) -> Counts:
        """Explore, check each end, and return how much that was.

        Raises:
            Violation: a rule is broken. It shows a shortest order of steps that breaks it.
        """
        with self._positions.drawing():
            for number, make in enumerate(self.scenario.before):
                so_far = Ending(self, State(self.start, 0, (), (), 0, 0, ()))
                start = _made(make, so_far)
                result, self.start, sent = self.alone(start, self.start, 0, f"before {number}")
                self.results_before.append(result)
                self.messages_before += sent
            first = self._begun(
                State(self.start, 0, tuple((-1, ()) for _ in self.scenario.steps), (), self.scenario.faults, 0, ())
            )
            following = self._explore(first)
        steps = sum(map(len, following.values()))
        return Counts(len(following), steps, _paths(first, following))

    @property
    def scripts(self) -> set[str]:
        """The names of the scripts that ran."""
        return {command.name for command in self.snapshots.commands.values}

    def position(self, state: State, call: int) -> Position | None:
        """Return the position of a call; None if it has not begun."""
        number = state.places[call][0]
        return None if number < 0 else self._positions.all[number]

    def alone(
        self, start: Callable[[Flows], Flow[Any]], stored: int, tick: int, name: str
    ) -> tuple[Any, int, tuple[Sent, ...]]:
        """Make one call without faults; return its result or error, the state after it, and its messages."""
        position = self._positions.first(Beginning(-1, name, lambda: start(self._flows)), tick)
        while position.effect is not None:
            replies = []
            for command in position.commands:
                job = Job(stored, command, self._ms[tick])
                self.snapshots.run([job])
                done = self.snapshots.done(job)
                stored = done.stored
                replies.append(done.reply)
            event: Event = ("word", ACCEPTED)
            if isinstance(position.effect, Together):
                event = ("replies", tuple(replies))
            elif replies:
                event = ("reply", replies[0])
            position = self._positions.grown(position, event, tick)
        return position.error or position.value, stored, position.sent

    def replies(self, state: State, script: str) -> list[tuple[int, Any]]:
        """Return the call and the reply of each reply of a script, even of those that no call got."""
        commands, replies = self.snapshots.commands.values, self.snapshots.replies.values
        found = [(each.call, each.reply) for each in state.unseen if commands[each.command].name == script]
        for call in range(len(state.places)):
            position = self.position(state, call)
            while position is not None and position.parent is not None:
                effect, event = position.parent.effect, position.event
                if isinstance(effect, RunScript) and effect.script.name == script and event[0] == "reply":
                    found.append((call, event[1]))
                elif isinstance(effect, Together) and event[0] == "replies":
                    pairs = zip(effect.scripts, event[1], strict=True)
                    found += [(call, reply) for each, reply in pairs if each.script.name == script]
                position = position.parent
        return [(call, thawed(replies[reply])) for call, reply in found]

    def _explore(self, first: State) -> dict[State, list[State]]:
        """Return each state with the states after it."""
        self._came_from[first] = None
        following: dict[State, list[State]] = {}
        layer = [first]
        while layer:
            self.snapshots.run(job for state in layer for job in self._jobs(state))
            found: list[State] = []
            for state in layer:
                following[state] = after = []
                for label, successor in self._successors(state):
                    after.append(successor)
                    if successor not in self._came_from:
                        self._came_from[successor] = state, label
                        found.append(successor)
                        self._check_lives(successor)
                if not after:
                    self._check_end(state)
            assert len(self._came_from) <= MOST_STATES, f"{self.scenario.name} has too many states"
            layer = found
        return following

    def _jobs(self, state: State) -> Iterator[Job]:
        """Yield the scripts that may run next."""
        now_ms, only = self._ms[state.tick], self._on_its_own(state)
        for call, (number, parts) in enumerate(state.places):
            if number >= 0 and only in (None, call):
                for _, command in self._open(number, parts):
                    yield Job(state.stored, command, now_ms)
        if only is None:
            for _, command in state.late:
                yield Job(state.stored, command, now_ms)

    def _on_its_own(self, state: State) -> int | None:
        """Return a call whose next step touches nothing that another call reads; None if there is none."""
        if state.tick == len(self._ms) - 1:
            for call, (number, _) in enumerate(state.places):
                if number >= 0 and (self._is_at_gateway(number) or self._is_at_report(number)):
                    return call
        return None

    def _is_at_gateway(self, number: int) -> bool:
        position = self._positions.all[number]
        return isinstance(position.effect, Outbound) and not position.commands

    def _is_at_report(self, number: int) -> bool:
        effect = self._positions.all[number].effect
        return isinstance(effect, RunScript) and effect.script.name in REPORTS

    def _open(self, number: int, parts: tuple[Event | None, ...]) -> list[tuple[int, int]]:
        """Return the places and commands of a call's scripts that may run next."""
        commands = self._positions.all[number].commands
        if not parts:
            return [(0, command) for command in commands]
        left = [(place, command) for place, command in enumerate(commands) if parts[place] is None]
        return left[:1] if self.scenario.in_order else left

    def _successors(self, state: State) -> Iterator[tuple[Label, State]]:
        """Yield each possible step, with the state after it."""
        only = self._on_its_own(state)
        for call, (number, _) in enumerate(state.places):
            if number >= 0 and only in (None, call) and self._positions.all[number].effect is not None:
                is_at_gateway = self._is_at_gateway(number)
                yield from self._gateway_steps(state, call) if is_at_gateway else self._script_steps(state, call)
        if only is not None:
            return
        for place, (call, command) in enumerate(state.late):
            done = self._done(state, command)
            left = state._replace(stored=done.stored, late=state.late[:place] + state.late[place + 1 :])
            yield ("arrives", call, command, done.reply), self._with_unseen(left, call, command, done)
        if state.tick < len(self._ms) - 1:
            moved_ms = self._ms[state.tick + 1] - self._ms[state.tick]
            aged = self.snapshots.aged(state.stored, moved_ms)
            yield ("moves", -1, moved_ms // 1000, 0), self._begun(state._replace(stored=aged, tick=state.tick + 1))

    def _script_steps(self, state: State, call: int) -> Iterator[tuple[Label, State]]:
        number, parts = state.places[call]
        effect, kinds = self._positions.all[number].effect, self.scenario.kinds
        for place, command in self._open(number, parts):
            done = self._done(state, command)
            ran = state._replace(stored=done.stored)
            yield ("runs", call, command, done.reply), self._got(ran, call, place, ("reply", done.reply))
            if not state.faults:
                continue
            lost = self._with_unseen(ran, call, command, done)._replace(faults=state.faults - 1)
            is_ours = not isinstance(
                effect, Outbound
            )  # The store retries scripts. Nobody retries a provider's request.
            if "lost" in kinds and is_ours:
                yield ("lost", call, command, done.reply), lost
            lost = _hurt(lost, call)
            missed = _hurt(state._replace(faults=state.faults - 1), call)
            if "unanswered" in kinds:
                yield ("unanswered", call, command, done.reply), self._got(lost, call, place, _FAULT)
            if "refused" in kinds:
                yield ("refused", call, command, None), self._got(missed, call, place, _FAULT)
            if "late" in kinds and is_ours and not self._is_at_report(number):
                late = missed._replace(late=tuple(sorted([*state.late, (call, command)])))
                yield ("late", call, command, None), late
                yield ("late, given up", call, command, None), self._got(late, call, place, _FAULT)
            if "unconfirmed" in kinds and isinstance(effect, RunScript) and effect.replicas:
                yield ("unconfirmed", call, command, done.reply), self._got(lost, call, place, ("error", "unconfirmed"))
            if "dies" in kinds:
                yield ("dies before", call, command, None), self._dead(missed, call)
                yield ("dies after", call, command, done.reply), self._dead(lost, call)

    def _gateway_steps(self, state: State, call: int) -> Iterator[tuple[Label, State]]:
        number = state.places[call][0]
        wire = self._positions.all[number].wire
        for outcome in wire.outcomes:
            yield ("gateway", call, wire.name, outcome), self._got(state, call, 0, ("word", outcome))
        if state.faults and "dies" in self.scenario.kinds:
            missed = _hurt(state._replace(faults=state.faults - 1), call)
            yield ("dies before", call, wire.name, None), self._dead(missed, call)
            died = self._positions.died_sent(number, state.tick)
            yield ("dies after", call, wire.name, None), self._begun(_placed(missed, call, died))

    def _done(self, state: State, command: int) -> Done:
        return self.snapshots.done(Job(state.stored, command, self._ms[state.tick]))

    def _with_unseen(self, state: State, call: int, command: int, done: Done) -> State:
        return state._replace(unseen=tuple(sorted({*state.unseen, Unseen(call, command, done.reply)})))

    def _dead(self, state: State, call: int) -> State:
        number = state.places[call][0]
        self._positions.close(number)
        return self._begun(_placed(state, call, self._positions.next(number, DIES, state.tick)))

    def _got(self, state: State, call: int, place: int, event: Event) -> State:
        """Return the state after a call got something for one of its scripts, or a gateway's outcome."""
        number, parts = state.places[call]
        if parts:
            parts = (*parts[:place], event, *parts[place + 1 :])
            failed = next((each for each in parts if each is not None and each[0] == "error"), None)
            if None in parts and not (failed and self.scenario.in_order):
                return _placed(state, call, number, parts)
            event = failed or ("replies", tuple(each[1] for each in parts if each is not None))
        return self._begun(self._placed(state, call, self._positions.next(number, event, state.tick)))

    def _placed(self, state: State, call: int, number: int) -> State:
        effect = self._positions.all[number].effect
        return _placed(state, call, number, (None,) * len(effect.scripts) if isinstance(effect, Together) else ())

    def _begun(self, state: State) -> State:
        """Begin each call that has what it needs."""
        for call, (number, _) in enumerate(state.places):
            step = self.scenario.steps[call]
            if number < 0 and (given := step.needs(View(self, state))) is not None:
                key = call, given, state.tick
                if key not in self._roots:
                    root = Beginning(call, f"{call} {step.name}", _starter(step, self._flows, given))
                    self._roots[key] = self._positions.begin(root, state.tick)
                state = self._placed(state, call, self._roots[key])
        return state

    def _check_lives(self, state: State) -> None:
        """Check that each key has a life, except a block that was reached."""
        if state.stored not in self._lived:
            self._lived.add(state.stored)
            for key, _, value, life in self.snapshots.stored(state.stored):
                is_block = key.endswith(b":c") and int(value) >= stranger_consecutive(self.config.policy)
                if life < 0 and not (is_block or key.startswith(b"provider:")):
                    self._fail(state, f"the key {key.decode()} has no life")

    def _check_end(self, state: State) -> None:
        try:
            self.scenario.check(Ending(self, state))
        except AssertionError as error:
            self._fail(state, str(error))

    def _fail(self, state: State, problem: str) -> None:
        lines = [self.scenario.name, problem, ""]
        labels: list[Label] = []
        at: State = state
        while (before := self._came_from[at]) is not None:
            at, label = before
            labels.append(label)
        lines += [f"{number:3}. {self._told(label)}" for number, label in enumerate(reversed(labels), 1)]
        lines.append("")
        for call, step in enumerate(self.scenario.steps):
            position = self.position(state, call)
            lines.append(f"     {step.name}: {_outcome(position)}")
        raise Violation("\n".join(lines))

    def _told(self, label: Label) -> str:
        """Return a step as a line of a counterexample."""
        kind, call, what, more = label
        if kind == "moves":
            return f"{what} seconds pass"
        name = self.scenario.steps[call].name
        if isinstance(what, str):
            doing = f"the gateway {what}"
            return {
                "gateway": f"{name}: {doing}: {more}",
                "dies before": f"{name} dies before {doing} has the message",
                "dies after": f"{name} dies after {doing} has the message",
            }[kind]
        script = self.snapshots.commands.values[what].name
        reply = "" if more is None else _short(self.snapshots.replies.values[more], self._ms[0])
        return {
            "runs": f"{name}: {script} → {reply}",
            "lost": f"{name}: {script} → {reply}, but the reply is lost; it will run again",
            "unanswered": f"{name}: {script} → {reply}, but no reply ever arrives: StoreUnavailableError",
            "refused": f"{name}: {script} does not run: StoreUnavailableError",
            "late": f"{name}: {script} is on its way for long; it will be sent again",
            "late, given up": f"{name}: {script} is on its way for long: StoreUnavailableError",
            "arrives": f"{name}: {script}, sent long ago, runs → {reply}",
            "unconfirmed": f"{name}: {script} → {reply}, but too few replicas confirm it",
            "dies before": f"{name} dies before {script}",
            "dies after": f"{name}: {script} → {reply}, and {name} dies",
        }[kind]


def _made(make: Callable[[Flows, Ending], Flow[Any]], so_far: Ending) -> Callable[[Flows], Flow[Any]]:
    return lambda flows: make(flows, so_far)


def _starter(step: Step, flows: Flows, given: Any) -> Callable[[], Flow[Any]]:
    return lambda: step.start(flows, given)


def _hurt(state: State, call: int) -> State:
    return state._replace(hurt=state.hurt | 1 << call)


def _placed(state: State, call: int, number: int, parts: tuple[Event | None, ...] = ()) -> State:
    return state._replace(places=(*state.places[:call], (number, parts), *state.places[call + 1 :]))


def _short(reply: Any, began_ms: int) -> str:
    """Return the word of a reply, or the reply. Times are shown from the start."""
    if isinstance(reply, tuple):
        if len(reply) > 1 and isinstance(reply[1], bytes) and reply[1]:  # An operation and a word.
            return reply[1].decode("ascii", "replace")
        return "[" + ", ".join(_short(each, began_ms) for each in reply) + "]"
    if isinstance(reply, bytes):
        return reply.decode("ascii", "replace")
    return str(reply) if reply < began_ms else f"{(reply - began_ms) // 1000} s"


def _outcome(position: Position | None) -> str:
    if position is None:
        return "never began"
    if position.effect is not None:
        return "has not ended"
    if position.error is not None:
        return f"{type(position.error).__name__}: {getattr(position.error, 'problem', position.error)}"
    return "died" if position.event in (DIES, ("word", "dies")) else repr(position.value)


def _paths(first: State, following: dict[State, list[State]]) -> int:
    """Return the number of ways from the first state to an end."""
    ways: dict[State, int] = {}
    stack = [first]
    while stack:
        state = stack[-1]
        if state in ways:
            stack.pop()
            continue
        after = following[state]
        missing = [each for each in after if each not in ways]
        if missing:
            stack += missing
        else:
            ways[state] = sum(ways[each] for each in after) if after else 1
            stack.pop()
    return ways[first]
