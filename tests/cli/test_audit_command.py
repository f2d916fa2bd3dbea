"""`otpkit audit`, `otpkit audit-keys`, and the operator of a command, each in a process of its own."""

from __future__ import annotations

import csv
import getpass
import io
import json

import redis
from cli_process import PHONE, otpkit

Env = dict[str, str]


def entries(env: Env, *options: str) -> list[dict[str, object]]:
    found = otpkit("audit", "--json", *options, env=env)
    assert (found.status, found.err) == (0, "")
    listed: list[dict[str, object]] = json.loads(found.out)["entries"]
    return listed


def test_commands_name_their_operator(configured: Env) -> None:
    """By `--actor`, or by the user of the operating system, which variables do not change."""
    env = configured | {"OTPKIT_GUARD_MODE": "enforce", "USER": "mallory", "LOGNAME": "mallory"}
    about = ("--actor", "ann", "--reason", "ticket 12")
    for command in (("unblock", PHONE), ("revoke", PHONE), ("forget-devices", PHONE), ("erase", PHONE)):
        assert otpkit(*command, *about, env=env).status == 0
    for command in (("allow", "range", PHONE), ("block", "region", "CN"), ("clear", "region", "CN")):
        assert otpkit("guard", *command, *about, env=env).status == 0
    found = entries(env)
    assert [each["action"] for each in found] == [
        *("guard_cleared", "guard_blocked", "guard_allowed"),
        *("erased", "devices_forgotten", "revoked", "unblocked"),
    ]
    assert {(each["actor"], each["reason"], each["outcome"]) for each in found} == {("ann", "ticket 12", "done")}
    assert otpkit("unblock", PHONE, env=env).status == 0
    (latest,) = entries(env, "--limit", "1")
    assert latest["actor"] not in {"mallory", ""}
    assert latest["actor"] == getpass.getuser() or "uid" in str(latest["actor"])


def test_audit_of_a_number_and_a_time(configured: Env) -> None:
    otpkit("unblock", PHONE, "--reason", "the user called", env=configured)
    assert len(entries(configured, "--phone", PHONE, "--since", "1h")) == 1
    assert entries(configured, "--phone", "13900139000") == []
    assert entries(configured, "--since", "2099-01-31T08:00") == []
    shown = otpkit("audit", env=configured)
    assert "unblocked" in shown.out
    assert "the user called" in shown.out
    assert PHONE[-8:] not in shown.out
    assert otpkit("audit", "--since", "yesterday", env=configured).status == 2
    assert otpkit("audit", "--json", "--csv", env=configured).status == 2


def test_a_number_in_a_reason_is_refused(configured: Env) -> None:
    refused = otpkit("erase", PHONE, "--reason", f"{PHONE} asked", env=configured)
    assert refused.status != 0
    assert "Leave the number out" in refused.err
    assert PHONE not in refused.err
    assert entries(configured) == []


def test_no_cell_of_a_table_is_a_formula(configured: Env) -> None:
    """A spreadsheet would run it (OWASP, CSV injection)."""
    for reason in ("=HYPERLINK(1)", "+1+1", "-1+1", "@SUM(1)", "＝1+1", 'quoted "text", with a comma', "plain = text"):
        otpkit("unblock", PHONE, "--actor", "=ann", f"--reason={reason}", env=configured)
    table = otpkit("audit", "--csv", env=configured)
    head, *rows = csv.reader(io.StringIO(table.out))
    assert head[:4] == ["id", "at", "action", "actor"]
    cells = {row[4] for row in rows}
    assert {"'=HYPERLINK(1)", "'+1+1", "'-1+1", "'@SUM(1)", "plain = text", 'quoted "text", with a comma'} <= cells
    assert {row[3] for row in rows} == {"'=ann"}
    assert not any(cell[:1] in set("=+-@＝＋－＠") for row in rows for cell in row if cell)


def test_a_markup_in_a_reason_is_shown_as_it_is(configured: Env) -> None:
    otpkit("unblock", PHONE, "--reason", "[bold red]alarm[/] \x1b[31m", env=configured)
    assert "[bold red]alarm[/] [31m" in otpkit("audit", env=configured).out


def test_keys_are_checked(configured: Env) -> None:
    """The exit status is 1 with a finding. Keys of others are not looked at."""
    namespace = configured["OTPKIT_NAMESPACE"]
    otpkit("issue", PHONE, env=configured)
    otpkit("unblock", PHONE, env=configured)
    good = otpkit("audit-keys", env=configured)
    assert (good.status, good.err) == (0, "")
    assert "Keys: 3, problems: 0." in good.out  # The phone, the audit and the figures.
    with redis.Redis.from_url(configured["OTPKIT_REDIS_URL"]) as client:
        client.set("others:13800138000", "1")
        client.set(f"{namespace}:13800138000", "1")
        bad = otpkit("audit-keys", "--json", env=configured)
        shown = otpkit("audit-keys", env=configured)
        client.delete("others:13800138000", f"{namespace}:13800138000")
    assert (bad.status, shown.status) == (1, 1)
    report = json.loads(bad.out)
    assert (report["ok"], report["problems"], report["findings"][0]["kind"]) == (False, 1, "unknown")
    assert "13800138000" not in bad.out + shown.out


def test_keys_of_a_store_that_is_gone(configured: Env) -> None:
    gone = otpkit("audit-keys", env=configured | {"OTPKIT_REDIS_URL": "redis://127.0.0.1:1"})
    assert gone.status not in {0, 1}
    assert "Traceback" not in gone.err
