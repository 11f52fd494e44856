"""The report as JSON, version 1, with its own types: the model may change without this changing.

Documented in docs/json.md and docs/report-v1.schema.json. ASCII only, so that a file name that is not UTF-8 (lone
surrogates) can't break it. Texts are as they were captured, secrets redacted; a terminal needs them made safe.
"""

from __future__ import annotations

import json
from typing import Literal, NotRequired, TypedDict

from auditor.model import (
    Answered,
    Coverage,
    Earlier,
    Failure,
    Finding,
    Fleet,
    Going,
    PolicyUse,
    Profile,
    Provenance,
    Report,
    RuleRun,
    SetAside,
    Signed,
    Step,
)
from auditor.report.layout import iso
from auditor.report.summary import EXIT_CODES, all_beyond, area_of, areas, open_items, ordered


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


class PlacedFindingJson(FindingJson):
    """A finding with the area of the profile that it belongs to."""

    checklist_area: str


class SetAsideJson(PlacedFindingJson):
    """A finding that does not count, and who has decided that. `expires` is null unless it is waived."""

    set_aside: str
    reason: str
    owner: str
    expires: str | None
    decided_at: EvidenceJson


class EarlierJson(TypedDict):
    """A finding of an earlier time, as it was written down."""

    rule: str
    fingerprint: str
    area: str
    severity: str
    subject: str
    message: str
    hosts: list[str]


class PolicyJson(TypedDict):
    """What a policy and a baseline did. Paths are null where there is none."""

    path: str | None
    sha256: str | None
    changes: list[str]
    unused_waivers: list[EvidenceJson]
    baseline: str | None
    gone: list[EarlierJson]
    not_seen_again: list[EarlierJson]


class AnswerJson(TypedDict):
    """What somebody said to a manual item."""

    answer: str
    by: str
    time: str
    note: str
    evidence: str


class ItemJson(TypedDict):
    """A question for people. `answer` is null as long as it is open."""

    item: str
    text: str
    who: str
    evidence_wanted: str
    answer: AnswerJson | None


class SignedJson(TypedDict):
    """Who has signed off an area."""

    by: str
    time: str
    note: str
    against: list[str]
    despite: str
    current: bool


class ChecklistAreaJson(TypedDict):
    """An area of the checklist, as the profile has it."""

    id: str
    title: str
    areas: list[str]
    owner: str
    must_see: bool
    blockers: int
    warnings: int
    notes: int
    not_looked_at: str
    signed_off: SignedJson | None
    items: list[ItemJson]


class ChecklistJson(TypedDict):
    """The checklist's areas, with the questions of this phase."""

    profile: str
    sha256: str | None
    phase: str
    open_items: int
    areas: list[ChecklistAreaJson]


class SinceJson(TypedDict):
    """What differs from the last run that was kept. `new` are fingerprints of `findings`."""

    time: str
    new: list[str]
    fixed: list[EarlierJson]
    set_aside: list[EarlierJson]
    not_seen_again: list[EarlierJson]


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
    """What was looked at, and with which outcome. `hosts` is there only where it speaks of several hosts."""

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
    hosts: NotRequired[list[str]]


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
    switched_off: str


class FleetPartJson(TypedDict):
    """One part of what a host may need another for, over all hosts that stay: of how many it was seen."""

    part: str
    area: str
    seen: int
    none: int
    unknown: int


class FleetGapJson(TypedDict):
    """Hosts, numbered ones as ranges, of which nobody knows the same parts."""

    parts: list[str]
    hosts: list[str]


class FleetJson(TypedDict):
    """How far the hosts that stay were looked into."""

    count: int
    collected_whole: int
    parts: list[FleetPartJson]
    unknown: list[FleetGapJson]


