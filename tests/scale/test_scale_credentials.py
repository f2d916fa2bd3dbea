"""Passwords, users and private CAs by URL only: one server, Sentinels and a cluster, sync and async."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import guarded
import pytest
import redis.asyncio.retry
import redis.asyncio.sentinel
import redis.sentinel
from guarded import NAME, PEM, PRIMARY, SENTINEL, encoded
from nodes import Node, free_port
from redis.backoff import NoBackoff
from redis.retry import Retry
from support.callers import calling, result
from support.rig import SECRET, TEMPLATE, outcome

from otpkit import OTP, AsyncOTP, ConfigurationError, StoreUnavailableError
from otpkit.testing import Outbox

PHONE = "+8613800138000"
KINDS = ["sync-url", "async-url"]
CA = f"ssl_ca_certs={PEM}"
OWN = "sentinel_username={}&sentinel_password={}".format(*encoded(SENTINEL).split(":"))
SECRETS = [PRIMARY[1], SENTINEL[1], encoded(PRIMARY), encoded(SENTINEL)]


@pytest.fixture(params=[False, True], ids=["plain", "tls"], scope="module")
def tls(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture(scope="module")
def place(tls: bool) -> Iterator[tuple[str, list[Node]]]:
    """Yield Sentinels with a user, and a primary with another user."""
    with guarded.watched(tls=tls) as found:
        yield found


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def refused(kind: str, url: str, namespace: str) -> Any:
    """Return the error of an issue. On a busy host a Sentinel may take longer than its share of a second."""
    for _ in range(5):
        outcome = await verified(kind, url, namespace)
        if not isinstance(outcome, StoreUnavailableError):
            break
    return outcome


async def verified(kind: str, url: str, namespace: str) -> Any:
    """Return the proof of a whole verification, or the error that refuses it."""
    async with calling(kind, url, outbox := Outbox(), namespace=namespace) as caller:
        issued = await result(caller.issue(PHONE))
        if isinstance(issued, Exception):
            assert not outbox
            return issued
        return await caller.redeem((await caller.verify(PHONE, outbox[-1].code)).token)


def assert_refused(outcome: Any, words: str) -> None:
    """Check that an error contains the words. Neither it nor its cause may contain a secret."""
    assert isinstance(outcome, ConfigurationError), outcome
    assert words in str(outcome)
    assert not any(secret in repr(outcome) + str(outcome.__cause__) for secret in SECRETS)


def url_of(tls: bool, hosts: str, *, primary: str = encoded(PRIMARY) + "@", query: str = OWN, name: str = NAME) -> str:
    scheme, query = ("rediss", f"{CA}&{query}") if tls else ("redis", query)
    return f"{scheme}+sentinel://{primary}{hosts}/{name}/0?{query}"


async def test_sentinels_and_primary_have_users(place: Any, tls: bool, kind: str, namespace: str) -> None:
    """Their names differ, and their passwords contain every special character. The query may have the primary's too."""
    hosts, _ = place
    assert (await verified(kind, url_of(tls, hosts), namespace)).phone == PHONE
    user, password = encoded(PRIMARY).split(":")
    query = f"username={user}&password={password}&{OWN}"
    assert (await verified(kind, url_of(tls, hosts, primary="", query=query), namespace + "q")).phone == PHONE


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"query": ""}, "sentinel_password"),
        ({"query": "sentinel_password=wrong"}, "sentinel_password"),
        ({"query": OWN + "x"}, "sentinel_password"),
        ({"query": OWN.replace("eve", "nobody")}, "sentinel_password"),
        ({"primary": ""}, "credentials"),
        ({"primary": "bob:wrong@"}, "credentials"),
        ({"name": "other"}, "name"),
    ],
)
async def test_what_is_wrong_is_named(
    place: Any, tls: bool, kind: str, namespace: str, given: dict[str, str], words: str
) -> None:
    """The configuration error names the server that refuses: the Sentinel or the primary."""
    assert_refused(await refused(kind, url_of(tls, place[0], **given), namespace), words)


async def test_a_sentinel_that_is_down_hides_no_wrong_name(place: Any, tls: bool, kind: str, namespace: str) -> None:
    """If no Sentinel can be reached, the store is unavailable."""
    dead = f"127.0.0.1:{free_port()}"
    assert_refused(await refused(kind, url_of(tls, f"{dead},{place[0]}", name="other"), namespace), "name")
    assert_refused(await refused(kind, url_of(tls, f"{dead},{place[0]}", query=""), namespace), "sentinel_password")
    assert isinstance(await verified(kind, url_of(tls, f"{dead},{dead}"), namespace), StoreUnavailableError)
    assert (await verified(kind, url_of(tls, f"{dead},{place[0]}"), namespace)).phone == PHONE


