"""`auditor collect` from a real Prometheus and Alertmanager (Debian's packages) on loopback, and what the checklist
then finds: the live target, the alert on it, the receiver, the silence."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from auditor.audit.engine import Request, audit
from auditor.audit.scenario import parse_host
from auditor.cli.main import main
from auditor.model import Lifecycle, Report
from auditor.registry import load_collectors, load_rules
from tests.integration.programs import PATIENCE, free_port, need, running

pytestmark = pytest.mark.integration

INVENTORY = """
version: 1
domains: [example.net]
hosts:
  - name: old-cert-01.example.net
    addresses: [10.20.4.1]
    successor: cert-02.example.net
  - {name: cert-02.example.net, addresses: [10.20.4.2]}
sources:
  - {kind: prometheus, name: main, url: "http://127.0.0.1:@prometheus@"}
  - {kind: alertmanager, name: alerts, url: "http://127.0.0.1:@alertmanager@"}
"""

PROMETHEUS = """
global: {scrape_interval: 1h, scrape_timeout: 1s, evaluation_interval: 1s}
rule_files: [rules.yml]
alerting: {alertmanagers: [{static_configs: [{targets: ["127.0.0.1:@alertmanager@"]}]}]}
scrape_configs:
  - job_name: node
    file_sd_configs: [{files: ["targets/*.json"]}]
"""
RULES = """
groups:
  - name: hosts
    rules:
      - {alert: HostDown, expr: 'up{instance=~"old-cert-.*"} == 0', for: 5m}
      - {alert: Broken, expr: 'label_replace(vector(1), "a", "$1", "b", ".*") * on() group_left() vector(1)'}
"""
TARGETS = '[{"targets": ["old-cert-01.example.net:9100", "cert-02.example.net:9100"]}]'
ROUTES = """
route: {receiver: team}
receivers: [{name: team, webhook_configs: [{url: "http://old-cert-01.example.net:9095/alert"}]}]
"""


def post(url: str, data: object) -> None:
    request = urllib.request.Request(url, json.dumps(data).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=PATIENCE):
        return


def says(url: str, text: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
            return text in answer.read().decode()
    except OSError:
        return False


@dataclass(frozen=True)
class Estate:
    directory: Path
    prometheus: int
    alertmanager: int


@pytest.fixture(scope="module")
def estate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Estate]:
    programs = need("prometheus"), need("prometheus-alertmanager")
    home = tmp_path_factory.mktemp("monitoring")
    ports = {"prometheus": free_port(), "alertmanager": free_port()}

    def write(name: str, text: str) -> None:
        for word, port in ports.items():
            text = text.replace(f"@{word}@", str(port))
        (home / name).parent.mkdir(exist_ok=True)
        (home / name).write_text(text)

    for name, text in (
        ("prometheus.yml", PROMETHEUS),
        ("rules.yml", RULES),
        ("targets/hosts.json", TARGETS),
        ("alertmanager.yml", ROUTES),
        ("estate/inventory.yaml", INVENTORY),
    ):
        write(name, text)
    commands = [
        [
            programs[0],
            f"--config.file={home}/prometheus.yml",
            f"--storage.tsdb.path={home}/data",
            f"--web.listen-address=127.0.0.1:{ports['prometheus']}",
        ],
        [
            programs[1],
            f"--config.file={home}/alertmanager.yml",
            f"--storage.path={home}/alerts",
            f"--web.listen-address=127.0.0.1:{ports['alertmanager']}",
            "--cluster.listen-address=",
        ],
    ]
    api = f"http://127.0.0.1:{ports['prometheus']}/api/v1"
    alerts = f"http://127.0.0.1:{ports['alertmanager']}/api/v2"

    def watching() -> bool:
        return says(f"{api}/targets", "cert-02.example.net:9100") and says(f"{api}/rules", "HostDown")

    with (
        running(commands[0], home / "prometheus.log", watching),
        running(commands[1], home / "alertmanager.log", lambda: says(f"{alerts}/status", "versionInfo")),
    ):
        post(
            f"{alerts}/silences",
            {
                "matchers": [{"name": "instance", "value": ".*cert-.*", "isRegex": True}],
                "startsAt": "2020-01-01T00:00:00Z",
                "endsAt": "2120-01-01T00:00:00Z",
                "createdBy": "mallory",
                "comment": "until the migration",
            },
        )
        yield Estate(home, ports["prometheus"], ports["alertmanager"])


def ask(root: Path) -> Report:
    collectors, _ = load_collectors()
    rules, _ = load_rules()
    request = Request(
        estate=root,
        hosts=(parse_host("old-cert-01.example.net"),),
        lifecycle=Lifecycle.RETIRED,
        now=datetime.now(UTC),
    )
    return audit(request, collectors, rules).report


def test_the_checklist_finds_what_runs(estate: Estate, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "snapshot"
    assert main(["collect", "--estate", str(estate.directory / "estate"), "-o", str(root), "--quiet"]) == 0
    assert "all that was asked was seen" in capsys.readouterr().out
    found = {finding.rule: finding for finding in ask(root).findings}
    blind = found["alert-blind"]
    assert "HostDown" in blind.message
    lines = {(one.path, one.excerpt) for one in blind.evidence}
    assert any(path == "services/main/targets.json" and "old-cert-01" in text for path, text in lines)
    assert any(path == "services/main/rules.json" for path, _ in lines)
    assert "receiver team alone" in found["alert-receiver-going"].message
    silence = found["silence-hides-going-host"]
    assert "and of cert-02.example.net, which takes over" in silence.message
    assert "mallory" in silence.why


def test_a_server_that_is_gone_is_a_gap(estate: Estate, tmp_path: Path) -> None:
    other = tmp_path / "estate"
    other.mkdir()
    text = (estate.directory / "estate/inventory.yaml").read_text()
    (other / "inventory.yaml").write_text(text.replace(str(estate.prometheus), str(free_port())))
    root = tmp_path / "snapshot"
    assert main(["collect", "--estate", str(other), "-o", str(root), "--quiet"]) == 4
    report = ask(root)
    gaps = {row.path: row.outcome.value for row in report.coverage if row.path.startswith("services/main/")}
    assert gaps["services/main/targets.json"] == "unreachable"
    assert {finding.rule for finding in report.findings} >= {"alert-receiver-going", "silence-hides-going-host"}
