"""The request that sent a message, kept for people to read: as it came, its secrets masked. No I/O."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Final

from otpkit.sandbox.calls import WireRequest

MAX_RECORDED: Final = 16_384  # characters of one request; what is beyond them is cut off
MASK: Final = "***"

_SECRET: Final = frozenset(
    {"x-ca-secret", "x-ca-signature", "x-acs-security-token", "x-tc-token", "cookie", "proxy-authorization"}
)
_SECRET_PARAMS: Final = re.compile(r"(?<![^&])(Signature|SecurityToken|Token)=[^&]*")


@dataclass(frozen=True, slots=True)
class Recorded:
    """A request as a person reads it. `query` is still encoded, `is_cut` says that some of it was left out."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: str
    is_cut: bool

    def as_json(self) -> dict[str, object]:
        """Return what `GET /api/messages` shows of it."""
        return asdict(self)


def recorded(request: WireRequest) -> Recorded:
    """Keep a request; names of headers are in lower case, as they came to us."""
    left, is_cut = MAX_RECORDED, False

    def fit(text: str) -> str:
        nonlocal left, is_cut
        kept = text[:left]
        left, is_cut = left - len(kept), is_cut or len(kept) < len(text)
        return kept

    return Recorded(
        method=fit(request.method),
        path=fit(request.path.decode("latin-1")),
        query=fit(_SECRET_PARAMS.sub(rf"\1={MASK}", request.query.decode("latin-1"))),
        headers={fit(name): fit(value) for name, value in _masked(request) if left},
        body=fit(_SECRET_PARAMS.sub(rf"\1={MASK}", request.body.decode("utf-8", "replace"))),
        is_cut=is_cut,
    )


def _masked(request: WireRequest) -> list[tuple[str, str]]:
    headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers.items()]
    return [(name, _mask(name, value)) for name, value in headers]


def _mask(name: str, value: str) -> str:
    if name in _SECRET:
        return MASK
    if name != "authorization":
        return value
    said, equals, _ = value.partition("Signature=")
    return f"{said}{equals}{MASK}" if equals and said.startswith("ACS3-") else MASK
