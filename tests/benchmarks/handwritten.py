"""A usual hand-written version, as in tutorials: SETEX for the code, INCR for the limits.

It needs four round trips to issue and three to four to verify, and no operation is atomic. Tutorials have two forms of
verify: most check the count of wrong codes first, some increment it first.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable

import redis
import requests


class TooMany(Exception):
    """A limit is reached."""


def send_by_http(phone: str, code: str) -> None:
    requests.post("https://sms.example/send", json={"phone": phone, "code": code}, timeout=10).raise_for_status()


def issue(r: redis.Redis, phone: str, send: Callable[[str, str], object] = send_by_http) -> None:
    minute, hour, day = r.mget(f"sms:minute:{phone}", f"sms:hour:{phone}", f"sms:day:{phone}")
    if minute or int(hour or 0) >= 5 or int(day or 0) >= 10:
        raise TooMany
    code = f"{secrets.randbelow(1_000_000):06d}"
    r.setex(f"sms:code:{phone}", 300, code)
    send(phone, code)
    r.setex(f"sms:minute:{phone}", 60, 1)
    with r.pipeline(transaction=False) as pipe:
        for name, seconds in (("hour", 3600), ("day", 86400)):
            pipe.incr(f"sms:{name}:{phone}")
            pipe.expire(f"sms:{name}:{phone}", seconds, nx=True)
        pipe.execute()


def verify(r: redis.Redis, phone: str, typed: str) -> bool:
    if int(r.get(f"sms:wrong:{phone}") or 0) >= 5:
        raise TooMany
    code = r.get(f"sms:code:{phone}")
    if code is None or code != typed.encode():
        r.incr(f"sms:wrong:{phone}")
        r.expire(f"sms:wrong:{phone}", 300)
        return False
    r.delete(f"sms:code:{phone}", f"sms:wrong:{phone}")
    return True


def verify_counting_first(r: redis.Redis, phone: str, typed: str) -> bool:
    tries = r.incr(f"sms:tries:{phone}")
    if tries == 1:
        r.expire(f"sms:tries:{phone}", 300)
    if tries > 5:
        raise TooMany
    code = r.get(f"sms:code:{phone}")
    if code is None or code != typed.encode():
        return False
    r.delete(f"sms:code:{phone}", f"sms:tries:{phone}")
    return True
