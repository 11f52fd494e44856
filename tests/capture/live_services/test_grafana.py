"""Grafana by recorded answers: what is asked and kept, and the checklist from it."""

from __future__ import annotations

import json
from typing import Any

import pytest

TOKEN = "planted-token-0123456789"

INVENTORY = """
version: 1
domains: [parcel.example]
hosts:
  - {name: old-cert-01.parcel.example, addresses: [10.20.4.1], successor: cert-02.parcel.example}
  - {name: cert-02.parcel.example, addresses: [10.20.4.2]}
sources:
  - {kind: grafana, name: graphs, url: "@url@", token_env: PLANTED}
"""


@pytest.fixture(autouse=True)
def token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLANTED", TOKEN)


def test_grafana_to_the_checklist(recorded: Any, collect: Any, outcomes: Any, ask: Any) -> None:
    recorded.load("grafana")
    root, code = collect(INVENTORY.replace("@url@", recorded.url))
    assert code == 4
    assert outcomes(root) == {
        "server.json": "ok",
        "alert-rules.json": "ok",
        "contact-points.json": "ok",
        "policies.json": "ok",
        "silences.json": "ok",
        "datasources.json": "ok",
        "library-panels.json": "ok",
        "dashboards.json": "ok",
        "dashboards/000000163.json": "ok",
        "dashboards/gone.json": "unsupported HTTP 404 Not Found",
    }
    assert {one.headers["authorization"] for one in recorded.asked} == {f"Bearer {TOKEN}"}
    kept = b"".join(path.read_bytes() for path in root.rglob("*") if path.is_file())
    assert b"planted" not in kept
    assert b"gridPos" not in kept
    report = ask(root, "old-cert-01.parcel.example")
    found = {one.rule: one for one in report.findings}
    assert "Alert Certificate server down watches only old-cert-01.parcel.example" in found["alert-blind"].message
    assert {one.path for one in found["alert-blind"].evidence} == {"services/graphs/alert-rules.json"}
    assert "receiver grafana/pki-oncall" in found["alert-receiver-going"].message
    asked = found["monitoring-server-going"]
    assert "1 alert of Grafana can ask old-cert-01.parcel.example no more: Certificate server down" in asked.message
    assert {one.path for one in asked.evidence} == {"services/graphs/datasources.json"}
    assert "ana" in found["silence-hides-going-host"].why
    seen = {row.what for row in report.coverage if row.seen}
    assert "Grafana dashboards: the hosts that their panels name" in seen


def test_what_may_not_be_read_is_denied_alone(recorded: Any, collect: Any, outcomes: Any, ask: Any) -> None:
    recorded.load("grafana")
    for path in ("/api/datasources", "/api/v1/provisioning/mute-timings"):
        recorded.answers[path] = {"status": 403, "json": {"message": "You'll need additional permissions"}}
    root, _ = collect(INVENTORY.replace("@url@", recorded.url))
    found = outcomes(root)
    assert found["datasources.json"] == "denied HTTP 403 Forbidden"
    assert found["policies.json"] == "partial without mute timings: HTTP 403 Forbidden"
    assert found["alert-rules.json"] == "ok"
    report = ask(root, "old-cert-01.parcel.example")
    gaps = {row.path: row.outcome.value for row in report.coverage if not row.seen and row.recorded}
    assert gaps["services/graphs/datasources.json"] == "denied"
    assert "alert-blind" in {one.rule for one in report.findings}


def test_a_grafana_with_nothing_says_nothing_of_the_estate(
    recorded: Any, collect: Any, outcomes: Any, ask: Any
) -> None:
    recorded.load("grafana")
    for path in ("alert-rules", "contact-points", "mute-timings"):
        recorded.answers[f"/api/v1/provisioning/{path}"] = {"json": []}
    recorded.answers["/api/datasources"] = {"json": []}
    recorded.answers["/api/alertmanager/grafana/api/v2/silences"] = {"json": []}
    recorded.answers["/api/search?type=dash-db&limit=1000&page=1"] = {"json": []}
    recorded.answers["/api/library-elements"] = {"json": {"result": {"totalCount": 0, "elements": []}}}
    del recorded.answers["/api/library-elements?kind=1&perPage=100&page=1"]
    recorded.answers["/api/v1/provisioning/policies"] = {"json": {"receiver": "none", "group_by": []}}
    root, code = collect(INVENTORY.replace("@url@", recorded.url))
    assert code == 0
    assert outcomes(root)["alert-rules.json"] == "absent"
    assert ask(root, "old-cert-01.parcel.example").verdict.value == "INCOMPLETE"


def test_panels_of_the_library_are_found_though_dashboards_only_refer_to_them(
    recorded: Any, collect: Any, outcomes: Any, ask: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded.load("grafana")
    monkeypatch.setattr("auditor.capture.http.grafana._LIBRARY_PAGE", 1)
    monkeypatch.setattr("auditor.capture.http.grafana._PART", 1)
    [first] = recorded.answers["/api/library-elements?kind=1&perPage=100&page=1"]["json"]["result"]["elements"]
    for page, elements in ((1, [first]), (2, [{**first, "uid": "other"}]), (3, [])):
        path = f"/api/library-elements?kind=1&perPage=1&page={page}"
        recorded.answers[path] = {"json": {"result": {"elements": elements}}}
    root, _ = collect(INVENTORY.replace("@url@", recorded.url))
    assert outcomes(root)["library-panels.json"] == "ok"
    kept = json.loads((root / "services/graphs/library-panels.2.json").read_text())
    assert [one["title"] for one in kept["dashboard"]["panels"]] == ["Requests"]
    places = {line.path for one in ask(root, "old-cert-01.parcel.example").findings for line in one.evidence}
    assert {"services/graphs/library-panels.json", "services/graphs/library-panels.2.json"} & places


def test_a_library_that_breaks_off_is_partial(
    recorded: Any, collect: Any, outcomes: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded.load("grafana")
    monkeypatch.setattr("auditor.capture.http.grafana._LIBRARY_PAGE", 1)
    first = recorded.answers["/api/library-elements?kind=1&perPage=100&page=1"]
    recorded.answers["/api/library-elements?kind=1&perPage=1&page=1"] = first
    recorded.answers["/api/library-elements?kind=1&perPage=1&page=2"] = {"json": {"result": None}}
    root, _ = collect(INVENTORY.replace("@url@", recorded.url))
    said = "partial only the first 1: the answer has another form than expected"
    assert outcomes(root)["library-panels.json"] == said


def test_pages_of_dashboards(recorded: Any, collect: Any, outcomes: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    recorded.load("grafana")
    monkeypatch.setattr("auditor.capture.http.grafana._PAGE", 2)
    for page in (1, 2):
        found = [{"uid": f"d{page}{number}", "title": "x"} for number in range(2)]
        recorded.answers[f"/api/search?type=dash-db&limit=2&page={page}"] = {"json": found}
    recorded.answers["/api/search?type=dash-db&limit=2&page=3"] = {"status": 400, "json": {}}
    for name in ("d10", "d11", "d20", "d21"):
        recorded.answers[f"/api/dashboards/uid/{name}"] = {"json": {"dashboard": {"title": "x", "panels": []}}}
    root, _ = collect(INVENTORY.replace("@url@", recorded.url))
    told = outcomes(root)
    assert told["dashboards.json"] == "partial only the first 4: HTTP 400 Bad Request"
    assert sum(path.startswith("dashboards/") for path in told) == 4
    kept = json.loads((root / "services/graphs/dashboards/d21.json").read_text())
    assert kept["dashboard"]["panels"] == []
