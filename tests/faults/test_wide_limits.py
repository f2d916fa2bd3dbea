"""The limits that a cluster keeps on other nodes: after a lost reply, nothing is counted or refunded twice."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from mortal import Mortal
from stories import CLUSTER_STORIES, Story
from support.callers import BROAD, calling, loaded
from support.proxied import Proxied, told
from support.proxy import Action, Fault, Proxy
from test_refusing_servers import free_port, wait_for_cluster

from otpkit.testing import MovableClock, Outbox

FAULTS: list[Action] = ["drop", "cut", "swallow", "refuse"]


@asynccontextmanager
async def staged(kind: str, node: Mortal, proxy: Proxy, namespace: str) -> AsyncIterator[Proxied]:
    """Yield a caller that knows only the proxy's address of the node."""
    outbox, clock = Outbox(), MovableClock()
    url = f"redis+cluster://127.0.0.1:{proxy.port}"
    with node.client() as server:
        async with calling(kind, url, outbox, namespace=namespace, clock=clock) as caller:
            yield Proxied(caller, proxy, outbox, clock, server)


@pytest.mark.parametrize("binary", ["valkey"], indirect=True)
@pytest.mark.parametrize("fault", FAULTS)
async def test_a_story_ends_as_over_a_clean_connection(binary: str, kind: str, fault: Action, monkeypatch: Any) -> None:
    """The outcome and the counts are the same, for all stories on a cluster of one node."""
    if fault == "swallow":  # Only then a call waits so long for each lost reply.
        monkeypatch.setattr("otpkit.store.retry.ANSWER_S", 0.3)
    with (
        Mortal(binary, "--cluster-enabled", "yes", "--port", str(free_port())) as node,
        node.client() as client,
        loaded(node.url, BROAD) as by_sha,
        Proxy(node.url, by_sha) as proxy,
    ):
        client.config_set("cluster-announce-port", proxy.port)
        client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        wait_for_cluster(client)
        for number, (story, script) in enumerate(CLUSTER_STORIES):
            ends = [await told_of(story, kind, node, proxy, f"{number}.clean", lambda: None)]
            spoil: Callable[[], None] = lambda script=script: proxy.expect(script, Fault(fault))  # noqa: E731
            ends.append(await told_of(story, kind, node, proxy, f"{number}.spoilt", spoil))
            assert proxy.planned() == 0
            assert ends[0] == ends[1], (story.__name__, script)


async def told_of(
    story: Story, kind: str, node: Mortal, proxy: Proxy, namespace: str, spoil: Callable[[], None]
) -> tuple[Any, Any]:
    """Return the outcome of a story, and the stored state after it."""
    async with staged(kind, node, proxy, namespace) as stage:
        stage.spoil = spoil
        return told(await story(stage)), stage.kept()
