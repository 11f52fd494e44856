"""How findings are written down, to be known again: in a baseline, and in the record of a run. Light to import."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from auditor.model import Earlier, Finding
from auditor.phrases import timestamp
from auditor.text import printable


def entry(finding: Finding) -> Earlier:
    """What is kept of a finding. Its texts are made printable: they may be of file names that are not UTF-8."""
    return Earlier(
        finding.fingerprint,
        finding.rule,
        finding.area,
        finding.severity,
        printed(finding.subject),
        printed(finding.message),
        tuple(printed(host) for host in finding.hosts),
        tuple(dict.fromkeys(printed(one.path) for one in finding.evidence if one.path)),
    )


def plain(one: Earlier) -> dict[str, Any]:
    """A finding as JSON has it."""
    return {
        "fingerprint": one.fingerprint,
        "rule": one.rule,
        "area": one.area.value,
        "severity": one.severity.value,
        "subject": one.subject,
        "message": one.message,
        "hosts": list(one.hosts),
        "paths": list(one.paths),
    }


def render(now: datetime, estate: str, findings: Iterable[Earlier]) -> dict[str, Any]:
    """A baseline's document."""
    return {
        "version": 1,
        "made": timestamp(now),
        "estate": printed(estate),
        "findings": [plain(one) for one in sorted(findings, key=lambda one: (one.rule, one.subject, one.fingerprint))],
    }


def printed(text: str) -> str:
    return printable(text).encode("utf-8", "backslashreplace").decode() or "-"
