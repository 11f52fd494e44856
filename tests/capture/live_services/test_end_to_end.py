"""`auditor collect` and then `auditor checklist`, on the command line: several services, one of them not there."""

from __future__ import annotations

import json
from typing import Any

import pytest

from auditor.cli.main import main

INVENTORY = """
version: 1
domains: [parcel.example]
hosts:
  - name: old-cert-01.parcel.example
    names: [acme-hook.parcel.example]
    addresses: [10.20.4.1]
    successor: cert-02.parcel.example
  - {name: cert-02.parcel.example, addresses: [10.20.4.2]}
sources:
  - {kind: github, name: code, url: "@url@", organizations: [parcel]}
  - {kind: grafana, name: graphs, url: "@url@"}
  - {kind: kubernetes, name: prod, url: "@url@"}
  - {kind: healthchecks, name: pulse, url: "@url@"}
  - {kind: netbox, name: register, url: "http://127.0.0.1:1"}
"""


def test_from_what_runs_to_the_checklist(recorded: Any, collect: Any, capsys: pytest.CaptureFixture[str]) -> None:
    for product in ("github", "grafana", "kubernetes", "healthchecks"):
        recorded.load(product)
    root, code = collect(INVENTORY.replace("@url@", recorded.url))
    told = capsys.readouterr()
    assert code == 4
    assert "auditor: register: version.json: Connection refused" in told.err
    assert "see captures.jsonl" in told.out
    now = ["--now", "2026-11-23T12:00:00Z"]
    assert main(["checklist", "old-cert-01", "--estate", str(root), *now, "--format", "json", "--quiet"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["verdict"] == "BLOCKED"
    found = {one["rule"] for one in report["findings"]}
    assert found >= {
        "webhook-to-going-host",
        "alert-blind",
        "alert-receiver-going",
        "silence-hides-going-host",
        "job-calls-going-host",
        "service-needs-going-host",
        "renewal-on-going-host",
        "ping-from-going-host",
    }
    gaps = {one["what"]: one["outcome"] for one in report["coverage"] if one["outcome"] not in ("ok", "absent")}
    assert gaps["services/register/devices.json"] == "unreachable"
    assert gaps["services/prod/deployments.json"] == "denied"
    assert gaps["services/code/hooks/parcel/site.json"] == "denied"
