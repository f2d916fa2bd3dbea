"""For any sequence of calls and faults, an `OTP` follows the rules of the model.

The default run is always the same. `OTPKIT_MODEL_EXAMPLES=20000` tests more examples, at random.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

import pytest
import redis
from driver import OTHER_CLAIMS, Driver, Handover
from facts import Who
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from support.servers import unavailable

from otpkit import Policy

GUESSED = Policy(
    ttl=120, max_age=150, attempts=3, sends="4/minute, 20/hour", failures="9/hour, 12/day", max_consecutive_failures=5
)
BUSY = Policy(
    ttl=60,
    max_age=150,
    attempts=3,
    sends="2/minute, 4/hour",
    failures="5/hour",
    max_consecutive_failures=7,
    ip_sends="5/10 minutes",
    ip_failures="4/10 minutes",
    region_sends={"CN": "6/30 minutes"},
    total_sends="7/hour, 30/day",
    proof_ttl=90,
)
POLICIES = {"busy": BUSY, "guessed": GUESSED, "default": Policy()}

EXAMPLES = int(os.environ.get("OTPKIT_MODEL_EXAMPLES", "0"))
SETTINGS = settings(
    max_examples=EXAMPLES or 60,
    stateful_step_count=40,
    derandomize=not EXAMPLES,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)

PHONE, OTHER = "+8613800138000", "+8613800138001"
WHO = Who(PHONE, "signup", "")
whos = st.sampled_from(
    [
        *[WHO] * 8,
        *[Who(PHONE, "login", "")] * 2,
        Who(PHONE, "signup", "b"),
        Who(OTHER, "signup", ""),
        Who(OTHER, "login", "b"),
    ]
)
ips = st.sampled_from([None] * 5 + ["203.0.113.9", "::ffff:203.0.113.9", "198.51.100.7", "10.0.0.1"])
keys = st.sampled_from([None, None, None, "k1", "k2"])
seconds = st.sampled_from([0.125, 1.0, 5.0, 29.875, 30.0, 45.0, 60.0, 61.0, 600.0, 3600.0, 90_000.0])
kinds = st.sampled_from(["life", "fresh code", "settled", "sends", "failures", "proof", "proof", "window"])
offsets = st.sampled_from([-0.125, 0.0, 0.125])
outcomes = st.sampled_from(
    ["accepted"] * 5
    + ["uncertain", "died", "number", "rate_limit", "account", "configuration", "request", "connection"]
)


def faults(*scripts: str) -> st.SearchStrategy[Mapping[str, str]]:
    """Return the network's behaviour for these scripts. In most cases it has no fault."""
    return st.sampled_from(
        [{}] * 4 + [dict.fromkeys(scripts, "twice")] * 2 + [{s: f} for s in scripts for f in ("lost", "down")]
    )


CALLS: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "verify": st.fixed_dictionaries(
        {
            "who": whos,
            "pick": st.sampled_from(["right", "right", "wrong", "wrong", "stale", "other", "malformed"]),
            "ip": ips,
            "key": keys,
            "faults": faults("verify"),
            "typed": st.sampled_from(["{}", " {}-"]),
        }
    ),
    "redeem": st.fixed_dictionaries(
        {
            "index": st.integers(0, 7),
            "key": keys,
            "faults": faults("redeem"),
            "claim": st.sampled_from(["", "", "", *OTHER_CLAIMS]),
        }
    ),
    "status": st.fixed_dictionaries({"who": whos}),
    "standing": st.fixed_dictionaries({"who": whos}),
    "operate": st.fixed_dictionaries(
        {
            "name": st.sampled_from(["revoke", "revoke", "unblock", "unblock", "erase"]),
            "who": whos,
            "faults": faults("revoke", "unblock", "erase"),
        }
    ),
    "wait": st.fixed_dictionaries({"seconds": seconds}),
    "wait_until": st.fixed_dictionaries({"kind": kinds, "index": st.integers(0, 3), "offset_s": offsets}),
}


def issues(during: st.SearchStrategy[tuple[Any, ...]]) -> st.SearchStrategy[dict[str, Any]]:
    """Return the arguments of an issue, with the calls of others during its send."""
    return st.fixed_dictionaries(
        {
            "who": whos,
            "ip": ips,
            "key": keys,
            "handover": st.builds(Handover, outcomes, st.sampled_from([0.0, 0.0, 0.125, 10.0, 30.0, 70.0]), during),
            "faults": faults("reserve", "settle", "undo", "status"),
        }
    )


