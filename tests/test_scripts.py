"""Every script documents its arguments and replies, sets no global, and stores only small values."""

from __future__ import annotations

import copy
import inspect
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from lupa import lua51
from support.lua_shell import MAX_VALUE, Lua, Shell

from otpkit import Guard, Policy
from otpkit.core import scripts
from otpkit.core.issue import IssueRequest
from otpkit.core.scripts.audit import Occurrence
from otpkit.core.scripts.limits import Refusal, WideLimit
from otpkit.core.scripts.money import Shortage
from otpkit.core.scripts.places import Places
from otpkit.effects import RunScript, Script
from otpkit.errors import ExpiredCodeError, GatewayRejectedError, UsedTokenError, WrongCodeError
from otpkit.guard.rule import Rule

FOLDER = Path(scripts.__file__).parent
PLACES = Places(has_guard=True, has_budgets=True).numbers()
SCRIPTS = [each.name for each in fields(scripts.Scripts)]
FIGURES = ["fold", "refusal", "served", "tally"]
INCLUDED = [
    *(
        "append_audit",
        "blocked",
        "challenge",
        "charge",
        "clock",
        "contains",
        "describe",
        "device",
        "forget",
        "keep",
        "limited",
        "money",
        "operation",
        "pack",
        "phone",
        "prune",
    ),
    *("give_back", "refund_money", "repeated", "rolling", "unaffordable", "window"),
    *FIGURES,
]
# The parts that only scripts of a guard include. They share the scripts' locals and arguments.
GUARDED = [
    *("count", "count_address", "count_network", "count_range", "counted", "guessed", "guesses", "judge", "judged"),
    *("move", "overrides", "records", "refused", "region", "rolled", "uncount", "unverified", "verified"),
    *("write_address", "write_network", "write_range", "write_region", "write_total"),
    *("move_address", "move_network", "one_unverified", "one_verified"),
    *("exempt", "slot", "write_all", "write_narrow", "write_wide"),
    *("count_elsewhere", "guessed_again", "guessed_elsewhere", "judge_elsewhere", "moved", "proved_again"),
    *("uncount_elsewhere", "unverified_elsewhere", "verified_elsewhere"),
]
LOADED = {
    "plain": scripts.load(Policy()),
    "guarded": scripts.load(Policy(), Rule()),
    "budgeted": scripts.load(Policy(), has_budgets=True),
    "whole": scripts.load(Policy(), Rule(), has_budgets=True),
    "several regions": scripts.load(Policy(regions={"CN", "US"}), Rule(), has_budgets=True),
    "elsewhere": scripts.load(Policy(), Rule(), has_budgets=True, clustered=True),
}


def whole(name: str) -> Script[Any]:
    """Return a script with all its parts."""
    script: Script[Any] = getattr(LOADED["whole"], name)
    return script


def parts_of(name: str) -> tuple[str, str]:
    """Return a script's header without its dashes, with numbers for places of keys, and the rest of the script."""
    text = (FOLDER / f"{name}.lua").read_text(encoding="utf-8")
    places = PLACES | {"STATS_KEY": scripts.STATS_KEY.get(name, "3")}
    lines = re.sub("|".join(places), lambda match: places[match[0]], text).splitlines()
    end = next(i for i, line in enumerate(lines) if not line.startswith("--") or line.startswith("--#"))
    return "\n".join(line.removeprefix("--").removeprefix(" ") for line in lines[:end]), "\n".join(lines[end:])


def section(header: str, name: str) -> str:
    """Return the text of a header under KEYS, ARGV or Returns, or "" if the section is missing."""
    found = re.search(rf"^{name}(.*?)(?=^(?:KEYS|ARGV|Returns)|\Z)", header, re.MULTILINE | re.DOTALL)
    return found[1] if found else ""


def entries(text: str) -> list[tuple[int, bool, str]]:
    """Return the entries under KEYS or ARGV: a place, whether it includes all later ones (`3…`), and its name."""
    found = re.findall(r"(?:\A|;|without (?:its|their) keys?,)\s*(\d+)(…?)\s+([a-z_]+)\b", text)
    return [(int(place), bool(more), name) for place, more, name in found]


def documented(text: str) -> set[int]:
    """Return the places that a section documents."""
    return {each for place, more, _ in entries(text) for each in range(place, 32 if more else place + 1)}


