"""Managed clusters check a script's text: all scripts of otpkit pass, and a refusal is a configuration error."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import fields

import pytest
import redis
from mortal import Mortal
from support.callers import KINDS, calling, result
from support.doctor import found_of, settings_of
from support.managed import LENIENT, STRICT, ManagedProxy, is_accepted
from support.rig import PHONE, wrong

from otpkit import ConfigurationError, Policy, WrongCodeError
from otpkit.core import scripts
from otpkit.doctor.rehearsal import COMMANDS, _steps, examine_scripts
from otpkit.errors import ExpiredCodeError
from otpkit.gateways import Failover
from otpkit.guard.rule import Rule
from otpkit.testing import Outbox

IP = "203.0.113.7"
SCRIPTS = scripts.load(Policy())
GUARDED = scripts.load(Policy(), Rule(), has_budgets=True)
ELSEWHERE = scripts.load(Policy(), Rule(), has_budgets=True, clustered=True)
NARROW = Policy(sends="32/day")


@pytest.fixture(params=[False, True], ids=["lenient", "strict"])
def proxy(own: Mortal, request: pytest.FixtureRequest) -> Iterator[ManagedProxy]:
    """Yield a proxy that checks scripts, before a server of its own."""
    with ManagedProxy(own.url, strict=request.param) as proxy:
        yield proxy


@pytest.mark.parametrize("loaded", [SCRIPTS, GUARDED, ELSEWHERE], ids=["plain", "guarded", "elsewhere"])
@pytest.mark.parametrize("name", [field.name for field in fields(SCRIPTS)])
def test_each_script_passes_the_check(name: str, loaded: scripts.Scripts) -> None:
    """The stricter form of the check passes too."""
    text = getattr(loaded, name).text
    assert is_accepted(text, LENIENT)
    assert is_accepted(text, STRICT)


@pytest.mark.parametrize(
    ("text", "lenient"),
    [
        ("return redis.call('GET', KEYS[1])", True),
        ("for i = 1, #KEYS do redis.call('GET', KEYS[i]) end", True),
        ("local key = KEYS[1] return redis.call('GET', key)", False),
        ("return redis.call('GET', KEYS[1 + 1])", False),
        ("return redis.call('GET', phone.key)", False),
        ("return redis.call('GET', KEYS[1] .. ':1')", False),
        ("return redis.call('HDEL', KEYS[1], unpack(gone))", False),
        ("return redis.call('DEL', KEYS[1], key)", False),
    ],
)
def test_the_check_refuses_what_they_refuse(text: str, lenient: bool) -> None:
    """Without this, the other tests would prove nothing."""
    assert is_accepted(text, LENIENT) == lenient
    assert is_accepted(text, STRICT) == (text == "return redis.call('GET', KEYS[1])")


@pytest.mark.parametrize("kind", KINDS)
async def test_every_call_passes_the_check(proxy: ManagedProxy, kind: str) -> None:
    """The calls use a URL and a client, sync and async, with wide limits and a failover."""
    outbox, other = Outbox(), Outbox()
    async with calling(kind, proxy.url, Failover([outbox, other])) as caller:
        await caller.issue(PHONE, ip=IP)
        assert isinstance(await result(caller.verify(PHONE, wrong(outbox[-1].code), ip=IP)), WrongCodeError)
        proof = await caller.verify(PHONE, outbox[-1].code, ip=IP)
        assert (await caller.redeem(proof.token)).id == proof.id
        await caller.issue(PHONE, "login")
        assert (await caller.status(PHONE, "login")).attempts_left == 5
        await caller.delivery(PHONE, "login")
        await caller.revoke(PHONE, "login")
        assert isinstance(await result(caller.verify(PHONE, "000000", "login", ip=IP)), ExpiredCodeError)
        await caller.standing(PHONE)
        await caller.unblock(PHONE)
        await caller.erase(PHONE)
    assert proxy.read >= 9


def test_the_doctor_runs_every_script_with_every_command(own: Mortal) -> None:
    """Every command of every script is run, and no key is left."""
    with own.client() as client, own.client() as watcher, watcher.monitor() as monitor:
        finding = examine_scripts(client, "otpkit")
        client.echo("the end")
        seen, names = set(), set()
        for each in monitor.listen():
            words = each["command"].split()
            if words[:1] == ["ECHO"]:
                break
            (seen if each["client_type"] == "lua" else names).add(words[0])
        assert (finding.status, finding.found) == ("ok", f"All {len(fields(SCRIPTS))} run.")
        assert list(client.scan_iter("*")) == []
    commands = {command for field in fields(SCRIPTS) for command in _commands(getattr(SCRIPTS, field.name).text)}
    assert seen == commands
    assert COMMANDS.keys() - {"EVAL", "EVALSHA"} == commands


def test_the_doctor_leaves_out_no_script() -> None:
    ran = {step.script.name for step in _steps("otpkit:{doctor}", "otpkit:{doctor}")}
    assert ran == {field.name for field in fields(SCRIPTS)}


def _commands(text: str) -> set[str]:
    return set(re.findall(r"redis\.p?call\('(\w+)'", text))


@pytest.mark.parametrize("command", [*COMMANDS])
def test_the_doctor_names_a_command_that_is_denied(own: Mortal, command: str) -> None:
    with own.client() as client:
        client.execute_command("ACL", "SETUSER", "app", "on", ">password", "~otpkit:*", "+@all", f"-{command.lower()}")
        finding = settings_of(own.url.replace("unix://", "unix://app:password@"))["scripts"]
        assert (finding.status, finding.remedy) == (
            "problem",
            f"Allow the user of OTPKIT_REDIS_URL +{command.lower()}.",
        )
        assert command in finding.found
        assert [key for key in client.scan_iter("*doctor*") if client.pttl(key) > 1] == []


def test_the_doctor_names_a_renamed_command(binary: str) -> None:
    with Mortal(binary, "--rename-command", "PERSIST", "") as server:
        assert "PERSIST" in settings_of(server.url)["scripts"].found


def test_the_doctor_names_what_a_server_refuses(own: Mortal) -> None:
    """The server refuses all writes until its limit is raised."""
    with own.client() as client:
        client.config_set("maxmemory", 1)
        finding = settings_of(own.url)["scripts"]
        assert (finding.status, "is full" in finding.found) == ("problem", True)
        client.config_set("maxmemory", 0)
        assert settings_of(own.url)["scripts"].status == "ok"


async def test_a_refused_script_is_a_configuration_error(
    own: Mortal, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names the parameter, and so does the doctor."""
    monkeypatch.setattr("support.managed.is_accepted", lambda text, key: "'HGETALL'" not in text)
    with ManagedProxy(own.url) as proxy:
        async with calling(kind, proxy.url, Outbox()) as caller:
            refused = await result(caller.issue(PHONE))
        assert isinstance(refused, ConfigurationError)
        assert "script_check_enable" in str(refused)
        finding = settings_of(proxy.url)["scripts"]
        assert finding.status == "problem"
        assert "script_check_enable" in finding.remedy


async def test_a_cluster_behind_a_proxy_takes_keys_of_one_slot(own: Mortal, kind: str) -> None:
    """The wide limits have keys in other slots, so they are refused. Other calls work, and the doctor explains it."""
    with ManagedProxy(own.url, strict=True, one_slot=True) as proxy:
        async with calling(kind, proxy.url, outbox := Outbox(), policy=NARROW) as caller:
            refused = await result(caller.issue(PHONE, ip=IP))
            assert isinstance(refused, ConfigurationError)
            assert "redis+cluster://" in str(refused)
            await caller.issue(PHONE)
            assert await caller.verify(PHONE, outbox[-1].code)
        finding = settings_of(proxy.url)["scripts"]
        assert finding.status == "problem"
        assert "redis+cluster://" in finding.remedy


def test_scripts_are_no_check_of_a_servers_facts(own: Mortal) -> None:
    """The doctor runs them only when it knows the environment's namespace."""
    with own.client() as client:
        assert "scripts" not in found_of(client)
        assert isinstance(client, redis.Redis)
