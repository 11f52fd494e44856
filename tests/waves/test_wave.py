"""A migration wave: consumers go before what they need, and what stays blocks; cycles and gaps are told."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any, Final

import pytest

from auditor.audit.scenario import Asked
from auditor.audit.waves import read_hosts
from auditor.cli.main import main
from auditor.errors import UsageError

SAMPLES: Final = Path(__file__).resolve().parents[2] / "sample_inventories"
NOW: Final = "2026-11-30T09:00:00Z"
ABSENT: Final = "".join(
    f"  - {{area: {area}, reason: none, by: operations, on: 2026-01-01}}\n"
    for area in ("webhooks", "names", "monitoring", "renewal", "schedules", "storage", "configuration", "identity")
)


def estate(directory: Path, files: dict[str, str], hosts: str = "abcd") -> Path:
    """An estate of which all that is not written is declared absent."""
    named = "".join(f"  - {{name: {host}.example.net}}\n" for host in hosts)
    for path, content in {"inventory.yaml": f"version: 1\nhosts:\n{named}absent:\n{ABSENT}", **files}.items():
        target = directory / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content)
    return directory


def job(host: str, command: str) -> dict[str, str]:
    return {f"hosts/{host}.example.net/etc/cron.d/x": f"5 4 * * * root {command}\n"}


def wave(place: Path, *lists: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, list[dict[str, Any]]]:
    files = []
    for number, hosts in enumerate(lists, 1):
        file = place.parent / f"wave-{number}.txt"
        file.write_text(hosts)
        files.append(str(file))
    code = main(["wave", *files, "--estate", str(place), "--now", NOW, "--format", "json", "-q"])
    told = json.loads(capsys.readouterr().out)
    assert told["exit_code"] == code
    waves: list[dict[str, Any]] = told["waves"]
    return code, waves


def short(names: list[str]) -> list[str]:
    return [name.partition(".")[0] for name in names]


def test_a_consumer_goes_before_what_it_needs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """c needs b, and b needs a: alone each but c would be blocked."""
    place = estate(
        tmp_path / "e",
        {**job("b", "rsync -a /srv/ a.example.net:/srv/"), **job("c", "psql -h b.example.net -c 'select 1'")},
    )
    code, (found,) = wave(place, "a.example.net\nb.example.net\nc.example.net\n", capsys=capsys)
    assert [short(step) for step in found["order"]] == [["c"], ["b"], ["a"]]
    assert [one["blockers"] for one in found["hosts"]] == [[], [], []]
    (wait,) = found["hosts"][2]["waits"]
    assert wait["host"] == "b.example.net"
    assert wait["path"][0]["evidence"]["path"] == "hosts/b.example.net/etc/cron.d/x"
    assert code != 1


def test_what_stays_blocks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same estate without b in the wave."""
    place = estate(tmp_path / "e", job("b", "rsync -a /srv/ a.example.net:/srv/"))
    code, (found,) = wave(place, "a.example.net\nc.example.net\n", capsys=capsys)
    fates = {one["host"][0]: one["fate"] for one in found["hosts"]}
    assert fates["a"] == "blocked"
    assert fates["c"] != "blocked"
    assert code == 1


