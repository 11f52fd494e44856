"""The gate's formats, read back by what reads them elsewhere, with hostile text inside."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from sarif_pydantic import Sarif

from auditor.change import GateReport, Judged, Removal, Standing
from auditor.cli.common import report_file
from auditor.model import (
    Area,
    Aside,
    Confidence,
    Coverage,
    Failure,
    Finding,
    Going,
    Impact,
    Lifecycle,
    Outcome,
    Provenance,
    RuleRun,
    SetAside,
    Severity,
    Step,
)
from auditor.report.gate import FORMATS, render
from auditor.report.gate.machines import ANNOTATIONS
from auditor.report.gate.markdown import LIMIT, MARKER
from auditor.report.gate.sarif import GAPS, RESULTS

HOSTILE = (
    "x`<script>alert(1)</script>|]]>&\"'\n::error file=a::owned\r\x1b[31m\u202egnp.exe\x00\udce9 "
    "<!-- auditor-gate --> @team #12 %0A"
)


def finding(number: int = 0, text: str = HOSTILE, *, severity: Severity = Severity.BLOCK) -> Finding:
    where = Provenance(f"roles/{text}/{number}.cron", number + 1, text)
    return Finding(
        rule="renewal-on-going-host",
        area=Area.RENEWAL,
        severity=severity,
        confidence=Confidence.HIGH,
        subject=text,
        identity=(str(number),),
        message=f"Job {text} runs on cert01",
        why=text,
        action=text,
        impact=Impact.BROKEN,
        evidence=(where, Provenance("a file.yml", 0, text)),
        path=(Step(text, "runs on", text, text, Provenance("b.yml", 3, text)),),
        hosts=("cert01.example.net",),
    )


def report(*judged: Judged, failures: tuple[Failure, ...] = (), text: str = HOSTILE) -> GateReport:
    return GateReport(
        passed=not judged,
        fail_on=Severity.BLOCK,
        base=text,
        head="HEAD",
        going=(Going("cert01.example.net", Lifecycle.RETIRED),),
        removals=(
            Removal(
                text, "is taken out of DNS", (Provenance(f"dns/{text}", 4, text),), tuple(one.finding for one in judged)
            ),
        ),
        judged=judged,
        lost_sight=(Coverage("", Area.MENTIONS, text, Outcome.PARTIAL, detail=text, path=text),),
        withdrawn=(text,),
        failures=failures,
        rules=(RuleRun("renewal-on-going-host", "A renewal runs on it", Area.RENEWAL, 1, True, ()),),
        now=datetime(2026, 6, 1, 12, tzinfo=UTC),
        notes=(text,),
    )


ALL = tuple(Judged(finding(at), standing) for at, standing in enumerate(Standing))
HELP = {"renewal-on-going-host": "# A renewal runs on it\n\nHelp."}


def test_sarif() -> None:
    document = json.loads(render(report(*ALL), "sarif", help_of=HELP))
    sarif = Sarif.model_validate(document)
    (run,) = sarif.runs
    assert document["version"] == "2.1.0"
    rules = document["runs"][0]["tool"]["driver"]["rules"]
    results = document["runs"][0]["results"]
    assert [rule["id"] for rule in rules] == ["renewal-on-going-host", "host-removed-with-dependents"]
    assert rules[0]["help"]["markdown"] == HELP["renewal-on-going-host"]
    for result in results:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        (place,) = result["locations"]
        uri = place["physicalLocation"]["artifactLocation"]["uri"]
        # RFC 3986: nothing but what a relative reference may hold.
        assert re.fullmatch(r"(?:[A-Za-z0-9._~/-]|%[0-9A-F]{2})+", uri), uri
        assert place["physicalLocation"]["region"]["startLine"] >= 1
    assert {one["baselineState"] for one in results} == {"new", "updated", "unchanged", "absent"}
    prints = [one["partialFingerprints"]["auditorFinding/v1"] for one in results]
    assert len(set(prints)) == len(prints)
    related = results[1]["relatedLocations"]
    assert [one["id"] for one in related] == list(range(1, len(related) + 1))
    assert related[-1]["message"]["text"].endswith(")")
    assert run.invocations is not None
    assert run.invocations[0].execution_successful is True
    assert all("\x1b" not in one["message"]["text"] and "\u202e" not in one["message"]["text"] for one in results)


def test_sarif_is_honest_about_failures() -> None:
    failed = report(failures=(Failure("rule x", "KeyError", "report it"),))
    (run,) = json.loads(render(failed, "sarif", help_of={}))["runs"]
    (invocation,) = run["invocations"]
    assert invocation["executionSuccessful"] is False
    assert "rule x" in invocation["toolExecutionNotifications"][0]["message"]["text"]


def test_sarif_tells_what_was_not_seen() -> None:
    """The run was whole, its results may not be."""
    gap = Coverage("web01", Area.SCHEDULES, "crontabs", Outcome.DENIED, detail="no rights", path="hosts/web01/x y")
    seen = replace(report(text="x"), unseen=(gap, *(replace(gap, path="", what=str(at)) for at in range(GAPS))))
    (run,) = json.loads(render(seen, "sarif", help_of={}))["runs"]
    (invocation,) = run["invocations"]
    assert invocation["executionSuccessful"] is True
    told = invocation["toolExecutionNotifications"]
    assert len(told) == GAPS + 1
    assert {one["level"] for one in told} == {"warning"}
    known = {one["id"] for one in run["tool"]["driver"]["notifications"]}
    assert {one["descriptor"]["id"] for one in told} == known
    assert told[1]["message"]["text"] == "not looked at: crontabs: no rights"
    assert told[1]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "hosts/web01/x%20y"
    assert told[-1]["message"]["text"] == "and 2 more that were not seen"


def test_sarif_is_as_large_as_can_be_shown() -> None:
    many = [Judged(finding(at, "x"), Standing.KNOWN) for at in range(RESULTS + 3)]
    many.append(Judged(finding(RESULTS + 3, "x"), Standing.NEW))
    (run,) = json.loads(render(replace(report(*many, text="x"), removals=()), "sarif", help_of={}))["runs"]
    assert len(run["results"]) == RESULTS
    assert run["results"][0]["baselineState"] == "new"
    said = [one["message"]["text"] for one in run["invocations"][0]["toolExecutionNotifications"]]
    assert "4 more results are left out" in said


def test_fingerprints_do_not_move_with_lines() -> None:
    one = finding()
    moved = Judged(
        Finding(
            **{**{name: getattr(one, name) for name in one.__slots__}, "evidence": (Provenance("other", 99, "x"),)}
        ),
        Standing.NEW,
    )
    documents = [
        json.loads(render(report(judged), "sarif", help_of={})) for judged in (Judged(one, Standing.NEW), moved)
    ]
    first, second = ([r["partialFingerprints"] for r in d["runs"][0]["results"]] for d in documents)
    assert first == second


def test_github_commands() -> None:
    printed = render(report(*ALL), "github", help_of={})
    lines = printed.splitlines()
    # Of four standings two fail; one removal and one gap.
    assert [line.split(" ", 1)[0] for line in lines] == ["::error", "::error", "::error", "::warning"]
    for line in lines:
        # What @actions/core writes: properties with %, line breaks, colon and comma escaped; data with the first three.
        assert re.fullmatch(r"::(?:error|warning|notice) (?:[a-zA-Z]+=[^,:\r\n]*,?)+::[^\r\n]*", line), line
        assert "\x1b" not in line
    many = report(*(Judged(finding(at), Standing.NEW) for at in range(200)))
    assert len(render(many, "github", help_of={}).splitlines()) == ANNOTATIONS + 1


def test_gitlab_code_quality() -> None:
    """Of each issue what GitLab's parser asks for (its `json_schemas/codeclimate.json`, and its page on the format)."""
    issues = json.loads(render(report(*ALL), "gitlab", help_of={}))
    assert len(issues) == 4
    for issue in issues:
        assert {"description", "check_name", "fingerprint", "severity", "location"} <= issue.keys()
        assert all(isinstance(issue[key], str) for key in ("description", "check_name", "fingerprint"))
        assert issue["severity"] in {"info", "minor", "major", "critical", "blocker"}
        assert isinstance(issue["location"]["lines"]["begin"], int)
        assert issue["location"]["path"]
    assert len({issue["fingerprint"] for issue in issues}) == 4


