"""Markdown for a comment on a pull request, and for a step's summary."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from auditor.change import GateReport, Judged, Standing
from auditor.report.gate.wording import by_urgency, counts, gap_text, headline, place_of, sentences
from auditor.report.markdown import code, prose
from auditor.report.summary import SEVERITY_SYMBOL, aside_said, aside_tally

MARKER: Final = "<!-- auditor-gate -->"
"""By this a platform's step finds the comment that it wrote before, and writes it anew."""
LIMIT: Final = 60_000
"""Characters of the whole. GitHub takes 65,536 for a comment."""
PLACES: Final = 5


def render_markdown(report: GateReport) -> str:
    """The comment, with its marker, never longer than LIMIT."""
    lines = [
        MARKER,
        f"## Auditor: {'passed' if report.passed else 'failed'}",
        "",
        f"{prose(_begun(headline(report)))}.",
        "",
    ]
    if said := counts(report):
        lines += [f"{prose(_begun(said))}.", ""]
    lines += [f"Compared {code(report.base)} with {code(report.head)}.", ""]
    tail = list(_tail(report))
    room = LIMIT - sum(len(line) + 1 for line in [*lines, *tail]) - 200
    blocks = [*_removals(report), *_findings(report)]
    shown = 0
    for block in blocks:
        size = sum(len(line) + 1 for line in block)
        if size > room:
            break
        room -= size
        lines += block
        shown += 1
    if shown < len(blocks):
        lines += [f"…and {len(blocks) - shown:,} more, which do not fit into a comment.", ""]
    return "\n".join([*lines, *tail])[:LIMIT].rstrip() + "\n"


def _begun(text: str) -> str:
    """A text as the beginning of a sentence, unless it begins with a name."""
    return text[:1].upper() + text[1:] if text.partition(" ")[0].isalpha() else text


def _removals(report: GateReport) -> Iterator[list[str]]:
    for one in report.removals:
        if one.dependents:
            where = ", ".join(code(place_of(item)) for item in one.where[:PLACES])
            lines = [f"- ✗ {code(one.host)} {prose(one.what)} at {where}, and is still needed:"]
            places = list(dict.fromkeys(place_of(item) for finding in one.dependents for item in finding.evidence))
            lines += [f"  - {code(place)}" for place in places[:20]]
            if len(places) > 20:
                lines.append(f"  - and {len(places) - 20:,} more places")
            yield lines


def _findings(report: GateReport) -> Iterator[list[str]]:
    for one in by_urgency(report.judged):
        if one.fails:
            yield _finding(one)


def _finding(one: Judged) -> list[str]:
    finding = one.finding
    mark = " (worse than before)" if one.standing is Standing.WORSENED else ""
    lines = [f"- {SEVERITY_SYMBOL[finding.severity]} {prose(finding.message)}{mark}"]
    for item in finding.evidence[:PLACES]:
        excerpt = f": {code(item.excerpt)}" if item.excerpt.strip() else ""
        lines.append(f"  - at {code(place_of(item))}{excerpt}")
    if len(finding.evidence) > PLACES:
        lines.append(f"  - and {len(finding.evidence) - PLACES:,} more places")
    if finding.action:
        lines.append(f"  - do: {prose(finding.action)}")
    lines.append(f"  - rule {code(finding.rule)}, fingerprint {code(finding.fingerprint)}")
    return lines


def _tail(report: GateReport) -> Iterator[str]:
    if report.withdrawn:
        yield ""
        hosts = ", ".join(code(host) for host in report.withdrawn[:20])
        yield f"Not declared as going any more by this change, and judged as before: {hosts}."
    if report.lost_sight:
        yield ""
        yield "Not seen since this change:"
        yield ""
        for gap in report.lost_sight[:20]:
            yield f"- {prose(gap_text(gap))}"
    for one in report.failures[:5]:
        yield ""
        yield f"The auditor failed: {prose(one.what)}: {prose(sentences(one.error, one.hint))}"
    if report.aside:
        yield ""
        yield f"{prose(aside_tally(report.aside))}, by the policy:"
        yield ""
        for other in report.aside[:20]:
            yield f"- {prose(other.finding.message)}: {prose(aside_said(other))}"
        if len(report.aside) > 20:
            yield f"- and {len(report.aside) - 20:,} more"
    for note in report.notes:
        yield ""
        yield prose(note)
