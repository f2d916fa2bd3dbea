"""`otpkit budgets`: what is spent and what is left."""

from __future__ import annotations

import json

from cli_process import otpkit

BUDGETS = {
    "OTPKIT_BUDGETS": '[{"amount": "9 CNY/day", "keep": 0.5}, {"amount": "90 CNY/month", "key": "shop"}]',
    "OTPKIT_PRICES": '{"CN": "0.045 CNY"}',
}


def test_it_shows_what_is_spent(configured: dict[str, str]) -> None:
    env = configured | BUDGETS
    assert otpkit("issue", "13800138000", env=env).status == 0
    done = otpkit("budgets", "--json", env=env)
    assert (done.status, done.err) == (0, "")
    day, month = json.loads(done.out)["budgets"]
    assert (day["budget"], day["amount"], day["spent"], day["left"]) == ("9 CNY/day", "9", "0.045", "8.955")
    assert (day["open"], day["spent_this_hour"], day["hour_left"]) == ("4.455", "0.045", "1.305")
    assert (day["currency"], day["refused_by_amount"]) == ("CNY", 0)
    assert day["ends_at"].endswith("T00:00:00+00:00")
    assert (month["budget"], month["spent"]) == ("90 CNY/month (key shop)", "0")
    assert otpkit("budgets", env=env).out.startswith("9 CNY/day: 0.045 CNY spent, 8.955 CNY left\n")


def test_without_budgets_it_says_how_to_set_one(configured: dict[str, str]) -> None:
    done = otpkit("budgets", env=configured)
    assert done.out == "There is no budget. Set OTPKIT_BUDGETS and OTPKIT_PRICES.\n"
    assert json.loads(otpkit("budgets", "--json", env=configured).out) == {"budgets": []}