inner = st.one_of(
    *(st.tuples(st.just(name), arguments) for name, arguments in CALLS.items()),
    st.tuples(st.just("issue"), issues(st.just(()))),
)
outer_issues = issues(st.just(()) | st.lists(inner, max_size=3).map(tuple))


class Machine(RuleBasedStateMachine):
    """Any calls in any order."""

    url = "memory://"

    @initialize(policy=st.sampled_from(sorted(POLICIES)), start_s=st.sampled_from([0.0, 86_000.0, 3_570.5]))
    def begin(self, policy: str, start_s: float) -> None:
        self.driver = Driver(*client_of(self.url), POLICIES[policy], start_s)

    @rule(arguments=outer_issues)
    def issue(self, arguments: dict[str, Any]) -> None:
        self.driver.issue(**arguments)

    @rule(arguments=CALLS["verify"])
    def verify(self, arguments: dict[str, Any]) -> None:
        self.driver.verify(**arguments)

    @rule(who=whos, guesses=st.integers(1, 6), typed_by=ips, twice=st.booleans())
    def guess(self, who: Who, guesses: int, typed_by: str | None, twice: bool) -> None:
        self.driver.issue(who, None, None, Handover(), {})
        for _ in range(guesses):
            self.driver.verify(who, "wrong", typed_by, None, {"verify": "twice"} if twice else {})

    @rule(who=whos, sent_for=ips, claim=st.sampled_from(["", "", *OTHER_CLAIMS]))
    def sign_up(self, who: Who, sent_for: str | None, claim: str) -> None:
        self.driver.issue(who, sent_for, None, Handover(), {})
        self.driver.verify(who, "right", None, None, {})
        self.driver.redeem(-1, None, {}, claim)

    @rule(who=whos, other=whos, until=CALLS["wait_until"], outcome=outcomes)
    def answer_late(self, who: Who, other: Who, until: dict[str, Any], outcome: str) -> None:
        meanwhile = {"who": other, "ip": None, "key": None, "handover": Handover(), "faults": {}}
        self.driver.issue(who, None, None, Handover(outcome, 0.0, (("wait_until", until), ("issue", meanwhile))), {})

    @rule(arguments=CALLS["redeem"])
    def redeem(self, arguments: dict[str, Any]) -> None:
        self.driver.redeem(**arguments)

    @rule(arguments=CALLS["status"])
    def status(self, arguments: dict[str, Any]) -> None:
        self.driver.status(**arguments)

    @rule(arguments=CALLS["standing"])
    def standing(self, arguments: dict[str, Any]) -> None:
        self.driver.standing(**arguments)

    @rule(arguments=CALLS["operate"])
    def operate(self, arguments: dict[str, Any]) -> None:
        self.driver.operate(**arguments)

    @rule(arguments=CALLS["wait"])
    def wait(self, arguments: dict[str, Any]) -> None:
        self.driver.wait(**arguments)

    @rule(
        arguments=CALLS["wait_until"],
        who=whos,
        then=st.sampled_from(["issue", "verify", "redeem", "status", "standing"]),
    )
    def wait_until(self, arguments: dict[str, Any], who: Who, then: str) -> None:
        self.driver.wait_until(**arguments)
        {
            "issue": lambda: self.driver.issue(who, None, None, Handover(), {}),
            "verify": lambda: self.driver.verify(who, "right", None, None, {}),
            "redeem": lambda: self.driver.redeem(-1, None, {}),
            "status": lambda: self.driver.status(who),
            "standing": lambda: self.driver.standing(who),
        }[then]()

    def teardown(self) -> None:
        if hasattr(self, "driver"):
            self.driver.close()


def client_of(url: str) -> tuple[type[redis.Redis], dict[str, Any]]:
    """Return the class and the arguments of a client for a store."""
    if url != "memory://":
        return redis.Redis, {"unix_socket_path": url.removeprefix("unix://").partition("?")[0]}
    import fakeredis

    return fakeredis.FakeRedis, {"server": fakeredis.FakeServer()}


@pytest.mark.parametrize("store", ["memory", "valkey"])
def test_an_otp_follows_the_rules(store: str, request: pytest.FixtureRequest) -> None:
    """Compare each call's result, evidence, messages and codes with the model's."""
    if store == "memory":
        if find_spec("fakeredis") is None:
            unavailable("no embedded store; run: pip install 'otpkit[embedded]'")
        url = "memory://"
    else:
        url = request.getfixturevalue("valkey_url")
    run_state_machine_as_test(type("Machine", (Machine,), {"url": url}), settings=SETTINGS)
