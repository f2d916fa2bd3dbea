"""The public API as text: every name of each public module, with its signature. `--write` saves the current state.

`test_public_api.py` compares it with the file next to it, so that a change of the API is always intended.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("public_api.txt")
MODULES = (
    "otpkit",
    "otpkit.errors",
    "otpkit.captcha",
    "otpkit.gateways",
    "otpkit.web",
    "otpkit.web.pages",
    "otpkit.web.proof_of_work",
    "otpkit.testing",
    "otpkit.sandbox",
    "otpkit.settings",
    "otpkit.service",
    "otpkit.doctor",
    "otpkit.integrations.fastapi",
    "otpkit.integrations.flask",
    "otpkit.integrations.django",
)
_LONG = 80  # Characters of a default.
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")


def lines() -> Iterator[str]:
    """Yield a line for each public name, and for each public member of a class."""
    for name in MODULES:
        module = importlib.import_module(name)
        for each in names(module):
            yield from described(f"{name}.{each}", getattr(module, each))


def names(module: Any) -> list[str]:
    """Return the public names of a module: its `__all__`, or the names that it defines itself."""
    listed = getattr(module, "__all__", None)
    if listed is not None:
        return sorted(listed)
    return sorted(
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", "") == module.__name__
    )


def described(path: str, value: Any) -> Iterator[str]:
    """Yield the lines of one name."""
    if inspect.isclass(value):
        bases = ", ".join(base.__name__ for base in value.__bases__ if base is not object)
        yield f"class {path}({bases}){signature(value)}"
        for name, member in sorted(members(value)):
            yield f"  {path}.{name}{member}"
    elif callable(value):
        yield f"def {path}{signature(value)}"
    else:
        yield f"value {path}: {type(value).__name__}"


def members(kind: type) -> Iterator[tuple[str, str]]:
    """Yield the public members that a class defines itself, with their signatures.

    Fields are part of its own signature.
    """
    fields = {field.name for field in dataclasses.fields(kind)} if dataclasses.is_dataclass(kind) else set()
    for name, value in vars(kind).items():
        if name.startswith("_") or name in fields:
            continue
        function = value.__func__ if isinstance(value, (classmethod, staticmethod)) else value
        yield name, signature(function) if callable(function) else f": {type(value).__name__}"


def signature(value: Any) -> str:
    """Return the signature of a callable, or "" if it has none."""
    try:
        found = inspect.signature(value)
    except (TypeError, ValueError):
        return ""
    short = [each.replace(default=Default(each.default)) for each in found.parameters.values()]
    return _ADDRESS.sub("", str(found.replace(parameters=short)))


class Default:
    """A default in a signature. A long value is shown by its class."""

    def __new__(cls, value: Any) -> Any:
        """Return the value itself if it is short."""
        return value if value is inspect.Parameter.empty or len(repr(value)) <= _LONG else super().__new__(cls)

    def __init__(self, value: Any) -> None:
        self._name = type(value).__name__

    def __repr__(self) -> str:
        return f"{self._name}(…)"


if __name__ == "__main__":
    text = "".join(f"{line}\n" for line in lines())
    if "--write" in sys.argv:
        FILE.write_text(text, encoding="utf-8")
    else:
        sys.stdout.write(text)
