"""What promtool, amtool and a running Prometheus (Debian's prometheus, prometheus-alertmanager) say, and what we say.

Debian's versions are older than some of the files: what they accept must be free of complaints here, and what
Prometheus makes of targets and Alertmanager of routes must be the same.
"""

from __future__ import annotations

import json
import subprocess
import urllib.parse
import urllib.request
from pathlib import Path

import pytest

from auditor.api import Document, Fragment, Malformed
from collectors.prometheus import PrometheusCollector
from collectors.prometheus.alertmanager import Routing, holds, receivers_of
from collectors.prometheus.config import Config, TargetGroup, final_targets
from collectors.prometheus.promql import Matcher
from tests.integration.programs import PATIENCE, free_port, listens, need, running, settled
from tests.realfiles import CORPUS, MISSING

pytestmark = pytest.mark.integration

COLLECTOR = PrometheusCollector()
CHECKS = {
    "prometheus-config": ("promtool", "check", "config", "--syntax-only"),
    "prometheus-rules": ("promtool", "check", "rules"),
    "alertmanager": ("amtool", "check-config"),
}

CONFIG = r"""
global: {scrape_interval: 1h, scrape_timeout: 1s}
scrape_configs:
  - job_name: plain
    static_configs:
      - targets: ["a-01:9100", "a-02:9100", "[2001:db8::1]:9100"]
        labels: {env: prod, Team: TLS}
      - targets: ["lab-01:9100"]
        labels: {env: lab, __metrics_path__: /other, job: renamed}
    relabel_configs:
      - {source_labels: [env], regex: "la", action: drop}
      - source_labels: [__address__]
        regex: "(?P<host>[^:]+):(\\d+)"
        target_label: "h_${host}"
        replacement: "$2$$x${1}"
      - {source_labels: [__address__], modulus: 7, target_label: shard, action: hashmod}
      - {source_labels: [Team], target_label: lower, action: lowercase}
      - {source_labels: [env], target_label: upper, action: uppercase}
      - {regex: "en(.)", replacement: "copied_${1}", action: labelmap}
      - {regex: "Te.*", action: labeldrop}
      - {source_labels: [env, shard], separator: "-", target_label: both}
      - {source_labels: [both], regex: "prod-.*", target_label: both, replacement: ""}
  - job_name: kept
    params: {module: [x, y]}
    static_configs:
      - targets: ["keep-01:1", "drop-01:1", "web-1:80"]
    relabel_configs:
      - {source_labels: [__address__], regex: "keep-.*|web-1", action: keep}
      - {source_labels: [__param_module], target_label: module}
      - {regex: "module|__.*|job", action: labelkeep}
  - job_name: blackbox
    metrics_path: /probe
    params: {module: [http_2xx]}
    static_configs:
      - targets: ["https://api.eventide.net/health?x=1", "icmp-host"]
    relabel_configs:
      - {source_labels: [__address__], target_label: __param_target}
      - {source_labels: [__param_target], target_label: instance}
      - {target_label: __address__, replacement: "127.0.0.1:9115"}
      - {source_labels: [instance], regex: "https?://([^/]+).*", target_label: domain}
  - job_name: files
    scheme: https
    file_sd_configs:
      - files: ["targets/*.json", "targets/more.yml"]
    relabel_configs:
      - {source_labels: [__meta_filepath], regex: ".*/([^/]+)", target_label: list}
"""
LISTS = {
    "targets/one.json": '[{"targets": ["f-01:9100", "f-02:9100"], "labels": {"rack": "7"}}]',
    "targets/more.yml": "- targets: [f-03:9100]\n- labels: {rack: '9'}\n  targets:\n  - f-04:9100\n",
}

ROUTES = r"""
route:
  receiver: default
  routes:
    - match: {severity: none}
      receiver: quiet
    - match_re: {service: "^(foo1|foo2|baz)$"}
      receiver: services
      routes:
        - matchers: [severity="critical"]
          receiver: services-pager
    - matchers: ['team =~ "db|web"', 'env!="lab"']
      receiver: team
      continue: true
    - matchers: ['{severity="critical", env!~"l.*"}']
      receiver: pager
    - matchers: ['instance =~ "legacy.*"', 'port=~"\\d+"']
      receiver: legacy
      routes:
        - match: {team: ""}
        - matchers: [owner!=""]
          receiver: owner
receivers:
  - name: default
  - name: quiet
  - name: services
  - name: services-pager
  - name: team
  - name: pager
  - name: legacy
  - name: owner
"""
LABEL_SETS: list[dict[str, str]] = [
    {},
    {"severity": "none"},
    {"severity": "none", "service": "foo1"},
    {"service": "foo1"},
    {"service": "foo11"},
    {"service": "baz", "severity": "critical"},
    {"team": "db"},
    {"team": "dba"},
    {"team": "web", "env": "lab"},
    {"team": "web", "severity": "critical"},
    {"team": "web", "severity": "critical", "env": "lab"},
    {"severity": "critical"},
    {"severity": "critical", "env": "live"},
    {"instance": "legacy-cert-01", "port": "80"},
    {"instance": "legacy-cert-01", "port": "x"},
    {"instance": "legacy-cert-01", "port": "80", "team": "tls", "owner": "me"},
    {"instance": "legacy-cert-01", "port": "80", "team": "tls"},
    {"instance": "old-legacy", "port": "80"},
]


