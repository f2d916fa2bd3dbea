"""Parse a store's URL: the address of Redis, and the options that redis-py documents for URLs. Each option is checked.

No error contains the URL or a value, which may be a password. An error names the option only.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, NoReturn
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

import redis.asyncio
from redis import cluster
from redis.connection import URL_QUERY_ARGUMENT_PARSERS, to_bool

from otpkit.errors import ConfigurationError, sentence
from otpkit.store.library import Options, RedisObject
from otpkit.store.retry import ANSWER_S, CONNECT_S

Kind = Literal["memory", "single", "cluster", "sentinel"]

MEMORY_URL: Final = "memory://"
_SCHEMES: Final[Mapping[str, Kind]] = {
    "memory": "memory",
    "redis": "single",
    "rediss": "single",
    "unix": "single",
    "redis+cluster": "cluster",
    "rediss+cluster": "cluster",
    "redis+sentinel": "sentinel",
    "rediss+sentinel": "sentinel",
}
_URLS: Final = (
    "Pass a URL such as redis://localhost:6379/0 (or rediss://, unix://, redis+cluster://host:port,host:port, "
    "redis+sentinel://host:port/master-name/db, memory://), or a redis-py client. In a user name or password, "
    "percent-encode @, :, /, ?, #, & and %."
)

_UNENCODED: Final = (
    "The URL of redis holds a raw @, :, /, ?, #, [ or ] in its user name or password.",
    "Percent-encode it: %40 is @, %3A is :, %2F is /, %3F is ?, %23 is #, %25 is %.",
)

# redis-py's own table defines how values are parsed. Some releases lack the first two.
_TABLE: RedisObject = URL_QUERY_ARGUMENT_PARSERS
_PARSERS: Final[Mapping[str, Callable[[str], RedisObject]]] = {"protocol": int, "ssl_min_version": int} | dict(_TABLE)
_TEXTS: Final = frozenset(
    {
        *("username", "password", "client_name", "ssl_keyfile", "ssl_certfile", "ssl_cert_reqs", "ssl_ca_certs"),
        *("ssl_ca_data", "ssl_ca_path", "ssl_password", "ssl_ciphers"),
    }
)
_OWN: Final[Mapping[str, str]] = {
    "decode_responses": "reads bytes",
    "max_connections": "bounds its connections",
    "retry_on_error": "retries within a bound",
    "retry_on_timeout": "retries within a bound",
    "timeout": "bounds how long a call waits",
}
_BOUNDS: Final[Mapping[str, tuple[float, float]]] = {
    "db": (0, math.inf),
    "health_check_interval": (0, math.inf),
    "protocol": (2, 3),
    "socket_connect_timeout": (0.001, CONNECT_S),  # In seconds; a longer one would exceed the time bound of a call.
    "socket_read_size": (1, math.inf),
    "socket_timeout": (0.001, ANSWER_S),
}
_BOOLEANS: Final = frozenset({"0", "1", "f", "t", "false", "true", "n", "y", "no", "yes"})
_CREDENTIALS: Final[Mapping[str, str]] = {"sentinel_username": "username", "sentinel_password": "password"}
_SECRET: Final = frozenset({"password", "username", "ssl_password", *_CREDENTIALS})
_OPTION: Final = re.compile(r"[a-z][a-z0-9_]{0,39}")
_CLIENT_NAME: Final = re.compile(r"[!-~]+")
_KEY_PAIR: Final = ("ssl_certfile", "ssl_keyfile", "ssl_password")


@dataclass(frozen=True, slots=True)
class Address:
    """The contents of a URL.

    `options` are redis-py's options for a connection to a server, `sentinel_options` those for one to a Sentinel.
    `path` is the path of the unix socket, or "".
    """

    kind: Kind
    nodes: tuple[tuple[str, int], ...] = ()
    path: str = ""
    master: str = ""
    options: Options = field(default_factory=dict, repr=False)
    sentinel_options: Options = field(default_factory=dict, repr=False)

    @property
    def server(self) -> tuple[str, int, int] | None:
        """The host, port and database of the only server; None for several servers, and for a unix socket."""
        if self.kind != "single" or self.path:
            return None
        return *self.nodes[0], self.options.get("db", 0)

    def connection(self, library: RedisObject) -> Options:
        """Return the options with which a pool of `redis` or `redis.asyncio` reaches the single server."""
        options = self.options.copy()
        if self.path:
            return options | {"connection_class": library.UnixDomainSocketConnection, "path": self.path}
        host, port = self.nodes[0]
        connection_class = library.SSLConnection if options.pop("ssl", False) else library.Connection
        return options | {"connection_class": connection_class, "host": host, "port": port}


def read_url(url: str) -> Address:
    """Return the contents of a store's URL.

    Raises:
        ConfigurationError: the URL can't be used. The error names the option, and never shows the URL.
    """
    if _is_unencoded(url):
        raise ConfigurationError(*_UNENCODED)
    try:
        split = urlsplit(url)
        kind = _SCHEMES[url.partition("://")[0]]
        nodes = () if split.scheme in {"memory", "unix"} else _nodes(kind, split)
        pairs = parse_qsl(split.query, keep_blank_values=True)
        if kind == "memory" and (split.netloc or split.path):
            raise ValueError
    except (KeyError, ValueError):
        kind = None
    # Raise outside the except block: the original error holds the URL, and so the password.
    if kind is None:
        raise ConfigurationError("redis is not the URL of a store.", _URLS)
    return _address(kind, split, nodes, pairs)


def _is_unencoded(url: str) -> bool:
    """Check whether a user name or password in a URL is not percent-encoded, so that it ends too early."""
    scheme, _, rest = url.partition("://")
    if scheme not in _SCHEMES:
        return False
    rest, _, fragment = rest.partition("#")
    rest, _, query = rest.partition("?")
    authority, _, path = rest.partition("/")
    user, at, _ = authority.rpartition("@")
    if fragment or any(sign in user for sign in "[]"):
        return True
    # The path of a unix socket may hold an @, and its URL has no host.
    cut = ":" in authority and not at if scheme == "unix" else "@" in path
    pairs = parse_qsl(query, keep_blank_values=True)
    return cut or any("@" in name + value and name not in _SECRET for name, value in pairs)


def _address(
    kind: Kind, split: SplitResult, nodes: tuple[tuple[str, int], ...], pairs: list[tuple[str, str]]
) -> Address:
    user, _, password = split.netloc.rpartition("@")[0].partition(":")
    path, master = split.path, ""
    if split.scheme == "unix":
        path, database = unquote(path), ""
        if not path or (split.netloc and "@" not in split.netloc):  # The path of unix://tmp/s would be /s.
            raise ConfigurationError("redis names no unix socket.", _URLS)
    elif kind == "sentinel":
        master, _, database = path.strip("/").partition("/")
        if not master:
            raise ConfigurationError("redis names no primary.", "Write redis+sentinel://host:port/master-name/db.")
    else:
        database = path.strip("/")
    options = _database(database) | _options(kind, split.scheme, pairs)
    given = {"username": unquote(user), "password": unquote(password)}
    options |= {name: value for name, value in given.items() if value}
    if kind == "cluster" and options.pop("db", 0):
        raise ConfigurationError("A Redis cluster has database 0 only.", "Leave the number out of the URL.")
    own = {key: options.pop(name) for name, key in _CREDENTIALS.items() if name in options}
    shared = {name: value for name, value in options.items() if name.startswith("ssl")}
    return Address(kind, nodes, path if split.scheme == "unix" else "", unquote(master), options, shared | own)


def _nodes(kind: Kind, split: SplitResult) -> tuple[tuple[str, int], ...]:
    places = [urlsplit(f"//{part}") for part in split.netloc.rpartition("@")[2].split(",")]
    if kind == "single":
        if len(places) > 1 or places[0].username is not None:
            raise ValueError
        return ((unquote(places[0].hostname or "localhost"), places[0].port or 6379),)
    if any(not place.hostname or place.username is not None for place in places):
        raise ValueError
    return tuple((str(place.hostname), place.port or (26379 if kind == "sentinel" else 6379)) for place in places)


def _database(text: str) -> Options:
    if not text:
        return {}
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise ConfigurationError("The database at the end of the URL's path must be a number.", "Write it like /0.")
    return {"db": int(text)}


def _options(kind: Kind, scheme: str, pairs: list[tuple[str, str]]) -> Options:
    """Return the options of a URL's query, with those that its scheme sets; raise `ConfigurationError`."""
    options: Options = {}
    for name, value in pairs:
        if name in options:
            raise ConfigurationError(f"redis names the option {name} twice in its URL.", "Keep one.")
        _require_known(kind, scheme, name)
        options[name] = _read(name, value)
    if scheme.startswith("rediss"):
        _check_tls(options)
        options["ssl"] = True
    return options


