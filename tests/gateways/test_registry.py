"""A new gateway needs one module and one entry in the registry."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.secrets import SECRET

import otpkit
from otpkit import gateways

MODULE = '''
"""Pigeons."""

from otpkit.gateways import Flow, Gateway, Message, Receipt

__all__ = ["Pigeon", "Ring"]


class Ring:
    """What a pigeon wears."""


class Pigeon(Gateway):
    """A bird.

    Args:
        loft: where it lives.
        speed: metres a second.
    """

    name = "pigeon"

    def __init__(self, loft: str, *, speed: float = 9) -> None:
        self.loft, self.speed = loft, speed

    def send(self, message: Message) -> Flow[Receipt]:
        return Receipt(self.name)
        yield
'''
ENTRY = """
if TYPE_CHECKING or _gateway("pigeon", "Pigeon", "Ring"):
    from otpkit.gateways.pigeon import *
"""
USE = """
import os
import sys

from otpkit import OTP, gateways
assert "otpkit.gateways.pigeon" not in sys.modules
assert {"Pigeon", "Ring"} <= set(gateways.__all__)
os.environ.update(
    OTPKIT_REDIS_URL="memory://", OTPKIT_SECRET="{secret}", OTPKIT_GATEWAY="pigeon", OTPKIT_PIGEON_SPEED="7.5",
    OTPKIT_TEMPLATE_CODE="1",
)
try:
    OTP.from_env()
except Exception as error:
    assert [each.field for each in error.problems] == ["OTPKIT_PIGEON_LOFT"], error
os.environ["OTPKIT_PIGEON_LOFT"] = "roof"
OTP.from_env().close()
from otpkit.gateways import Pigeon, Ring
assert (Pigeon("roof").speed, Ring.__module__) == (9, "otpkit.gateways.pigeon")
from otpkit.settings import read_settings
assert read_settings(os.environ).otp["gateway"].loft == "roof"
"""
TYPED = """
from otpkit import gateways
from otpkit.gateways import Alidayu, Pigeon, Ring

reveal_type(Pigeon("roof").speed)
reveal_type(gateways.Ring())
reveal_type(Alidayu("key", "secret").name)
Pigeon(5)
gateways.Pigeno
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with an otpkit that has one more gateway."""
    found = tmp_path_factory.mktemp("registry")
    package = found / "otpkit"
    shutil.copytree(Path(otpkit.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    (package / "gateways" / "pigeon.py").write_text(MODULE, encoding="utf-8")
    registry = package / "gateways" / "__init__.py"
    before, mark, after = registry.read_text(encoding="utf-8").partition("if TYPE_CHECKING or _lazy(")
    registry.write_text(f"{before}{ENTRY.lstrip()}{mark}{after}", encoding="utf-8")
    return found


def test_one_entry_adds_a_gateway(place: Path) -> None:
    """The gateway is imported by name, only on first use, and settings can name it."""
    script = USE.replace("{secret}", SECRET)
    environ = {name: value for name, value in os.environ.items() if not name.startswith("OTPKIT_")}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=place, env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_type_checkers_know_it(place: Path) -> None:
    """Type checkers know its names and all others, and reject names that do not exist."""
    (place / "use.py").write_text(TYPED, encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "--no-incremental", "use.py"]
    told = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False).stdout
    lines = [line.partition(": ")[2] for line in told.splitlines() if line.startswith("use.py")]
    assert [line.partition(";")[0].partition("  [")[0] for line in lines] == [
        'note: Revealed type is "float"',
        'note: Revealed type is "otpkit.gateways.pigeon.Ring"',
        'note: Revealed type is "str"',
        'error: Argument 1 to "Pigeon" has incompatible type "int"',
        'error: Module has no attribute "Pigeno"',
    ], told


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="Pigeon"):
        gateways.Pigeon  # noqa: B018
