"""The code blocks of the README, by their language, and how they are run: as they stand."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from otpkit.sandbox import Sandbox, running
from support.secrets import SECRET

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """Return the blocks in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


PYTHON, SHELL, TOML = blocks("python"), blocks("sh"), blocks("toml")


def block_with(mark: str, among: list[str] = PYTHON) -> str:
    """Return the one block that holds `mark`."""
    (found,) = [block for block in among if mark in block]
    return found


def run_block(mark: str) -> dict[str, Any]:
    """Run a block as a reader pastes it into a file of its own, and return what it defines."""
    scope: dict[str, Any] = {"__name__": "pasted"}
    exec(compile(block_with(mark), "README.md", "exec", dont_inherit=True), scope)
    return scope


@contextmanager
def production(monkeypatch: pytest.MonkeyPatch) -> Iterator[Inbox]:
    """Set the variables of "In production", with a store in this process and the local gateway."""
    with running(Sandbox(receipt_after=0)) as local:
        for name in [name for name in os.environ if name.startswith("OTPKIT_")]:
            monkeypatch.delenv(name)
        for name, value in environment(local.gateway_url).items():
            monkeypatch.setenv(name, value)
        yield Inbox(local.base_url)


def environment(gateway_url: str) -> dict[str, str]:
    """Return the variables that the README exports, with values for a test."""
    exported = re.findall(r"(OTPKIT_\w+)=(\S+)", block_with("export OTPKIT_REDIS_URL", SHELL))
    given = {
        "OTPKIT_REDIS_URL": "memory://",
        "OTPKIT_SECRET": SECRET,
        "OTPKIT_ALIDAYU_APP_KEY": "sandbox",
        "OTPKIT_ALIDAYU_APP_SECRET": "sandbox-secret",
    }
    return dict(exported) | given | {"OTPKIT_ALIDAYU_BASE_URL": gateway_url}


@dataclass(frozen=True, slots=True)
class Inbox:
    """What the local gateway was given to send."""

    url: str

    def code(self, phone: str = "13800138000") -> str:
        """Return the code of the newest message to a phone."""
        messages = requests.get(f"{self.url}/api/messages", {"phone": phone}, timeout=20).json()
        return str(messages[0]["code"])