def replies(text: str) -> list[tuple[str, tuple[str, ...]]]:
    """Return the lists that a header documents as replies: the word of each, or "", and the names of its values."""
    found = []
    for values in re.findall(r"\{(.+?)\}", text, re.DOTALL):
        word = re.match(r"'(\w+)'", values)
        found.append(
            (word[1] if word else "", tuple(re.findall(r"\b[a-z_]+", values[word.end() :] if word else values)))
        )
    return found


def used(name: str, body: str) -> set[int]:
    return {int(index) for index in re.findall(rf"\b{name}\[(\d+)\]", body)}


def test_there_is_a_file_for_each_script_and_no_other() -> None:
    """Each script has one file, and there is one copy of it."""
    assert sorted(path.stem for path in FOLDER.glob("*.lua")) == sorted([*SCRIPTS, *INCLUDED, *GUARDED])


@pytest.mark.parametrize("name", [*SCRIPTS, *INCLUDED, *GUARDED])
def test_a_file_begins_by_saying_what_it_is(name: str) -> None:
    """The header begins with a sentence."""
    header, body = parts_of(name)
    assert re.match(r"[A-Z].*\.", header, re.DOTALL)
    assert body.strip()


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_header_gives_keys_arguments_and_answer(name: str) -> None:
    """Everything that the script uses is documented."""
    header, body = parts_of(name)
    text = whole(name).text
    assert section(header, "Returns").strip()
    assert documented(section(header, "KEYS")) >= used("KEYS", body)
    assert 1 in documented(section(header, "KEYS"))
    assert documented(section(header, "ARGV")) >= used("ARGV", body)
    assert 1 in documented(section(header, "ARGV")) or "ARGV[" not in text


LIMITS = [WideLimit("region", "key of a region", "1/1"), WideLimit("total", "key of all", "2/2")]
SAMPLES = {
    "limits": LIMITS,
    "ip_limit": WideLimit("ip", "key of an address", "3/3"),
    "refusal": Refusal("ip", 71, 72, 73),
    "names": ["one", "two"],
    "guard_keys": ("key of a range", "key of its region"),
    "decisions": [("captcha", "range", "name of a range", 7)],
    "figures": [" CN twilio r", " CN next r"],
    "money": Shortage(1, "hour", 81),
    "events": [Occurrence("an id", "an action", "a phone's", "a scope", "a subject", 91, 0)],
}
"""Sample values for arguments that are not a single key or argument."""


def sampled(face: Script[Any], *, refused: bool) -> dict[str, Any]:
    """Return distinct values for the arguments of a script class: either limits to charge, or one that refused."""
    names = list(inspect.signature(face.__call__).parameters)  # type: ignore[operator]
    left_out = {"limits", "ip_limit", "memory_key", "money_key"} if refused and "refusal" in names else {"refusal"}
    return {name: SAMPLES.get(name, f"a value of {name}") for name in names if name not in left_out}


def parts(value: Any) -> list[Any]:
    """Return the single values of an argument."""
    if isinstance(value, Shortage):
        return [str(value)]
    return [part for each in value for part in parts(each)] if isinstance(value, (list, tuple)) else [value]


