"""The path of a call: the files of otpkit that it enters, its Python calls, and its frames above the socket."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import otpkit
from tests.benchmarks.sizes import Sizes
from tests.benchmarks.subjects import new_phone, open_bench, tcp_server
from tests.benchmarks.table import Row, at_most

_PACKAGE = str(Path(otpkit.__file__).parent)


class Hops:
    """A profiler's record of one call. The resumption of a generator is not counted as a call."""

    def __init__(self) -> None:
        self.files: set[str] = set()
        self.frames: set[FrameType] = set()
        self.depth = 0

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        """Record a call, and the depth of the stack when the socket is written to."""
        if event == "call" and frame.f_code.co_filename.startswith(_PACKAGE):
            self.frames.add(frame)
            self.files.add(frame.f_code.co_filename)
        elif event == "c_call" and argument.__name__ == "sendall":
            self.depth = max(self.depth, _depth(frame))


def hops(server: str, _sizes: Sizes) -> Iterator[Row]:
    """Profile one verify and one issue by URL, after everything is loaded and connected."""
    with tcp_server(server) as url:
        bench = open_bench(url)
        (warm, code), (phone, right) = bench.issued(2)
        bench.otp.verify(warm, code)
        verified = followed(lambda: bench.otp.verify(phone, right))
        yield at_most("verify: files passed", len(verified.files), 10, _whole)
        yield at_most("verify: Python calls", len(verified.frames), 39, _whole)
        yield at_most("verify: frames above the socket", verified.depth, 7, _whole)
        issued = followed(lambda: bench.otp.issue(new_phone()))
        for figure, count in (("files passed", len(issued.files)), ("Python calls", len(issued.frames))):
            yield Row(f"issue: {figure}", str(count))
        yield Row("issue: frames above the socket", str(issued.depth))


def followed(call: Callable[[], object]) -> Hops:
    """Return the record of a call."""
    found = Hops()
    sys.setprofile(found)
    try:
        call()
    finally:
        sys.setprofile(None)
    return found


def _depth(frame: FrameType | None) -> int:
    depth = 0
    while frame is not None:
        depth += frame.f_code.co_filename.startswith(_PACKAGE)
        frame = frame.f_back
    return depth


def _whole(value: float) -> str:
    return f"{value:.0f}"
