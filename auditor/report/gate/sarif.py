"""SARIF 2.1.0 (OASIS, 2020-03-27, with errata 01), as GitHub code scanning and other viewers read it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from auditor import __version__
from auditor.change import GateReport, Judged, Removal, Standing
from auditor.model import Confidence, Failure, Provenance, Severity
from auditor.phrases import timestamp
from auditor.report.gate.wording import (
    REMOVED,
    REMOVED_HELP,
    REMOVED_TITLE,
    by_urgency,
    gap_text,
    main_place,
    removal_message,
    sentences,
)
from auditor.report.layout import clean
from auditor.report.summary import aside_said

_LEVEL: Final[Mapping[Severity, str]] = {Severity.BLOCK: "error", Severity.WARN: "warning", Severity.INFO: "note"}
_STATE: Final[Mapping[Standing, str]] = {
    Standing.NEW: "new",
    Standing.WORSENED: "updated",
    Standing.KNOWN: "unchanged",
    Standing.FIXED: "absent",
}
_PRECISION: Final[Mapping[Confidence, str]] = {
    Confidence.HIGH: "very-high",
    Confidence.MEDIUM: "medium",
    Confidence.LOW: "low",
}
_RANK: Final[Mapping[Confidence, float]] = {Confidence.HIGH: 90.0, Confidence.MEDIUM: 60.0, Confidence.LOW: 30.0}
RESULTS: Final = 5_000
"""Results of one run: GitHub shows no more."""
RELATED: Final = 50
"""Related locations of one result; viewers show a handful."""


GAPS: Final = 200
"""Notifications about what was not seen."""
LOST, UNSEEN = "not-seen-any-more", "not-looked-at"


def render_sarif(report: GateReport, help_of: Mapping[str, str]) -> str:
    """One run with all findings; those of before are `unchanged`, those that the change has mended `absent`.

    What the policy or a baseline sets aside is suppressed, with the reason (SARIF 2.1.0, 3.35). `executionSuccessful`
    is whether the auditor did its work (3.20.14), and not whether it saw everything: that is told in notifications.
    """
    judged = by_urgency(report.judged)
    titles = {run.rule: run.title for run in report.rules}
    severities: dict[str, Severity] = {}
    set_aside = [Judged(one.finding, Standing.KNOWN) for one in report.aside]
    for one in (*judged, *set_aside):
        severities.setdefault(one.finding.rule, one.finding.severity)
    used = sorted(severities)
    removals = [one for one in report.removals if one.dependents]
    rules = [_rule(rule, titles.get(rule, rule), help_of.get(rule, ""), severities[rule]) for rule in used]
    if removals:
        rules.append(_rule(REMOVED, REMOVED_TITLE, REMOVED_HELP, Severity.BLOCK))
    index = {rule: at for at, rule in enumerate(used)}
    results = [_removal(one, len(used)) for one in removals]
    # Those that the change answers for first: what is beyond the limit was there before.
    ordered = sorted(judged, key=lambda one: not one.fails)
    results += [_result(one, index[one.finding.rule]) for one in ordered]
    for one, decided in zip(set_aside, report.aside, strict=True):
        why = {"kind": "external", "status": "accepted", "justification": aside_said(decided)}
        results.append({**_result(one, index[one.finding.rule]), "suppressions": [why]})
    document = {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "auditor",
                        "semanticVersion": __version__,
                        "version": __version__,
                        "rules": rules,
                        "notifications": [
                            {"id": LOST, "shortDescription": {"text": "The change hides something from the auditor"}},
                            {"id": UNSEEN, "shortDescription": {"text": "Nobody looked at it"}},
                        ],
                    }
                },
                "automationDetails": {"id": "auditor/gate/"},
                "columnKind": "unicodeCodePoints",
                "invocations": [
                    {
                        "executionSuccessful": not report.failures,
                        "endTimeUtc": timestamp(report.now),
                        "toolExecutionNotifications": [
                            *(_failure(one) for one in report.failures),
                            *_gaps(report),
                            *_left_out(len(results) - RESULTS),
                        ],
                    }
                ],
                "results": results[:RESULTS],
            }
        ],
    }
    return json.dumps(document, indent=1) + "\n"


def _gaps(report: GateReport) -> list[dict[str, Any]]:
    """What was not seen: conditions in which the run was whole, and its results may not be (3.20.21, 3.58.6)."""
    told = [
        *((LOST, f"not seen since this change: {gap_text(gap)}", gap) for gap in report.lost_sight),
        *((UNSEEN, f"not looked at: {gap_text(gap)}", gap) for gap in report.unseen),
    ]
    found = []
    for name, text, gap in told[:GAPS]:
        place = {"locations": [_location(Provenance(gap.path, gap.line))]} if gap.path else {}
        found.append({"descriptor": {"id": name}, "level": "warning", "message": {"text": clean(text)}, **place})
    if len(told) > GAPS:
        text = f"and {len(told) - GAPS:,} more that were not seen"
        found.append({"descriptor": {"id": UNSEEN}, "level": "warning", "message": {"text": text}})
    return found


def _left_out(count: int) -> list[dict[str, Any]]:
    return [{"level": "warning", "message": {"text": f"{count:,} more results are left out"}}] if count > 0 else []


def _rule(rule: str, title: str, markdown: str, severity: Severity) -> dict[str, Any]:
    text = markdown or title
    return {
        "id": rule,
        "name": "".join(part.capitalize() for part in rule.split("-")),
        "shortDescription": {"text": title},
        "fullDescription": {"text": title},
        "help": {"text": text, "markdown": text},
        "defaultConfiguration": {"level": _LEVEL[severity]},
    }


def _result(one: Judged, index: int) -> dict[str, Any]:
    finding = one.finding
    main = main_place(one)
    message = clean(sentences(finding.message, finding.why, finding.action))
    related = {item: "" for item in finding.evidence if item.path and item != main}
    for step in finding.path:
        if step.evidence is not None and step.evidence.path:
            said = f"{step.consumer} {step.relation.replace('-', ' ')} {step.provider}"
            related[step.evidence] = f"{said} ({step.note})" if step.note else said
    return {
        "ruleId": finding.rule,
        "ruleIndex": index,
        "level": _LEVEL[finding.severity],
        "rank": _RANK[finding.confidence],
        "message": {"text": message},
        "locations": [_location(main)],
        "relatedLocations": _related(related),
        "partialFingerprints": {"auditorFinding/v1": finding.fingerprint},
        "baselineState": _STATE[one.standing],
        "properties": {
            "tags": [finding.area.value],
            "precision": _PRECISION[finding.confidence],
            "hosts": [clean(host) for host in finding.hosts],
        },
    }


def _removal(one: Removal, index: int) -> dict[str, Any]:
    places = {item: finding.message for finding in one.dependents for item in finding.evidence}
    return {
        "ruleId": REMOVED,
        "ruleIndex": index,
        "level": "error",
        "message": {"text": clean(removal_message(one.host, one.what, one.dependents))},
        "locations": [_location(one.where[0])],
        "relatedLocations": _related(places),
        "partialFingerprints": {"auditorFinding/v1": f"removed:{clean(one.host)}"},
        "baselineState": "new",
        "properties": {"hosts": [clean(one.host)]},
    }


def _related(places: Mapping[Provenance, str]) -> list[dict[str, Any]]:
    """Places with what each of them shows: steps of the path, what needs it."""
    found = []
    for at, (item, said) in enumerate(list(places.items())[:RELATED], 1):
        message = {"message": {"text": clean(said)}} if said else {}
        found.append({"id": at, **message, **_location(item)})
    return found


def _location(item: Provenance) -> dict[str, Any]:
    region: dict[str, Any] = {"startLine": max(1, item.line)}
    if item.excerpt.strip():
        region["snippet"] = {"text": clean(item.excerpt)}
    physical: dict[str, Any] = {
        "artifactLocation": {
            "uri": quote(item.path.encode("utf-8", "surrogateescape"), safe="/~"),
            "uriBaseId": "%SRCROOT%",
        },
        "region": region,
    }
    return {"physicalLocation": physical}


def _failure(one: Failure) -> dict[str, Any]:
    return {"level": "error", "message": {"text": clean(f"{one.what}: {one.error} {one.hint}".strip())}}
