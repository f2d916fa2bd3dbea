"""Ask Redis and the gateway for facts. It sends no message, and changes no data of otpkit."""

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
from otpkit.doctor.settings import ProbeReply, Recorded
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
UNUSED_PHONE: Final = "+8613000000000"  # a valid number, so that the gateway checks the credentials
# Read one setting at a time: several in one CONFIG GET need Redis 7.
_SETTINGS: Final = ("appendfsync", "save", "min-replicas-to-write")
_READERS: Final[Mapping[str, Callable[[HttpResponse], object]]] = {"alidayu": read_page}


def connect(url: str) -> Any:
    """Return the redis-py client that an `OTP` with this URL uses.

    Raises:
        ConfigurationError: the URL can't be parsed.
        redis.RedisError: a cluster does not respond.
    """
    return SyncStore(url).client


def facts(client: Any, confirming: int = 0) -> tuple[Node, ...]:
    """Read the facts of a sync redis-py client's server, or of each primary of its cluster.

    `confirming` is how many replicas must confirm each write.
    """
    if not hasattr(client, "get_primaries"):
        return (replace(_ask_node(client), confirming=confirming),)
    nodes = sorted(client.get_primaries(), key=lambda node: str(node.name))
    asked = (_ask_node(client.get_redis_connection(node), str(node.name), clustered=True) for node in nodes)
    return tuple(replace(node, confirming=confirming) for node in asked)


def remember(client: Any, key: str, fingerprint: str) -> Recorded:
    """Compare a fingerprint with the stored one and extend its TTL. If there is none, store this one."""
    if client.set(key, fingerprint, nx=True, ex=FINGERPRINT_LIFE_S):
        return "now"
    known = client.get(key) or b""
    if not compare_digest(known.encode() if isinstance(known, str) else known, fingerprint.encode()):
        return "other"
    client.expire(key, FINGERPRINT_LIFE_S)
    return "same"


def ask_gateway(gateway: Gateway) -> ProbeReply:
    """Query the delivery of a message that was never sent. It is free of charge, and needs valid credentials."""
    transport = _Watched()
    refusal = None
    try:
        # Use noon in China: near midnight, a query also covers the next day, which may not have begun.
        noon = datetime.now(SHANGHAI).replace(hour=12)
        drive(gateway.trace(UNUSED_PHONE, encode_id(new_id()), noon), transport)
    except GatewayRejectedError as error:
        refusal = error
    finally:
        transport.close()
    response, failure = transport.response, transport.failure
    if refusal is not None or failure is not None or response is None:
        return ProbeReply(refusal, failure, 0 if response is None else response.status)
    read = _READERS.get(gateway.name)
    is_understood = response.status == 200 if read is None else read(response) is not None
    return ProbeReply(status=response.status, understood=is_understood)


class _Watched(Transport):
    """A transport that keeps the last response, or the failure. Gateways treat a lost response like an empty one."""

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
    """Return the result, or None if the server refuses the command, so that the other questions can be asked."""
    try:
        return ask()
    except REDIS_ERRORS:
        return None
