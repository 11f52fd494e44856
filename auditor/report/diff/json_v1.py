"""A difference as JSON, version 1. Documented in docs/diff.md. ASCII only, as the report is."""

from __future__ import annotations

import json
from typing import Any

from auditor.difference import Diff, FactChange
from auditor.model import Attribute
from auditor.report.diff.wording import exit_code
from auditor.report.json_v1 import evidence_json, failure_json, finding_json, going_json
from auditor.report.layout import iso
from auditor.report.summary import ordered


def render_json(diff: Diff) -> str:
    """All of it. Keys may be added in later versions; those that are there keep their meaning."""
    whys = {id(one.finding): one.why for one in diff.found}
    changed = {id(one.after): one for one in diff.findings_changed}
    document = {
        "format": "auditor diff",
        "version": 1,
        "exit_code": exit_code(diff),
        "differs": diff.differs,
        "complete": diff.complete,
        "old": diff.old,
        "new": diff.new,
        "now": iso(diff.now),
        "hosts": [going_json(one) for one in diff.going],
        "findings": {
            "new": [
                {**finding_json(one), "not_seen_before": whys[id(one)] or None}
                for one in ordered(one.finding for one in diff.found)
            ],
            "gone": [finding_json(one) for one in ordered(diff.fixed)],
            "changed": [
                {
                    "what": list(changed[id(one)].what),
                    "not_seen_because": changed[id(one)].why or None,
                    "before": finding_json(changed[id(one)].before),
                    "after": finding_json(one),
                }
                for one in ordered(one.after for one in diff.findings_changed)
            ],
            "unchanged": [finding_json(one) for one in ordered(diff.findings_left)],
            "not_seen": [
                {
                    **finding_json(one.finding),
                    "not_seen": one.path,
                    "not_seen_because": one.why,
                    "last_seen": one.last_seen or None,
                }
                for one in diff.findings_not_seen
            ],
        },
        "facts": {
            "appeared": [_fact(one) for one in diff.appeared],
            "vanished": [_fact(one) for one in diff.vanished],
            "changed": [_fact(one) for one in diff.changed],
            "not_seen": [_fact(one) for one in diff.not_seen],
        },
        "sources_not_seen": [
            {"path": one.path, "outcome": one.outcome.value, "detail": one.detail, "last_seen": one.last_seen or None}
            for one in diff.sources_not_seen
        ],
        "failures": [failure_json(one) for one in diff.failures],
    }
    return json.dumps(document, indent=1) + "\n"


def _fact(one: FactChange) -> dict[str, Any]:
    return {
        "hosts": list(one.hosts),
        "kind": one.kind,
        "subject": one.subject,
        "relation": one.relation or None,
        "provider_kind": one.provider_kind or None,
        "provider": one.provider or None,
        "before": {name: _plain(value) for name, value in one.before.items()},
        "after": {name: _plain(value) for name, value in one.after.items()},
        "why": one.why or None,
        "last_seen": one.last_seen or None,
        "evidence": evidence_json(one.where),
    }


def _plain(value: Attribute) -> str | int | float | bool | list[str]:
    return list(value) if isinstance(value, tuple) else value
