"""A store's URL may have redis-py's options in every scheme. Building an OTP refuses any other option."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import fakeredis
import pytest
import redis
import redis.asyncio
from redis.connection import URL_QUERY_ARGUMENT_PARSERS
from support.rig import MEMORY, Rig

from otpkit import ConfigurationError, Policy
from otpkit.store.url import read_url

PEM = Path(__file__).parents[1] / "gateways" / "loopback.pem"
PASSWORD = "hunter22"
PLAIN = ["redis://h/0", "unix:///tmp/s", "redis+cluster://h:1,i:2", "redis+sentinel://h,i/otp/0"]
TLS = ["rediss://h/0", "rediss+cluster://h:1,i:2", "rediss+sentinel://h,i/otp/0"]
GOOD: dict[str, Any] = {
    "client_name": "otp",
    "password": "a%40b%2Fc%25d%2Be",
    "protocol": "3",
    "socket_connect_timeout": "0.5",
    "socket_read_size": "1024",
    "socket_timeout": "0.25",
    "username": "bob",
}
GOOD_TLS: dict[str, Any] = {
    "ssl_ca_certs": str(PEM),
    "ssl_certfile": str(PEM),
    "ssl_cert_reqs": "none",
    "ssl_check_hostname": "no",
    "ssl_include_verify_flags": "VERIFY_X509_STRICT",
    "ssl_keyfile": str(PEM),
}
BAD = [
    *("db=x", "db=-1", "db=", "db", "db=1.5", "socket_timeout=abc", "socket_timeout=nan", "socket_timeout=0"),
    *("socket_timeout=-1", "socket_timeout=5", "socket_connect_timeout=60", "protocol=4", "socket_read_size=none"),
    *("client_name=a%20b", "health_check_interval=often", "username=", "socket_keepalive=perhaps"),
]
BAD_TLS = [
    *("ssl_ca_certs=/nowhere/ca.pem", "ssl_cert_reqs=some", "ssl_check_hostname=perhaps", "ssl_certfile=/nowhere"),
    *(
        "ssl_ca_data=none",
        "ssl_include_verify_flags=ALL",
        "ssl_min_version=TLS",
        "ssl_min_version=5",
        f"ssl_keyfile={PEM}",
    ),
    "ssl_ciphers=none-of-these",
]
OWN = ["max_connections=5", "retry_on_timeout=yes", "retry_on_error=x", "decode_responses=yes", "timeout=5"]


def unread(url: str) -> str:
    """Return the error of the functions that both shells parse a URL with."""
    return _refusal(read_url, url)


def refusal(rig: Rig, url: str) -> str:
    """Same as `unread`, but of a shell. The error never waits for the first visitor's call."""
    return _refusal(lambda url: rig.build(redis=url), url)


def _refusal(read: Callable[[str], object], url: str) -> str:
    with pytest.raises(ConfigurationError) as refused:
        read(url)
    assert (refused.value.__cause__, refused.value.__context__) == (None, None)
    return str(refused.value)


@pytest.mark.parametrize("url", [MEMORY, *PLAIN, *TLS])
@pytest.mark.parametrize("option", ["nonsense=1", "nonsense", "host=other", "encoding=latin-1", "retry=3", *OWN])
def test_an_unknown_option_is_refused_by_name(url: str, option: str) -> None:
    """This includes options that redis-py knows and that would remove a limit of otpkit."""
    assert f"option {option.partition('=')[0]} " in unread(f"{url}?{option}")


@pytest.mark.parametrize(
    ("url", "option"),
    [(url, option) for url in (*PLAIN, *TLS) for option in BAD] + [(url, option) for url in TLS for option in BAD_TLS],
)
def test_an_option_with_a_bad_value_is_refused_by_name(url: str, option: str) -> None:
    name, _, value = option.partition("=")
    told = unread(f"{url}?{option}")
    assert f"option {name} " in told
    assert not value or f" {value} " not in told


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("redis://h/x", "database"),
        ("redis+sentinel://h/otp/x", "database"),
        ("redis+cluster://h/1", "database 0 only"),
        ("redis+cluster://h?db=3", "database 0 only"),
        ("redis://h?db=1&db=2", "db twice"),
        ("redis+sentinel://h", "primary"),
        ("redis://h?ssl_ca_certs=/x", "rediss://"),
        ("redis+sentinel://h/otp?ssl_cert_reqs=none", "rediss://"),
        ("redis://h?sentinel_password=x", "sentinel_password"),
        ("redis+cluster://h?sentinel_username=x", "sentinel_username"),
        ("rediss+cluster://h?ssl_ciphers=ALL", "ssl_ciphers"),
        ("unix:///s?socket_keepalive=yes", "socket_keepalive"),
        ("redis://a,b/0", "redis+cluster://"),
        ("unix://", "unix socket"),
    ],
)
def test_what_does_not_fit_the_scheme_is_refused(memory_rig: Rig, url: str, named: str) -> None:
    assert named in refusal(memory_rig, url)


