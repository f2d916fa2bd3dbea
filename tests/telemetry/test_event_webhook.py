"""`WebhookListener` posts signed CloudEvents to a real server, at least once, and in order."""

from __future__ import annotations

import json
import logging
import re
import socket
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from standardwebhooks import Webhook, WebhookVerificationError
from support.event_receiver import SECRET, Receiver, make_secret, wait_for

from otpkit import OTP, ConfigurationError, Event, Template
from otpkit.telemetry import WebhookListener
from otpkit.testing import Outbox

EVENT = Event(name="revoked", operation="revoke", phone_id="pseudonym", region="CN", purpose="signup")
KEY = "9f1c0b7de2a84356b1f0c2d9e8a7465310fbd2c4"


@pytest.fixture(autouse=True)
def quick(monkeypatch: Any) -> None:
    """Pause for milliseconds where the listener pauses for seconds."""
    monkeypatch.setattr("otpkit.telemetry.webhook._FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr("otpkit.telemetry.webhook._LONGEST_PAUSE_S", 0.02)


def post(receiver: Receiver, *events: Event, **options: Any) -> WebhookListener:
    """Pass events to a listener, and wait until they were posted."""
    listener = WebhookListener(receiver.url, SECRET, **{"rate": 1000, **options})
    for event in events:
        listener(event)
    wait_for(lambda: len(receiver.events) + listener.dropped >= len(events))
    return listener


def test_an_event_is_a_cloud_event() -> None:
    """It has the attributes of CloudEvents 1.0, and its known fields as data."""
    at = datetime(2026, 1, 2, 3, 4, 5, 678000, UTC)
    event = Event(name="guard", operation="issue", at=at, outcome="captcha", reasons=("range",), phone_id="pseudonym")
    with Receiver() as receiver:
        post(receiver, event, source="/otpkit/shop")
    (posted,) = receiver.posted
    assert posted.headers["content-type"] == "application/cloudevents+json; charset=utf-8"
    found = posted.event()
    assert found.pop("id") == posted.its_id
    assert found == {
        "specversion": "1.0",
        "source": "/otpkit/shop",
        "type": "otpkit.guard",
        "subject": "pseudonym",
        "time": "2026-01-02T03:04:05.678Z",
        "datacontenttype": "application/json",
        "data": {"operation": "issue", "outcome": "captcha", "reasons": ["range"], "phone_id": "pseudonym"},
    }


def test_an_event_without_a_time_gets_that_of_the_host() -> None:
    """CloudEvents are ordered by it."""
    with Receiver() as receiver:
        post(receiver, EVENT)
    found = datetime.fromisoformat(receiver.events[0]["time"])
    assert abs((datetime.now(UTC) - found).total_seconds()) < 60


def test_a_signature_is_of_this_secret_body_and_time() -> None:
    """The public library refuses each change."""
    with Receiver() as receiver:
        post(receiver, EVENT)
    (posted,) = receiver.posted
    for secret, body, headers in (
        (make_secret(2), posted.body, posted.headers),
        (SECRET, posted.body + b" ", posted.headers),
        (SECRET, posted.body, posted.headers | {"webhook-id": "other"}),
        (SECRET, posted.body, posted.headers | {"webhook-timestamp": str(int(time.time()) - 3600)}),
    ):
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(body, headers)


def test_several_secrets_sign_each_request() -> None:
    """A receiver changes from one to the next without a gap."""
    both = [SECRET, make_secret(2)]
    with Receiver() as receiver:
        listener = WebhookListener(receiver.url, both)
        listener(EVENT)
        listener.close()
    (posted,) = receiver.posted
    assert posted.event(both[0]) == posted.event(both[1])


@pytest.mark.parametrize("status", [500, 503, 429, 408, 401, 404, 410])
def test_an_answer_that_accepts_nothing_is_repeated(status: int, caplog: Any) -> None:
    """The repeated event has the same id, and a new time and signature. Events behind it keep their order."""
    with Receiver([status, status]) as receiver, caplog.at_level(logging.WARNING, "otpkit"):
        listener = post(receiver, *(Event(name=name, operation="x") for name in ("issued", "verified", "redeemed")))
        wait_for(lambda: caplog.records)
    ids = [each.its_id for each in receiver.posted]
    assert len(set(ids[:3])) == 1
    assert len(set(ids)) == 3
    assert receiver.names() == ["issued", "verified", "redeemed"]
    assert listener.dropped == 0
    assert len(caplog.records) == 1
    assert f"answered {status}" in caplog.text


@pytest.mark.parametrize("status", [400, 413, 415, 422])
def test_an_event_that_can_not_be_read_is_dropped(status: int, caplog: Any) -> None:
    """The next one is posted, and the log reports the first."""
    with Receiver([status]) as receiver, caplog.at_level(logging.WARNING, "otpkit"):
        listener = post(receiver, EVENT, Event(name="issued", operation="issue"))
        wait_for(lambda: caplog.records)
    assert receiver.names() == ["issued"]
    assert listener.dropped == 1
    assert f"answered {status}" in caplog.text


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(status: int) -> None:
    """Another server would get the events, and could be one in your own network."""
    with Receiver() as other, Receiver([status] * 3) as receiver:
        receiver.headers["Location"] = other.url
        post(receiver, EVENT)
    assert [each.status for each in receiver.posted] == [status] * 3 + [204]
    assert not other.requests


def test_a_server_that_starts_late_gets_every_event(caplog: Any) -> None:
    """Neither the start nor a call waits for it."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    listener = WebhookListener(f"http://127.0.0.1:{port}/", SECRET, rate=1000)
    with caplog.at_level(logging.WARNING, "otpkit"):
        listener(EVENT)
        listener(Event(name="issued", operation="issue"))
        wait_for(lambda: caplog.records)
    assert "nothing was sent" in caplog.text
    with Receiver(port=port) as receiver:
        wait_for(lambda: len(receiver.events) == 2)
    assert receiver.names() == ["revoked", "issued"]


def test_a_wait_that_the_server_asks_for_is_kept() -> None:
    """The header Retry-After has seconds."""
    with Receiver([503]) as receiver:
        receiver.headers["Retry-After"] = "1"
        started = time.monotonic()
        post(receiver, EVENT)
        assert time.monotonic() - started > 0.9


def test_an_event_is_given_up_after_its_life(monkeypatch: Any, caplog: Any) -> None:
    """Otherwise one event would hold up all others for ever."""
    monkeypatch.setattr("otpkit.telemetry.webhook._LIFE_S", 0.05)
    with Receiver([500] * 1000) as receiver, caplog.at_level(logging.WARNING, "otpkit"):
        listener = WebhookListener(receiver.url, SECRET, rate=1000)
        listener(EVENT)
        wait_for(lambda: listener.dropped == 1)


def test_only_the_chosen_names_are_posted() -> None:
    """A pager wants budgets, not every message."""
    with Receiver() as receiver:
        listener = WebhookListener(receiver.url, SECRET, names={"budget", "guard"})
        for name in ("sent", "budget", "issued", "guard"):
            listener(Event(name=name, operation="issue"))
        listener.close()
    assert receiver.names() == ["budget", "guard"]


def test_events_are_posted_no_faster_than_the_rate() -> None:
    """The calls of the same process need the processor too."""
    with Receiver() as receiver:
        started = time.monotonic()
        post(receiver, *[EVENT] * 11, rate=20)
        assert time.monotonic() - started > 0.45


def test_close_posts_what_waits_without_the_rate() -> None:
    """It has a few seconds only."""
    with Receiver() as receiver:
        listener = WebhookListener(receiver.url, SECRET, rate=1)
        for _ in range(20):
            listener(EVENT)
        listener.close(20)
        assert len(receiver.events) == 20


def test_a_call_posts_its_events() -> None:
    """Each event of a call has an id of its own."""
    with Receiver() as receiver:
        listener = WebhookListener(receiver.url, SECRET)
        outbox = Outbox()
        with OTP("memory://", outbox, Template("SMS_1", "otpkit"), KEY, listeners=[listener]) as otp:
            otp.issue("13800138000")
            otp.verify("13800138000", outbox[-1].code)
    assert receiver.names() == ["sent", "issued", "verified"]
    assert len({each["id"] for each in receiver.events}) == 3
    assert len({each["subject"] for each in receiver.events}) == 1


def test_check_posts_one_event_now() -> None:
    """The doctor asks so whether the server has the secret."""
    with Receiver([401]) as receiver:
        listener = WebhookListener(receiver.url, SECRET)
        assert (listener.check(), listener.check()) == (401, 204)
    assert receiver.names() == ["check"]


def test_a_log_and_a_repr_hide_the_rest_of_the_url(caplog: Any) -> None:
    """A path or a query may hold a key."""
    with Receiver([500]) as receiver, caplog.at_level(logging.DEBUG):
        listener = post(receiver, EVENT)
        wait_for(lambda: caplog.records)
    shown = f"{listener!r} {caplog.text}"
    assert "127.0.0.1" in shown
    assert "hush" not in shown
    assert SECRET not in shown


URL = "https://hooks.example/otp"


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"url": "http://hooks.example/otp"}, "url"),
        ({"url": "ftp://hooks.example/otp"}, "url"),
        ({"url": "https://user:password@hooks.example/"}, "url"),
        ({"secret": "too short"}, "secret"),
        ({"secret": SECRET.removeprefix("whsec_")}, "secret"),
        ({"secret": "whsec_AAAA"}, "secret"),
        ({"secret": "whsec_" + "A" * 44}, "secret"),
        ({"secret": "whsec_!" + SECRET[7:]}, "secret"),
        ({"secret": []}, "secret"),
        ({"secret": [SECRET, 5]}, "secret"),
        ({"names": "budget"}, "names"),
        ({"names": {"budgets"}}, "names"),
        ({"names": []}, "names"),
        ({"source": "a b"}, "source"),
        ({"source": ""}, "source"),
        ({"timeout": 0}, "timeout"),
        ({"proxy": "no proxy"}, "proxy"),
        ({"rate": 0}, "rate"),
        ({"rate": "fast"}, "rate"),
        ({"capacity": 0}, "capacity"),
    ],
)
def test_a_wrong_argument_is_refused(options: dict[str, Any], field: str) -> None:
    """The error names the field, and shows no secret."""
    arguments = {"url": URL, "secret": SECRET, **options}
    with pytest.raises(ConfigurationError) as refused:
        WebhookListener(**arguments)
    assert [each.field for each in refused.value.problems] == [field]
    assert SECRET[10:20] not in str(refused.value)


def test_all_wrong_arguments_are_named_at_once() -> None:
    """As everywhere."""
    with pytest.raises(ConfigurationError) as refused:
        WebhookListener("http://hooks.example", "short", names={"x"}, rate=-1)
    assert {each.field for each in refused.value.problems} == {"url", "secret", "names", "rate"}


def test_the_body_is_compact_json_in_utf_8() -> None:
    """A name of a gateway may be Chinese."""
    with Receiver() as receiver:
        post(receiver, Event(name="sent", operation="issue", detail="余额不足"))
    body = receiver.posted[0].body.decode()
    assert "余额不足" in body
    assert json.loads(body)["data"]["detail"] == "余额不足"
    assert not re.search(r'": |", "', body)
