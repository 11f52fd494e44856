"""`auditor checklist HOST --after`: the opposite is expected, and nothing is clear that nobody looked at."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from auditor.cli.main import main

OLD = "old.example.net"
NOW = ["--now", "2026-06-01T12:00:00Z", "--quiet"]
INVENTORY = """\
version: 1
domains: [example.net]
hosts:
  - {name: old.example.net, lifecycle: retired, since: 2026-05-01, addresses: [10.0.0.1], successor: new.example.net}
  - {name: new.example.net, addresses: [10.0.0.2]}
absent:
  - {area: monitoring, reason: none, by: me, on: 2026-05-20}
  - {area: webhooks, reason: none, by: me, on: 2026-05-20}
  - {area: identity, reason: none, by: me, on: 2026-05-20}
  - {area: configuration, reason: none, by: me, on: 2026-05-20}
  - {area: logs, reason: none, by: me, on: 2026-05-20}
"""
BEFORE = {
    "hosts/old.example.net/etc/crontab": "5 5 * * * root /usr/local/bin/report.sh --all\n",
    "hosts/old.example.net/etc/fstab": "",
}
SILENT = {"path": "hosts/old.example.net", "outcome": "unreachable", "collected_at": "2026-05-28T03:00:00Z"}
WHOLE = {"path": "hosts/new.example.net", "outcome": "ok", "collected_at": "2026-05-28T03:00:00Z"}
NOW_FILES = {
    "inventory.yaml": INVENTORY,
    "captures.jsonl": json.dumps(SILENT) + "\n" + json.dumps(WHOLE) + "\n",
    "hosts/new.example.net/etc/crontab": "5 5 * * * root /usr/local/bin/report.sh --all\n",
    "hosts/new.example.net/usr/local/bin/report.sh": "#!/bin/sh\ncurl -fsS http://new.example.net/\n",
    "dns/example.net.zone": "$ORIGIN example.net.\n@ IN SOA ns root 1 2 3 4 5\nnew 60 IN A 10.0.0.2\n",
}


def write(root: Path, files: dict[str, str]) -> Path:
    for path, content in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(content)
    return root


@pytest.fixture
def estates(tmp_path: Path) -> list[str]:
    before, now = write(tmp_path / "before", BEFORE), write(tmp_path / "now", NOW_FILES)
    return ["--estate", str(now), "--estate", str(before)]


def after(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    main(["checklist", OLD, "--after", *NOW, "--format", "json", *words])
    report: dict[str, Any] = json.loads(capsys.readouterr().out)
    return report


def test_gone_and_forgotten(capsys: pytest.CaptureFixture[str], estates: list[str]) -> None:
    assert main(["checklist", OLD, "--after", *NOW, *estates]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "CLEAR old.example.net is gone: 1 note" in said
    assert "nothing shows that they have run on new.example.net" in said
    assert "Are its disks, copies and snapshots wiped or destroyed?" in said
    assert "Has the owner of each service on it agreed" not in said
    report = after(capsys, *estates)
    assert report["checklist"]["phase"] == "after"
    assert {one["rule"] for one in report["rules"]} >= {"after-still-answers", "mention"}
    assert "job-on-going-host" not in {one["rule"] for one in report["rules"]}


def test_it_is_not_clear_if_nobody_tried(
    capsys: pytest.CaptureFixture[str], estates: list[str], tmp_path: Path
) -> None:
    (tmp_path / "now" / "captures.jsonl").unlink()
    report = after(capsys, *estates)
    assert report["verdict"] == "INCOMPLETE"
    (rule,) = (one for one in report["rules"] if not one["looked_at"])
    assert rule["rule"] == "after-still-answers"
    main(["checklist", OLD, "--after", *NOW, *estates])
    said = " ".join(capsys.readouterr().out.split())
    assert "can't tell whether old.example.net is gone" in said
    assert "an attempt to reach it since its switch-off" in said


def test_it_is_not_clear_if_nobody_knows_what_it_did(capsys: pytest.CaptureFixture[str], estates: list[str]) -> None:
    report = after(capsys, *estates[:2])
    assert report["verdict"] == "INCOMPLETE"
    assert [one["rule"] for one in report["rules"] if not one["looked_at"]] == ["after-job-not-run"]


def test_what_is_left(capsys: pytest.CaptureFixture[str], estates: list[str], tmp_path: Path) -> None:
    write(
        tmp_path / "now",
        {
            "dns/example.net.zone": NOW_FILES["dns/example.net.zone"] + "old 60 IN A 10.0.0.1\n",
            "hosts/new.example.net/usr/local/bin/report.sh": "#!/bin/sh\ncurl -fsS http://old.example.net/\n",
            "docs/wiki.md": "Log in to old.example.net.\n",
        },
    )
    assert main(["checklist", OLD, "--after", *NOW, *estates]) == 1
    said = " ".join(capsys.readouterr().out.split())
    assert "BLOCKED old.example.net is not gone as it should be" in said
    assert "old.example.net still leads to old.example.net (as 10.0.0.1)" in said
    assert "/usr/local/bin/report.sh on new.example.net still reads from old.example.net" in said
    assert "docs/wiki.md still names old.example.net" in said
    assert "will" not in said.split("LOOKED AT")[0].replace("or will when it is used", "")


def test_a_host_that_is_spelt_wrong_is_not_gone(capsys: pytest.CaptureFixture[str], estates: list[str]) -> None:
    assert main(["checklist", "odl.example.net", "--after", *NOW, *estates]) == 4
    assert "named nowhere" in " ".join(capsys.readouterr().out.split())


def test_a_host_that_is_read_only_is_not_gone(capsys: pytest.CaptureFixture[str], estates: list[str]) -> None:
    assert main(["checklist", OLD, "--after", "--as", "read-only", *NOW, *estates]) == 2
    assert "not gone" in capsys.readouterr().err


def test_both_phases_in_one_file(capsys: pytest.CaptureFixture[str], estates: list[str], tmp_path: Path) -> None:
    file = str(tmp_path / "run.jsonl")
    main(["checklist", OLD, *NOW, *estates, "--run", file])
    capsys.readouterr()
    assert after(capsys, *estates, "--run", file)["since"] is None
    again = after(capsys, *estates, "--run", file)
    assert (again["since"]["new"], again["since"]["fixed"]) == ([], [])
    main(["checklist", "show", file])
    said = capsys.readouterr().out
    assert "after the switch-off" in said
    assert "records-wiped" in said
    assert "records-agreed" not in said


def test_the_incident_after_its_end(capsys: pytest.CaptureFixture[str]) -> None:
    """Each reference of the sample is told by the rule of its area, and none of the successor's."""
    estate = Path(__file__).parents[2] / "sample_inventories" / "eventide"
    words = ["--estate", str(estate), "--now", "2025-11-21T12:00:00Z", "--quiet", "--format", "json"]
    main(["checklist", "legacy-cert-01", "--after", *words])
    report = json.loads(capsys.readouterr().out)
    found = {one["rule"] for one in report["findings"]}
    assert found >= {
        "after-job-not-run",
        "after-still-called",
        "after-still-in-dns",
        "after-still-referred-to",
        "after-still-watched",
        "after-webhook-left",
        "mention",
    }
    still = [one for one in report["findings"] if one["rule"].startswith("after-still")]
    assert not [one for one in still if one["subject"].startswith("cert-core-01")]
    assert all(" still " in one["message"] for one in still)
