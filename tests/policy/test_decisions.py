"""What a policy and a baseline do to a run, by its JSON: nothing is dropped, and nothing is clean that was not seen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from auditor.cli.main import main

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = json.loads((ROOT / "docs" / "report-v1.schema.json").read_text())
NOW = "2026-06-01T12:00:00Z"
OLD = "old.example.org"
INVENTORY = """\
version: 1
domains: [example.org]
owner: platform
area_owners:
  - {area: names, owner: network, people: [Nia]}
hosts:
  - {name: old.example.org, lifecycle: read-only, since: 2026-01-10, addresses: [10.0.0.1], owner: web}
  - {name: web01.example.org, addresses: [10.0.0.2]}
absent:
  - {area: webhooks, reason: none, by: me, on: 2026-05-01}
  - {area: monitoring, reason: none, by: me, on: 2026-05-01}
  - {area: renewal, reason: none, by: me, on: 2026-05-01}
  - {area: storage, reason: none, by: me, on: 2026-05-01}
  - {area: schedules, host: old.example.org, reason: none, by: me, on: 2026-05-01}
  - {area: configuration, reason: none, by: me, on: 2026-05-01}
  - {area: identity, reason: none, by: me, on: 2026-05-01}
  - {area: logs, reason: none, by: me, on: 2026-05-01}