@pytest.mark.parametrize("refused", [False, True])
@pytest.mark.parametrize("name", SCRIPTS)
def test_a_face_puts_arguments_where_the_header_says(name: str, refused: bool) -> None:
    """The names are the same, and there are no other arguments."""
    header, _ = parts_of(name)
    face = whole(name)
    arguments = sampled(face, refused=refused)
    call = face(**arguments)
    said: set[str] = set()
    for values, text in ((call.keys, section(header, "KEYS")), (call.args, section(header, "ARGV"))):
        given = [entry for entry in entries(text) if entry[2] in arguments]
        said |= {name for _, _, name in given}
        places: set[int] = set()
        for (place, more, argument), after in zip(given, [*given, None][1:], strict=True):
            end = None if after is None or after[0] < place else after[0] - 1
            own = values[place - 1 : end] if more else values[place - 1 : place]
            assert own, f"{argument} is not at {place}"
            places |= set(range(place, place + len(own)))
            own = [each for each in own if place == 1 or each != arguments.get("phone_key")]  # It stands in for others.
            assert [each for each in own if each not in parts(arguments[argument])] == []
        stand_ins = {place for place, value in enumerate(values, 1) if value == arguments.get("phone_key")}
        assert places | stand_ins == set(range(1, len(values) + 1))
    assert said == set(arguments)


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_header_names_no_argument_that_the_face_lacks(name: str) -> None:
    """The class has keyword-only arguments with the header's names."""
    header, _ = parts_of(name)
    face = whole(name)
    parameters = inspect.signature(face.__call__).parameters
    assert {each.kind for each in parameters.values()} == {inspect.Parameter.KEYWORD_ONLY}
    assert set(parameters) == {argument for part in ("KEYS", "ARGV") for *_, argument in entries(section(header, part))}


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_face_reads_what_the_header_says_it_returns(name: str) -> None:
    """Each word and each list has a class with the values' names. The script replies with these words and no others."""
    header, _ = parts_of(name)
    face = whole(name)
    said = replies(section(header, "Returns"))
    text = getattr(LOADED["whole"], name).text
    classes: list[tuple[str, Any]] = [("", each) for each in getattr(face, "lists", ())]
    words = getattr(face, "words", {})
    classes += [(word, parse.__self__) for word, parse in words.items() if isinstance(word, str)]
    assert sorted(said) == sorted((word, getattr(each, "_fields", ())) for word, each in classes)
    assert set(re.findall(r"\{ operation, '(\w+)'", text)) == {word for word, _ in classes if word}
    assert {word.encode() for word in words if isinstance(word, str)} == {
        word for word in words if isinstance(word, bytes)
    }


@pytest.mark.parametrize("name", INCLUDED)
def test_what_is_included_reads_no_argument_but_the_time(name: str) -> None:
    """They are the same in each script: the first key is the phone's, the second its counter.

    Only `operation` reads the id.
    """
    _, body = parts_of(name)
    assert used("ARGV", body) <= {1, *([2] if name in {"operation", "refund_money", "refusal"} else [])}
    assert used("KEYS", body) <= {1, 2} or name in {"window", "device", "money", "charge", *FIGURES}


@pytest.mark.parametrize("name", [*SCRIPTS, *INCLUDED, *GUARDED])
def test_every_key_is_an_element_of_keys(name: str) -> None:
    """Proxies of managed clusters parse the text: each key is KEYS[digit], each command a literal, no call nested."""
    _, body = parts_of(name)
    code = re.sub(r"--.*", "", body)
    calls = re.findall(r"redis\.p?call\(([^()]*)", code)
    assert len(calls) == len(re.findall(r"\bredis\b", code))
    for call in calls:
        command, *rest = map(str.strip, call.split(","))
        assert re.fullmatch(r"'[A-Z]+'", command)
        keys = {"'TIME'": 0, "'DEL'": len(rest)}.get(command, 1)
        assert all(re.fullmatch(r"KEYS\[\d+\]", key) for key in rest[:keys])
        assert not any("KEYS" in argument for argument in rest[keys:])
    others = re.sub(r"redis\.p?call\([^()]*", "", code)
    assert all(re.fullmatch(r"KEYS\[\d+\]", each) for each in re.findall(r"[^\s(]*KEYS[^\s,)]*", others))
    # What a script counts for operators is the only thing whose refusal changes nothing.
    for call in re.findall(r"\bpcall\b[^,]*,[^,]*", code):
        assert re.fullmatch(r"pcall\('[A-Z]+', KEYS\[[123]\]", call)
        assert name in FIGURES or name == "unverify"
    assert not re.search(r"\bunpack\b|(?<!redis\.)\bpcall\b", code)


REDIS_GIVES = {"ARGV", "KEYS", "ipairs", "math", "pairs", "redis", "string", "table", "tonumber"}


@pytest.mark.parametrize("kind", LOADED)
@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_reads_no_global_but_what_redis_gives(name: str, kind: str) -> None:
    """This covers all branches. Included code comes first, in a block around the script."""
    lua: Any = lua51.LuaRuntime(encoding=None)
    compiled = lua.compile(getattr(LOADED[kind], name).text.encode())
    read, written = Bytecode(lua.eval("string.dump")(compiled)).globals()
    assert read <= REDIS_GIVES
    assert not written


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_holds_no_part_that_is_not_used(name: str) -> None:
    """Without budgets, no command and no function for them is in the text."""
    code = re.sub(r"--.*", "", getattr(scripts.load(Policy()), name).text)
    assert name in {"spend", "unspend", "spending"} or "money" not in code
    assert not re.search(r"--# (?:if|end)", whole(name).text)