@pytest.mark.parametrize("kind", CHECKS)
def test_what_the_program_accepts_is_not_complained_about(kind: str) -> None:
    command = CHECKS[kind]
    need(command[0])
    files = sorted((CORPUS / kind).glob("*"))
    if not files:
        pytest.skip(MISSING)
    accepted = 0
    for file in files:
        done = subprocess.run([*command, str(file)], capture_output=True, timeout=PATIENCE, check=False)
        if done.returncode:
            continue
        accepted += 1
        complaints = [
            item for item in COLLECTOR.parse(Document(file.name, file.read_bytes())) if isinstance(item, Malformed)
        ]
        assert not complaints, file.name
    assert accepted >= 3


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        ("{alert: A, expr: 'up ='}", "not PromQL"),
        ("{alert: A, expr: 'rate(up)'}", "not PromQL"),
        ("{alert: A}", "without expr"),
        ("{alert: A, expr: up, for: 5}", "no duration"),
        ("{alert: A, expr: up, fro: 5m}", "no field"),
        ("{record: a, expr: up, for: 5m}", "no field"),
        ("{expr: up}", "neither"),
        ("{alert: A, record: b, expr: up}", "both"),
        ("{alert: A, expr: 'sum(up) by (job) > 1', for: 1h30m}", ""),
        ("{alert: A, expr: 'up{a=~\"x.*\"} offset 5m > bool 1'}", ""),
    ],
)
def test_single_rules(tmp_path: Path, rule: str, reason: str) -> None:
    file = tmp_path / "rules.yml"
    file.write_text(f"groups:\n- name: g\n  rules:\n  - {rule}\n")
    done = subprocess.run(
        [need("promtool"), "check", "rules", str(file)], capture_output=True, timeout=PATIENCE, check=False
    )
    complaints = [
        item for item in COLLECTOR.parse(Document("rules.yml", file.read_bytes())) if isinstance(item, Malformed)
    ]
    assert (done.returncode == 0) == (not complaints) == (not reason)
    assert all(reason in item.reason for item in complaints)


def fragments(path: str, text: str, kind: str) -> list[Fragment]:
    items = COLLECTOR.parse(Document(path, text.encode()))
    return [item for item in items if isinstance(item, Fragment) and item.kind == kind]


