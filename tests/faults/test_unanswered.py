"""A reply is lost, or arrives after the timeout: the second attempt gets the first one's result, counted once.

The folder `attacks` has the tests of replies that are cut or that are lost with their connection.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from stories import STORIES, Story
from support.callers import loaded
from support.proxied import staged, told
from support.proxy import Fault, Proxy
from support.rig import PHONE

from otpkit.store import retry

ANSWER_S = 0.3  # Shorter than otpkit's one second, so that the tests are fast.
FAULTS = {"swallowed": Fault("swallow"), "late": Fault("delay", seconds=2 * ANSWER_S)}


@pytest.fixture(params=["valkey sync-url", "redis async-url"])
def seat(request: pytest.FixtureRequest) -> tuple[str, str]:
    """Return a shared server's URL and a kind of caller. The cases cover each server and each kind."""
    server, kind = request.param.split()
    return request.getfixturevalue(f"{server}_url"), kind


@pytest.fixture
def proxy(seat: tuple[str, str]) -> Iterator[Proxy]:
    """Yield a proxy before a server that has the scripts."""
    with loaded(seat[0]) as by_sha, Proxy(seat[0], by_sha) as proxy:
        yield proxy


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize(("story", "script"), STORIES, ids=lambda part: getattr(part, "__name__", part))
async def test_a_story_ends_as_with_every_answer_in_time(
    proxy: Proxy,
    seat: tuple[str, str],
    namespace: str,
    story: Story,
    script: str,
    fault: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The outcome, the counts and the messages are the same."""
    monkeypatch.setattr(retry, "ANSWER_S", ANSWER_S)
    url, kind = seat
    ends = []
    for faults in ([], [FAULTS[fault]]):
        async with staged(kind, proxy, url, f"{namespace}.{len(faults)}") as stage:
            stage.spoil = lambda faults=faults: proxy.expect(script, *faults)
            answer = await story(stage)
            assert proxy.planned() == 0
            ends.append((told(answer), stage.kept()))
    assert ends[0] == ends[1]


async def test_a_swallowed_reply_costs_a_second(proxy: Proxy, seat: tuple[str, str], namespace: str) -> None:
    """This is with the timeouts of a client by URL."""
    url, kind = seat
    async with staged(kind, proxy, url, namespace) as stage:
        proxy.expect("reserve", Fault("swallow"))
        began = time.monotonic()
        assert (await stage.caller.issue(PHONE)).sends_left == 31
        assert 0.9 < time.monotonic() - began < 3.0
        assert (proxy.calls.count("reserve"), len(stage.outbox)) == (2, 1)
