"""The simulator: equal seeds have equal figures, the books balance, and the rules of others do what is published."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from decimal import Decimal
from pathlib import Path
from random import Random
from xml.etree import ElementTree as ET

import pytest
from simulated import row_of

from otpkit import ConfigurationError
from otpkit.core.addresses import read_visitor
from otpkit.phone import parse
from otpkit.simulator.attacks import ATTACKS
from otpkit.simulator.deployment import Deployment, read_deployment
from otpkit.simulator.ledger import ConservationError, Ledger
from otpkit.simulator.people import HOURS, moment
from otpkit.simulator.places import BLOCKS, any_number, datacentre_address, home_address, ipv4, number
from otpkit.simulator.plot import bar, svg
from otpkit.simulator.rows import Row
from otpkit.simulator.rules import RULES, AuthgearAdaptive, PrefixConversion
from otpkit.simulator.runs import run_all
from otpkit.simulator.scenarios import BUDGETED, Scenario, default_scenarios, grid_scenarios
from otpkit.simulator.stores import store_url
from otpkit.simulator.timeline import Timeline
from otpkit.simulator.traces import read_trace
from otpkit.store.sync import SyncStore

FIELDS = (
    *("attack", "rule", "mode", "start", "honest_per_day", "conversion", "bot_pass", "attempted", "sent", "honest"),
    *("honest_refused", "honest_captcha", "refused_by_money", "cost", "expected_guesses"),
)
HOUR = 3600


@pytest.mark.parametrize("rule", RULES)
def test_equal_seeds_have_equal_figures(redis_url: str, valkey_url: str, rule: str) -> None:
    """On another server, too; and another seed has others. Only the bytes are the server's."""
    first = row_of(redis_url, "slow-scattered-proxies", rule, honest_per_day=300)
    again = row_of(valkey_url, "slow-scattered-proxies", rule, honest_per_day=300)
    other = row_of(valkey_url, "slow-scattered-proxies", rule, honest_per_day=300, seed=2)
    assert replace(first, bytes=None) == replace(again, bytes=None)
    assert (other.honest_sent, other.seed) != (first.honest_sent, first.seed)
    assert other.honest_sent != first.honest_sent


def test_the_embedded_store_has_the_same_figures(valkey_url: str) -> None:
    """It is slower, and can't tell its bytes."""
    found = row_of("memory://", "lockout-region-30-proxies", honest_per_day=60)
    assert found.bytes is None
    assert found == replace(row_of(valkey_url, "lockout-region-30-proxies", honest_per_day=60), bytes=None)


def test_several_processes_give_the_same_rows_in_order(valkey_url: str) -> None:
    scenarios = [
        Scenario(attack="none", rule=rule, mode=RULES[rule].modes[0], start="00:00", honest_per_day=n)
        for n in (120, 60)
        for rule in RULES
    ]
    seen: list[Row] = []
    together = run_all(scenarios, valkey_url, Deployment(), processes=2, on_row=seen.append)
    alone = run_all(scenarios, valkey_url, Deployment(), processes=1)
    assert [replace(row, bytes=None) for row in together] == [replace(row, bytes=None) for row in alone]
    assert seen == together


def test_a_run_leaves_no_key(valkey_url: str) -> None:
    """And touches no key of anybody else's."""
    client = SyncStore(valkey_url).client
    client.set("otpkit-simulatorx", "mine")
    row_of(valkey_url, "none", honest_per_day=60)
    left = list(client.scan_iter(match="otpkit-simulator*"))
    client.delete("otpkit-simulatorx")
    assert left == [b"otpkit-simulatorx"]


# Conservation


def balanced() -> Ledger:
    ledger = Ledger()
    ledger.requests.update({"honest": 3, "attacker": 2})
    ledger.outcomes.update({("honest", "sent"): 2, ("honest", "captcha"): 1, ("attacker", "sent"): 1})
    ledger.outcomes["attacker", "refused"] = 1
    ledger.accepted, ledger.uncertain = 2, 1
    ledger.events.update({"issued": 2, "resent": 1})
    ledger.paid, ledger.cost["honest"], ledger.cost["attacker"] = Decimal("0.3"), Decimal("0.2"), Decimal("0.1")
    return ledger


def test_balanced_books_pass() -> None:
    balanced().check()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda ledger: ledger.requests.update({"honest": 1}), "requests and their outcomes"),
        (lambda ledger: setattr(ledger, "accepted", 3), "messages at the gateway"),
        (lambda ledger: setattr(ledger, "rejected", 1), "rejections of the gateway"),
        (lambda ledger: ledger.events.update({"issued": 1}), "events of sends"),
        (lambda ledger: setattr(ledger, "paid", Decimal("0.31")), "money"),
    ],
    ids=["request", "message", "rejection", "event", "money"],
)
def test_each_imbalance_is_an_error(change: object, said: str) -> None:
    ledger = balanced()
    change(ledger)  # type: ignore[operator]
    with pytest.raises(ConservationError, match=said):
        ledger.check()


