"""`otpkit gateways`, in a process of its own: circuits and last errors, and a circuit that is opened by hand."""

from __future__ import annotations

import json

import pytest
from cli_process import otpkit

Env = dict[str, str]


def test_circuit_is_opened_and_closed(configured: Env) -> None:
    """The table and the JSON object show it, with its end."""
    (row,) = json.loads(otpkit("gateways", "--json", env=configured).out)["gateways"]
    assert (row["state"], row["by_hand"], row["open_until"], row["last_error"]) == ("closed", False, None, "")
    name = row["name"]
    opened = otpkit("gateways", "open", name, "--for", "2h", "--reason", "status page", env=configured)
    assert (opened.status, opened.out, opened.err) == (0, f"The circuit of {name} is open for 2h\n", "")
    (row,) = json.loads(otpkit("gateways", "--json", env=configured).out)["gateways"]
    assert (row["state"], row["by_hand"]) == ("open", True)
    shown = otpkit("gateways", env=configured)
    assert (shown.status, shown.err) == (0, "")
    assert "by hand" in shown.out
    (entry,) = json.loads(otpkit("audit", "--json", env=configured).out)["entries"]
    assert (entry["action"], entry["reason"], entry["subject"]) == ("circuit_opened", "status page", name)
    assert entry["actor"]  # It is the user of the operating system.
    closed = otpkit("gateways", "close", name, "--json", env=configured)
    assert json.loads(closed.out) == {"gateway": name, "state": "closed", "for": None}
    assert "closed" in otpkit("gateways", env=configured).out


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("open", "nobody"), "There is no gateway"),
        (("open", "", "--for", "2d"), "seconds is"),
        (("open", "", "--for", "soon"), "use --for with a number"),
        (("close",), "Missing argument"),
    ],
)
def test_wrong_use_has_a_remedy(configured: Env, arguments: tuple[str, ...], problem: str) -> None:
    """It exits with 2 and changes nothing."""
    done = otpkit("gateways", *arguments, env=configured)
    assert (done.status, done.out) == (2, "")
    assert problem in " ".join(done.err.split())