"""
WHOLE = '{"path": "hosts/web01.example.org", "outcome": "ok"}\n'
FILES = {
    "inventory.yaml": INVENTORY,
    "captures.jsonl": WHOLE,
    "hosts/web01.example.org/etc/cron.d/push": f"1 1 * * * root rsync -a /srv/ {OLD}:/push/\n",
    "docs/wiki.md": f"The files are on {OLD}.\n",
    "dns/example.org.zone": "$ORIGIN example.org.\n@ IN SOA ns root 1 2 3 4 5\nold IN A 10.0.0.1\n",
}
PUSH, WIKI = "job-calls-going-host", "mention"


def estate(root: Path, policy: str = "", **more: str) -> Path:
    files = {**FILES, **{path.replace("__", "/"): text for path, text in more.items()}}
    if policy:
        files["policy.yaml"] = f"version: 1\n{policy}"
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return root


def run(root: Path, capsys: pytest.CaptureFixture[str], *words: str, hosts: tuple[str, ...] = (OLD,)) -> dict[str, Any]:
    main(["checklist", *hosts, "--estate", str(root), "--now", NOW, "--quiet", "--format", "json", *words])
    report: dict[str, Any] = json.loads(capsys.readouterr().out)
    jsonschema.Draft202012Validator(SCHEMA).validate(report)
    return report


def rules(found: list[dict[str, Any]]) -> list[str]:
    return sorted(one["rule"] for one in found)


def waiver(match: str, expires: str = "2026-07-01") -> str:
    return f"waivers:\n  - match: {match}\n    reason: It moves.\n    owner: web\n    expires: {expires}\n"


def test_without_a_policy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = run(estate(tmp_path), capsys)
    assert report["verdict"] == "BLOCKED"
    assert {PUSH, WIKI} <= set(rules(report["findings"]))
    assert report["set_aside"] == []
    assert report["policy"]["path"] is None


def test_a_waived_finding_is_told_apart_and_does_not_block(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = run(estate(tmp_path, waiver(f"{{rule: {PUSH}}}")), capsys)
    assert PUSH not in rules(report["findings"])
    (waived,) = report["set_aside"]
    assert (waived["rule"], waived["set_aside"], waived["owner"], waived["expires"], waived["reason"]) == (
        PUSH,
        "waived",
        "web",
        "2026-07-01",
        "It moves.",
    )
    assert waived["decided_at"]["line"] == 3
    assert report["verdict"] != "BLOCKED"
    assert report["policy"]["unused_waivers"] == []
    # The last day still counts.
    last = run(estate(tmp_path, waiver(f"{{rule: {PUSH}}}", "2026-06-01")), capsys)
    assert len(last["set_aside"]) == 1


@pytest.mark.parametrize("format", ["text", "markdown"])
def test_a_waived_finding_is_in_every_format(tmp_path: Path, capsys: pytest.CaptureFixture[str], format: str) -> None:
    root = estate(tmp_path, waiver(f"{{rule: {PUSH}}}"))
    main(["checklist", OLD, "--estate", str(root), "--now", NOW, "--quiet", "--format", format])
    out = " ".join(capsys.readouterr().out.replace("`", "").split())
    assert "1 waived" in out
    assert "waived until 2026-07-01 by web: It moves." in out
    assert "etc/cron.d/push" in out


def test_an_expired_waiver_fails_loudly_and_counts_no_more(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = estate(tmp_path, waiver(f"{{rule: {PUSH}}}", "2026-05-31"))
    report = run(root, capsys)
    assert PUSH in rules(report["findings"])
    (failure,) = report["failures"]
    assert failure["what"] == f"the waiver at {root}/policy.yaml:3 has expired"
    assert "2026-05-31, for web: It moves.; 1 finding counts again" in failure["error"]


def test_an_expired_waiver_of_what_is_gone_rules_out_clear(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clear = {"hosts__web01.example.org__etc__cron.d__push": "1 1 * * * root true\n"}
    everything = waiver("{rule: job-*}")
    before = run(estate(tmp_path / "a", "", **clear), capsys)
    assert before["verdict"] == "CLEAR", [before["findings"], before["rules"]]
    after = run(estate(tmp_path / "b", everything.replace("2026-07-01", "2026-05-31"), **clear), capsys)
    assert after["verdict"] == "INCOMPLETE"
    unused = run(estate(tmp_path / "c", everything, **clear), capsys)
    assert unused["verdict"] == "CLEAR"
    assert [one["line"] for one in unused["policy"]["unused_waivers"]] == [3]


@pytest.mark.parametrize(
    ("match", "meets"),
    [
        ("{path: docs/*}", True),
        ("{path: docs/*, rule: mention}", True),
        ("{path: docs/*, rule: dns-*}", False),
        ("{path: hosts/*, rule: mention}", False),
        ("{host: OLD.example.org, path: docs/*}", True),
        ("{host: web*, path: docs/*}", False),
        ("{subject: docs/wiki.md}", True),
        ("{subject: wiki.md}", False),
    ],
)
def test_a_match_must_meet_all_that_it_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], match: str, meets: bool
) -> None:
    report = run(estate(tmp_path, waiver(match)), capsys)
    assert [one["rule"] for one in report["set_aside"]] == ([WIKI] if meets else [])


def test_a_waiver_of_another_host_is_not_unused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = run(estate(tmp_path, waiver("{rule: mention, host: db*}")), capsys)
    assert report["policy"]["unused_waivers"] == []


def test_a_rule_that_is_off_is_listed_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    off = f"rules:\n  - rule: {PUSH}\n    enabled: false\n    reason: Others look after that.\n"
    report = run(estate(tmp_path, off), capsys)
    (one,) = report["set_aside"]
    assert (one["rule"], one["set_aside"], one["reason"]) == (PUSH, "off", "Others look after that.")
    # Its line is not told by a duller rule instead.
    assert not any(place["path"].endswith("push") for found in report["findings"] for place in found["evidence"])
    (rule,) = (rule for rule in report["rules"] if rule["rule"] == PUSH)
    assert rule["switched_off"].endswith("policy.yaml:3: Others look after that.")
    (area,) = (area for area in report["checklist"]["areas"] if area["id"] == "schedules")
    assert "1 of " in area["not_looked_at"]
    assert "off" in area["not_looked_at"]


def test_a_rule_that_is_on_for_some_hosts_must_have_looked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    off = f"rules:\n  - {{rule: {PUSH}, enabled: false, reason: none}}\n"
    on = f'  - {{rule: {PUSH}, hosts: ["db*"], enabled: true}}\n'
    assert [one["rule"] for one in run(estate(tmp_path / "a", off), capsys)["rules"] if one["switched_off"]] == [PUSH]
    assert not [one for one in run(estate(tmp_path / "b", off + on), capsys)["rules"] if one["switched_off"]]


def test_the_last_entry_counts_and_hosts_narrow_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changes = """\
rules:
  - area: mentions
    severity: block
  - rule: mention
    hosts: ["old.*"]
    severity: warn
  - area: schedules
    enabled: false
    reason: none
  - rule: job-*
    hosts: ["new.*"]
    enabled: false
    reason: none
  - rule: job-calls-*
    enabled: true