def test_budget_that_was_exceeded_is_an_error() -> None:
    ledger = balanced()
    ledger.paid_on = {0: Decimal("0.3"), 1: Decimal("0.2")}
    ledger.check(Decimal("0.3"))
    with pytest.raises(ConservationError, match="budget of a day"):
        ledger.check(Decimal("0.299999"))


# Rows and scenarios


def test_rows_begin_with_the_fields_that_are_promised(valkey_url: str) -> None:
    row = row_of(valkey_url, "lockout-region-60-proxies", honest_per_day=60)
    found = json.loads(json.dumps(row.as_json()))
    assert tuple(found)[: len(FIELDS)] == FIELDS
    assert found["start"] == "00:00"
    assert found["attempted"] == 24 * 60
    assert found["cost"] == pytest.approx(found["sent"] * 0.045)
    assert 0 <= found["honest_captcha"] <= 1
    assert {field.name for field in fields(Row)} == set(found)


def test_the_default_run_has_each_rule_for_each_usual_attack() -> None:
    scenarios = list(default_scenarios())
    for attack in ATTACKS.values():
        rules = {each.rule for each in scenarios if each.attack == attack.name}
        assert rules - {"budget"} == (set(RULES) - {"budget"} if attack.usual else set())
    assert {each.attack for each in scenarios if each.rule == "budget"} == set(BUDGETED)
    assert len(set(scenarios)) == len(scenarios)
    assert {(each.honest_per_day, each.conversion, each.bot_pass) for each in scenarios} == {(1_000, 0.85, 0.01)}


def test_the_grid_has_every_attack_size_and_conversion() -> None:
    scenarios = list(grid_scenarios())
    assert {each.attack for each in scenarios} == set(ATTACKS)
    assert {each.honest_per_day for each in scenarios} == {1_000, 20_000}
    assert {each.conversion for each in scenarios} == {0.70, 0.85, 0.95}
    assert {each.bot_pass for each in scenarios} == {0.01, 0.03, 1.0}
    assert set(default_scenarios()) <= set(scenarios)
    assert len(set(scenarios)) == len(scenarios)


# People, places and time


