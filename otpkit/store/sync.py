"""Scripts on Redis by the sync redis-py clients: one server, one behind Sentinels, a cluster, the embedded store."""

from __future__ import annotations

import builtins
import math
import os
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import redis
from redis import cluster, sentinel
from redis.backoff import NoBackoff
from redis.exceptions import (
    AskError,
    ClusterDownError,
    ConnectionError,  # noqa: A004
    MaxConnectionsError,
    MovedError,
    NoScriptError,
    ResponseError,
    TimeoutError,  # noqa: A004
    TryAgainError,
)
from redis.retry import Retry

from otpkit.core.config import NO_REPLICAS
from otpkit.effects import RunScript
from otpkit.errors import ConfigurationError, OTPError
from otpkit.store import errors as store
from otpkit.store import url as store_url
from otpkit.store.pool import BOUND, PLAIN, NodePool, Pool, SentinelPool, Turn, Turns, adopt, bounded

# redis-py does not annotate these.
_node: Any = cluster.ClusterNode
_sentinel: Any = sentinel.Sentinel

_CONNECTIONS: dict[str, Any] = {"max_connections": store.CONNECTIONS}
_of_parent: list[Any] = []  # A child keeps what it inherited: dropping it would wait for the parent's locks.
_REDIRECTS = 5  # a slot that moves is followed so often within one attempt


class SyncStore:
    """Runs scripts on what a URL or a client leads to. It connects with the first script, not before."""

    def __init__(self, redis_: Any) -> None:
        self._address = store_url.read_url(redis_) if isinstance(redis_, str) else None
        self._is_closed = False  # redis-py raises anything where another thread closes a connection that is in use
        self._answered = 0.0  # when the store last did, by the monotonic clock
        self._turns = Turns()
        self._lock = threading.Lock()
        self._errand: _Errand | None = None
        self._client = redis_
        if self._address is not None:
            self._client = None if self._address.kind == "cluster" else _open(self._address)
        elif not isinstance(redis_, (redis.Redis, redis.RedisCluster)):
            raise ConfigurationError(
                "redis must be a URL or a sync redis-py client.",
                "Pass one of these; AsyncOTP takes the client of redis.asyncio.",
            )

    @property
    def clustered(self) -> bool:
        """Whether keys lie on several nodes, so that a script reaches those of one slot alone."""
        return isinstance(self._client, redis.RedisCluster) or (
            self._address is not None and self._address.kind == "cluster"
        )

    @property
    def confirms(self) -> bool:
        """Whether replicas can be waited for on the connection that wrote."""
        client = self._client
        return self.clustered or (type(client) is redis.Redis and client.connection is None)

    def run(self, effect: RunScript[object], patience: store.Patience | None = None) -> Any:
        """Run a script and return its reply; raises `StoreUnavailableError`, `ConfigurationError`.

        `patience` is the whole call's; a client that was passed in has timeouts of its own.
        """
        if self._address is None:
            patience = None
        elif patience is None:
            patience = store.Patience()
        if patience is not None and not patience.begin():
            raise store.store_error(TimeoutError())
        while True:
            try:
                reply = self._attempt(effect, patience)
            except store.REDIS_ERRORS as error:
                failure = error
            except store.UNREADABLE as error:
                failure = store.unreadable(error, is_closed=self._is_closed)
            else:
                now = time.monotonic()
                if patience is not None:
                    patience.end(now, self._answered)
                self._answered = now
                return reply
            finally:
                BOUND.until = math.inf  # What else this thread asks of Redis has no bound of ours.
            pause = None
            if patience is not None and isinstance(failure, store.RETRYABLE):
                pause = patience.pause_s(failure, self._answered)
            if pause is None:
                if patience is not None:
                    patience.end(time.monotonic(), self._answered)
                raise self._error(failure, effect) from failure
            time.sleep(pause)

    def close(self) -> None:
        """Close what was made from a URL; a client that was passed in stays open."""
        self._is_closed = True
        if self._address is not None and self._client is not None:
            self._client.close()
            if self._address.kind == "sentinel":
                for each in self._client.connection_pool.sentinel_manager.sentinels:
                    each.close()

    def _error(self, failure: Exception, effect: RunScript[object]) -> OTPError:
        return error_of(self._client, failure, effect.script.text)

    def after_fork(self) -> None:
        """Take over no lock and no thread of the parent's: they may be held, and stand still, for ever."""
        self._lock = threading.Lock()
        self._errand = None
        if self._address is not None and self._address.kind == "cluster":
            _of_parent.append(self._client)
            self._client = None

    def _attempt(self, effect: RunScript[object], patience: store.Patience | None) -> Any:
        client = self._client
        BOUND.until = math.inf if patience is None else patience.until
        if client is None:
            client = self._open_cluster()
        if type(client) is not redis.Redis or client.connection is not None:
            # Asked for second: RedisCluster's class is a protocol, and slow to tell.
            if isinstance(client, redis.RedisCluster):
                return self._on_cluster(client, effect)
            return _execute(client, effect)
        if patience is None:
            return _in_pool(client.connection_pool, effect)
        if self._turns.pid != os.getpid():
            self._turns = Turns()  # the parent's threads may hold some, for ever
        turns, turn = self._turns, None
        try:
            turn = turns.take() or self._wait_for_turn(turns, patience)
            return _in_pool(client.connection_pool, effect)
        finally:
            if turn is not None:
                turns.give_back(turn)

    def _wait_for_turn(self, turns: Turns, patience: store.Patience) -> Turn:
        """Wait for one of the connections, as long as the store answers somebody."""
        while (left := patience.turn_s(self._answered)) > 0:
            turn = turns.take(left)
            if turn is not None:
                patience.turn_s(self._answered)
                BOUND.until = patience.until
                return turn
        raise MaxConnectionsError("all connections are in use")

    def _open_cluster(self) -> Any:
        self._once(self._connect_cluster)
        return self._client

    def _connect_cluster(self) -> None:
        if self._client is None:  # a cluster's client connects when it is made: once is enough
            address: Any = self._address
            nodes = [_node(*node) for node in address.nodes]
            self._client = redis.RedisCluster(startup_nodes=nodes, **(_timeouts() | address.options), **_CONNECTIONS)

    def _once(self, work: Callable[[], object]) -> None:
        """Do work that hung nodes may prolong: once for all callers, of whom none waits longer than for an answer."""
        with self._lock:
            errand = self._errand
            if errand is None or not errand.is_alive():
                errand = self._errand = _Errand(work)
                errand.start()
        errand.join(max(0.0, min(store.ANSWER_S, BOUND.until - time.monotonic())))
        if errand.is_alive():
            raise ConnectionError("The cluster's nodes did not answer in time.")
        if errand.failure is not None:
            raise errand.failure

    def _on_cluster(self, client: Any, effect: RunScript[object]) -> Any:
        if self._address is not None:
            return self._on_slot(client, effect)
        return client.retry.call_with_retry(lambda: self._on_slot(client, effect), lambda error: None)

    def _on_slot(self, client: Any, effect: RunScript[object]) -> Any:
        node: Any = None
        asked: Any = None
        for _ in range(_REDIRECTS):
            try:
                node = asked or client.get_node_from_key(effect.keys[0])
                pool = client.get_redis_connection(node).connection_pool
                if self._address is not None and type(pool) is not NodePool:
                    adopt(pool)
                return _on_node(pool, effect, asking=node is asked)
            except MovedError as moved:
                client.nodes_manager.move_slot(moved)
                asked = None
            except AskError as ask:
                asked = client.get_node(host=ask.host, port=ask.port)
                if asked is None:
                    self._refresh(client)
                    raise ClusterDownError("a slot moves to an unknown node") from None
            except MaxConnectionsError:
                raise
            except store.STALE:
                self._refresh(client, node and node.name)
                raise
        raise TryAgainError("too many redirections")

    def _refresh(self, client: Any, failed: str | None = None) -> None:
        """Learn anew who serves which slot, from another node than one that failed; what can't be learnt now stays."""
        with suppress(*store.REDIS_ERRORS):
            self._once(lambda: client.nodes_manager.initialize(last_failed_node_name=failed))


