"""The listener that writes each event to Python's `logging`."""

from __future__ import annotations

import json as _json
import logging
from contextvars import Context, copy_context
from typing import Any

from otpkit.errors import ConfigurationError
from otpkit.models import Event
from otpkit.telemetry.fields import fields_of
from otpkit.telemetry.queue import CAPACITY, EventQueue, HasQueue

__all__ = ["LogListener"]


class LogListener(HasQueue):
    """A listener that logs each event, with its fields as `extra`.

    A record's message is the event's name and fields, such as `sent operation=issue outcome=accepted region=CN`, or one
    JSON object. Its attributes are the fields, and `event` for the name, so that formatters for structured logs show
    them. Fields without a value are left out.

    The records are made on a thread with the context variables of the call, so that filters find its request. A slow
    handler does not delay calls.

    Args:
        logger: the logger, or its name.
        level: the level of the records. The logger must be enabled for it.
        json: True for messages that are JSON objects.
        capacity: the events that may wait. Further ones are dropped, and counted in `dropped`.

    Raises:
        ConfigurationError: an argument is of the wrong type.
    """

    def __init__(
        self,
        logger: logging.Logger | str = "otpkit.events",
        *,
        level: int = logging.INFO,
        json: bool = False,
        capacity: int = CAPACITY,
    ) -> None:
        if not isinstance(logger, (logging.Logger, str)) or not isinstance(level, int):
            raise ConfigurationError("LogListener: logger or level is wrong.", "Pass a name, and logging.INFO.")
        self._logger = logging.getLogger(logger) if isinstance(logger, str) else logger
        self._level = level
        self._text = _as_json if json else _as_text
        self._queue: EventQueue[tuple[Context, Event]] = EventQueue(type(self).__name__, self._deliver, capacity)

    def __call__(self, event: Event) -> None:
        """Queue an event, unless the logger ignores its level."""
        if self._logger.isEnabledFor(self._level):
            self._queue.put((copy_context(), event))

    def _deliver(self, item: tuple[Context, Event]) -> None:
        context, event = item
        context.run(self._log, event)

    def _log(self, event: Event) -> None:
        found = fields_of(event)
        found = {"event": found.pop("name"), **found}
        # A record without a place in the source: a search for the calling frame would only find this file.
        logger = self._logger
        logger.handle(logger.makeRecord(logger.name, self._level, "", 0, self._text(found), (), None, "", extra=found))


_as_json = _json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def _as_text(found: dict[str, Any]) -> str:
    return " ".join(_word(value) if name == "event" else f"{name}={_word(value)}" for name, value in found.items())


def _word(value: Any) -> str:
    """Return a value as one word, or as a text of JSON if it has other characters: a log line must stay one line."""
    text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
    is_word = text.isprintable() and not set(text) & set(' "=')
    return text if is_word else _json.dumps(text, ensure_ascii=False)
