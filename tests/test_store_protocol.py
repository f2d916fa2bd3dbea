"""The steps of a script call, which the drivers perform, without a server."""

from __future__ import annotations

from typing import Any

import pytest
from redis.exceptions import AskError, ConnectionError, MovedError, NoScriptError, ResponseError  # noqa: A004

from otpkit import ConfigurationError, StoreUnavailableError
from otpkit.effects import RunScript, Script
from otpkit.store.protocol import (
    DISCARD,
    OPEN,
    REFRESH,
    RELEASE,
    Crowded,
    Explain,
    Find,
    Follow,
    Locate,
    Pause,
    Queue,
    Retry,
    Shape,
    Store,
    ask,
)
from otpkit.store.retry import RetryBudget


class One(Script[int]):
    """A script that replies 1."""

    __slots__ = ()

    def read(self, reply: object, args: tuple[bytes | str | int, ...]) -> int:
        """Return 1."""
        if reply != 1:
            raise ValueError
        return 1


SCRIPT = One("one", "return 1")
BY_SHA = ("EVALSHA", SCRIPT.sha, 1, "key", "argument")
BY_TEXT = ("EVAL", SCRIPT.text, 1, "key", "argument")
ASKING = ("ASKING",)


class Conversation:
    """Steps that the test performs."""

    def __init__(self, shape: Shape = "pool", *, is_borrowed: bool = False, replicas: int = 0) -> None:
        budget = None if is_borrowed else RetryBudget()
        effect = RunScript(SCRIPT, ("key",), ("argument",), replicas)
        self.steps = ask(effect, Store(shape, is_borrowed=is_borrowed), budget)
        self.step: Any = next(self.steps)

    def answer(self, result: object = None) -> Any:
        """Send a result, and return the next step."""
        self.step = self.steps.send(result)
        return self.step

    def fail(self, error: Exception) -> Any:
        """Throw an error, and return the next step."""
        self.step = self.steps.throw(error)
        return self.step

    def end(self, result: object = None) -> int:
        """Send the last result, and return the script's result."""
        with pytest.raises(StopIteration) as stop:
            self.steps.send(result)
        value: int = stop.value.value
        return value


def test_known_script_is_one_command() -> None:
    """The end itself returns the connection to the pool."""
    talk = Conversation()
    assert talk.step == BY_SHA
    assert talk.end(1) == 1


def test_unknown_script_is_sent_whole() -> None:
    """It is sent on the same connection."""
    talk = Conversation()
    assert talk.fail(NoScriptError()) == BY_TEXT
    assert talk.end(1) == 1


def test_replicas_are_waited_for_on_the_same_connection() -> None:
    """WAIT follows the script's reply."""
    talk = Conversation(replicas=2)
    assert talk.answer(1)[:2] == ("WAIT", 2)
    assert talk.end(2) == 1


def test_script_that_is_unknown_where_its_slot_moves_to() -> None:
    """ASKING applies to one command, so it precedes each."""
    talk = Conversation("cluster")
    assert talk.step is OPEN
    assert isinstance(talk.answer(), Locate)
    assert talk.answer() == BY_SHA
    assert talk.fail(AskError("1 127.0.0.1:7001")) is RELEASE
    assert isinstance(talk.answer(), Find)
    assert talk.answer(True) == ASKING
    assert talk.answer(b"OK") == BY_SHA
    assert talk.fail(NoScriptError()) == ASKING
    assert talk.answer(b"OK") == BY_TEXT
    assert talk.end(1) == 1


def test_moved_slot_is_followed() -> None:
    """The call goes to the node that the new map names."""
    talk = Conversation("cluster")
    talk.answer()
    talk.answer()
    assert talk.fail(MovedError("1 127.0.0.1:7001")) is RELEASE
    assert isinstance(talk.answer(), Follow)
    assert isinstance(talk.answer(), Locate)
    assert talk.answer() == BY_SHA
    assert talk.end(1) == 1


def test_lost_node_is_dropped_before_the_map_is_read() -> None:
    """The call is repeated after a pause."""
    talk = Conversation("cluster")
    talk.answer()
    talk.answer()
    assert talk.fail(ConnectionError()) is DISCARD
    assert talk.answer() is REFRESH
    assert talk.answer() is DISCARD
    assert isinstance(talk.answer(), Pause)
    assert talk.answer() is OPEN


def test_reply_that_the_script_can_not_give_drops_the_connection() -> None:
    """The reply may belong to another call."""
    talk = Conversation()
    assert talk.answer(7) is DISCARD
    assert isinstance(talk.answer(), Pause)
    assert talk.answer() == BY_SHA


def test_refusal_leaves_the_connection_usable() -> None:
    """The server's own error is a complete reply. The call is not retried."""
    talk = Conversation()
    assert talk.fail(ResponseError("WRONGTYPE")) is RELEASE
    assert isinstance(talk.answer(), Explain)
    with pytest.raises(StoreUnavailableError):
        talk.answer(StoreUnavailableError("explained"))


def test_crowd_waits_in_a_queue() -> None:
    """A caller sends its command when it is admitted."""
    talk = Conversation()
    assert isinstance(talk.fail(Crowded()), Queue)
    assert talk.answer(True) == BY_SHA
    assert talk.end(1) == 1


def test_client_that_was_passed_in_retries_by_itself() -> None:
    """Its retries begin with the current failure, so no attempt is made twice."""
    talk = Conversation(is_borrowed=True)
    lost = ConnectionError()
    step = talk.fail(lost)
    assert isinstance(step, Retry)
    with pytest.raises(ConnectionError):
        step.attempt()
    assert next(step.attempt()) == BY_SHA
    assert talk.end(1) == 1


def test_replicas_need_a_connection_of_otpkit() -> None:
    """WAIT on another connection would be meaningless."""
    with pytest.raises(ConfigurationError, match="replicas"):
        Conversation("client", replicas=1)
