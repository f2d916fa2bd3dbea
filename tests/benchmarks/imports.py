"""What `import otpkit` costs beyond `import redis`, in processor time."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from statistics import median

from tests.benchmarks.sizes import Sizes
from tests.benchmarks.table import Row, at_most

_PROGRAM = """
import time
import redis
start = time.process_time()
import otpkit
print((time.process_time() - start) * 1000)
"""


def imports(_server: str, sizes: Sizes) -> Iterator[Row]:
    """Import it in new processes that have imported redis. `python -X importtime -c "import otpkit"` tells more."""
    found = [_milliseconds() for _ in range(sizes.imports)]
    yield at_most("import otpkit, beyond import redis", median(found), 60, "{:.0f} ms".format)


def _milliseconds() -> float:
    return float(subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True).stdout)
