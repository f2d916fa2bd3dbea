"""Fill a store with challenges quickly: with the library's own reserve script, in pipelines."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import redis
from redis import sentinel

from otpkit import OTP
from otpkit.core.crypto import new_id
from otpkit.core.subject import Subject

BATCH = 500  # Commands of a pipeline.
PURPOSE = "signup"


class Filler:
    """Reserves for phones by pipelines. It sends no messages, so each send stays pending, as after a process died."""

    def __init__(self, otp: OTP, url: str) -> None:
        self._config = otp._config
        host, _, port = url.partition("://")[2].partition(",")[0].partition("/")[0].partition(":")
        self._cluster: Any = redis.RedisCluster(host=host, port=int(port)) if "+cluster" in url else None
        if self._cluster is not None:
            clients = [self._cluster.get_redis_connection(node) for node in self._cluster.get_primaries()]
        elif "+sentinel" in url:
            sentinels: Any = sentinel.Sentinel([(host, int(port))])
            clients = [sentinels.master_for(url.split("/")[3])]
        else:
            clients = [redis.Redis(host=host, port=int(port))]
        for client in clients:
            client.script_load(self._config.scripts.reserve.text)
        self._single = clients[0]

    def fill(self, phones: Iterable[str]) -> list[tuple[str, str, float, float]]:
        """Reserve for phones. Return each with its code, and the begin and end of its batch in epoch seconds."""
        found, batch = [], []
        for phone in phones:
            batch.append(phone)
            if len(batch) == BATCH:
                found += self._fill(batch)
                batch = []
        return found + self._fill(batch)

    def _fill(self, phones: list[str]) -> list[tuple[str, str, float, float]]:
        began, codes = time.time(), []
        pipes: dict[Any, Any] = {}
        for phone in phones:
            subject = Subject(self._config, phone, PURPOSE, "")
            client = self._client(subject.phone_key)
            if client not in pipes:
                pipes[client] = client.pipeline(transaction=False)
            codes.append(self._reserve(pipes[client], subject))
        for pipe in pipes.values():
            assert all(reply[1] == b"reserved" for reply in pipe.execute())
        ended = time.time()
        return [(phone, code, began, ended) for phone, code in zip(phones, codes, strict=True)]

    def _client(self, key: str) -> Any:
        if self._cluster is None:
            return self._single
        return self._cluster.get_redis_connection(self._cluster.get_node_from_key(key))

    def _reserve(self, pipe: Any, subject: Subject) -> str:
        config, nonce = self._config, new_id()
        key = config.keys.current
        code = key.code(nonce, subject.packed, config.policy.code_length)
        call = config.scripts.reserve(
            phone_key=subject.phone_key,
            counter_key=subject.counter_key,
            now=config.now_arg(),
            operation=new_id(),
            challenge_field=subject.challenge_field,
            fresh=key.challenge(nonce, subject.packed, code),
            idempotency=b"",
            known_keys=config.keys.ids,
        )
        pipe.evalsha(call.script.sha, len(call.keys), *call.keys, *call.args)
        return code