class Bytecode:
    """A function dumped by Lua 5.1 (lundump.c) on a 64-bit machine."""

    def __init__(self, dumped: bytes) -> None:
        assert dumped[:12] == b"\x1bLua\x51\0\1\4\x08\4\x08\0"
        self._bytes, self._at = dumped, 12

    def globals(self) -> tuple[set[str], set[str]]:
        """Return the names of the globals that the function and its inner functions read, and that they set."""
        self._text()
        self._skip(4 + 4 + 4)
        code = [self._number(4) for _ in range(self._number(4))]
        constants = [self._constant() for _ in range(self._number(4))]
        read, written = ({constants[i >> 14] for i in code if i & 63 == opcode} for opcode in (5, 7))
        for _ in range(self._number(4)):
            inner_read, inner_written = self.globals()
            read, written = read | inner_read, written | inner_written
        self._skip(4 * self._number(4))
        for _ in range(self._number(4)):
            self._text()
            self._skip(8)
        for _ in range(self._number(4)):
            self._text()
        return read, written

    def _number(self, size: int) -> int:
        self._at += size
        return int.from_bytes(self._bytes[self._at - size : self._at], "little")

    def _skip(self, size: int) -> None:
        self._at += size

    def _text(self) -> str:
        size = self._number(8)
        self._at += size
        return self._bytes[self._at - size : self._at - 1].decode("latin-1")

    def _constant(self) -> str:
        kind = self._number(1)
        if kind == 4:
            return self._text()
        self._skip({0: 0, 1: 1, 3: 8}[kind])
        return ""


PHONE, IP = "13800138000", "203.0.113.9"


@pytest.fixture(params=["one server", "cluster", "guarded", "guarded cluster"])
def shell(request: pytest.FixtureRequest) -> Iterator[Shell]:
    """Return a shell for one server, then one for a cluster."""
    return Shell(clustered="cluster" in request.param, guard=Guard() if "guarded" in request.param else None)


def test_no_script_sets_or_reads_an_undeclared_global(shell: Shell) -> None:
    """Each script runs through most of its branches, in an environment where such a global is an error."""
    flows, drive = shell.flows, shell.drive

    def issue(bind: str = "") -> Any:
        return drive(flows.issue(IssueRequest(PHONE, "signup", bind, IP, None, "key", "sms", None)))

    def verify(code: str, bind: str = "") -> Any:
        return drive(flows.verify(PHONE, code, "signup", bind, IP, None))

    assert issue().delivery == "accepted"
    assert issue().replayed
    assert verify(shell.sent[-1].code).phone == "+8613800138000"
    with pytest.raises(ExpiredCodeError):
        verify("000000")
    issue("guessed")
    wrong = f"{(int(shell.sent[-1].code) + 1) % 10**6:06d}"
    for left in (1, 0):
        with pytest.raises(WrongCodeError) as refused:
            verify(wrong, "guessed")
        assert refused.value.attempts_left == left
    shell.rejects = True
    with pytest.raises(GatewayRejectedError):
        issue("rejected")
    shell.rejects = False
    shell.suspends = True
    assert issue("sent by the next gateway").gateway == "outbox"
    shell.suspends = False
    drive(flows.delivery(PHONE, "signup", "sent by the next gateway"))
    issue("revoked")
    drive(flows.revoke(PHONE, "signup", "revoked"))
    assert drive(flows.status(PHONE, "signup", "revoked")) is None
    issue("proved")
    proof = verify(shell.sent[-1].code, "proved")
    shell.now += 1
    assert drive(flows.redeem(proof.token, "signup", "proved", PHONE, None)) == proof
    assert drive(flows.standing(PHONE)).device_failures_left == 18
    assert drive(flows.check_device(proof.device, PHONE)) == proof.verified_at
    drive(flows.issue(IssueRequest(PHONE, "signup", "device", IP, None, None, "sms", None, proof.device)))
    wrong = f"{(int(shell.sent[-1].code) + 1) % 10**6:06d}"
    with pytest.raises(WrongCodeError):
        drive(flows.verify(PHONE, wrong, "signup", "device", IP, None, None, proof.device))
    assert drive(flows.status(PHONE, "signup", "device", None, proof.device)).attempts_left == 1
    drive(flows.forget_devices(PHONE))
    drive(flows.unblock(PHONE))
    drive(flows.erase(PHONE))
    assert drive(flows.spending())[0].left > 0
    assert drive(flows.stats(24)).total.sent > 4
    shell.now += 90_000
    issue()
    assert [each.action for each in drive(flows.audit(None, None, 9)).entries] == [
        "erased",
        "unblocked",
        "devices_forgotten",
    ]
    drive(flows.close_circuit("outbox", actor="", reason=""))
    assert [each.state for each in drive(flows.gateways())] == ["closed", "closed"]
    unused = {"unverify", "unredeem", "look", "note", "notes", "override", "remember", "claim", "audit_events"}
    if not flows._config.clustered:
        unused |= {"consume", "refund", "spend", "unspend", "add_figures"}
    if not flows._config.clustered or flows._config.protection is None:
        unused |= {"count_narrow", "move_narrow", "count_wide", "move_wide"}
    assert shell.lua.seen == set(SCRIPTS) - unused


