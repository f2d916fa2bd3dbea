"""The alerts and the dashboard: by promtool, by the metrics that exist, and by a Prometheus server."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from support.servers import unavailable
from support.service import OTHER_KEY, PHONE, Served, serving

from otpkit.listening import listen
from otpkit.telemetry.metrics import METRICS

FOLDER = Path(__file__).parents[2] / "examples" / "monitoring"
_GROUPS = yaml.safe_load((FOLDER / "alerts.yml").read_text("utf-8"))["groups"]
ALERTS = [rule for group in _GROUPS for rule in group["rules"]]
CASES = yaml.safe_load((FOLDER / "alerts_test.yml").read_text("utf-8"))["tests"]
DASHBOARD = json.loads((FOLDER / "dashboard.json").read_text("utf-8"))
# The metrics of `otpkit serve` and of Prometheus itself, which are no events.
OTHERS = {
    "otpkit_requests_total": {"route", "status"},
    "otpkit_request_seconds_bucket": {"route", "le"},
    "otpkit_listener_dropped_total": {"listener"},
    "up": {"job", "instance"},
}
QUERIES = {
    **{f"alert {rule['alert']}": rule["expr"] for rule in ALERTS},
    **{
        f"panel {panel['title']} {target['refId']}": target["expr"]
        for panel in DASHBOARD["panels"]
        for target in panel["targets"]
    },
}


def known_series() -> dict[str, set[str]]:
    """Return the names of all series with their labels."""
    found = dict(OTHERS)
    for metric in METRICS.values():
        names = {"counter": ["total"], "histogram": ["bucket", "count", "sum"]}[metric.kind]
        for name in names:
            found[f"{metric.name}_{name}"] = {*metric.labels, *(["le"] if name == "bucket" else [])}
    return found


def promtool(*arguments: str, folder: Path = FOLDER) -> str:
    """Return what promtool prints, or fail."""
    binary = shutil.which("promtool") or unavailable("no promtool on the PATH; install Debian's package prometheus")
    done = subprocess.run([binary, *arguments], cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_alerts_are_sound_and_pass_their_tests() -> None:
    """Prometheus' own tool reads the rules, and plays the cases."""
    assert f"{len(ALERTS)} rules found" in promtool("check", "rules", "alerts.yml")
    assert "SUCCESS" in promtool("test", "rules", "alerts_test.yml")


def test_every_alert_has_a_case_in_which_it_fires() -> None:
    """An alert whose case expects nothing proves nothing."""
    fired = {each["alertname"] for case in CASES for each in case["alert_rule_test"] if each["exp_alerts"]}
    assert fired == {rule["alert"] for rule in ALERTS}


def test_every_alert_says_what_to_do() -> None:
    """`severity` is for routes, the summary is a sentence, and the description is the first thing to do."""
    for rule in ALERTS:
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert all(text.endswith(".") for text in rule["annotations"].values()), rule["alert"]
        assert sorted(rule["annotations"]) == ["description", "summary"]


@pytest.mark.parametrize("query", QUERIES)
def test_query_names_metrics_and_labels_that_exist(query: str) -> None:
    """A query of a metric that was renamed would show nothing, and no alert would fire."""
    known = known_series()
    text = re.sub(r'"[^"]*"', '""', QUERIES[query])
    series = re.findall(r"\b(otpkit_\w+|up)\b(?:\{([^}]*)\})?", text)
    assert series
    for name, selector in series:
        assert name in known
        assert set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selector)) <= known[name]
    grouped = {label.strip() for group in re.findall(r"\bby \(([^)]*)\)", text) for label in group.split(",")}
    assert grouped <= set.union(*(known[name] for name, _ in series))


def test_dashboard_has_no_fixed_data_source() -> None:
    """It asks for the data source of the Grafana that imports it; no two panels overlap."""
    sources = re.findall(r'"uid": "([^"]*)"', json.dumps(DASHBOARD["panels"]))
    assert set(sources) == {"${datasource}"}
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in DASHBOARD["panels"])
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) == 23


@pytest.fixture
def service() -> Iterator[Served]:
    with serving("memory://") as served:
        yield served


@pytest.fixture
def prometheus(service: Served, tmp_path: Path) -> Iterator[str]:
    """Yield the URL of a Prometheus server with the example's configuration, which asks the service each second."""
    binary = shutil.which("prometheus") or unavailable("no prometheus on the PATH; install Debian's package prometheus")
    shutil.copytree(FOLDER, tmp_path / "etc")
    config = (FOLDER / "prometheus.yml").read_text("utf-8")
    config = config.replace("127.0.0.1:8000", f"127.0.0.1:{service.port}").replace("15s", "1s")
    (tmp_path / "etc" / "prometheus.yml").write_text(config, "utf-8")
    (tmp_path / "etc" / "otpkit-metrics-key").write_text(OTHER_KEY)
    assert "SUCCESS" in promtool("check", "config", "prometheus.yml", folder=tmp_path / "etc")
    with listen("127.0.0.1", 0) as free:
        port = free.getsockname()[1]
    command = [
        *(binary, f"--config.file={tmp_path}/etc/prometheus.yml", f"--storage.tsdb.path={tmp_path}/data"),
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (tmp_path / "log").open("w") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def asked(url: str, query: str) -> list[Any]:
    """Return the values of a query."""
    with requests.Session() as session:
        session.trust_env = False
        answer = session.get(f"{url}/api/v1/query", params={"query": query}, timeout=10)
    body = answer.json()
    assert body["status"] == "success", (query, body)
    values: list[Any] = body["data"]["result"]
    return values


def test_a_prometheus_server_asks_the_service(service: Served, prometheus: str) -> None:
    """It reads the metrics by the key, and every query of the alerts and the dashboard has an answer."""
    service.token(PHONE)
    ends = time.monotonic() + 60
    found: list[Any] = []
    while not found and time.monotonic() < ends:
        time.sleep(0.2)
        try:
            found = asked(prometheus, 'sum by (gateway, outcome) (otpkit_sent_total{region="CN"})')
        except requests.ConnectionError:
            continue
    assert [(each["metric"], each["value"][1]) for each in found] == [
        ({"gateway": "outbox", "outcome": "accepted"}, "1")
    ]
    assert asked(prometheus, 'otpkit_verified_total{region="CN",gateway="outbox"}')[0]["value"][1] == "1"
    for query in QUERIES.values():
        asked(prometheus, query.replace("$region", ".*").replace("$gateway", ".*"))
