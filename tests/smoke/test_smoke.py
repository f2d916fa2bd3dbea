"""Every extra has a smoke check, which passes here. CI runs it with the lowest versions and on another Python."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(Path(__file__).parent))
from extra_names import names  # noqa: E402
from extras import CHECKS  # noqa: E402


def test_every_extra_has_a_check() -> None:
    assert sorted(CHECKS) == names()


@pytest.mark.parametrize("name", CHECKS)
def test_an_extra_does_its_main_thing(name: str) -> None:
    command = [sys.executable, str(ROOT / "tests/smoke/extras.py"), name]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("1 passed, 0 failed\n")


def test_every_dependency_has_a_lowest_version() -> None:
    """CI installs this version. Without a bound it would install the first version ever published."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    asked = project["dependencies"] + [each for name in names() for each in extras[name]]
    assert [each for each in asked if not re.match(r"otpkit\[|[\w.-]+(\[\w+\])?>=\d", each)] == []


def test_ci_takes_three_quarters_of_an_hour_at_most() -> None:
    """Each part has its own bound, and all together have one."""
    script = (ROOT / ".ci/run").read_text(encoding="utf-8")
    budgets = [int(each) for each in re.findall(r'^ *part "[^"]+" (\d+) ', script, re.MULTILINE)]
    assert len(budgets) >= 5
    total = re.search(r"^total=(\d+)", script, re.MULTILINE)
    assert total
    assert max(budgets) < int(total[1]) <= 45 * 60
