"""Other outputs for machines: JSON of our own, GitHub's workflow commands, GitLab's code quality, JUnit's XML."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final
from xml.etree import ElementTree as ET

from auditor.change import GateReport, Standing
from auditor.model import Provenance, Severity
from auditor.phrases import timestamp
from auditor.report.gate.wording import (
    REMOVED,
    REMOVED_TITLE,
    by_urgency,
    gap_text,
    headline,
    main_place,
    place_of,
    removal_message,
    sentences,
)
from auditor.report.layout import clean
from auditor.report.summary import aside_said, aside_tally

ANNOTATIONS: Final = 50
"""Annotations of one run; GitHub shows ten of each kind for a step, and fifty for a job."""
SIGHT: Final = "not-seen-any-more"
SIGHT_TITLE: Final = "The change hides nothing that could be judged before"
_COMMAND: Final[Mapping[Severity, str]] = {Severity.BLOCK: "error", Severity.WARN: "warning", Severity.INFO: "notice"}
_QUALITY: Final[Mapping[Severity, str]] = {
    Severity.BLOCK: "critical",
    Severity.WARN: "major",
    Severity.INFO: "minor",
}


def render_json(report: GateReport) -> str:
    """All of it. Keys may be added in later versions; those that are there keep their meaning."""

    def place(item: Provenance) -> dict[str, Any]:
        return {"path": item.path, "line": item.line, "excerpt": item.excerpt}

    document = {
        "format": "auditor gate",
        "version": 1,
        "passed": report.passed,
        "fail_on": report.fail_on.value,
        "base": report.base,
        "head": report.head,
        "now": timestamp(report.now),
        "hosts": [
            {
                "host": one.host,
                "lifecycle": one.lifecycle.value,
                "names": list(one.names),
                "addresses": list(one.addresses),
                "successor": one.successor,
                "origin": one.origin,
            }
            for one in report.going
        ],
        "removed": [
            {
                "host": one.host,
                "what": one.what,
                "at": [place(item) for item in one.where],
                "dependents": [finding.fingerprint for finding in one.dependents],
            }
            for one in report.removals
        ],
        "findings": [
            {
                "standing": one.standing.value,
                "rule": one.finding.rule,
                "fingerprint": one.finding.fingerprint,
                "area": one.finding.area.value,
                "severity": one.finding.severity.value,
                "confidence": one.finding.confidence.value,
                "subject": one.finding.subject,
                "message": one.finding.message,
                "why": one.finding.why,
                "action": one.finding.action,
                "hosts": list(one.finding.hosts),
                "evidence": [place(item) for item in one.finding.evidence],
                "added": [place(item) for item in one.added],
            }
            for one in by_urgency(report.judged)
        ],
        "not_seen_any_more": [{"what": gap_text(gap), "path": gap.path, "line": gap.line} for gap in report.lost_sight],
        "not_looked_at": [
            {
                "source": one.source,
                "area": one.area.value,
                "what": one.what,
                "outcome": one.outcome.value,
                "detail": one.detail,
                "path": one.path,
                "line": one.line,
                **({"hosts": list(one.hosts)} if one.hosts else {}),
            }
            for one in report.unseen
        ],
        "declared_active_again": list(report.withdrawn),
        "set_aside": [
            {
                "why": one.why.value,
                "rule": one.finding.rule,
                "fingerprint": one.finding.fingerprint,
                "severity": one.finding.severity.value,
                "message": one.finding.message,
                "reason": one.reason,
                "owner": one.owner,
                "expires": one.expires or None,
                "at": place(one.where),
            }
            for one in report.aside
        ],
        "failures": [{"what": one.what, "error": one.error, "hint": one.hint} for one in report.failures],
        "notes": list(report.notes),
        "counts": dict(report.counts),
    }
    return json.dumps(document, indent=1) + "\n"


def render_github(report: GateReport) -> str:
    """Workflow commands that annotate the lines of the pull request; known and mended findings are left out."""
    lines = []
    for removal in report.removals:
        if removal.dependents:
            message = removal_message(removal.host, removal.what, removal.dependents)
            lines.append(_command("error", removal.where[0], REMOVED_TITLE, message))
    for one in by_urgency(report.judged):
        if one.fails:
            said = sentences(one.finding.message, one.finding.why, one.finding.action)
            lines.append(_command(_COMMAND[one.finding.severity], main_place(one), one.finding.rule, said))
    lines += [f"::warning title=not seen since this change::{_data(gap_text(gap))}" for gap in report.lost_sight]
    lines += [f"::error title=the auditor failed::{_data(f'{one.what}: {one.error}')}" for one in report.failures]
    if report.aside:
        lines.append(f"::notice title=set aside::{_data(f'{aside_tally(report.aside)}, by the policy')}")
    more = len(lines) - ANNOTATIONS
    if more > 0:
        lines = [*lines[:ANNOTATIONS], f"::warning title=auditor::and {more} more: see the job's summary or the SARIF"]
    return "".join(f"{line}\n" for line in lines)


def _command(kind: str, item: Provenance, title: str, message: str) -> str:
    return f"::{kind} file={_property(item.path)},line={max(1, item.line)},title={_property(title)}::{_data(message)}"


def _data(text: str) -> str:
    """As @actions/core escapes data: a line break would begin another command."""
    return clean(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def render_gitlab(report: GateReport) -> str:
    """GitLab's code quality report (a subset of Code Climate's): each issue with its fingerprint and place."""
    issues: list[dict[str, Any]] = []
    for removal in report.removals:
        if removal.dependents:
            message = removal_message(removal.host, removal.what, removal.dependents)
            issues.append(_issue(REMOVED, message, f"removed:{removal.host}", "critical", removal.where[0]))
    for one in by_urgency(report.judged):
        if one.standing is not Standing.FIXED:
            severity = _QUALITY[one.finding.severity]
            said = sentences(one.finding.message, one.finding.action)
            issues.append(_issue(one.finding.rule, said, one.finding.fingerprint, severity, main_place(one)))
    return json.dumps(issues, indent=1) + "\n"


def _issue(rule: str, message: str, fingerprint: str, severity: str, item: Provenance) -> dict[str, Any]:
    return {
        "type": "issue",
        "check_name": rule,
        "description": clean(message),
        "categories": ["Compatibility"],
        "fingerprint": clean(fingerprint),
        "severity": severity,
        "location": {"path": clean(item.path), "lines": {"begin": max(1, item.line)}},
    }


def render_junit(report: GateReport) -> str:
    """JUnit's XML as Jenkins reads it: a test case for each rule that ran, failed by what fails the change.

    What the change brings without failing is that case's output.
    """
    failing: dict[str, list[str]] = {}
    told: dict[str, list[str]] = {}
    blamed = {one.finding.fingerprint for one in report.failing()}
    for removal in report.removals:
        if removal.dependents:
            message = removal_message(removal.host, removal.what, removal.dependents)
            fails = any(one.fingerprint in blamed for one in removal.dependents)
            (failing if fails else told).setdefault(REMOVED, []).append(f"{place_of(removal.where[0])}: {message}")
    for one in by_urgency(report.judged):
        if one.fails:
            said = f"{place_of(main_place(one))}: {sentences(one.finding.message, one.finding.action)}"
            (failing if one.finding.fingerprint in blamed else told).setdefault(one.finding.rule, []).append(said)
    sight = failing if report.fail_on is not Severity.BLOCK else told
    for gap in report.lost_sight:
        sight.setdefault(SIGHT, []).append(f"not seen since this change: {gap_text(gap)}")
    for host in report.withdrawn:
        sight.setdefault(SIGHT, []).append(f"not declared as going any more: {host}")
    cases = list(_cases(report, failing, told))
    suite = ET.Element(
        "testsuite",
        name="auditor gate",
        tests=str(len(cases)),
        failures=str(sum(case.find("failure") is not None for case in cases)),
        errors=str(sum(case.find("error") is not None for case in cases)),
        skipped=str(sum(case.find("skipped") is not None for case in cases)),
        timestamp=report.now.strftime("%Y-%m-%dT%H:%M:%S"),
    )
    suite.extend(cases)
    out = ET.SubElement(suite, "system-out")
    out.text = _xml(headline(report))
    suites = ET.Element("testsuites")
    suites.append(suite)
    ET.indent(suites)
    return ET.tostring(suites, encoding="unicode", xml_declaration=True) + "\n"


def _cases(report: GateReport, failing: Mapping[str, list[str]], told: Mapping[str, list[str]]) -> Iterator[ET.Element]:
    titles = {REMOVED: REMOVED_TITLE, SIGHT: SIGHT_TITLE}
    # A rule that did not run in this scenario may still have something to say.
    titles |= dict.fromkeys([*failing, *told], "") | titles | {run.rule: run.title for run in report.rules}
    for rule, title in titles.items():
        name = f"{rule}: {_xml(title)}" if title else rule
        case = ET.Element("testcase", classname="auditor.gate", name=name)
        if said := failing.get(rule):
            failure = ET.SubElement(case, "failure", message=_xml(said[0]), type=rule)
            failure.text = "\n".join(map(_xml, said))
        if said := told.get(rule):
            ET.SubElement(case, "system-out").text = "\n".join(map(_xml, said))
        yield case
    for at, decided in enumerate(report.aside, 1):
        name = f"{decided.finding.rule}: set aside {at}: {_xml(decided.finding.subject)}"
        case = ET.Element("testcase", classname="auditor.gate", name=name)
        ET.SubElement(case, "skipped", message=_xml(f"{decided.finding.message}; {aside_said(decided)}"))
        yield case
    for one in report.failures:
        case = ET.Element("testcase", classname="auditor", name=_xml(one.what))
        error = ET.SubElement(case, "error", message=_xml(one.error), type="failure")
        error.text = _xml(one.hint)
        yield case


def _xml(text: str) -> str:
    """Without what XML 1.0 can't hold, which `clean` has made visible already but for a few."""
    return "".join(
        char for char in clean(text) if char >= " " and not 0xD800 <= ord(char) <= 0xDFFF and char not in "￾￿"
    )