async def test_a_primary_that_is_down_is_unavailable(kind: str, namespace: str) -> None:
    """The Sentinels know its name, so the URL is correct."""
    with guarded.watched() as (hosts, nodes):
        nodes[0].kill()
        url = url_of(False, hosts)
        for _ in range(3):
            assert isinstance(await verified(kind, url, namespace), StoreUnavailableError)
        nodes[1].pause()  # This Sentinel hangs, and the other one answers.
        assert isinstance(await verified(kind, url, namespace), StoreUnavailableError)
        nodes[1].resume()


@pytest.mark.parametrize("primary_user", [False, True])
@pytest.mark.parametrize("sentinel_user", [False, True])
async def test_either_may_be_open(kind: str, namespace: str, primary_user: bool, sentinel_user: bool) -> None:
    """A password that a server does not require is refused like a wrong one."""
    with guarded.watched(primary_user=primary_user, sentinel_user=sentinel_user) as (hosts, _):
        fits = url_of(
            False,
            hosts,
            primary=encoded(PRIMARY) + "@" if primary_user else "",
            query=OWN if sentinel_user else "",
        )
        assert (await verified(kind, fits, namespace)).phone == PHONE
        if not primary_user:
            surplus = url_of(False, hosts, query=OWN if sentinel_user else "")
            assert_refused(await refused(kind, surplus, namespace), "credentials")
        if not sentinel_user:
            surplus = url_of(False, hosts, primary=encoded(PRIMARY) + "@" if primary_user else "")
            assert_refused(await refused(kind, surplus, namespace), "sentinel_password")


async def test_a_cluster_by_url_alone(tls: bool, kind: str, namespace: str) -> None:
    """The cluster has a user, and a private CA."""
    with guarded.cluster(tls=tls) as node:
        hosts = f"127.0.0.1:{node.port}"
        scheme, query = ("rediss+cluster", f"?{CA}&socket_timeout=0.9&protocol=3") if tls else ("redis+cluster", "")
        assert (await verified(kind, f"{scheme}://{encoded(PRIMARY)}@{hosts}{query}", namespace)).phone == PHONE
        for wrong in ("", "bob:wrong@"):
            assert_refused(await refused(kind, f"{scheme}://{wrong}{hosts}{query}", namespace), "credentials")
        if tls:
            untrusted = f"{scheme}://{encoded(PRIMARY)}@{hosts}"
            assert_refused(await refused(kind, untrusted, namespace), "ssl_ca_certs")


async def test_sentinels_of_a_private_ca(kind: str, namespace: str) -> None:
    """Without the CA, the error names the missing option. With it, the call works."""
    with guarded.watched(tls=True) as (hosts, _):
        url = f"rediss+sentinel://{encoded(PRIMARY)}@{hosts}/{NAME}?{OWN}"
        assert_refused(await refused(kind, url, namespace), "ssl_ca_certs")
        assert (await verified(kind, f"{url}&{CA}", namespace)).phone == PHONE
        assert (await verified(kind, f"{url}&ssl_cert_reqs=none", namespace + "n")).phone == PHONE


@pytest.mark.parametrize("library", ["sync", "async"])
async def test_a_client_passed_in_is_told_the_same(place: Any, tls: bool, library: str, namespace: str) -> None:
    """The error names the unknown name, or the missing password."""
    nodes = [("127.0.0.1", int(part.rpartition(":")[2])) for part in place[0].split(",")]
    module: Any = redis.sentinel if library == "sync" else redis.asyncio.sentinel
    shared: dict[str, Any] = {"ssl": True, "ssl_ca_certs": str(PEM)} if tls else {}
    shared["retry"] = (Retry if library == "sync" else redis.asyncio.retry.Retry)(NoBackoff(), 0)
    user = {"username": PRIMARY[0], "password": PRIMARY[1], **shared}
    own = {"username": SENTINEL[0], "password": SENTINEL[1], **shared}
    for name, credentials, words in ((NAME, own, ""), ("other", own, "name"), (NAME, shared, "sentinel_password")):
        sentinels = module.Sentinel(nodes, sentinel_kwargs=credentials)
        client = sentinels.master_for(name, **user)
        if library == "sync":
            with OTP(client, Outbox(), TEMPLATE, SECRET, namespace=namespace + words) as otp:
                told = outcome(otp.issue, PHONE)
            client.close()
        else:
            async with AsyncOTP(client, Outbox(), TEMPLATE, SECRET, namespace=namespace + words) as async_otp:
                told = await result(async_otp.issue(PHONE))
            await client.aclose()
            for each in sentinels.sentinels:
                await each.aclose()
        if words:
            assert_refused(told, words)
        else:
            assert told.phone == PHONE