def active_targets(port: int) -> list[dict[str, object]]:
    """Targets of a server; none before it answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/targets?state=active", timeout=PATIENCE) as answer:
            found: list[dict[str, object]] = json.load(answer)["data"]["activeTargets"]
            return found
    except OSError:
        return []


def test_targets_are_those_of_a_running_server(tmp_path: Path) -> None:
    program = need("prometheus")
    (tmp_path / "prometheus.yml").write_text(CONFIG)
    (tmp_path / "targets").mkdir()
    for name, text in LISTS.items():
        (tmp_path / name).write_text(text)
    ours = set()
    (read,) = fragments("/etc/prometheus/prometheus.yml", CONFIG, "config")
    assert isinstance(read.value, Config)
    for job in read.value.jobs:
        lists: list[tuple[str, tuple[TargetGroup, ...]]] = [("", job.groups)]
        if job.files:
            lists += [
                (name, item.value)  # type: ignore[misc]
                for name, text in LISTS.items()
                for item in fragments(f"/etc/prometheus/{name}", text, "file_sd")
            ]
        for file, groups in lists:
            for target in final_targets(job, groups, file):
                assert not isinstance(target, Malformed)
                labels = dict(target.labels)
                # Prometheus 2 adds the default port to an address without one, and names the instance after it.
                assert not target.portless
                ours.add((target.address, target.metrics_path, target.probe, tuple(sorted(labels.items()))))
    port = free_port()
    command = [
        program,
        f"--config.file={tmp_path / 'prometheus.yml'}",
        f"--storage.tsdb.path={tmp_path / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with running(command, tmp_path / "log", lambda: listens(port)):
        answered = settled(lambda: active_targets(port), lambda found: len(found) >= len(ours))
    theirs = set()
    for item in answered:
        labels, url = item["labels"], urllib.parse.urlsplit(str(item["scrapeUrl"]))
        assert isinstance(labels, dict)
        query = urllib.parse.parse_qs(url.query)
        theirs.add((url.netloc, url.path, query.get("target", [""])[0], tuple(sorted(labels.items()))))
    assert ours == theirs


def test_routes_are_those_of_amtool(tmp_path: Path) -> None:
    program = need("amtool")
    file = tmp_path / "alertmanager.yml"
    file.write_text(ROUTES)
    (read,) = fragments("/etc/alertmanager/alertmanager.yml", ROUTES, "alertmanager")
    routing = read.value
    assert isinstance(routing, Routing)
    for labels in LABEL_SETS:

        def decide(matcher: Matcher, labels: dict[str, str] = labels) -> bool:
            return holds(matcher[1], matcher[2], labels.get(matcher[0], ""))

        ours = [route.receiver for route in receivers_of(routing.root, decide)[0]]
        command = [
            program,
            "config",
            "routes",
            "test",
            f"--config.file={file}",
            *(f"{k}={v}" for k, v in labels.items()),
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True)
        assert ours == done.stdout.strip().split(","), labels


_RECEIVER = "receivers: [{name: a}]\n"
REFUSED_BY_ALERTMANAGER = {
    "intervals at the root": "route: {receiver: a, mute_time_intervals: [x]}\ntime_intervals: [{name: x}]\n"
    + _RECEIVER,
    "an interval that is not there": "route: {receiver: a, routes: [{mute_time_intervals: [x]}]}\n" + _RECEIVER,
    "a pattern without a value": "route: {receiver: a}\ninhibit_rules: [{source_match_re: {x: }}]\n" + _RECEIVER,
    "slack without an address": "route: {receiver: a}\nreceivers: [{name: a, slack_configs: [{channel: x}]}]\n",
    "victorops without a key": "route: {receiver: a}\nreceivers: [{name: a, victorops_configs: [{routing_key: x}]}]\n",
    "opsgenie without a key": "route: {receiver: a}\nreceivers: [{name: a, opsgenie_configs: [{message: x}]}]\n",
    "a key twice": "global: {opsgenie_api_key: x, opsgenie_api_key_file: /x}\nroute: {receiver: a}\n" + _RECEIVER,
}
TAKEN_BY_ALERTMANAGER = {
    "intervals of a route": "route: {receiver: a, routes: [{active_time_intervals: [x], mute_time_intervals: [y]}]}\n"
    "time_intervals: [{name: x, time_intervals: [{weekdays: ['monday:friday'], months: ['january:march']}]}]\n"
    "mute_time_intervals: [{name: y, time_intervals: [{times: [{start_time: '00:00', end_time: '24:00'}]}]}]\n"
    + _RECEIVER,
    "keys in global": "global: {slack_api_url_file: /x, victorops_api_key: y, opsgenie_api_key_file: /z}\n"
    "route: {receiver: a}\nreceivers: [{name: a, slack_configs: [{channel: x}], "
    "victorops_configs: [{routing_key: x}], opsgenie_configs: [{message: x}]}]\n",
    "both forms of inhibition": "route: {receiver: a}\ninhibit_rules: ["
    "{source_match: {x: y}, target_match_re: {x: 'a|b'}}, {source_matchers: [x=y], target_matchers: ['x=~\"a|b\"'], "
    "equal: [z]}]\n" + _RECEIVER,
}


@pytest.mark.parametrize("text", REFUSED_BY_ALERTMANAGER.values(), ids=REFUSED_BY_ALERTMANAGER)
def test_what_alertmanager_refuses_is_malformed(text: str, tmp_path: Path) -> None:
    told = _amtool(text, tmp_path)
    assert told.returncode != 0, told.stdout
    assert any(
        isinstance(item, Malformed) for item in COLLECTOR.parse(Document("/etc/alertmanager.yml", text.encode()))
    )


@pytest.mark.parametrize("text", TAKEN_BY_ALERTMANAGER.values(), ids=TAKEN_BY_ALERTMANAGER)
def test_what_alertmanager_takes_is_not(text: str, tmp_path: Path) -> None:
    told = _amtool(text, tmp_path)
    assert told.returncode == 0, told.stderr
    found = COLLECTOR.parse(Document("/etc/alertmanager.yml", text.encode()))
    assert not [item for item in found if isinstance(item, Malformed)]


def _amtool(text: str, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    program = need("amtool")
    file = tmp_path / "alertmanager.yml"
    file.write_text(text)
    return subprocess.run(
        [program, "check-config", str(file)], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
