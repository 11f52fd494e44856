"""A difference as Markdown for tickets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from auditor.difference import Diff, FactChange, FindingChange
from auditor.model import Finding
from auditor.report.diff.wording import EXIT_MEANING, exit_code, headline, subjects, unseen, verdict
from auditor.report.layout import moment, place
from auditor.report.markdown import code, prose
from auditor.report.summary import SEVERITY_SYMBOL, fate_of, ordered

SHOWN: Final = 200
"""Things of one section that are shown; the others are counted."""
_PLACES: Final = 3


def render_markdown(diff: Diff) -> str:
    """The difference as CommonMark with lists."""
    lines = [f"# {verdict(diff)}: {prose('; '.join(headline(diff)))}", ""]
    lines += [f"Compared {code(diff.old)} with {code(diff.new)}, as of {prose(moment(diff.now))}.", ""]
    lines += [f"- {code(host.host)}: {prose(fate_of(host))}" for host in diff.going[:SHOWN]]
    whys = {id(one.finding): one.why for one in diff.found}
    new = ordered(one.finding for one in diff.found)
    lines += _section("New findings", [_finding(one, whys[id(one)]) for one in new])
    changed = {id(one.after): one for one in diff.findings_changed}
    lines += _section(
        "Changed findings",
        [_changed(changed[id(one)]) for one in ordered(one.after for one in diff.findings_changed)],
    )
    lines += _section("Findings that are gone", [[f"- ✓ {prose(one.message)}"] for one in ordered(diff.fixed)])
    lines += _section("Not seen this time", list(_not_seen(diff)))
    for title, changes in (("Appeared", diff.appeared), ("Vanished", diff.vanished), ("Changed", diff.changed)):
        lines += _section(title, list(_facts(changes, title == "Changed")))
    return "\n".join([*lines, "", f"Exit code {exit_code(diff)} ({EXIT_MEANING})."]) + "\n"


def _section(title: str, blocks: Sequence[Sequence[str]]) -> list[str]:
    if not blocks:
        return []
    lines = ["", f"## {title} ({len(blocks):,})", "", *(line for block in blocks[:SHOWN] for line in block)]
    return [*lines, f"- …and {len(blocks) - SHOWN:,} more"] if len(blocks) > SHOWN else lines


def _finding(finding: Finding, why: str) -> list[str]:
    lines = [f"- {SEVERITY_SYMBOL[finding.severity]} {prose(finding.message)}"]
    for item in finding.evidence[:_PLACES]:
        excerpt = f": {code(item.excerpt)}" if item.excerpt.strip() else ""
        lines.append(f"  - at {code(place(item))}{excerpt}")
    if len(finding.evidence) > _PLACES:
        lines.append(f"  - and {len(finding.evidence) - _PLACES:,} more places")
    if why:
        lines.append(f"  - it may have been there: {prose(why)}")
    if finding.action:
        lines.append(f"  - do: {prose(finding.action)}")
    return [*lines, f"  - rule {code(finding.rule)}, fingerprint {code(finding.fingerprint)}"]


def _changed(one: FindingChange) -> list[str]:
    lines = [
        f"- {SEVERITY_SYMBOL[one.after.severity]} {prose(one.after.message)}",
        f"  - differs in {', '.join(one.what)}",
    ]
    return [*lines, f"  - but not all was seen: {prose(one.why)}"] if one.why else lines


def _not_seen(diff: Diff) -> Iterator[list[str]]:
    for one in unseen(diff):
        last = f"; last seen {code(one.last_seen)}" if one.last_seen else ""
        rests = f"; {one.rests} of the old state may still hold" if one.rests else ""
        lines = [f"- ? {code(one.path)}: {prose(one.why)}{last}{rests}"]
        lines += [
            f"  - {SEVERITY_SYMBOL[finding.severity]} {prose(finding.message)}" for finding in one.findings[:SHOWN]
        ]
        yield lines
    for failure in diff.failures:
        yield [f"- ? {prose(failure.what)}: {prose(failure.error)}"]


def _facts(changes: Sequence[FactChange], both: bool) -> Iterator[list[str]]:
    for about in subjects(changes, both=both):
        lines = [f"- {prose(about.title)}", *(f"  - {prose(said)}" for said in about.details)]
        if about.why:
            lines.append(f"  - but: {prose(about.why)}")
        yield [*lines, f"  - at {code(place(about.first.where))}"]