JUNIT = {
    "testsuites": (set(), {"testsuite"}),
    "testsuite": (
        {"name", "tests", "failures", "errors", "skipped", "timestamp"},
        {"testcase", "system-out"},
    ),
    "testcase": ({"classname", "name"}, {"failure", "error", "skipped", "system-out"}),
    "skipped": ({"message"}, set()),
    "failure": ({"message", "type"}, set()),
    "error": ({"message", "type"}, set()),
    "system-out": (set(), set()),
}
"""What may stand where, by the schema of Jenkins' xUnit plugin (junit-10.xsd), of which we use a part."""


def junit(of: GateReport) -> ET.Element:
    """The suite of a report, which is as the schema wants it."""
    root = ET.fromstring(render(of, "junit", help_of={}).encode())
    for element in root.iter():
        attributes, children = JUNIT[element.tag]
        assert set(element.attrib) == attributes, element.tag
        assert {child.tag for child in element} <= children, element.tag
    (suite,) = root.findall("testsuite")
    cases = suite.findall("testcase")
    assert int(suite.attrib["tests"]) == len(cases) == len({case.attrib["name"] for case in cases})
    assert int(suite.attrib["failures"]) == len(suite.findall("testcase/failure"))
    assert int(suite.attrib["errors"]) == len(suite.findall("testcase/error"))
    return suite


