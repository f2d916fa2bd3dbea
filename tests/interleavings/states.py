"""The number of states of each scenario, kept in states.json, which the page on conformance cites.

python tests/interleavings/states.py           # prints the numbers
python tests/interleavings/states.py --write   # also saves them, after a change of a flow, a script or a scenario
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent.parent))

from explorer import Explorer
from scenarios import SCENARIOS
from snapshots import Snapshots
from support.servers import find_redis, running

FILE = Path(__file__).with_name("states.json")


def kept() -> Mapping[str, Any]:
    """Return what the file holds: the numbers of all scenarios together, the scripts that ran, and each scenario."""
    found: Mapping[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return found


def counted(snapshots: Snapshots) -> dict[str, Any]:
    """Explore all scenarios, and return what the file should hold."""
    rows: dict[str, dict[str, int]] = {}
    scripts: set[str] = set()
    for scenario in SCENARIOS:
        explorer = Explorer(scenario, snapshots)
        rows[scenario.name] = explorer.run()._asdict()
        scripts |= explorer.scripts
        print(f"{scenario.name}: {rows[scenario.name]}")
    together = {name: sum(row[name] for row in rows.values()) for name in ("states", "steps", "orders")}
    return {"together": {"scenarios": len(rows)} | together, "scripts": sorted(scripts), "scenarios": rows}


def main() -> None:
    binary = find_redis()
    assert binary is not None, "install redis-server"
    with running(binary) as server:
        snapshots = Snapshots(server.socket_path)
        found = counted(snapshots)
        snapshots.close()
    print(found["together"])
    if "--write" in sys.argv:
        FILE.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
