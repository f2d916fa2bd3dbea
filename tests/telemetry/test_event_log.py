"""`LogListener` logs each event with its fields, as text or JSON, in the context of its call."""

from __future__ import annotations

import logging
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

import pytest
from support.event_receiver import parsed

from otpkit import ConfigurationError, Event
from otpkit.telemetry import LogListener

EVENT = Event(
    name="refused",
    operation="issue",
    outcome="rate_limit",
    scope="phone",
    region="CN",
    at=datetime(2026, 1, 2, 3, 4, 5, 678000, UTC),
    duration_ms=0,
    reasons=("range", "ip"),
    detail='two words, "quoted"\nline',
)
SHOWN = {
    "event": "refused",
    "operation": "issue",
    "outcome": "rate_limit",
    "detail": 'two words, "quoted"\nline',
    "region": "CN",
    "scope": "phone",
    "at": "2026-01-02T03:04:05.678Z",
    "duration_ms": 0,
    "reasons": ["range", "ip"],
}


@pytest.fixture
def logged(caplog: Any) -> Any:
    """Capture the records of `otpkit.events`."""
    caplog.set_level(logging.INFO, "otpkit.events")
    return caplog


def log(event: Event = EVENT, **options: Any) -> None:
    listener = LogListener(**options)
    listener(event)
    listener.close()


def test_each_field_is_an_attribute_of_the_record(logged: Any) -> None:
    """Formatters of structured logs show them. Unknown fields are left out."""
    log()
    (record,) = logged.records
    assert {name: getattr(record, name) for name in SHOWN} == SHOWN
    assert (record.name, record.levelno) == ("otpkit.events", logging.INFO)
    assert not {"gateway", "phone_id", "price", "segments"} & set(vars(record))


def test_a_text_is_one_line(logged: Any) -> None:
    """A value with other characters than those of a word is quoted."""
    log()
    text = logged.records[0].getMessage()
    assert text == (
        "refused operation=issue outcome=rate_limit "
        r'detail="two words, \"quoted\"\nline" '
        "region=CN scope=phone at=2026-01-02T03:04:05.678Z duration_ms=0 reasons=range,ip"
    )


def test_json_is_one_object_a_line(logged: Any) -> None:
    """The record has the same attributes."""
    log(json=True)
    (record,) = logged.records
    assert parsed(record.getMessage()) == SHOWN
    assert "\n" not in record.getMessage()
    assert record.region == "CN"


def test_logger_and_level_are_a_choice(caplog: Any) -> None:
    """A logger may be passed by name or as it is."""
    caplog.set_level(logging.DEBUG)
    log(logger="shop.sms", level=logging.DEBUG)
    log(logger=logging.getLogger("shop.other"), level=logging.WARNING)
    assert [(each.name, each.levelname) for each in caplog.records] == [
        ("shop.sms", "DEBUG"),
        ("shop.other", "WARNING"),
    ]


def test_a_level_that_is_not_logged_is_not_queued(caplog: Any) -> None:
    """The listener then costs a call next to nothing."""
    caplog.set_level(logging.WARNING, "otpkit.events")
    listener = LogListener()
    listener(EVENT)
    assert listener.waiting == 0
    assert not caplog.records


def test_a_record_is_made_in_the_context_of_its_call(logged: Any) -> None:
    """A filter that adds the id of the request finds it."""
    request, seen = ContextVar("request", default=""), []
    logger = logging.getLogger("otpkit.events")

    def note(record: logging.LogRecord) -> bool:
        seen.append(request.get())
        return True

    logger.addFilter(note)
    try:
        listener = LogListener()
        for name in ("one", "two"):
            token = request.set(name)
            listener(EVENT)
            request.reset(token)
        listener.close()
    finally:
        logger.removeFilter(note)
    assert seen == ["one", "two"]


@pytest.mark.parametrize("options", [{"logger": 5}, {"level": "INFO"}, {"capacity": 0}])
def test_a_wrong_argument_is_refused(options: Any) -> None:
    """The error is raised when the listener is made."""
    with pytest.raises(ConfigurationError, match="LogListener"):
        LogListener(**options)