def test_people_come_by_the_curve_of_the_day() -> None:
    random = Random(1)
    hours = [int(moment(random) // HOUR) for _ in range(20_000)]
    for hour, share in enumerate(HOURS):
        assert hours.count(hour) / 20_000 == pytest.approx(share / sum(HOURS), abs=0.006)


def test_numbers_and_addresses_are_real_ones() -> None:
    """The strict parser takes the numbers, and the addresses are counted."""
    random = Random(1)
    for phone in (number(0, 0), number(BLOCKS - 1, 9_999), *(any_number(random) for _ in range(100))):
        assert parse(phone) == phone
    for draw in (home_address, ipv4, datacentre_address):
        assert all(read_visitor(draw(random)) is not None for _ in range(100))


def test_actors_act_in_order_of_time() -> None:
    timeline, seen = Timeline(), []

    def actor(name: str, wait: float):
        for _ in range(2):
            seen.append((name, timeline.second))
            yield wait

    timeline.start(actor("a", 5.0), 10)
    timeline.start(actor("b", 1.0), 12)
    timeline.run()
    assert seen == [("a", 10), ("b", 12), ("b", 13), ("a", 15)]


# The rules of others


def test_authgear_refuses_above_twenty_unverified_in_a_day() -> None:
    rule = AuthgearAdaptive(0)
    refused = [rule.refuses("+8613800138000", f"60.0.{i}.1", i * 4 * HOUR / 3) for i in range(30)]
    assert not any(refused[:20])


def test_authgear_refuses_an_address_above_five_unverified_in_an_hour() -> None:
    rule = AuthgearAdaptive(1_000)
    assert [rule.refuses("+8613800138000", "60.0.0.1", 0.0) for _ in range(7)] == [False] * 5 + [True] * 2
    rule.verified("+8613800138000", "60.0.0.1", 0.0)
    assert not rule.refuses("+8613800138000", "60.0.0.2", 0.0)


def test_authgear_learns_from_the_most_verified_day() -> None:
    """A fifth of a sixth of it may be unverified in an hour."""
    rule = AuthgearAdaptive(900)
    refused = [rule.refuses("+8613800138000", f"60.0.{i}.1", 0.0) for i in range(40)]
    assert refused.index(True) == 30


def test_a_prefix_that_does_not_convert_is_shut_for_twelve_hours() -> None:
    rule = PrefixConversion(1_000)
    assert [rule.refuses(number(1, i), "60.0.0.1", float(i)) for i in range(22)] == [False] * 20 + [True] * 2
    assert not rule.refuses(number(2, 0), "60.0.0.1", 30.0)
    assert rule.refuses(number(1, 30), "60.0.0.1", 12 * HOUR)
    assert not rule.refuses(number(1, 31), "60.0.0.1", 13 * HOUR)


def test_a_prefix_that_converts_stays_open() -> None:
    rule = PrefixConversion(1_000)
    for i in range(100):
        assert not rule.refuses(number(1, i), "60.0.0.1", float(i))
        if i % 4 == 0:
            rule.verified(number(1, i), "60.0.0.1", float(i))


# Plots


def test_the_picture_is_xml_with_a_bar_for_each_figure(valkey_url: str) -> None:
    rows = [row_of(valkey_url, "lockout-region-60-proxies", rule, honest_per_day=60) for rule in RULES]
    root = ET.fromstring(svg(rows))
    titles = [each.text or "" for each in root.iter("{http://www.w3.org/2000/svg}title")]
    assert sum("lockout-region-60-proxies" in title for title in titles) == 3 * len(rows)


@pytest.mark.parametrize(("share", "text"), [(0.0, ""), (0.0001, "▏"), (0.5, "█████"), (1.0, "██████████")])
def test_a_bar_of_text_is_as_long_as_its_share(share: float, text: str) -> None:
    assert bar(share) == text


# The deployment's own settings and log


def test_a_deployments_policy_holds_for_the_people(tmp_path: Path, valkey_url: str) -> None:
    file = tmp_path / "otpkit.toml"
    file.write_text('[policy]\nregions = ["HK"]\ndefault_region = "HK"\nregion_sends = {HK = "5/day"}\n', "utf-8")
    deployment = read_deployment({}, str(file))
    row = row_of(valkey_url, "none", "none", deployment, honest_per_day=60)
    assert row.honest_sent == 5


def test_all_that_is_wrong_in_a_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "otpkit.toml"
    file.write_text(
        'namespace = "a b"\nsurprise = 1\n[policy]\nttl = 1\nsends = "many"\n[service]\nport = "x"\n', "utf-8"
    )
    with pytest.raises(ConfigurationError) as caught:
        read_deployment({}, str(file))
    assert len(caught.value.problems) == 5
    for name in ("namespace", "surprise", "ttl", "sends", "port"):
        assert name in str(caught.value)


def test_a_log_stands_in_for_the_people(tmp_path: Path, valkey_url: str) -> None:
    file = tmp_path / "log.csv"
    lines = [
        f"2026-03-0{1 + i // 30}T{i % 24:02d}:00:0{i % 10}+00:00,h{i},a{i},{'un' * (i % 4 == 0)}verified"
        for i in range(60)
    ]
    file.write_text("time,number,address,outcome\n" + "\n".join(lines), "utf-8")
    trace = read_trace(str(file))
    assert (trace.days, trace.per_day, trace.conversion) == (2, 30, 0.75)
    assert len({line.phone for line in trace.lines}) == 60
    scenario = Scenario(attack="lockout-region-60-proxies", rule="none", mode="off", start="00:00")
    row = run_all([scenario], valkey_url, Deployment(), log=trace)[0]
    assert (row.honest, row.honest_sent, row.attempted) == (60, 60, 24 * 60)


def test_a_logs_numbers_keep_their_ranges(tmp_path: Path) -> None:
    file = tmp_path / "log.csv"
    file.write_text(
        "time,number,address,outcome,range\n1,a,x,verified,r\n2,b,x,verified,r\n3,c,y,verified,s\n", "utf-8"
    )
    first, second, third = read_trace(str(file)).lines
    assert first.phone[:-4] == second.phone[:-4] != third.phone[:-4]
    assert first.phone != second.phone
    assert first.ip == second.ip != third.ip


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "lacks the columns time, number, address, outcome"),
        ("time,number,outcome\n", "lacks the columns address"),
        ("time,number,address,outcome\n", "no line"),
        ("time,number,address,outcome\nnow,a,b,verified\n", "line 2: time"),
        ("time,number,address,outcome\n2026-01-01T00:00:00,a,b,verified\n", "line 2: time"),
        ("time,number,address,outcome\n1,,b,verified\n", "line 2: number"),
        ("time,number,address,outcome\n1,a,b,verified\n1,a,b,perhaps\n", "line 3: outcome"),
    ],
)
def test_a_log_that_is_wrong_is_refused(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "log.csv"
    file.write_text(text, "utf-8")
    with pytest.raises(ConfigurationError, match=said):
        read_trace(str(file))


def test_a_log_that_is_no_text_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "log.csv"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigurationError, match="no CSV file"):
        read_trace(str(file))
    with pytest.raises(ConfigurationError, match="can't be read"):
        read_trace(str(tmp_path / "missing.csv"))


# The store


def test_the_environments_store_is_used() -> None:
    with store_url({"OTPKIT_REDIS_URL": " redis://localhost:1/0 "}) as url:
        assert url == "redis://localhost:1/0"


def test_a_private_server_ends_with_its_block(redis_url: str) -> None:
    with store_url({}) as url:
        store = SyncStore(url)
        assert store.client.ping()
        store.close()
    socket = Path(url.removeprefix("unix://").partition("?")[0])
    assert not socket.exists()
    assert not socket.parent.exists()


def test_without_a_server_the_store_is_embedded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with store_url({}) as url:
        assert url == "memory://"