def _require_known(kind: Kind, scheme: str, name: str) -> None:
    if name in _OWN:
        _refuse(name, f"can't be set: otpkit {_OWN[name]}", "leave it out of the URL, or pass a redis-py client")
    is_known = kind != "memory" and (name in _PARSERS or name in _TEXTS)
    if kind == "sentinel":
        is_known |= name in _CREDENTIALS
    if kind == "cluster":
        is_known &= name in _cluster_options()
    if scheme == "unix":
        is_known &= name != "socket_keepalive"
    if not is_known:
        shown = name if _OPTION.fullmatch(name) else "of this name"
        _refuse(shown, "is unknown in a URL of this scheme", "leave it out, or pass a redis-py client that has it")
    if name.startswith("ssl_") and not scheme.startswith("rediss"):
        _refuse(name, "needs TLS", "write rediss:// in front, or leave it out")


def _cluster_options() -> frozenset[str]:
    """Return the options that both cluster clients of redis-py accept; the sync one silently drops all others."""
    return frozenset(inspect.signature(redis.asyncio.RedisCluster).parameters) & set(cluster.REDIS_ALLOWED_KEYS)


def _read(name: str, value: str) -> RedisObject:
    parser = _PARSERS.get(name, str)
    found = None
    if parser is not to_bool or value.lower() in _BOOLEANS:
        try:
            found = parser(value)
        except (TypeError, ValueError):
            found = None
    if name == "client_name" and not _CLIENT_NAME.fullmatch(value):
        _refuse(name, "holds characters that Redis accepts in no name", "write it in ASCII, without blanks")
    low, high = _BOUNDS.get(name, (-math.inf, math.inf))
    if found is None or value == "" or (name in _BOUNDS and not low <= found <= high):
        bounds = f" from {low:g} to {high:g}" if high < math.inf else f" of {low:g} or more" if low > -math.inf else ""
        _refuse(name, "has a value that can't be used", f"write one{bounds or ' that redis-py takes'}, or leave it out")
    return found


def _check_tls(options: Options) -> None:
    """Raise `ConfigurationError` with the name of the option that makes a TLS connection impossible."""
    given = [name for name in options if name.startswith("ssl_")]
    pair = tuple(name for name in _KEY_PAIR if name in given)
    for names in [pair, *((name,) for name in given if name not in pair)]:
        if names and not _makes_context({name: options[name] for name in names}):
            _refuse(
                " and ".join(names), "can't be used", "check the value; for a file, check its permissions and contents"
            )


def _makes_context(options: Options) -> bool:
    # Without a password, OpenSSL would ask on the terminal for one. Before redis-py 7.2, the option does not exist.
    kind = redis.asyncio.SSLConnection
    password: Options = {"ssl_password": ""} if "ssl_password" in inspect.signature(kind).parameters else {}
    try:
        kind(**(password | dict(options))).ssl_context.get()
    except (OSError, TypeError, ValueError, redis.RedisError):
        return False
    return True


def _refuse(name: str, problem: str, remedy: str) -> NoReturn:
    raise ConfigurationError(f"The option {name} in the URL of redis {problem}.", sentence(remedy))
