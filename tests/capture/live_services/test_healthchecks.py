"""Healthchecks by recorded answers: what is kept of a check, who pings it, and the checklist from it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from auditor.model import Lifecycle

KEY = "planted-api-key-0123456789"
RENEWAL = "f1f9ebba3ecd10a69a4aa9da6b3c28baf16a0b22"

INVENTORY = """
version: 1
domains: [parcel.example]
hosts:
  - {name: old-cert-01.parcel.example, addresses: [10.20.4.1], successor: cert-02.parcel.example}
  - {name: cert-02.parcel.example, addresses: [10.20.4.2]}
sources:
  - {kind: healthchecks, name: pulse, url: "@url@", token_env: PLANTED}
"""


@pytest.fixture(autouse=True)
def token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLANTED", KEY)


def test_a_check_that_only_the_going_host_pings(recorded: Any, collect: Any, outcomes: Any, ask: Any) -> None:
    recorded.load("healthchecks")
    root, code = collect(INVENTORY.replace("@url@", recorded.url))
    assert code == 0
    told = outcomes(root)
    assert told.pop("checks.json") == "ok"
    assert set(told.values()) == {"ok"}
    assert len(told) == 2
    assert {one.headers["x-api-key"] for one in recorded.asked} == {KEY}
    kept = b"".join(path.read_bytes() for path in root.rglob("*") if path.is_file()).decode()
    for secret in ("31365bce", "803f680d", "f618072a", "1bdea468", KEY):
        assert secret not in kept
    checks = json.loads((root / "services/pulse/checks.json").read_text())["checks"]
    assert [one["ping_url"] for one in checks] == ["https://hc-ping.com/"] * 3
    report = ask(root, "old-cert-01.parcel.example")
    found = [one for one in report.findings if one.rule == "ping-from-going-host"]
    assert [one.subject for one in found] == ["probe healthchecks pulse/Renewal of certificates"]
    assert "is pinged only from old-cert-01.parcel.example: it raises an alarm once" in found[0].message
    assert "Its last 2 pings came from 10.20.4.1" in found[0].why
    assert "expected at `17 3,15 * * *` (Europe/Berlin)" in found[0].why
    assert found[0].evidence[0].path.startswith("services/pulse/pings/")
    assert not [one for one in report.findings if one.rule in ("alert-blind", "successor-unwatched")]
    told_of = ask(root, "old-cert-01.parcel.example", Lifecycle.READ_ONLY).findings
    assert any("it stays green whatever happens elsewhere" in one.message for one in told_of)
    assert not [one for one in ask(root, "cert-02.parcel.example").findings if one.rule == "ping-from-going-host"]


def test_a_read_only_key_shows_no_pings(recorded: Any, collect: Any, outcomes: Any) -> None:
    recorded.load("healthchecks")
    check = {"name": "Renewal", "grace": 600, "n_pings": 7, "status": "up", "unique_key": "a6c7b0a8", "timeout": 3600}
    recorded.answers["/api/v3/checks/"] = {"json": {"checks": [check]}}
    root, code = collect(INVENTORY.replace("@url@", recorded.url))
    assert code == 4
    assert outcomes(root) == {
        "checks.json": "partial with a read-only API key: where its pings come from is shown to a read-write key alone"
    }
    assert len(recorded.asked) == 1


def test_an_older_server(recorded: Any, collect: Any, outcomes: Any) -> None:
    recorded.load("healthchecks")
    recorded.answers = {path.replace("/v3/", "/v1/"): found for path, found in recorded.answers.items()}
    root, code = collect(INVENTORY.replace("@url@", recorded.url))
    assert code == 0
    assert outcomes(root)["checks.json"] == "ok"


def test_a_wrong_key(recorded: Any, collect: Any, outcomes: Any) -> None:
    recorded.load("healthchecks")
    recorded.answers["/api/v3/checks/"] = {"status": 401, "json": {"error": "wrong api key"}}
    root, _ = collect(INVENTORY.replace("@url@", recorded.url))
    assert outcomes(root) == {"checks.json": "denied HTTP 401 Unauthorized"}