def failed(suite: ET.Element) -> set[str]:
    return {
        case.attrib["name"].partition(":")[0] for case in suite.findall("testcase") if case.find("failure") is not None
    }


def test_junit() -> None:
    suite = junit(report(*ALL, failures=(Failure(HOSTILE, HOSTILE, HOSTILE),)))
    assert failed(suite) == {"host-removed-with-dependents", "renewal-on-going-host"}
    assert len(suite.findall("testcase/error")) == 1
    assert "<script>" in (suite.findall("testcase/failure")[0].attrib["message"])


def test_junit_fails_what_fails_the_change() -> None:
    note = Judged(finding(severity=Severity.INFO), Standing.NEW)
    told = junit(replace(report(note), removals=()))
    assert failed(told) == set()
    assert any("Job " in (one.text or "") for one in told.findall("testcase/system-out"))
    needed = replace(report(note).removals[0], declared=True)
    assert failed(junit(replace(report(note), removals=(needed,)))) == set()
    strict = junit(replace(report(note), removals=(), fail_on=Severity.WARN))
    assert failed(strict) == {"not-seen-any-more"}


def test_markdown_comment() -> None:
    text = render(report(*ALL), "markdown", help_of={})
    assert text.startswith(f"{MARKER}\n")
    outside = re.sub(r"(`+)(?:(?!\1).)*?\1", "", text.replace(MARKER, "", 1), flags=re.DOTALL)
    for bad in ("<script", "@team", "#12", "<!--"):
        assert bad not in outside, bad
    many = render(report(*(Judged(finding(at), Standing.NEW) for at in range(2000))), "markdown", help_of={})
    assert len(many) <= LIMIT
    assert "do not fit" in many
    assert many.count(MARKER.strip("<>!- ")) >= 1


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_is_inert(format: str) -> None:
    printed = render(report(*ALL), format, help_of=HELP, width=60)
    printed.encode("utf-8", "backslashreplace")
    assert "\x1b[31m" not in printed
    assert "\u202e" not in printed
    assert "\x00" not in printed
    assert not re.search(r"^::error file=a::owned", printed, re.MULTILINE)


def test_several_reports_of_one_run() -> None:
    read = report_file(FORMATS)
    assert read("sarif=a/b=c.sarif") == ("sarif", Path("a/b=c.sarif"))
    for bad in ("sarif", "sarif=", "nonsense=x"):
        with pytest.raises(Exception, match="FORMAT=FILE"):
            read(bad)


def test_what_is_set_aside_is_in_every_format_that_has_a_place_for_it() -> None:
    """SARIF suppresses it, JUnit skips it, and nobody takes it for one that fails."""
    where = Provenance(f"policy{HOSTILE}.yaml", 3, HOSTILE)
    decided = SetAside(finding(9), Aside.WAIVED, where, f"It moves {HOSTILE}", HOSTILE, "2026-07-01")
    passed = replace(report(), removals=(), aside=(decided,))
    document = json.loads(render(passed, "sarif", help_of=HELP))
    Sarif.model_validate(document)
    (result,) = document["runs"][0]["results"]
    (suppression,) = result["suppressions"]
    assert (suppression["kind"], suppression["status"]) == ("external", "accepted")
    assert "waived until 2026-07-01" in suppression["justification"]
    suite = ET.fromstring(render(passed, "junit", help_of=HELP))[0]
    assert (suite.get("failures"), suite.get("skipped")) == ("0", "1")
    (skipped,) = [case for case in suite if case.find("skipped") is not None]
    assert "set aside 1" in str(skipped.get("name"))
    assert "::notice title=set aside::1 waived, by the policy\n" in render(passed, "github", help_of=HELP)
    for kind in FORMATS:
        printed = render(passed, kind, help_of=HELP, width=60)
        assert "\x1b[31m" not in printed
        assert "\u202e" not in printed
        assert ("waived" in printed) == (kind != "gitlab")
