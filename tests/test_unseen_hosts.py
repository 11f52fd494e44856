"""Hosts of the inventory that stay and that nobody looked into: how formats tell them, what `collect` leaves out."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from auditor.capture.areas import PARTS, parts_at
from auditor.capture.sources import targets_by_source
from auditor.cli.main import main
from auditor.inventory import load_inventory
from auditor.inventory.facts import not_collected

NOW = "2026-11-20T12:00:00Z"
AREAS = ("webhooks", "names", "monitoring", "renewal", "schedules", "storage", "configuration", "identity", "logs")


@pytest.fixture
def estate(tmp_path: Path) -> Path:
    """An estate in which all but some of the hosts that stay was looked at, and those whole."""
    root = tmp_path / "estate"
    for host in ("old-1", "app-1"):
        cron = root / f"hosts/{host}.example.net/etc/cron.d/job"
        cron.parent.mkdir(parents=True)
        cron.write_text("5 4 * * * root true\n")
    (root / "captures.jsonl").write_text('{"path": "hosts/app-1.example.net", "outcome": "ok"}\n')
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


def test_hosts_known_in_part_are_told_in_every_format(estate: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Once, with what was never seen of how many, and what to do; by name in the JSON."""
    for number in range(1, 41):
        place = estate / f"hosts/web{number:02}.example.net/etc/nginx/nginx.conf"
        place.parent.mkdir(parents=True)
        place.write_text("events {}\n")
    (estate / "hosts/web07.example.net/etc/crontab").write_text("5 4 * * * root true\n")
    declare(estate, "web[01:40].example.net")
    # What none of the estate has is known of them, too: schedules are what nobody said anything of.
    inventory = estate / "inventory.yaml"
    inventory.write_text(inventory.read_text().replace("area: schedules,", "area: schedules, host: old-1.example.net,"))
    for words in ((), ("--format", "markdown")):
        code, said = asked(estate, capsys, *words)
        flat = " ".join(said.split()).replace("`", "")
        assert code == 4
        assert "40 hosts known only in part" in flat
        assert "40 of 41 hosts that stay, known only in part" in flat
        assert "Never seen there: user crontabs, systemd units; on 39 of them: system crontabs" in flat
        assert "auditor collect 'web[01:40].example.net'" in flat
        assert "web servers and proxies 40, none 1" in flat
        assert "system crontabs 2, unknown 39" in flat
        assert said.count("web39") + said.count("web[01:40]") <= 4
    _, page = asked(estate, capsys, "--format", "json")
    told = json.loads(page)
    (row,) = [one for one in told["coverage"] if "hosts" in one]
    assert (row["outcome"], row["needed"], len(row["hosts"])) == ("partial", True, 40)
    stay = told["hosts_that_stay"]
    assert (stay["count"], stay["collected_whole"]) == (41, 1)
    (crontabs,) = [one for one in stay["parts"] if one["part"] == "system crontabs"]
    assert crontabs == {"part": "system crontabs", "area": "schedules", "seen": 2, "none": 0, "unknown": 39}
    assert [(one["hosts"], one["parts"]) for one in stay["unknown"]] == [
        (
            ["web[01:06].example.net", "web[08:40].example.net"],
            ["system crontabs", "user crontabs", "systemd units"],
        ),
        (["web07.example.net"], ["user crontabs", "systemd units"]),
    ]
    html = estate.parent / "report.html"
    main(["report", "old-1.example.net", "--estate", str(estate), "--now", NOW, "--quiet", "-o", str(html)])
    written = html.read_text()
    assert "known only in part" in written
    assert "41 hosts that stay, 1 of them collected whole: what was looked at, part by part" in written


def test_the_lines_for_hosts_known_in_part_close_it(estate: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (estate / "captures.jsonl").unlink()
    declare(estate)
    code, said = asked(estate, capsys, "--format", "json")
    assert code == 4
    (row,) = [one for one in json.loads(said)["coverage"] if "hosts" in one]
    assert "Never seen there: web servers and proxies. Collect" in row["detail"]
    declare(estate, more=row["detail"].split("`")[-2].replace("…", "known") + "\n")
    code, said = asked(estate, capsys)
    first = " ".join(said.split("\n\n")[0].split())
    assert code == 0
    assert "It does not cover: 1 host known only in part that the inventory leaves out; traffic, anywhere." in first


def test_what_a_clear_does_not_cover_is_beside_it_in_every_format(
    estate: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No balancer's configuration was seen anywhere: that rules out nothing, and is said."""
    declare(estate)
    code, said = asked(estate, capsys)
    assert code == 0
    assert "It does not cover: traffic, anywhere. See NOT LOOKED AT." in " ".join(said.split("\n\n")[0].split())
    assert "**It does not cover**: traffic, anywhere." in asked(estate, capsys, "--format", "markdown")[1]
    told = json.loads(asked(estate, capsys, "--format", "json")[1])
    assert (told["verdict"], told["does_not_cover"]) == ("CLEAR", ["traffic, anywhere"])
    html = estate.parent / "report.html"
    main(["report", "old-1.example.net", "--estate", str(estate), "--now", NOW, "--quiet", "-o", str(html)])
    assert "It does not cover: </strong>traffic, anywhere" in html.read_text()


def test_what_to_capture_of_the_host_is_said_once(estate: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (estate / "inventory.yaml").write_text("version: 1\nhosts: [{name: old-1.example.net}]\n")
    told = json.loads(asked(estate, capsys, "--format", "json")[1])
    (gap,) = [one for one in told["findings"] if one["rule"] == "coverage-gap"]
    assert gap["action"] == (
        "To see them, capture under hosts/old-1.example.net/: /etc/letsencrypt (or what renews its certificates); "
        "/proc/self/mountinfo or /etc/fstab; user crontabs; systemd units."
    )


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        ("/etc/cron.d/sync", {"system crontabs"}),
        ("/etc/cron.weekly", {"system crontabs"}),
        ("/etc/cron.allow", set()),
        ("/etc/systemd/system/a.timer", {"systemd units"}),
        ("/etc/systemd/resolved.conf", set()),
        ("/run/systemd/transient/run-1.timer", {"systemd units"}),
        ("/run/systemd/generator.late", {"systemd units"}),
        ("/run/systemd/resolve/stub-resolv.conf", set()),
        ("/usr/lib/systemd/system", {"systemd units"}),
        ("/usr/lib/systemd/resolved.conf.d/a.conf", set()),
        ("/etc/fstab", {"mounts"}),
        ("/etc/fstab.orig", set()),
    ],
)
def test_a_file_beside_the_schedules_is_no_look_at_them(path: str, parts: set[str]) -> None:
    """What the resolver of systemd runs with says nothing of a host's units."""
    assert {PARTS[index].what for index in parts_at(path)} == parts
