"""The report as JSON, version 1, with its own types: the model may change without this changing.

Documented in docs/json.md and docs/report-v1.schema.json. ASCII only, so that a file name that is not UTF-8 (lone
surrogates) can't break it. Texts are as they were captured, secrets redacted; a terminal needs them made safe.
"""

from __future__ import annotations

import json
from typing import Literal, NotRequired, TypedDict

from auditor.model import Coverage, Failure, Finding, Going, Provenance, Report, RuleRun, Step
from auditor.report.layout import iso
from auditor.report.summary import EXIT_CODES, ordered


class EvidenceJson(TypedDict):
    """A place in the estate. `line` counts from 1; 0 is the whole file.

    `estate` is there only where several estates are read as one.
    """

    path: str
    line: int
    excerpt: str
    collected_at: str | None
    api: str
    estate: NotRequired[str]


class StepJson(TypedDict):
    """One edge of a path, from consumer to provider."""

    consumer: str
    relation: str
    provider: str
    note: str
    evidence: EvidenceJson | None


class FindingJson(TypedDict):
    """A rule's statement about a node."""

    rule: str
    fingerprint: str
    area: str
    severity: str
    confidence: str
    subject: str
    message: str
    why: str
    action: str
    impact: str
    deadline: str | None
    hosts: list[str]
    path: list[StepJson]
    evidence: list[EvidenceJson]


class GoingJson(TypedDict):
    """One host of the scenario."""

    host: str
    lifecycle: str
    names: list[str]
    addresses: list[str]
    successor: str | None
    since: str | None
    origin: str


class ScenarioJson(TypedDict):
    """What is asked about. `on` is null where no date was given."""

    estate: str
    now: str
    on: str | None
    going: list[GoingJson]


class CoverageJson(TypedDict):
    """What was looked at, and with which outcome."""

    source: str
    area: str
    what: str
    outcome: str
    count: int
    detail: str
    path: str
    line: int
    provides: list[str]
    needed: bool
    estate: NotRequired[str]


class FailureJson(TypedDict):
    """A part of the audit that failed."""

    what: str
    error: str
    hint: str


class RuleJson(TypedDict):
    """What a rule did in this run."""

    rule: str
    title: str
    area: str
    findings: int
    looked_at: bool
    missing: list[str]
    passed: list[str]


class ReportJson(TypedDict):
    """The whole report."""

    version: Literal[1]
    verdict: str
    exit_code: int
    scenario: ScenarioJson
    findings: list[FindingJson]
    coverage: list[CoverageJson]
    failures: list[FailureJson]
    rules: list[RuleJson]
    counts: dict[str, int]


def render_json(report: Report) -> str:
    """The report as an indented JSON document with one line end at its end."""
    return json.dumps(report_json(report), indent=2, ensure_ascii=True) + "\n"


def report_json(report: Report) -> ReportJson:
    """The report as plain types, findings in the order of urgency, everything else in the report's own order."""
    return {
        "version": 1,
        "verdict": report.verdict.value,
        "exit_code": EXIT_CODES[report.verdict],
        "scenario": {
            "estate": report.estate,
            "now": iso(report.now),
            "on": iso(report.on) if report.on else None,
            "going": [going_json(host) for host in report.going],
        },
        "findings": [finding_json(finding) for finding in ordered(report.findings)],
        "coverage": [_coverage(line) for line in report.coverage],
        "failures": [failure_json(failure) for failure in report.failures],
        "rules": [_rule(run) for run in report.rules],
        "counts": dict(report.counts),
    }


def evidence_json(evidence: Provenance) -> EvidenceJson:
    """One piece of evidence."""
    found: EvidenceJson = {
        "path": evidence.path,
        "line": evidence.line,
        "excerpt": evidence.excerpt,
        "collected_at": evidence.collected_at,
        "api": evidence.api,
    }
    if evidence.estate:
        found["estate"] = evidence.estate
    return found


def step_json(step: Step) -> StepJson:
    """One step of a path."""
    return {
        "consumer": step.consumer,
        "relation": step.relation,
        "provider": step.provider,
        "note": step.note,
        "evidence": evidence_json(step.evidence) if step.evidence else None,
    }


def finding_json(finding: Finding) -> FindingJson:
    """A finding with its path and evidence."""
    return {
        "rule": finding.rule,
        "fingerprint": finding.fingerprint,
        "area": finding.area.value,
        "severity": finding.severity.value,
        "confidence": finding.confidence.value,
        "subject": finding.subject,
        "message": finding.message,
        "why": finding.why,
        "action": finding.action,
        "impact": finding.impact.value,
        "deadline": iso(finding.deadline) if finding.deadline else None,
        "hosts": list(finding.hosts),
        "path": [step_json(step) for step in finding.path],
        "evidence": [evidence_json(item) for item in finding.evidence],
    }


def going_json(host: Going) -> GoingJson:
    """A host of the scenario."""
    return {
        "host": host.host,
        "lifecycle": host.lifecycle.value,
        "names": list(host.names),
        "addresses": list(host.addresses),
        "successor": host.successor or None,
        "since": host.since or None,
        "origin": host.origin,
    }


def _coverage(line: Coverage) -> CoverageJson:
    found: CoverageJson = {
        "source": line.source,
        "area": line.area.value,
        "what": line.what,
        "outcome": line.outcome.value,
        "count": line.count,
        "detail": line.detail,
        "path": line.path,
        "line": line.line,
        "provides": list(line.provides),
        "needed": line.needed,
    }
    if line.estate:
        found["estate"] = line.estate
    return found


def failure_json(failure: Failure) -> FailureJson:
    """A part of the audit that failed."""
    return {"what": failure.what, "error": failure.error, "hint": failure.hint}


def _rule(run: RuleRun) -> RuleJson:
    return {
        "rule": run.rule,
        "title": run.title,
        "area": run.area.value,
        "findings": run.findings,
        "looked_at": run.looked_at,
        "missing": list(run.missing),
        "passed": list(run.passed),
    }
