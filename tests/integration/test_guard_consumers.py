"""What `auditor guard` writes, and the examples around it, read by what reads them elsewhere."""

from __future__ import annotations

import re
import shlex
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from auditor.capture.ages import SourceAge
from auditor.cli.main import main, parser
from auditor.model import Document, Kind
from auditor.registry import load_collectors
from auditor.report.metrics import Run, render_metrics
from tests.integration.programs import need

ROOT = Path(__file__).resolve().parent.parent.parent
SCHEDULE = ROOT / "docs/schedule"
HOSTILE = 'a"b\\c\nd\u202ee\udce9 {x="y"} 1'


@pytest.mark.integration
def test_promtool_takes_the_metrics(tmp_path: Path) -> None:
    promtool = need("promtool")
    textfile = tmp_path / "auditor.prom"
    estate = ROOT / "sample_inventories/eventide"
    assert main(["guard", "--snapshot", str(estate), "--now", "2025-11-21T12:00:00Z", "--textfile", str(textfile)]) == 1
    failed = Run(datetime(2026, 1, 1, tzinfo=UTC), 1.5, False, None, (SourceAge("x", HOSTILE, None),), pinged=False)
    for text in (textfile.read_bytes(), render_metrics(failed).encode()):
        done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout + done.stderr == b""


@pytest.mark.integration
def test_promtool_takes_the_alerts(tmp_path: Path) -> None:
    promtool = need("promtool")
    alerts = {one["alert"]: one for one in yaml.safe_load((SCHEDULE / "alerts.yml").read_text())["groups"][0]["rules"]}

    def fires(alert: str, series: dict[str, str], **labels: str) -> dict[str, object]:
        expected = {
            "exp_labels": {**alerts[alert]["labels"], **labels},
            "exp_annotations": {
                key: value.replace("{{ $labels.source }}", labels.get("source", ""))
                for key, value in alerts[alert]["annotations"].items()
            },
        }
        return {
            "interval": "1h",
            "input_series": [{"series": name, "values": values} for name, values in series.items()],
            "alert_rule_test": [{"eval_time": "72h", "alertname": alert, "exp_alerts": [expected]}],
        }

    calm = {"auditor_last_success_timestamp_seconds": "0+3600x80", 'auditor_verdict{verdict="CLEAR"}': "1x80"}
    calm |= {"auditor_run_success": "1x80", "auditor_ping_delivered": "1x80"}
    quiet = {
        "interval": "1h",
        "input_series": [{"series": name, "values": values} for name, values in calm.items()],
        "alert_rule_test": [{"eval_time": "72h", "alertname": alert, "exp_alerts": []} for alert in alerts],
    }
    old = 'auditor_source_age_seconds{kind="hosts",source="web01"}'
    document = {
        "rule_files": [str(SCHEDULE / "alerts.yml")],
        "evaluation_interval": "1h",
        "tests": [
            quiet,
            fires("AuditorDoesNotRun", {"auditor_last_success_timestamp_seconds": "0x80"}),
            fires("AuditorDoesNotRun", {}),
            fires("AuditorRunFailed", {"auditor_run_success": "0x80"}),
            fires("AuditorNotClear", {'auditor_verdict{verdict="CLEAR"}': "0x80"}, verdict="CLEAR"),
            fires("AuditorSourceOld", {old: "Inf Inf Inf" + " Inf" * 80}, kind="hosts", source="web01"),
            fires("AuditorPingLost", {"auditor_ping_delivered": "0x80"}),
        ],
    }
    tests = tmp_path / "tests.yml"
    tests.write_text(yaml.safe_dump(document))
    done = subprocess.run([promtool, "test", "rules", str(tests)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.integration
def test_systemd_takes_the_units(tmp_path: Path) -> None:
    analyze = need("systemd-analyze")
    for name in ("auditor.service", "auditor.timer"):
        text = (SCHEDULE / name).read_text()
        # systemd looks whether the program is there.
        (tmp_path / name).write_text(text.replace("/opt/auditor/bin/auditor", "/bin/true"))
    done = subprocess.run(
        [analyze, "verify", str(tmp_path / "auditor.service"), str(tmp_path / "auditor.timer")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "auditor" not in done.stderr, done.stderr


def commands(script: str) -> list[list[str]]:
    """The command lines of the auditor in a script, without its name."""
    found = re.findall(r"(?:^|[;&\n])\s*(?:exec )?(?:/\S+/)?auditor ([^;&\n]+)", script)
    return [shlex.split(one) for one in found]


def test_the_examples_run_what_there_is() -> None:
    service = (SCHEDULE / "auditor.service").read_text()
    lines = [line.partition("=")[2].lstrip("-") for line in service.splitlines() if line.startswith("ExecStart")]
    script = shlex.split(lines[0])
    assert script[:2] == ["/bin/sh", "-c"]
    (job,) = yaml.safe_load_all((SCHEDULE / "cronjob.yaml").read_text())
    (container,) = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    ran = commands(script[2]) + commands(lines[1]) + commands(container["args"][0])
    assert [one[0] for one in ran] == ["collect", "guard", "collect", "guard"]
    for words in ran:
        parser().parse_args(words)


def test_the_cron_job_is_one() -> None:
    text = (SCHEDULE / "cronjob.yaml").read_bytes()
    job = yaml.safe_load(text)
    assert (job["apiVersion"], job["kind"]) == ("batch/v1", "CronJob")
    pod = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert {one["name"] for one in pod["volumes"]} == {one["name"] for one in container["volumeMounts"]}
    kubernetes = next(one for one in load_collectors()[0] if one.name == "kubernetes")
    facts = list(kubernetes.parse(Document("deploy/cronjob.yaml", text)))
    assert any(getattr(fact, "ref", None) and fact.ref.kind is Kind.JOB for fact in facts)  # type: ignore[union-attr]
