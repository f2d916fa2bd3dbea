"""A server that denies a command, by an ACL or by another name: the error names the command."""

from __future__ import annotations

import re
from importlib.resources import files
from typing import Any

import pytest
from mortal import Mortal
from support.callers import BROAD, calling, result
from support.rig import PHONE, wrong

from otpkit import ConfigurationError, Guard, Policy
from otpkit.core import scripts
from otpkit.testing import Outbox

IP = "203.0.113.7"
CALLED = re.compile(r"redis\.call\('([A-Z]+)'")
TEXTS = [each.read_text() for each in files(scripts).iterdir() if each.name.endswith(".lua")]
IN_SCRIPTS = sorted({name for text in TEXTS for name in CALLED.findall(text)})
NOT_IN_EVERY_STORY = {"PERSIST"}


async def story(kind: str, url: str, **options: Any) -> list[Any]:
    """Return the outcomes of every call, each made in a state in which it has an effect."""
    async with calling(kind, url, outbox := Outbox(), **options) as caller:
        outcomes = [await result(caller.issue(PHONE, ip=IP)), await result(caller.issue(PHONE, "login", ip=IP))]
        sent = len(outbox)
        assert sent == sum(not isinstance(each, Exception) for each in outcomes)
        code = outbox[0].code if sent else "123456"
        outcomes += [
            await result(caller.verify(PHONE, wrong(code), ip=IP)),
            await result(caller.verify(PHONE, code, ip=IP)),
        ]
        if not isinstance(outcomes[-1], Exception):
            outcomes.append(await result(caller.redeem(outcomes[-1].token)))
        outcomes.append(await result(caller.verify(PHONE, code, ip=IP)))  # There is no challenge now.
        for call in (caller.status, caller.delivery, caller.standing, caller.revoke, caller.unblock, caller.erase):
            outcomes.append(await result(call(PHONE)))
        outcomes.append(await result(caller.audit()))
        return outcomes


def options_of(command: str) -> dict[str, Any]:
    """Return the options with which the story needs a command."""
    return {"guard": Guard()} if command == "SETRANGE" else {}


def assert_named(outcomes: list[Any], command: str, *, needed: bool = True) -> None:
    told = [str(each) for each in outcomes if isinstance(each, ConfigurationError)]
    assert not needed or told, f"{command}: {outcomes}"
    assert all(re.search(rf"\b{command}\b", each) for each in told), told
    assert not any(PHONE in each or "otpkit:" in each for each in told)


@pytest.mark.parametrize("command", [*IN_SCRIPTS, "EVALSHA", "EVAL"])
async def test_a_command_that_the_user_lacks_is_named(own: Mortal, kind: str, command: str) -> None:
    """The commands are those that scripts call, and those that run scripts."""
    with own.client() as client:
        client.execute_command("ACL", "SETUSER", "bob", "on", ">password", "~*", "+@all", f"-{command.lower()}")
    outcomes = await story(kind, own.url.replace("unix://", "unix://bob:password@"), **options_of(command))
    assert_named(outcomes, command, needed=command not in NOT_IN_EVERY_STORY)


@pytest.mark.parametrize("command", [*IN_SCRIPTS, "EVALSHA", "EVAL"])
async def test_a_command_that_was_renamed_is_named(binary: str, kind: str, command: str) -> None:
    """Some providers rename commands that they consider dangerous."""
    with Mortal(binary, "--rename-command", command, "") as server:
        outcomes = await story(kind, server.url, **options_of(command))
    assert_named(outcomes, command, needed=command not in NOT_IN_EVERY_STORY)


async def test_waiting_for_replicas_needs_wait(binary: str, kind: str) -> None:
    """Without WAIT the policy can't be met, so nothing is sent."""
    policy = Policy(sends=BROAD.sends, replicas=1)
    with Mortal(binary, "--rename-command", "WAIT", "") as server:
        assert_named(await story(kind, server.url, policy=policy), "WAIT")


async def test_keys_that_the_user_lacks_are_named(own: Mortal, kind: str) -> None:
    with own.client() as client:
        client.execute_command("ACL", "SETUSER", "bob", "on", ">password", "~other:*", "+@all")
    for each in await story(kind, own.url.replace("unix://", "unix://bob:password@")):
        assert isinstance(each, ConfigurationError)
        assert "keys" in str(each)