def test_hosts_that_need_each_other_are_a_cycle(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = estate(
        tmp_path / "e",
        {
            **job("a", "ssh b.example.net run"),
            **job("b", "ssh a.example.net run"),
            **job("c", "ssh a.example.net run"),
        },
    )
    _, (found,) = wave(place, "a.example.net\nb.example.net\nc.example.net\nd.example.net\n", capsys=capsys)
    assert [short(cycle) for cycle in found["cycles"]] == [["a", "b"]]
    assert [short(step) for step in found["order"]] == [["c", "d"], ["a", "b"]]


def test_who_only_watches_or_has_another_waits_for_nobody(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A pool that keeps a member is degraded, not broken: no order follows from it."""
    pool = "backend x\n    server a a.example.net:80\n    server b b.example.net:80\n"
    place = estate(tmp_path / "e", {"hosts/c.example.net/etc/haproxy/haproxy.cfg": pool})
    _, (found,) = wave(place, "a.example.net\nc.example.net\n", capsys=capsys)
    assert [short(step) for step in found["order"]] == [["a", "c"]]


def test_a_second_wave_comes_after_the_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What needed a host and has gone with the first wave blocks the second no more."""
    place = estate(tmp_path / "e", job("b", "rsync -a /srv/ a.example.net:/srv/"))
    _, (alone,) = wave(place, "a.example.net\n", capsys=capsys)
    _, (first, second) = wave(place, "b.example.net\n", "a.example.net\n", capsys=capsys)
    assert alone["hosts"][0]["fate"] == "blocked"
    assert short([one["host"] for one in first["hosts"]]) == ["b"]
    assert short([one["host"] for one in second["hosts"]]) == ["a"]
    assert second["hosts"][0]["blockers"] == []
    assert (first["after"], second["after"]) == ([], ["wave-1"])


def test_what_nobody_looked_at_is_not_ready(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of one host nothing was captured, and nobody says that there is nothing."""
    (tmp_path / "e/hosts/a.example.net/etc").mkdir(parents=True)
    (tmp_path / "e/hosts/a.example.net/etc/hostname").write_text("a.example.net\n")
    code, (found,) = wave(tmp_path / "e", "a.example.net\n", capsys=capsys)
    assert found["hosts"][0]["fate"] == "unseen"
    assert any("schedules on a.example.net" in gap for gap in found["hosts"][0]["gaps"])
    assert code == 4


def test_addresses_aliases_unknown_hosts_and_one_that_is_gone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each line of the file is judged, and none is silently taken for gone, or for another host."""
    hosts = "".join(f"- {{name: {name}.example.net, addresses: [10.0.0.{at}]}}\n" for at, name in enumerate("abcd", 1))
    gone = "- {name: e.example.net, lifecycle: retired, since: 2026-01-01}\n"
    zone = "$ORIGIN example.net.\n@ IN SOA ns root 1 2 3 4 5\nd IN A 10.0.0.4\nold IN CNAME d\n"
    files = {
        "inventory.yaml": f"version: 1\ndomains: [example.net]\nhosts:\n{hosts}{gone}",
        "dns/example.net.zone": zone,
        **job("a", "ssh b.example.net run"),
        **job("b", "ssh c.example.net run"),
        **job("c", "ssh a.example.net run; ssh e.example.net run"),
        **job("e", "ssh a.example.net run"),
    }
    place = estate(tmp_path / "e", files)
    lines = "a.example.net\n10.0.0.2\nc.example.net\nold\nnosuch.example.net\ne.example.net\n"
    code, (found,) = wave(place, lines, capsys=capsys)
    by_name = {one["host"]: one for one in found["hosts"]}
    assert len(by_name) == 6
    assert [short(cycle) for cycle in found["cycles"]] == [["a", "b", "c"]]
    assert by_name["old"]["gaps"][0] == "old is only a name of d.example.net, by DNS"
    assert by_name["nosuch.example.net"]["gaps"][0] == "nosuch.example.net is named nowhere in the estate"
    assert (by_name["e.example.net"]["gone"], by_name["e.example.net"]["since"]) == (True, "2026-01-01")
    assert by_name["e.example.net"]["waits"] == []
    assert {wait["host"] for wait in by_name["a.example.net"]["waits"]} == {"c.example.net"}
    assert code == 4
    (tmp_path / "w.txt").write_text(lines)
    main(["wave", str(tmp_path / "w.txt"), "--estate", str(place), "--now", NOW, "-q", "--width", "200"])
    out = capsys.readouterr().out
    assert "e.example.net: retired already, since 2026-01-01; " in out
    assert "only at the same time" in out


def test_files_of_waves() -> None:
    text = "# week 49\nweb[01:03].example.net\ndb.example.net=db,10.0.0.7  # rack 3\n\n"
    assert [one.name for one in read_hosts(text, "w.txt")] == [
        "web01.example.net",
        "web02.example.net",
        "web03.example.net",
        "db.example.net",
    ]
    assert read_hosts(text, "w.txt")[-1] == Asked("db.example.net", ("db", "10.0.0.7"))
    with pytest.raises(UsageError, match=r"w\.txt:2: "):
        read_hosts("a.example.net\nno host\n", "w.txt")
    with pytest.raises(UsageError, match="no host in it"):
        read_hosts("# nothing\n", "w.txt")


@pytest.mark.parametrize("width", [48, 100])
def test_the_text_fits_and_says_like_hosts_as_one(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hosts = "app[01:12].gro.eventide.net\ncore-02.gro.eventide.net\ndb-05.gro.eventide.net\n"
    monkeypatch.setattr("sys.stdin", io.StringIO(hosts))
    options = ["--estate", str(SAMPLES / "nagios-data-centre"), "--now", "2026-11-26T09:00:00Z", "-q"]
    assert main(["wave", "-", *options, "--width", str(width)]) == 1
    out = capsys.readouterr().out
    assert "app[01:12].gro.eventide.net" in out
    assert "\x1b" not in out
    long = [line for line in out.splitlines() if len(line) > width and "/" not in line]
    assert long == []


def test_markdown_is_a_list_of_tasks(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "week-49.txt"
    file.write_text("core-02.gro.eventide.net\ndb-05.gro.eventide.net\n")
    options = ["--estate", str(SAMPLES / "nagios-data-centre"), "--now", "2026-11-26T09:00:00Z", "-q"]
    main(["wave", str(file), *options, "--format", "markdown"])
    out = capsys.readouterr().out
    assert out.startswith("## `week-49`: 2 hosts in 2 steps")
    assert "- [ ] ✗ `core-02.gro.eventide.net`" in out
    assert "  - after `db-05.gro.eventide.net`: service postgresql standby needs it" in out


def test_what_a_wave_that_can_go_does_not_cover(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An estate of which no log's way and no balancer was seen: the first keeps it from going, the second is told."""
    whole = "".join(f'{{"path": "hosts/{host}.example.net", "outcome": "ok"}}\n' for host in "ab")
    schedules = "".join(
        f'{{"path": "hosts/a.example.net/{path}", "outcome": "absent"}}\n'
        for path in ("etc/crontab", "var/spool/cron/crontabs", "etc/systemd/system", "etc/rsyslog.conf")
    )
    place = estate(tmp_path / "e", {**job("b", "true"), "captures.jsonl": whole + schedules}, "ab")
    (place / "hosts/a.example.net/etc").mkdir(parents=True)
    code, (found,) = wave(place, "a.example.net\n", capsys=capsys)
    assert (code, found["does_not_cover"][0]) == (0, "traffic, anywhere"), found["hosts"]
    words = ["wave", str(tmp_path / "wave-1.txt"), "--estate", str(place), "--now", NOW, "-q"]
    main(words)
    assert "It does not cover: traffic, anywhere;" in " ".join(capsys.readouterr().out.split())
    main([*words, "--format", "markdown"])
    assert "**It does not cover**: traffic, anywhere;" in capsys.readouterr().out
    (place / "captures.jsonl").write_text(schedules)
    code, (found,) = wave(place, "a.example.net\n", capsys=capsys)
    assert (code, found["hosts"][0]["fate"]) == (4, "unseen")
    assert "1 of 1 host that stays, known only in part" in found["hosts"][0]["gaps"]


def test_what_is_left_out_is_shown_by_a_command_that_can_be_pasted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = estate(tmp_path / "an estate", {}, "a")
    hosts = tmp_path / "wave.txt"
    hosts.write_text("nosuch.example.net\n")
    (place / "inventory.yaml").write_text("version: 1\nhosts:\n  - {name: a.example.net}\n")
    main(["wave", str(hosts), "--estate", str(place), "--now", NOW, "-q", "--width", "200"])
    assert f"more: auditor checklist nosuch.example.net --estate '{place}'" in capsys.readouterr().out


def test_a_gap_says_of_which_host_and_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A path alone would read as if it were on the host that is to go."""
    denied = '{"path": "hosts/b.example.net/var/spool/cron/crontabs", "outcome": "denied"}\n'
    place = estate(tmp_path / "e", {"captures.jsonl": denied}, "ab")
    _, (found,) = wave(place, "a.example.net\n", capsys=capsys)
    assert "/var/spool/cron/crontabs on b.example.net: denied" in found["hosts"][0]["gaps"]
