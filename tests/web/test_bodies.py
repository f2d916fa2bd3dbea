"""A body is read up to a limit, for any data from the client."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from otpkit.web.bodies import read_bounded


class Sender:
    """A client that sends chunks of one size, and counts the chunks that were read."""

    def __init__(self, chunks: int, size: int = 10) -> None:
        self.chunks, self.size, self.taken = chunks, size, 0

    async def stream(self) -> AsyncIterator[bytes]:
        for _ in range(self.chunks):
            self.taken += 1
            yield bytes(self.size)


@pytest.mark.parametrize("chunks", [0, 1, 3])
async def test_body_within_the_limit_is_whole(chunks: int) -> None:
    assert await read_bounded(Sender(chunks).stream(), 30) == bytes(10 * chunks)


@pytest.mark.parametrize(("drain", "taken"), [(None, 100), (0, 4), (60, 7)])
async def test_longer_body_is_drained(drain: int | None, taken: int) -> None:
    sender = Sender(100)
    assert await read_bounded(sender.stream(), 30, drain=drain) is None
    assert sender.taken == taken
