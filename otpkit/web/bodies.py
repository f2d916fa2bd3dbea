"""Read a request's body, with a bound on what is kept of it."""

from __future__ import annotations

from collections.abc import AsyncIterable


async def read_bounded(chunks: AsyncIterable[bytes], limit: int, *, drain: int | None = None) -> bytes | None:
    """Return a body, or None if it has more than `limit` bytes.

    The rest of a longer body is read and dropped. A connection that is closed while its client still writes is reset,
    and most clients then never see the response.

    Args:
        chunks: the body's parts, such as Starlette's `request.stream()`.
        limit: how many bytes are kept.
        drain: how many bytes are read; None reads a longer body to its end, 0 none of its rest.
    """
    kept, size = [], 0
    async for chunk in chunks:
        size += len(chunk)
        if size <= limit:
            kept.append(chunk)
        elif drain is not None and size > drain:
            break
    return b"".join(kept) if size <= limit else None
