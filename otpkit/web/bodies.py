"""Read a request's body, and limit how much of it is kept."""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable
from typing import Final

_CHUNK: Final = 65_536


async def read_bounded(chunks: AsyncIterable[bytes], limit: int, *, drain: int | None = None) -> bytes | None:
    """Return a body, or None if it has more than `limit` bytes.

    The rest of a longer body is read and dropped. If a connection is closed while its client still writes, it is reset,
    and most clients then never see the response.

    Args:
        chunks: the body's parts, such as Starlette's `request.stream()`.
        limit: the number of bytes to keep.
        drain: the number of bytes to read. None reads a longer body to its end, 0 reads nothing beyond the limit.
    """
    kept, size = [], 0
    async for chunk in chunks:
        size += len(chunk)
        if size <= limit:
            kept.append(chunk)
        elif drain is not None and size > drain:
            break
    return b"".join(kept) if size <= limit else None


def read_bounded_from(read: Callable[[int], bytes], limit: int) -> bytes | None:
    """Return a body, or None if it has more than `limit` bytes. The rest of a longer body is read and dropped.

    Args:
        read: a function that returns at most so many bytes, and b"" at the end, such as `stream.read`.
        limit: the number of bytes to keep.
    """
    kept, size = [], 0
    while chunk := read(_CHUNK):
        size += len(chunk)
        if size <= limit:
            kept.append(chunk)
    return b"".join(kept) if size <= limit else None