class _Errand(threading.Thread):
    """Work on a thread of its own, which does not keep the process alive."""

    def __init__(self, work: Callable[[], object]) -> None:
        super().__init__(name="otpkit-cluster", daemon=True)
        self._work = work
        self.failure: Exception | None = None

    def run(self) -> None:
        try:
            self._work()
        except Exception as error:  # noqa: BLE001 - for those who wait
            self.failure = error


def _in_pool(pool: Any, effect: RunScript[object]) -> Any:
    # The same as execute_command does, less what only other commands need: a sixth of a call's time.
    connection: Any = None
    is_clean = False
    try:
        connection = pool.get_connection()
        if type(pool) is Pool:  # redis-py's retries are none there.
            reply = _ask(connection, effect)
        else:
            reply = connection.retry.call_with_retry(
                lambda: _ask(connection, effect), lambda error: connection.disconnect()
            )
        is_clean = True
        return reply
    except store.REDIS_ERRORS as error:
        is_clean = connection is None or store.is_answer(error)
        raise
    finally:
        if is_clean and connection is not None:
            pool.release(connection)
        else:
            _put_back(pool, connection, is_clean=is_clean)


def _on_node(pool: Any, effect: RunScript[object], *, asking: bool) -> Any:
    connection: Any = None
    is_clean = False
    try:
        connection = pool.get_connection()
        if asking:
            connection.send_command("ASKING")
            connection.read_response()
        reply = _ask(connection, effect)
        is_clean = True
        return reply
    except store.REDIS_ERRORS as error:
        is_clean = connection is None or store.is_answer(error)
        raise
    finally:
        _put_back(pool, connection, is_clean=is_clean)