def test_a_reservation_that_was_settled_long_ago_changes_nothing(shell: Shell) -> None:
    """A hung server may run a request after its retry is settled and the code was used."""
    ran: list[RunScript] = []
    run = shell.lua.run
    shell.lua.run = lambda effect: (ran.append(effect), run(effect))[1]  # type: ignore[method-assign]
    shell.drive(shell.flows.issue(IssueRequest(PHONE, "signup", "", None, None, None, "sms", None)))
    shell.drive(shell.flows.verify(PHONE, shell.sent[-1].code, "signup", "", None, None))
    (late,) = [effect for effect in ran if effect.script.name == "reserve"]
    before = copy.deepcopy(shell.lua.data)
    assert run(late)[1] == b"replayed"
    assert shell.lua.data == before


def test_the_environment_of_that_test_does_catch_globals() -> None:
    """Without this, the test above would prove nothing."""
    for text in ("surprise = 1", "return surprise"):
        script = Script("surprise", text)
        with pytest.raises(lua51.LuaError, match="surprise"):
            Lua().run(RunScript(script, (), ()))


def test_a_value_of_a_phone_never_exceeds_64_bytes_whatever_the_policy() -> None:
    """The fields are the largest possible ones: a send with an idempotency key, a redeemed proof."""
    shell = Shell(clustered=False)
    drive, flows = shell.drive, shell.flows
    drive(flows.issue(IssueRequest(PHONE, "p" * 128, "b" * 4096, IP, None, "k" * 4096, "sms", None)))
    proof = drive(flows.verify(PHONE, shell.sent[-1].code, "p" * 128, "b" * 4096, IP, None))
    drive(flows.redeem(proof.token, "p" * 128, "b" * 4096, PHONE, "k" * 4096))
    (state,) = (value for key, value in shell.lua.data.items() if key.endswith(b":p"))
    assert max(map(len, [*state, *state.values()])) <= MAX_VALUE


def test_redeeming_again_by_the_same_operation_is_told(shell: Shell) -> None:
    """The first reply is 'redeemed', that of the same operation 'repeated', and that of another operation 'used'."""
    shell.drive(shell.flows.issue(IssueRequest(PHONE, "signup", "", None, None, None, "sms", None)))
    proof = shell.drive(shell.flows.verify(PHONE, shell.sent[-1].code, "signup", "", None, None))
    said: list[Any] = []
    run = shell.lua.run
    shell.lua.run = lambda effect: (said.append(run(effect)), said[-1])[1]  # type: ignore[method-assign]
    for key in ("one", "one", "one"):
        assert shell.drive(shell.flows.redeem(proof.token, "signup", "", PHONE, key)) == proof
    with pytest.raises(UsedTokenError):
        shell.drive(shell.flows.redeem(proof.token, "signup", "", PHONE, "another"))
    assert [word for _, word in said] == [b"redeemed", b"repeated", b"repeated", b"used"]
