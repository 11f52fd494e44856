"""Rules in YAML: problems are said with their line; a test fails on what is missing, and on what is extra."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from textwrap import indent
from typing import Final

import jsonschema
import pytest
import yaml

from auditor.cli.main import main
from auditor.errors import PolicyError
from auditor.registry import load_rules as load_built_in
from auditor.yamlrules.loading import load_rules, rules_of
from auditor.yamlrules.schema import json_schema

ROOT: Final = Path(__file__).resolve().parents[2]
EXAMPLE: Final = ROOT / "docs/examples/company-rules"

RULE: Final = """\
- id: acme-jobs
  title: A job ends
  area: schedules
  severity: block
  nodes: job
  when: home.going
  message: "{{ node.label }} ends with {{ home.name }}"
  why: because
  action: move it
  description: d
  reason: r
  example: e
  blind: b
"""
TEST: Final = """\
- name: one job
  ask: [old-01.example.net]
  as: retired
  now: 2026-11-30T09:00:00Z
  files:
    hosts/old-01.example.net/etc/cron.d/x: "5 4 * * * root /opt/x\\n"
"""
FOUND: Final = "  expect: [{rule: acme-jobs, subject: /opt/x, severity: block, says: [ends with old-01]}]\n"


def written(path: Path, rules: str = RULE, tests: str = TEST + FOUND) -> Path:
    file = path / "rules.yaml"
    file.write_text(f"version: 1\nrules:\n{indent(rules, '  ')}tests:\n{indent(tests, '  ')}")
    return file


def outcome(file: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    code = main(["rules", "test", str(file)])
    return code, capsys.readouterr().out


def test_what_is_expected_and_nothing_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out = outcome(written(tmp_path), capsys)
    assert code == 0
    assert "1 test of 1 rule: 0 failed" in out


def test_a_finding_that_is_missing_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out = outcome(written(tmp_path, RULE.replace("when: home.going", "when: size(going) > 9")), capsys)
    assert code == 1
    assert "not found: acme-jobs about /opt/x" in out


def test_a_finding_that_differs_says_in_what(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out = outcome(written(tmp_path, RULE.replace("severity: block", "severity: warn")), capsys)
    assert code == 1
    assert "found instead" in out
    assert "its severity is warn" in out


def test_a_finding_that_nobody_expects_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out = outcome(written(tmp_path, tests=TEST), capsys)
    assert code == 1
    assert "found, and not expected: acme-jobs" in out
    assert "hosts/old-01.example.net/etc/cron.d/x:1" in out


def test_an_expression_that_fails_is_no_silence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An attribute that a node does not have: CEL's has() asks for it."""
    file = written(tmp_path, RULE.replace("when: home.going", "when: node.attributes.owner == 'x'"), TEST)
    code, out = outcome(file, capsys)
    assert code == 1
    assert (
        f"{file}:3: job /etc/cron.d/x: root /opt/x on old-01.example.net has no 'owner'; ask with has(…) before" in out
    )


def test_a_value_that_is_no_bool_is_no_silence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out = outcome(written(tmp_path, RULE.replace("when: home.going", "when: node.text"), TEST), capsys)
    assert code == 1
    assert "`when` gives str" in out