def _put_back(pool: Any, connection: Any, *, is_clean: bool) -> None:
    """Give a connection back; drop it first unless it is known to be clean: the next caller would read its reply."""
    if connection is not None:
        if not is_clean:
            connection.disconnect()
            if type(pool) is Pool:  # What broke one may have broken all.
                pool.disconnect(inuse_connections=False)
        pool.release(connection)
    elif not is_clean:
        pool.disconnect(inuse_connections=False)  # redis-py keeps one whose handshake was interrupted.


def _open(address: store_url.Address) -> Any:
    if address.kind == "memory":
        fakeredis = store.fakeredis()
        return fakeredis.FakeRedis(server=fakeredis.FakeServer())
    options = _timeouts() | address.options
    if address.kind == "sentinel":
        # They are asked one after the other: together they take no longer than one server.
        bounds = _timeouts(share=len(address.nodes)) | address.sentinel_options
        sentinels = _sentinel(address.nodes, sentinel_kwargs=bounds)
        for each in sentinels.sentinels:
            each.connection_pool.connection_class = bounded(each.connection_pool.connection_class)
        return sentinels.master_for(address.master, connection_pool_class=SentinelPool, **options, **_CONNECTIONS)
    return redis.Redis.from_pool(Pool(**(_timeouts() | address.connection(redis))))


def _timeouts(share: int = 1) -> dict[str, Any]:
    # The store itself tries again, within a bound; redis-py's retries would multiply with its.
    return {
        "socket_connect_timeout": store.CONNECT_S / share,
        "socket_timeout": store.ANSWER_S / share,
        "retry": Retry(NoBackoff(), 0),
    }


def _ask(connection: Any, effect: RunScript[object]) -> Any:
    """Run a script on one connection, by its SHA and, where the server does not know it, by its text."""
    script, keys, args = effect.script, effect.keys, effect.args
    try:
        packed = store.packed(connection, effect)
        if type(connection) in PLAIN and connection._sock is not None and not connection.health_check_interval:
            reply = _exchange(connection, packed)
        else:
            connection.send_packed_command(packed)
            reply = connection.read_response()
    except NoScriptError:
        connection.send_command("EVAL", script.text, len(keys), *keys, *args)
        reply = connection.read_response()
    try:
        value, is_known = effect.read(reply), True
    except store.UNFIT:
        is_known = False
    if not is_known:  # Raised outside the except block: the reply stands in the context of what was raised there.
        raise store.UnknownReply
    if effect.replicas:
        # WAIT counts what this very connection wrote; on another one it would mean nothing.
        connection.send_command("WAIT", effect.replicas, store.WAIT_MS)
        store.require_confirmed(connection.read_response(), effect.replicas)
    return value


def _exchange(connection: Any, packed: Sequence[bytes]) -> Any:
    """Send a command and return the reply, without what redis-py does for other commands: a tenth of a call's time."""
    try:
        for part in packed:
            connection._sock.sendall(part)
        reply = connection._parser.read_response()
    except OSError as error:
        failure = TimeoutError if isinstance(error, builtins.TimeoutError) else ConnectionError
        raise failure(str(error)) from error
    if isinstance(reply, ResponseError):
        raise reply
    return reply


def _execute(client: Any, effect: RunScript[object]) -> Any:
    """Run a script on a client that is not redis-py's own plain one: an embedded store, a subclass."""
    script, keys, args = effect.script, effect.keys, effect.args
    is_clean = False
    try:
        try:
            reply = client.execute_command("EVALSHA", script.sha, len(keys), *keys, *args)
        except NoScriptError:
            reply = client.execute_command("EVAL", script.text, len(keys), *keys, *args)
        with suppress(*store.UNFIT):
            value, is_clean = effect.read(reply), True
    except ResponseError:
        is_clean = True
        raise
    finally:
        if not is_clean:  # The client has given its connection back, maybe with a reply to come.
            own: Any = client.connection
            own.disconnect() if own is not None else client.connection_pool.disconnect(inuse_connections=False)
    if not is_clean:
        raise store.UnknownReply
    if effect.replicas:
        raise ConfigurationError(*NO_REPLICAS)
    return value


def error_of(client: Any, failure: Exception, script: str = "") -> OTPError:
    """Return our error for one of a sync client's. Sentinels that name no primary are asked why, unless they hang."""
    if not isinstance(failure, sentinel.MasterNotFoundError) or "Timeout" in str(failure):
        return store.store_error(failure, script)
    pool: Any = client.connection_pool
    answers: list[Any] = []
    for each in pool.sentinel_manager.sentinels:
        try:
            answers.append(pool.service_name in each.sentinel_masters())
        except store.REDIS_ERRORS as error:
            answers.append(error)
    return store.unnamed_primary(failure, answers)