"""
    report = run(estate(tmp_path, changes), capsys)
    assert {one["severity"] for one in report["findings"] if one["rule"] == WIKI} == {"warn"}
    assert PUSH in rules(report["findings"])
    assert report["set_aside"] == []
    assert not next(rule for rule in report["rules"] if rule["rule"] == PUSH)["switched_off"]


def test_what_is_known_does_not_block_unless_it_is_worse(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = estate(tmp_path / "estate")
    known = tmp_path / "known.json"
    assert main(["baseline", "write", str(known), OLD, "--estate", str(root), "--now", NOW, "--quiet"]) == 0
    capsys.readouterr()
    report = run(root, capsys, "--baseline", str(known))
    assert report["findings"] == []
    assert {one["set_aside"] for one in report["set_aside"]} == {"known"}
    assert report["verdict"] == "CLEAR"
    (root / "policy.yaml").write_text("version: 1\nrules:\n  - {rule: mention, severity: block}\n")
    worse = run(root, capsys, "--baseline", str(known))
    assert set(rules(worse["findings"])) == {WIKI}
    assert worse["verdict"] == "BLOCKED"
    # An own file in the estate names the host, and is no part of the estate.
    inside = root / "known.json"
    inside.write_bytes(known.read_bytes())
    assert not any("known.json" in json.dumps(one) for one in run(root, capsys, "--baseline", str(inside))["findings"])


def test_what_is_gone_is_credited_and_what_was_not_seen_is_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = estate(tmp_path / "estate")
    known = tmp_path / "known.json"
    main(["baseline", "write", str(known), OLD, "--estate", str(root), "--now", NOW, "--quiet"])
    capsys.readouterr()
    (root / "docs" / "wiki.md").unlink()
    cron = root / "hosts/web01.example.org/etc/cron.d/push"
    cron.unlink()
    denied = {"path": "hosts/web01.example.org/etc/cron.d", "outcome": "denied", "collected_at": NOW}
    (root / "captures.jsonl").write_text(WHOLE + json.dumps(denied) + "\n")
    report = run(root, capsys, "--baseline", str(known))
    assert rules(report["policy"]["gone"]) == [WIKI]
    assert rules(report["policy"]["not_seen_again"]) == [PUSH]
    main(["baseline", "prune", str(known), OLD, "--estate", str(root), "--now", NOW, "--quiet"])
    assert "1 finding taken out" in capsys.readouterr().out
    left = json.loads(known.read_text())["findings"]
    assert PUSH in rules(left)
    assert "docs/wiki.md" not in [one["subject"] for one in left]
    # About other hosts this run says nothing.
    other = run(root, capsys, "--baseline", str(known), hosts=("web01.example.org",))
    assert other["policy"]["gone"] == other["policy"]["not_seen_again"] == []


def test_a_large_scenario_must_be_confirmed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hosts = "".join(f"  - name: app{number:02}.example.org\n" for number in range(20))
    root = estate(tmp_path, **{"inventory.yaml": f"version: 1\nhosts:\n{hosts}"})
    names = [f"app{number:02}.example.org" for number in range(11)]
    words = ["checklist", *names, "--estate", str(root), "--now", NOW, "--quiet"]
    assert main(words) == 2
    said = capsys.readouterr().err
    assert "11 of 21 hosts are going, 52 %: more than 25 %" in said
    assert "--confirm-hosts 11" in said
    assert main([*words, "--confirm-hosts", "10"]) == 2
    assert main([*words, "--confirm-hosts", "11"]) in (1, 4)
    (root / "policy.yaml").write_text("version: 1\nconfirm_percent: 60\n")
    assert main(words) in (1, 4)


def test_the_age_of_captures_that_the_policy_wants(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dated = INVENTORY.replace("domains:", "collected_at: 2026-05-01\ndomains:")
    for name, age in (("a", "60d"), ("b", "7d")):
        # Without records of its own, each file is of the time that the inventory states.
        (estate(tmp_path / name, f"max_age: {age}\n", **{"inventory.yaml": dated}) / "captures.jsonl").unlink()
    fresh, stale = run(tmp_path / "a", capsys), run(tmp_path / "b", capsys)
    old = [row for row in stale["coverage"] if "older than 7 days" in row["detail"]]
    assert old
    assert not [row for row in fresh["coverage"] if "older than" in row["detail"]]
    assert not [row for row in run(tmp_path / "b", capsys, "--no-policy")["coverage"] if "older than" in row["detail"]]


def test_a_threshold(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sample = ROOT / "sample_inventories" / "eventide"
    policy = tmp_path / "policy.yaml"
    words = ["checklist", "legacy-cert-01", "--estate", str(sample), "--now", "2025-11-21T12:00:00Z", "--quiet"]

    def found(settings: str) -> list[dict[str, Any]]:
        policy.write_text(f"version: 1\nrules:\n  - rule: certificate-for-everything\n    settings: {settings}\n")
        main([*words, "--policy", str(policy), "--format", "json"])
        report = json.loads(capsys.readouterr().out)
        assert report["policy"]["changes"] == [f"certificate-for-everything: {said} ({policy}:3)"]
        return [one for one in report["findings"] if one["rule"] == "certificate-for-everything"]

    said = "names 9, servers 1000"
    assert len(found("{names: 9, servers: 1000}")) == 1
    said = "names 10, servers 341"
    assert found("{names: 10, servers: 341}") == []


def test_a_wrong_policy_is_an_error_by_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = estate(tmp_path, "waiver: []\n")
    assert main(["checklist", OLD, "--estate", str(root), "--now", NOW, "--quiet"]) == 2
    assert f"{root}/policy.yaml:2: unknown key `waiver`" in capsys.readouterr().err
    assert main(["policy", "check", str(root)]) == 2
    capsys.readouterr()
    assert run(root, capsys, "--no-policy")["verdict"] == "BLOCKED"
    # Without an inventory it is somebody else's file.
    (root / "inventory.yaml").unlink()
    assert run(root, capsys)["policy"]["path"] is None


def test_the_policy_of_several_estates_is_that_of_the_first_with_an_inventory(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "policy.yaml").write_text("not ours\n")
    root = estate(tmp_path / "estate", waiver(f"{{rule: {PUSH}}}"))
    pack = tmp_path / "estate.sqlar"
    assert main(["snapshot", "pack", str(root), "-o", str(pack)]) == 0
    capsys.readouterr()
    for second in (root, pack):
        main(
            [
                "checklist",
                OLD,
                "--estate",
                str(bare),
                "--estate",
                str(second),
                "--now",
                NOW,
                "--quiet",
                "--format",
                "json",
            ]
        )
        report = json.loads(capsys.readouterr().out)
        assert report["policy"]["path"] == f"{second}/policy.yaml"
        assert len(report["set_aside"]) == 1


def test_policy_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = estate(tmp_path, waiver(f"{{rule: {PUSH}}}", "2026-05-31"))
    assert main(["policy", "check", str(root), "--now", NOW]) == 0
    out = capsys.readouterr().out
    assert "policy.yaml:3: expired on 2026-05-31: It moves. (web)" in out
    assert "good: 0 changes of rules, 1 waiver, 1 of them expired" in out