@pytest.mark.parametrize(
    "url",
    [
        f"redis://:{PASSWORD}@h?nonsense=1",
        f"redis://:{PASSWORD}@h?db=x",
        f"redis://h?password={PASSWORD}&db=x",
        f"redis+sentinel://h/otp?sentinel_password={PASSWORD}&socket_timeout=x",
        f"redis://:{PASSWORD}#x@h/0",
        f"redis://:{PASSWORD}/x@h/0",
        f"redis://:{PASSWORD}?x@h/0",
        f"redis://user?{PASSWORD}=x@h/0",
        f"redis://user?{PASSWORD}&x@h/0",
        f"redis+sentinel://user/{PASSWORD}@h/otp",
        f"redis+cluster://user/{PASSWORD}@h",
        f"redis://h?socket_timeout={PASSWORD}",
        f"rediss://h?ssl_certfile={PEM}&ssl_password={PASSWORD}&ssl_cert_reqs={PASSWORD}",
    ],
)
def test_no_refusal_shows_a_password(memory_rig: Rig, url: str) -> None:
    """This includes passwords whose special characters were not encoded."""
    assert PASSWORD not in refusal(memory_rig, url)


@pytest.mark.parametrize("name", GOOD | GOOD_TLS)
def test_options_reach_the_connection_in_every_scheme(memory_rig: Rig, name: str) -> None:
    """The connection has the value that redis-py itself would use."""
    value = (GOOD | GOOD_TLS)[name]
    for url in TLS if name in GOOD_TLS else (*PLAIN, *TLS):
        pair = f"&ssl_certfile={PEM}" if name == "ssl_keyfile" else ""
        query = f"?{name}={value}{pair}"
        expected = redis.connection.parse_url(f"rediss://h{query}")[name]
        assert read_url(url + query).options[name] == (int(expected) if name == "protocol" else expected)
        memory_rig.build(redis=url + query)


def test_redis_pys_own_table_is_covered() -> None:
    """Options of a later redis-py are allowed at once. Options that remove a limit are refused."""
    for name in set(URL_QUERY_ARGUMENT_PARSERS) - {option.partition("=")[0] for option in OWN}:
        value = {"ssl_min_version": "771", "protocol": "2"}.get(name, "1")
        value = "VERIFY_X509_STRICT" if "verify_flags" in name else value
        assert name in read_url(f"rediss://h?{name}={value}").options


@pytest.mark.parametrize(
    "url", ["redis+sentinel://bob:p%40w@h/otp?", "redis+sentinel://h/otp?username=bob&password=p%40w&"]
)
def test_sentinels_have_credentials_of_their_own(url: str) -> None:
    """The sentinels never receive the primary's credentials."""
    address = read_url(f"{url}sentinel_username=eve&sentinel_password=q%2F%2B")
    assert (address.options["username"], address.options["password"]) == ("bob", "p@w")
    assert address.sentinel_options == {"username": "eve", "password": "q/+"}
    assert read_url(url.rstrip("?&")).sentinel_options == {}
    assert "q/+" not in repr(address)


def test_replicas_need_a_store_that_has_some(memory_rig: Rig) -> None:
    """An embedded store, a client of another class and a client of a single connection have none."""
    real: Any = redis.asyncio.Redis if memory_rig.is_async else redis.Redis
    fake: Any = fakeredis.FakeAsyncRedis if memory_rig.is_async else fakeredis.FakeRedis
    own = type("Own", (real,), {})
    stores = [MEMORY, fake(), own()]
    if memory_rig.is_async:
        stores.append(real(single_connection_client=True))
    for store in stores:
        with pytest.raises(ConfigurationError, match=r"Policy\.replicas"):
            memory_rig.build(redis=store, policy=Policy(replicas=1))
    for store in ("redis://h", "redis+cluster://h", "redis+sentinel://h/otp", real()):
        memory_rig.build(redis=store, policy=Policy(replicas=1))
