"""Hosts of the inventory that stay and that nobody looked into: how formats tell them, what `collect` leaves out."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from auditor.capture.sources import targets_by_source
from auditor.cli.main import main
from auditor.inventory import load_inventory
from auditor.inventory.facts import not_collected

NOW = "2026-11-20T12:00:00Z"
AREAS = ("webhooks", "names", "monitoring", "renewal", "schedules", "storage", "configuration", "identity", "logs")


@pytest.fixture
def estate(tmp_path: Path) -> Path:
    """An estate in which all but some of the hosts that stay was looked at."""
    root = tmp_path / "estate"
    for host in ("old-1", "app-1"):
        cron = root / f"hosts/{host}.example.net/etc/cron.d/job"
        cron.parent.mkdir(parents=True)
        cron.write_text("5 4 * * * root true\n")
    return root


def declare(root: Path, *hosts: str, more: str = "") -> None:
    absent = "".join(f"  - {{area: {area}, reason: none, by: me, on: 2026-01-01}}\n" for area in AREAS)
    listed = "".join(f"  - {{name: '{host}'}}\n" for host in ("old-1.example.net", "app-1.example.net", *hosts))
    (root / "inventory.yaml").write_text(f"version: 1\nhosts:\n{listed}absent:\n{absent}{more}")


def asked(root: Path, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    code = main(["checklist", "old-1.example.net", "--estate", str(root), "--now", NOW, "--quiet", *words])
    return code, capsys.readouterr().out


def test_the_gap_says_what_to_do_in_every_format(estate: Path, capsys: pytest.CaptureFixture[str]) -> None:
    declare(estate, "sw[01:03].example.net", "hsm.example.net")
    for words, mark in (((), "'"), (("--format", "markdown"), "'")):
        code, said = asked(estate, capsys, *words)
        flat = " ".join(said.split())
        assert code == 4
        assert "can't tell whether" in flat
        assert "4 hosts not looked at" in flat
        assert "4 of 5 hosts that stay" in flat.replace("`", "")
        assert f"auditor collect hsm.example.net {mark}sw[01:03].example.net{mark}" in flat
        entry = 'not_collected: [{hosts: [hsm.example.net, "sw[01:03].example.net"], reason: …, by: …, on: 2026-11-20}]'
        assert entry in flat
    _, page = asked(estate, capsys, "--format", "json")
    (row,) = [one for one in json.loads(page)["coverage"] if "hosts" in one]
    assert row["needed"]
    assert row["hosts"] == ["sw01.example.net", "sw02.example.net", "sw03.example.net", "hsm.example.net"]
    html = estate.parent / "report.html"
    main(["report", "old-1.example.net", "--estate", str(estate), "--now", NOW, "--quiet", "-o", str(html)])
    assert "sw[01:03].example.net" in html.read_text()


def test_the_lines_that_it_gives_close_it(estate: Path, capsys: pytest.CaptureFixture[str]) -> None:
    declare(estate, "sw[01:03].example.net", "hsm.example.net")
    _, said = asked(estate, capsys, "--format", "json")
    (row,) = [one for one in json.loads(said)["coverage"] if "hosts" in one]
    entry = row["detail"].split("`")[-2].replace("…", "known")
    declare(estate, "sw[01:03].example.net", "hsm.example.net", more=f"{entry}\n")
    code, said = asked(estate, capsys)
    assert code == 0
    first = " ".join(said.split("\n\n")[0].split())
    assert "It does not cover: 4 hosts that the inventory leaves out; traffic, anywhere. See NOT LOOKED AT." in first
    assert "nobody looked, and that rules out nothing: known (known, 2026-11-20)" in " ".join(said.split())
    _, said = asked(estate, capsys, "--format", "markdown")
    assert "**It does not cover**: 4 hosts that the inventory leaves out; traffic, anywhere." in said


def test_a_statement_that_has_ended_is_told_with_its_place(estate: Path, capsys: pytest.CaptureFixture[str]) -> None:
    statement = (
        "not_collected:\n  - {hosts: ['h*'], reason: an appliance, by: pki, on: 2026-01-01, until: 2026-11-01}\n"
    )
    declare(estate, "hsm.example.net", more=statement)
    code, said = asked(estate, capsys)
    flat = " ".join(said.split())
    line = (estate / "inventory.yaml").read_text().splitlines().index(statement.splitlines()[1]) + 1
    assert code == 4
    assert "1 host not looked at" in flat
    assert "coverage: 1 host that the inventory left out until a day that is over" in flat
    assert "has ended: an appliance (pki, 2026-01-01, until 2026-11-01)" in flat
    assert f"inventory.yaml:{line}" in flat


def test_a_large_fleet_is_told_in_a_few_lines(estate: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No two of these names make a range, so that each would have to be written."""
    declare(estate, *(f"m{number}x.example.net" for number in range(3000)))
    for kind in ("text", "markdown"):
        _, said = asked(estate, capsys, "--format", kind)
        assert "3,000 hosts not looked at" in said
        assert said.count("x.example.net") < 40
    _, said = asked(estate, capsys, "--format", "json")
    (row,) = [one for one in json.loads(said)["coverage"] if "hosts" in one]
    assert len(row["hosts"]) == row["count"] == 3000


def test_collect_leaves_out_what_the_inventory_leaves_out(estate: Path) -> None:
    more = (
        "sources:\n  - {kind: ssh}\n"
        "not_collected:\n"
        "  - {hosts: ['sw*'], reason: switches, by: network, on: 2026-01-01}\n"
        "  - {hosts: [hsm.example.net], reason: an appliance, by: pki, on: 2026-01-01, until: 2026-11-01}\n"
    )
    declare(estate, "sw[01:03].example.net", "hsm.example.net", more=more)
    inventory = load_inventory(estate / "inventory.yaml")
    names = {host.name for host in inventory.expanded()}
    found = list(not_collected(inventory, names, datetime(2026, 11, 20, tzinfo=UTC)))
    assert [(len(hosts), statement.reason) for statement, hosts in found] == [(3, "switches"), (1, "an appliance")]
    ((_, targets),) = targets_by_source(inventory, (), frozenset(found[0][1]))
    assert [one.host for one in targets] == ["old-1.example.net", "app-1.example.net", "hsm.example.net"]


def test_collect_says_when_it_leaves_out_everything(estate: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more = "sources: [{kind: ssh}]\nnot_collected:\n  - {hosts: ['*'], reason: switches, by: network, on: 2026-01-01}\n"
    declare(estate, more=more)
    assert main(["collect", "--estate", str(estate), "-o", str(estate.parent / "snapshot"), "--quiet"]) == 2
    assert "Every host of its sources is under `not_collected`" in capsys.readouterr().err
