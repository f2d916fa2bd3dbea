"""Logs of the commands that serve: all go to standard error."""

from __future__ import annotations

import logging
from typing import Any


class _Handler(logging.StreamHandler[Any]):
    """A handler of the command's own. A program that mounts the application sets handlers as it likes."""


def configure_log() -> None:
    """Write warnings of all libraries, and what the service itself does, to standard error."""
    logging.basicConfig(level=logging.WARNING, format="otpkit: %(message)s")
    logging.getLogger("otpkit.service").setLevel(logging.INFO)


def write_log(name: str, form: str | None) -> None:
    """Write everything of one logger to standard error, or stop writing it.

    Args:
        name: the name of the logger.
        form: the form of a line, as `logging.Formatter` takes it; None stops it.
    """
    logger = logging.getLogger(name)
    for each in [each for each in logger.handlers if isinstance(each, _Handler)]:
        logger.removeHandler(each)
    if form is None:
        return
    handler = _Handler()
    handler.setFormatter(logging.Formatter(form))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
