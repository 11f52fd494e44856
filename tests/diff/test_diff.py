"""Two states of an estate: what differs is told, and what was not seen this time is never taken for gone."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from auditor.api import Area, Collector, Document, EstateView, Finding, Parsed, Relation, Rule, Severity
from auditor.audit.diff import compare
from auditor.audit.scenario import parse_host
from auditor.cli.common import moment
from auditor.cli.main import main
from auditor.difference import Diff, FactChange
from auditor.errors import UsageError
from auditor.registry import load_collectors, load_rules

NOW = "2026-06-01T12:00:00Z"
WEB, OLD = "web01.example.net", "cert01.example.net"
PUSH = f"hosts/{WEB}/etc/cron.d/push"
LINE = f"5 5 * * * root curl -fsS https://{OLD}/push\n"
OTHER = "6 6 * * * root curl -fsS https://elsewhere.example.net/\n"
INVENTORY = f"version: 1\ndomains: [example.net]\nhosts:\n  - name: {OLD}\n    lifecycle: retired\n  - name: {WEB}\n"
FILES = {"inventory.yaml": INVENTORY, PUSH: LINE, f"hosts/{WEB}/etc/hostname": "web01\n"}
ZONE = "$ORIGIN example.net.\n@ IN SOA ns root 1 2 3 4 5\ncert01 IN A 10.0.0.1\nhook IN CNAME cert01\n"

Make = Callable[..., Path]


def records(files: Mapping[str, str], at: str, *more: tuple[str, str], leave: Sequence[str] = ()) -> str:
    """captures.jsonl of files that were captured, and of (path, outcome)."""
    outcomes = dict.fromkeys((path for path in files if path != "inventory.yaml"), "ok") | dict(more)
    return "".join(
        json.dumps({"path": path, "outcome": outcome, "collected_at": at, "detail": "" if outcome == "ok" else "why"})
        + "\n"
        for path, outcome in outcomes.items()
        if path not in leave
    )


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def write(name: str, files: Mapping[str, str], captures: str = "") -> Path:
        for path, content in {**files, **({"captures.jsonl": captures} if captures else {})}.items():
            place = tmp_path / name / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(content)
        return tmp_path / name

    return write


def diff(old: Path, new: Path, *hosts: str, rules: Sequence[Rule] = (), collectors: Sequence[Collector] = ()) -> Diff:
    return compare(
        old,
        new,
        tuple(parse_host(one) for one in hosts),
        None,
        moment(NOW),
        [*load_collectors()[0], *collectors],
        [*load_rules()[0], *rules],
    )


def told(changes: Sequence[FactChange]) -> list[str]:
    return [f"{one.subject} {one.relation} {one.provider}".strip() for one in changes]


def about(changes: Sequence[FactChange], words: str) -> FactChange:
    (found,) = [one for one in changes if words in f"{one.subject} {one.relation} {one.provider}"]
    return found


def test_the_same_is_the_same(make: Make) -> None:
    found = diff(make("old", FILES), make("new", FILES))
    assert not found.differs
    assert found.complete
    assert found.findings_left


def test_a_line_that_moved_is_no_change(make: Make) -> None:
    found = diff(make("old", FILES), make("new", {**FILES, PUSH: f"# why\n\n{LINE}"}))
    assert not found.differs
    assert found.complete


def test_what_appeared_and_what_vanished(make: Make) -> None:
    found = diff(make("old", FILES), make("new", {**FILES, PUSH: OTHER}))
    assert f"/etc/cron.d/push: root curl -fsS https://{OLD}/push connects https://{OLD}/push" in told(found.vanished)
    new = about(found.appeared, "connects https://elsewhere.example.net/")
    assert (new.hosts, new.where.path, new.where.line, new.why) == ((WEB,), PUSH, 1, "")
    assert [one.rule for one in found.fixed] == ["job-calls-going-host"]
    assert not found.found
    back = diff(make("new", FILES), make("old", FILES))
    assert not back.differs


def test_a_finding_that_is_new(make: Make) -> None:
    found = diff(make("old", {**FILES, PUSH: OTHER}), make("new", FILES))
    assert [(one.finding.rule, one.why) for one in found.found] == [("job-calls-going-host", "")]


def test_what_is_said_of_a_thing_changes(make: Make) -> None:
    found = diff(make("old", FILES), make("new", {**FILES, PUSH: LINE.replace("5 5", "7 5")}))
    (changed,) = found.changed
    assert (dict(changed.before), dict(changed.after)) == ({"schedule": "5 5 * * *"}, {"schedule": "7 5 * * *"})
    assert not found.appeared
    assert not found.vanished


def test_what_the_inventory_says_is_compared_too(make: Make) -> None:
    after = {
        **FILES,
        "inventory.yaml": INVENTORY.replace("retired", "active") + "services: [{name: Shop, needs: [db]}]\n",
    }
    found = diff(make("old", FILES), make("new", after))
    assert about(found.changed, OLD).before == {"lifecycle": "retired"}
    assert about(found.changed, OLD).where.path == "inventory.yaml"
    assert "Shop connects db" in told(found.appeared)
    assert [one.rule for one in found.fixed] == ["job-calls-going-host"]


def test_a_range_of_hosts_is_one_change_and_each_of_its_hosts(make: Make) -> None:
    path, later = "hosts/web[01:03].example.net", "hosts/web[01:04].example.net"
    old = {f"{path}/etc/cron.d/a": LINE, f"{path}/etc/hostname": "x\n"}
    new = {f"{later}/etc/cron.d/a": OTHER, f"{later}/etc/hostname": "x\n"}
    found = diff(make("old", old), make("new", new), OLD)
    gone = about(found.vanished, f"connects https://{OLD}")
    assert gone.hosts == tuple(f"web0{n}.example.net" for n in (1, 2, 3))
    assert gone.where.path == f"{path}/etc/cron.d/a"
    seen = {one.hosts: one.why for one in found.appeared if one.provider.startswith("https://elsewhere")}
    assert set(seen) == {gone.hosts, ("web04.example.net",)}
    assert seen[gone.hosts] == ""
    assert seen["web04.example.net",].startswith("not seen before (nothing of web04.example.net is in ")
    assert not found.not_seen


def test_a_host_that_left_its_range(make: Make) -> None:
    old = {"hosts/web[01:02].example.net/etc/cron.d/a": LINE}
    new = {"hosts/web01.example.net/etc/cron.d/a": LINE, "hosts/web02.example.net/etc/cron.d/a": OTHER}
    found = diff(make("old", old), make("new", new), OLD)
    assert about(found.vanished, f"connects https://{OLD}").hosts == ("web02.example.net",)
    assert about(found.appeared, "connects https://elsewhere").hosts == ("web02.example.net",)


def test_a_host_by_its_short_name_and_by_its_full_one_is_one(make: Make) -> None:
    old = {"inventory.yaml": INVENTORY, "hosts/web01/etc/cron.d/push": LINE}
    found = diff(make("old", old), make("new", {"inventory.yaml": INVENTORY, PUSH: LINE}))
    assert not found.differs
    assert found.complete


def test_packed_and_not(make: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old, new = make("old", FILES), make("new", {**FILES, PUSH: OTHER})
    assert main(["snapshot", "pack", str(old), "-o", str(tmp_path / "old.sqlar")]) == 0
    capsys.readouterr()
    same = diff(tmp_path / "old.sqlar", old)
    assert (same.differs, same.complete) == (False, True)
    assert told(diff(tmp_path / "old.sqlar", new).vanished) == told(diff(old, new).vanished) != []


# What NEW could not see, one way each: its files and records beside those of OLD.
LATER = "2026-05-31T00:00:00Z"
LOST: dict[str, tuple[dict[str, str], list[tuple[str, str]], list[str]]] = {
    "the file was denied": ({}, [(PUSH, "denied")], []),
    "its directory was denied": ({}, [(f"hosts/{WEB}/etc/cron.d", "denied")], [PUSH]),
    "the host was not reached": ({}, [(f"hosts/{WEB}", "unreachable")], [PUSH]),
    "the host was cut off": ({}, [(f"hosts/{WEB}", "partial")], [PUSH]),
    "the file was cut": ({PUSH: "# nothing more\n"}, [(PUSH, "partial")], []),
    "nobody asked the host": ({}, [], [PUSH, f"hosts/{WEB}", f"hosts/{WEB}/etc/hostname"]),
    "recorded and not there": ({}, [(PUSH, "ok")], []),
}


@pytest.mark.parametrize("case", LOST)
def test_what_was_not_seen_this_time_is_not_gone(make: Make, case: str) -> None:
    host = (f"hosts/{WEB}", "ok")
    old = make("old", FILES, records(FILES, "2026-05-30T00:00:00Z", host))
    files, more, leave = LOST[case]
    new_files = {path: content for path, content in {**FILES, **files}.items() if path in files or path != PUSH}
    if "nobody asked" in case:
        new_files = {"inventory.yaml": INVENTORY, "notes.txt": "x\n"}
    new = make("new", new_files, records(new_files, LATER, host, *more, leave=leave))
    found = diff(old, new)
    lost = about(found.not_seen, f"connects https://{OLD}/push")
    assert lost.last_seen == "2026-05-30T00:00:00Z"
    assert lost.why
    assert not found.vanished
    assert not found.fixed
    (finding,) = found.findings_not_seen
    assert (finding.finding.rule, finding.path, finding.last_seen) == ("job-calls-going-host", PUSH, lost.last_seen)
    assert not found.complete
    # That it does not answer any more is news, and not that anything of it has gone.
    assert [one.finding.rule for one in found.found] == ["lifecycle-gone-observed"] * (
        case == "the host was not reached"
    )
    assert not replace(found, found=()).differs


def test_a_line_that_can_not_be_read_any_more_is_not_gone(make: Make) -> None:
    found = diff(make("old", FILES), make("new", {**FILES, PUSH: LINE.replace("5 5 *", "5 5")}))
    lost = about(found.not_seen, f"connects https://{OLD}/push")
    assert lost.why.startswith("can't be read as before: line 1: ")
    assert not found.vanished
    assert not found.fixed


def test_what_a_record_says_is_gone_has_gone(make: Make) -> None:
    host = (f"hosts/{WEB}", "ok")
    old = make("old", FILES, records(FILES, "2026-05-30T00:00:00Z", host))
    for name, more in (("one", (f"hosts/{WEB}/etc/cron.d", "ok")), ("two", (PUSH, "absent"))):
        files = {path: content for path, content in FILES.items() if path != PUSH}
        found = diff(old, make(name, files, records(files, LATER, host, more)))
        assert [one.rule for one in found.fixed] == ["job-calls-going-host"]
        assert found.complete


def test_a_script_that_nothing_calls_any_more(make: Make) -> None:
    """It is not asked for; only if all was seen that was seen before, is that because nothing leads there."""
    script = f"hosts/{WEB}/opt/push.sh"
    files = {**FILES, PUSH: "5 5 * * * root /opt/push.sh\n", script: f"#!/bin/sh\ncurl https://{OLD}/push\n"}
    spool = f"hosts/{WEB}/var/spool/cron/crontabs"
    host = (f"hosts/{WEB}", "ok")
    old = make("old", files, records(files, "2026-05-30T00:00:00Z", host, (spool, "absent")))
    left = {path: content for path, content in {**files, PUSH: OTHER}.items() if path != script}
    found = diff(old, make("new", left, records(left, LATER, host, (spool, "absent"))))
    assert about(found.vanished, "/opt/push.sh connects").why == "nothing that was captured leads to it any more"
    assert [one.rule for one in found.fixed] == ["job-calls-going-host"]
    assert found.complete
    found = diff(old, make("dim", left, records(left, LATER, host, (spool, "denied"))))
    assert about(found.not_seen, "/opt/push.sh connects").why == "nobody asked for it"
    assert [one.finding.rule for one in found.findings_not_seen] == ["job-calls-going-host"]


def test_a_source_that_nobody_asked(make: Make) -> None:
    files = {**FILES, "dns/example.net.zone": ZONE}
    old = make("old", files, records(files, "2026-05-30T00:00:00Z", ("sources/ns1", "ok"), (f"hosts/{WEB}", "ok")))
    new = make("new", FILES, records(FILES, LATER, (f"hosts/{WEB}", "ok")))
    found = diff(old, new)
    assert about(found.not_seen, "hook.example.net resolves").why == "nobody asked for it"
    assert [(one.path, one.outcome.value) for one in found.sources_not_seen] == [("sources/ns1", "unseen")]
    assert not found.vanished


def test_a_finding_of_which_everything_stands_is_not_gone_because_a_source_failed(make: Make) -> None:
    """The job calls a name that only the zone leads to the host: nothing of the job has changed."""
    files = {**FILES, PUSH: "5 5 * * * root curl -fsS https://hook.example.net/push\n", "dns/example.net.zone": ZONE}
    old = make("old", files, records(files, "2026-05-30T00:00:00Z", (f"hosts/{WEB}", "ok")))
    assert "job-calls-going-host" in {one.rule for one in diff(old, old).findings_left}
    left = {path: content for path, content in files.items() if not path.startswith("dns/")}
    new = make("new", left, records(left, LATER, (f"hosts/{WEB}", "ok"), ("dns/example.net.zone", "unreachable")))
    found = diff(old, new)
    assert not found.fixed
    assert "job-calls-going-host" in {one.finding.rule for one in found.findings_not_seen}


def test_a_value_that_a_lost_source_had_said_is_not_taken_back(make: Make) -> None:
    files = {**FILES, "dns/example.net.zone": ZONE, "dns/second.zone": ZONE.replace("cert01 IN", "cert01 60 IN")}
    old = make("old", files, records(files, "2026-05-30T00:00:00Z"))
    left = {path: content for path, content in files.items() if "second" not in path}
    found = diff(old, make("new", left, records(left, LATER, ("dns/second.zone", "denied"))))
    assert not found.changed
    (lost,) = [one for one in found.not_seen if "ttl" in one.before]
    assert (lost.before, lost.where.path) == ({"ttl": 60}, "dns/second.zone")


def test_what_the_old_state_could_not_see_may_have_been_there(make: Make) -> None:
    files = {path: content for path, content in FILES.items() if path != PUSH}
    old = make("old", files, records(files, "2026-05-30T00:00:00Z", (f"hosts/{WEB}", "ok"), (PUSH, "denied")))
    found = diff(old, make("new", FILES, records(FILES, LATER, (f"hosts/{WEB}", "ok"))))
    assert about(found.appeared, f"connects https://{OLD}").why == "not seen before (denied: why)"
    assert [one.why for one in found.found] == [f"{PUSH}: denied: why"]
    assert found.complete


def test_an_inventory_that_was_left_behind_takes_nothing_back(make: Make) -> None:
    """As in a snapshot that was copied without it: nobody says any more that a host is retired, nor that it is not."""
    service = "services:\n  - name: Shop\n    needs: [cert01.example.net]\n"
    old = make("old", {**FILES, "inventory.yaml": INVENTORY + service})
    new = make("new", {path: text for path, text in FILES.items() if path != "inventory.yaml"})
    found = diff(old, new, OLD)
    assert not [one for one in found.fixed if any(place.path == "inventory.yaml" for place in one.evidence)]
    assert not [one for one in found.vanished if "Shop" in one.subject]
    assert ("inventory.yaml", "there is no inventory.yaml") in [
        (one.path, one.detail) for one in found.sources_not_seen
    ]


def test_a_host_that_neither_side_names_is_no_comparison(make: Make) -> None:
    old, new = make("old", FILES), make("new", {**FILES, PUSH: OTHER})
    with pytest.raises(UsageError, match=r"cert10.example.net is named nowhere in either estate"):
        diff(old, new, "cert10.example.net")
    # One that is declared is there, whoever names it.
    declared = {**FILES, "inventory.yaml": INVENTORY + "  - name: cert10.example.net\n"}
    assert diff(make("declared", declared), make("declared too", declared), "cert10.example.net").going
    # On one side alone it has come, or gone.
    more = make("more", {**FILES, f"hosts/{WEB}/etc/cron.d/x": LINE.replace(OLD, "cert10.example.net")})
    assert diff(old, more, "cert10.example.net").found


def test_files_that_somebody_laid_down(make: Make) -> None:
    """Without records: that other crontabs are there says that this one is gone; that none are says nothing."""
    both = {**FILES, f"hosts/{WEB}/etc/cron.d/other": OTHER}
    left = {path: content for path, content in both.items() if path != PUSH}
    found = diff(make("old", both), make("new", left))
    assert [one.rule for one in found.fixed] == ["job-calls-going-host"]
    assert found.complete
    none = {path: content for path, content in FILES.items() if path != PUSH}
    found = diff(make("first", FILES), make("second", none))
    assert not found.fixed
    assert about(found.not_seen, f"connects https://{OLD}").why.startswith(f"nothing of the schedules of {WEB} is in ")
    absent = f"absent:\n  - {{area: schedules, host: {WEB}, reason: none, by: me, on: 2026-05-01}}\n"
    stated = make("third", {**none, "inventory.yaml": INVENTORY + absent})
    assert [one.rule for one in diff(make("first", FILES), stated).fixed] == ["job-calls-going-host"]


def test_another_policy_is_no_change_of_the_estate(make: Make) -> None:
    """Both are judged by that of the new side: what it switches off is neither new nor gone."""
    rules = "version: 1\nowner: me\nrules: [{rule: job-calls-going-host, enabled: false, reason: known}]\n"
    off = {**FILES, "policy.yaml": rules}
    found = diff(make("old", FILES), make("new", off))
    assert not found.fixed
    assert "job-calls-going-host" not in [one.rule for one in found.findings_left]
    assert not found.differs


def test_when_a_thing_was_looked_at_is_no_change_of_it(make: Make) -> None:
    probes = '{"tls_probes": "edge", "asked": 1, "at": "2026-05-30T00:00:00Z"}\n'
    probes += '{"endpoint": "api.example.net:443", "protocol": "tls", "status": "unreachable", "detail": "why"}\n'
    later = probes.replace("05-30", "05-31")
    found = diff(make("old", {**FILES, "tls/edge.jsonl": probes}), make("new", {**FILES, "tls/edge.jsonl": later}))
    assert not found.differs
    assert found.complete


class CallsRule(Rule):
    """Finds every job that calls the host that goes."""

    id: ClassVar[str] = "calls"
    title: ClassVar[str] = "Calls"
    area: ClassVar[Area] = Area.SCHEDULES
    severity: ClassVar[Severity] = Severity.WARN

    def __init__(self, crash_at: str) -> None:
        self.crash_at = crash_at

    def check(self, estate: EstateView) -> Iterator[Finding]:
        from auditor.api import Confidence, Impact, Kind, Provenance

        if estate.find(Kind.NAME, self.crash_at) is not None:
            raise KeyError("boom")
        evidence = (Provenance("notes.txt", 1, "x"),)
        yield Finding(
            self.id, self.area, self.severity, Confidence.HIGH, "x", ("x",), "m", "w", "a", Impact.BROKEN, evidence
        )


def test_a_rule_that_crashed_has_not_found_that_it_is_gone(make: Make) -> None:
    old = {**FILES, "notes.txt": "x\n"}
    new = {**old, PUSH: OTHER}
    found = diff(make("old", old), make("new", new), rules=[CallsRule("elsewhere.example.net")])
    assert [(one.finding.rule, one.why) for one in found.findings_not_seen] == [("calls", "the rule calls crashed")]
    assert "calls" not in [one.rule for one in found.fixed]
    assert [one.what for one in found.failures] == ["rule calls"]


class Fragile(Collector):
    """Crashes on a word."""

    name: ClassVar[str] = "fragile"
    title: ClassVar[str] = "Fragile"
    area: ClassVar[Area] = Area.SCHEDULES
    provides: ClassVar[frozenset[Relation]] = frozenset()

    def recognizes(self, path: str, head: bytes) -> bool:
        return path.endswith("cron.d/push")

    def parse(self, document: Document) -> Iterator[Parsed]:
        if b"crash" in document.content:
            raise KeyError("boom")
        yield from ()


def test_a_collector_that_crashed_has_not_seen_that_it_is_gone(make: Make) -> None:
    found = diff(make("old", FILES), make("new", {**FILES, PUSH: f"# crash\n{OTHER}"}), collectors=[Fragile()])
    assert "fragile crashed" in about(found.not_seen, f"connects https://{OLD}").why
    assert not found.fixed


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    code = main(["diff", "--quiet", "--now", NOW, *words])
    return code, capsys.readouterr().out


def test_exit_codes(make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    old = make("old", FILES, records(FILES, "2026-05-30T00:00:00Z", (f"hosts/{WEB}", "ok")))
    none = {path: content for path, content in FILES.items() if path != PUSH}
    lost = make("lost", none, records(none, LATER, (f"hosts/{WEB}", "ok"), (PUSH, "denied")))
    other = {**FILES, PUSH: OTHER}
    new = make("new", other, records(other, LATER, (f"hosts/{WEB}", "ok")))
    for to, code, word in ((old, 0, "SAME "), (new, 1, "DIFFERS "), (lost, 4, "NOT ALL SEEN ")):
        found, out = run(capsys, str(old), str(to))
        assert (found, out[: len(word)]) == (code, word)
    assert main(["diff", str(old), str(old / "nowhere")]) == 2
    assert "no such directory" in capsys.readouterr().err


def test_hosts_of_the_command_line(make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    plain = {PUSH: OTHER}
    old, new = make("old", plain), make("new", {PUSH: LINE})
    _, out = run(capsys, str(old), str(new), "--format", "json")
    assert json.loads(out)["findings"]["new"] == []
    code, out = run(capsys, str(old), str(new), "--host", OLD, "--as", "retired", "--format", "json")
    found: dict[str, Any] = json.loads(out)
    assert code == found["exit_code"] == 1
    assert [one["rule"] for one in found["findings"]["new"]] == ["job-calls-going-host"]


def test_output_to_a_file(make: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old, new = make("old", FILES), make("new", {**FILES, PUSH: OTHER})
    code, out = run(capsys, str(old), str(new), "--format", "markdown", "-o", str(tmp_path / "diff.md"))
    assert (code, out) == (1, "")
    assert (tmp_path / "diff.md").read_text().startswith("# DIFFERS")