class ReportJson(TypedDict):
    """The whole report."""

    version: Literal[1]
    verdict: str
    exit_code: int
    does_not_cover: list[str]
    scenario: ScenarioJson
    findings: list[PlacedFindingJson]
    set_aside: list[SetAsideJson]
    policy: PolicyJson
    checklist: ChecklistJson
    since: SinceJson | None
    coverage: list[CoverageJson]
    hosts_that_stay: FleetJson | None
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
        "does_not_cover": all_beyond(report),
        "scenario": {
            "estate": report.estate,
            "now": iso(report.now),
            "on": iso(report.on) if report.on else None,
            "going": [going_json(host) for host in report.going],
        },
        "findings": [_placed(finding, report.profile) for finding in ordered(report.findings, report.profile)],
        "set_aside": [_set_aside(one, report.profile) for one in report.aside],
        "policy": _policy(report.policy),
        "checklist": _checklist(report),
        "since": _since(report),
        "coverage": [_coverage(line) for line in report.coverage],
        "hosts_that_stay": _fleet(report.fleet) if report.fleet is not None else None,
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


def _placed(finding: Finding, profile: Profile) -> PlacedFindingJson:
    return {**finding_json(finding), "checklist_area": area_of(finding, profile).id}


def _set_aside(one: SetAside, profile: Profile) -> SetAsideJson:
    return {
        **_placed(one.finding, profile),
        "set_aside": one.why.value,
        "reason": one.reason,
        "owner": one.owner,
        "expires": one.expires or None,
        "decided_at": evidence_json(one.where),
    }


def _earlier(one: Earlier) -> EarlierJson:
    return {
        "rule": one.rule,
        "fingerprint": one.fingerprint,
        "area": one.area.value,
        "severity": one.severity.value,
        "subject": one.subject,
        "message": one.message,
        "hosts": list(one.hosts),
    }


def _policy(use: PolicyUse) -> PolicyJson:
    return {
        "path": use.path or None,
        "sha256": use.digest or None,
        "changes": list(use.changes),
        "unused_waivers": [evidence_json(one) for one in use.unused],
        "baseline": use.baseline or None,
        "gone": [_earlier(one) for one in use.gone],
        "not_seen_again": [_earlier(one) for one in use.unseen],
    }


def _checklist(report: Report) -> ChecklistJson:
    return {
        "profile": report.profile.name,
        "sha256": report.profile.digest or None,
        "phase": report.phase.value,
        "open_items": open_items(report),
        "areas": [
            {
                "id": row.area.id,
                "title": row.area.title,
                "areas": [area.value for area in row.area.covers],
                "owner": report.owners.get(row.area.id, ""),
                "must_see": row.area.must_see,
                "blockers": row.blockers,
                "warnings": row.warnings,
                "notes": row.notes,
                "not_looked_at": row.unseen,
                "signed_off": _signed(report.signed.get(row.area.id)),
                "items": [
                    {
                        "item": item.id,
                        "text": item.text,
                        "who": item.who,
                        "evidence_wanted": item.evidence,
                        "answer": _answer(report.answers.get(item.id)),
                    }
                    for item in row.area.items
                    if item.phase is report.phase
                ],
            }
            for row in areas(report)
        ],
    }


def _signed(one: Signed | None) -> SignedJson | None:
    if one is None:
        return None
    return {
        "by": one.by,
        "time": one.time,
        "note": one.note,
        "against": list(one.against),
        "despite": one.despite,
        "current": one.current,
    }


def _answer(one: Answered | None) -> AnswerJson | None:
    if one is None:
        return None
    return {
        "answer": one.answer.value,
        "by": one.by,
        "time": one.time,
        "note": one.note,
        "evidence": one.evidence,
    }


def _since(report: Report) -> SinceJson | None:
    since = report.since
    if since is None:
        return None
    return {
        "time": since.time,
        "new": sorted(since.new),
        "fixed": [_earlier(one) for one in since.fixed],
        "set_aside": [_earlier(one) for one in since.aside],
        "not_seen_again": [_earlier(one) for one in since.unseen],
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
    if line.hosts:
        found["hosts"] = list(line.hosts)
    return found


def _fleet(fleet: Fleet) -> FleetJson:
    return {
        "count": fleet.hosts,
        "collected_whole": fleet.whole,
        "parts": [
            {
                "part": part.what,
                "area": part.area.value,
                "seen": part.seen,
                "none": part.none,
                "unknown": part.unknown,
            }
            for part in fleet.parts
        ],
        "unknown": [{"parts": list(gap.parts), "hosts": list(gap.hosts)} for gap in fleet.gaps],
    }


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
        "switched_off": run.off,
    }
