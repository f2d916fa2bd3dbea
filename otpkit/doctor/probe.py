"""What the doctor asks of Redis and of the gateway. It sends no message, and changes nothing that otpkit keeps."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from hmac import compare_digest
from statistics import median
from typing import Any, Final, TypeVar

from otpkit.core.crypto import encode_id, new_id
from otpkit.doctor.server import Node
from otpkit.doctor.settings import Answer, Recorded
from otpkit.effects import HttpRequest, HttpResponse, TransportFailure
from otpkit.errors import GatewayRejectedError
from otpkit.gateways.alidayu.responses import read_page
from otpkit.gateways.base import Gateway
from otpkit.gateways.china_time import SHANGHAI
from otpkit.store.errors import REDIS_ERRORS
from otpkit.store.sync import SyncStore, error_of
from otpkit.transport.http import Transport, drive

T = TypeVar("T")

PINGS: Final = 5
FINGERPRINT_LIFE_S: Final = 400 * 86_400
NOBODY: Final = "+8613000000000"  # well-formed, so that the gateway looks at the credentials
# One by one: several in one CONFIG GET need Redis 7.
_SETTINGS: Final = ("appendfsync", "save", "min-replicas-to-write")
_READERS: Final[Mapping[str, Callable[[HttpResponse], object]]] = {"alidayu": read_page}


def connect(url: str) -> Any:
    """Return the redis-py client that an `OTP` of this URL uses.

    Raises `ConfigurationError` for a URL that can't be read, and redis-py's errors where a cluster does not answer.
    """
    return SyncStore(url).client


def facts(client: Any, confirming: int = 0) -> tuple[Node, ...]:
    """Ask a sync redis-py client for what its server, or each primary of its cluster, says of itself."""
    if not hasattr(client, "get_primaries"):
        return (replace(_ask_node(client), confirming=confirming),)
    nodes = sorted(client.get_primaries(), key=lambda node: str(node.name))
    asked = (_ask_node(client.get_redis_connection(node), str(node.name), clustered=True) for node in nodes)
    return tuple(replace(node, confirming=confirming) for node in asked)


def remember(client: Any, key: str, fingerprint: str) -> Recorded:
    """Compare a fingerprint with the one that Redis keeps, which lives on; where there is none, keep this one."""
    if client.set(key, fingerprint, nx=True, ex=FINGERPRINT_LIFE_S):
        return "now"
    known = client.get(key) or b""
    if not compare_digest(known.encode() if isinstance(known, str) else known, fingerprint.encode()):
        return "other"
    client.expire(key, FINGERPRINT_LIFE_S)
    return "same"


def ask_gateway(gateway: Gateway) -> Answer:
    """Ask what became of a message that was never sent: it costs nothing, and needs the credentials."""
    transport = _Watched()
    refusal = None
    try:
        # As if sent at noon there: around midnight a look goes into the next day too, which may not have begun.
        noon = datetime.now(SHANGHAI).replace(hour=12)
        drive(gateway.trace(NOBODY, encode_id(new_id()), noon), transport)
    except GatewayRejectedError as error:
        refusal = error
    finally:
        transport.close()
    response, failure = transport.response, transport.failure
    if refusal is not None or failure is not None or response is None:
        return Answer(refusal, failure, 0 if response is None else response.status)
    read = _READERS.get(gateway.name)
    is_understood = response.status == 200 if read is None else read(response) is not None
    return Answer(status=response.status, understood=is_understood)


class _Watched(Transport):
    """Keeps the latest response, or why none came: flows take an answer that is lost for one that says nothing."""

    response: HttpResponse | None = None
    failure: TransportFailure | None = None

    def exchange(self, request: HttpRequest, latest: float | None = None) -> HttpResponse:
        try:
            self.response = super().exchange(request, latest)
        except TransportFailure as failure:
            self.failure = failure
            raise
        return self.response


def _ask_node(client: Any, name: str = "", *, clustered: bool = False) -> Node:
    try:
        client.ping()
    except REDIS_ERRORS as error:
        return Node(name=name, clustered=clustered, error=error_of(client, error), info={}, config={})
    return Node(
        name=name,
        clustered=clustered,
        latency_ms=1000 * median(_seconds(client.ping) for _ in range(PINGS)),
        ahead_s=_or_none(lambda: _ahead(client)),
        info=(info := _or_none(client.info) or {}),
        config={setting: value for setting in _SETTINGS if (value := _setting(client, setting)) is not None},
        cluster=_or_none(lambda: client.execute_command("CLUSTER INFO")) if info.get("cluster_enabled") else None,
    )


def _setting(client: Any, name: str) -> str | None:
    found: dict[str, str] = _or_none(lambda: client.config_get(name)) or {}
    return found.get(name)


def _ahead(client: Any) -> float:
    before = time.time()
    seconds, microseconds = client.time()
    return float(seconds + microseconds / 1e6 - (before + time.time()) / 2)


def _seconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    _or_none(call)
    return time.perf_counter() - started


def _or_none(ask: Callable[[], T]) -> T | None:
    """Return an answer, or None where the server refuses it: then all else can still be asked."""
    try:
        return ask()
    except REDIS_ERRORS:
        return None
