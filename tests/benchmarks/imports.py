"""The processor time of `import otpkit` beyond `import redis`, after both are compiled."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from tests.benchmarks.sizes import Sizes
from tests.benchmarks.table import Row, at_most

ROOT = str(Path(__file__).parents[2])
_PROGRAM = """
import sys, time
sys.path[:1] = [sys.argv[1]]
import redis
start = time.process_time()
import otpkit
print((time.process_time() - start) * 1000)
"""


def imports(_server: str, sizes: Sizes) -> Iterator[Row]:
    """Import it in new processes that have imported redis.

    `python -X importtime -c "import otpkit"` shows the details.
    """
    (found,) = import_ms([ROOT], sizes.imports)
    yield at_most("import otpkit, beyond import redis", median(found), 60, "{:.0f} ms".format)


def import_ms(trees: list[str], rounds: int) -> list[list[float]]:
    """Return for each tree the milliseconds of its import in each round."""
    with tempfile.TemporaryDirectory(prefix="otpkit-compiled-") as compiled:
        env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        env["PYTHONPYCACHEPREFIX"] = compiled

        def measured(tree: str) -> float:
            command = [sys.executable, "-c", _PROGRAM, tree]
            done = subprocess.run(command, cwd=tree, env=env, capture_output=True, text=True, check=True)
            return float(done.stdout)

        for tree in trees:
            measured(tree)  # This compiles it.
        by_round = [[measured(tree) for tree in trees] for _ in range(rounds)]
    return [list(each) for each in zip(*by_round, strict=True)]