@pytest.mark.parametrize(
    ("rules", "line", "words"),
    [
        (RULE.replace("when: home.going", "when: home.going &&"), 8, "`when`: Failed to parse"),
        (RULE.replace("{{ home.name }}", "{{ home. }}"), 9, "`message`: Failed to parse"),
        (RULE.replace("id: acme-jobs", "id: mention"), 3, "expected lower-case words with hyphens"),
        (RULE.replace("id: acme-jobs", "id: alert-blind"), 3, "`alert-blind` is a rule of the auditor"),
        (RULE + RULE, 16, "`acme-jobs` is the rule at"),
        (RULE.replace("nodes: job", "nodes: jobs"), 7, "did you mean `job`?"),
        (RULE.replace("severity: block", "severty: block"), 6, "did you mean `severity`?"),
        (RULE.replace("  blind: b\n", ""), 3, "the key `blind` is missing"),
        (RULE.replace("why: because", "why:"), 10, "has no value"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(tmp_path: Path, rules: str, line: int, words: str) -> None:
    file = written(tmp_path, rules)
    with pytest.raises(PolicyError) as caught:
        load_rules(file, load_built_in()[0])
    assert [one for one in caught.value.problems if one.startswith(f"{file}:{line}: ") and words in one]


def test_files_of_a_test_stay_in_its_estate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tests = TEST.replace("hosts/old-01.example.net/etc/cron.d/x:", "../outside:")
    code, out = outcome(written(tmp_path, tests=tests), capsys)
    assert code == 1
    assert "is no path within an estate" in out
    assert not (tmp_path.parent / "outside").exists()


def test_bytes_that_are_no_yaml_are_a_problem() -> None:
    with pytest.raises(PolicyError):
        rules_of({"x.yaml": b"\xff\xfe: ["}, ())


def test_the_example_of_the_documentation(capsys: pytest.CaptureFixture[str]) -> None:
    code, out = outcome(EXAMPLE, capsys)
    assert code == 0, out
    assert "is found by no test" not in out


def test_the_example_fits_the_schema() -> None:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    for file in EXAMPLE.iterdir():
        # As text: YAML's own times are no JSON.
        document = json.loads(json.dumps(yaml.load(file.read_text(), Loader=yaml.BaseLoader)))
        document["version"] = 1
        jsonschema.validate(document, schema, cls=jsonschema.Draft202012Validator)


def test_a_checklist_asks_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    estate = tmp_path / "estate/hosts/old-01.example.net/etc/cron.d"
    estate.mkdir(parents=True)
    (estate / "x").write_text("5 4 * * * root /opt/x\n")
    options = ["old-01.example.net", "--estate", str(tmp_path / "estate"), "--format", "json", "-q"]
    main(["checklist", *options, "--rules", str(written(tmp_path))])
    told = json.loads(capsys.readouterr().out)
    assert [one["subject"] for one in told["findings"] if one["rule"] == "acme-jobs"] == [
        "job /etc/cron.d/x: root /opt/x on old-01.example.net"
    ]
    assert main(["checklist", *options, "--rules", str(tmp_path / "none")]) == 2


def test_the_gate_takes_them_from_before_the_change(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A change that takes the rule out is still judged by it."""

    def git(*words: str) -> None:
        subprocess.run(
            ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@example.net", *words], check=True
        )

    git("init", "-q", "-b", "main")
    (tmp_path / "own").mkdir()
    written(
        tmp_path / "own", RULE.replace("when: home.going", "when: size(going) > 0").replace("home.name", "node.text")
    )
    (tmp_path / "inventory.yaml").write_text("version: 1\nhosts:\n  - {name: old-01.example.net, lifecycle: retired}\n")
    git("add", "-A")
    git("commit", "-qm", "before")
    (tmp_path / "own/rules.yaml").unlink()
    (tmp_path / "hosts/new-01.example.net/etc/cron.d").mkdir(parents=True)
    (tmp_path / "hosts/new-01.example.net/etc/cron.d/x").write_text("5 4 * * * root ssh old-01.example.net ls\n")
    git("add", "-A")
    git("commit", "-qm", "after")
    options = ["--base", "HEAD~1", "--head", "HEAD", "--repo", str(tmp_path), "--format", "json", "-q"]
    assert main(["gate", *options, "--rules", "own"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert "acme-jobs" in {one["rule"] for one in told["findings"]}
    assert main(["gate", *options, "--rules", "own", "--trust-head"]) == 2
    assert "own: no rules in YAML there" in capsys.readouterr().err


AFTER: Final = TEST.replace("  as: retired\n", "  phase: after\n")
SAID: Final = "{{ node.label }} {{ estate.phase }}"


@pytest.mark.parametrize(
    ("phase", "before", "after"),
    [("", True, False), ("before", True, False), ("after", False, True), ("both", True, True)],
)
def test_when_a_rule_is_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], phase: str, before: bool, after: bool
) -> None:
    rule = RULE.replace("{{ node.label }} ends with {{ home.name }}", SAID)
    rule += f"  phase: {phase}\n" if phase else ""
    for test, found, word in ((TEST, before, "before"), (AFTER, after, "after")):
        expect = f"  expect: [{{rule: acme-jobs, says: [{word}]}}]\n" if found else "  expect: []\n"
        code, out = outcome(written(tmp_path, rule, test + expect), capsys)
        assert code == 0, out


def test_with_after_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    estate = tmp_path / "estate"
    job = estate / "hosts/old-01.example.net/etc/cron.d/x"
    job.parent.mkdir(parents=True)
    job.write_text("5 4 * * * root /opt/x\n")
    rules = written(tmp_path, RULE + "  phase: after\n")
    command = ["checklist", "old-01.example.net", "--estate", str(estate), "--rules", str(rules), "--quiet"]
    main([*command, "--format", "json"])
    assert "acme-jobs" not in {one["rule"] for one in json.loads(capsys.readouterr().out)["findings"]}
    assert main([*command, "--after", "--format", "json"]) == 1
    assert "acme-jobs" in {one["rule"] for one in json.loads(capsys.readouterr().out)["findings"]}


def test_what_is_gone_is_not_read_only(tmp_path: Path) -> None:
    test = TEST.replace("  as: retired\n", "  phase: after\n  as: read-only\n")
    with pytest.raises(PolicyError) as caught:
        load_rules(written(tmp_path, tests=test), ())
    assert "a host that is read-only is not gone (leave out `as`)" in caught.value.problems[0]
