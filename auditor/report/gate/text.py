"""The gate's answer for a job's log."""

from __future__ import annotations

from typing import Final

from auditor.change import GateReport, Standing
from auditor.phrases import listed
from auditor.report.gate.wording import by_urgency, counts, gap_text, headline, place_of, sentences
from auditor.report.layout import Page, clean, number
from auditor.report.summary import SEVERITY_SYMBOL, aside_said, aside_tally

PLACES: Final = 5
ASIDE: Final = 20


def render_text(report: GateReport, *, color: bool = False, width: int = 80) -> str:
    """One line if there is nothing to say; else what the change brings, place by place."""
    page = Page(color=color, width=width)
    word = "PASSED  " if report.passed else "FAILED  "
    page.hang(word, clean(headline(report)), label="good" if report.passed else "bad", style="bold")
    told = {one.finding.fingerprint for one in report.judged if one.fails}
    for removal in report.removals:
        if not removal.dependents:
            continue
        page.gap()
        where = place_of(removal.where[0])
        page.hang("✗ ", clean(f"{removal.host} {removal.what}, and is still needed"), label="bad", style="bold")
        page.hang("  at    ", clean(f"{where}: {removal.where[0].excerpt.strip()}"))
        places = list(dict.fromkeys(place_of(item) for one in removal.dependents for item in one.evidence))
        need = f"{number(len(places), 'place')} {'needs' if len(places) == 1 else 'need'} it"
        # What was there before is not listed below.
        where = "below" if told.issuperset(one.fingerprint for one in removal.dependents) else listed(places, PLACES)
        page.hang("  still ", clean(f"{need}, {where}" if where == "below" else f"{need}: {where}"))
    for one in by_urgency(report.judged):
        if not one.fails:
            continue
        finding = one.finding
        page.gap()
        symbol = SEVERITY_SYMBOL[finding.severity]
        more = " (worse than before)" if one.standing is Standing.WORSENED else ""
        page.hang(f"{symbol} ", clean(finding.message) + more, label="bad" if symbol == "✗" else "warn", style="bold")
        for item in finding.evidence[:PLACES]:
            page.hang("  at  ", clean(f"{place_of(item)}: {item.excerpt.strip()}".rstrip(": ")))
        if len(finding.evidence) > PLACES:
            page.hang("      ", f"and {number(len(finding.evidence) - PLACES, 'place')} more")
        if finding.action:
            page.hang("  do  ", clean(finding.action))
    if report.withdrawn:
        page.gap()
        page.hang(
            "! ",
            clean(
                f"not declared as going any more by this change, and judged as before: {', '.join(report.withdrawn)}"
            ),
            label="warn",
        )
    for gap in report.lost_sight:
        page.hang("? ", clean(f"not seen since this change: {gap_text(gap)}"), label="unseen")
    for failure in report.failures:
        page.hang("? ", clean(f"{failure.what}: {failure.error}"), label="unseen")
        if failure.hint:
            page.hang("  do  ", clean(failure.hint))
    if report.aside:
        page.gap()
        page.hang("", f"{aside_tally(report.aside)}, by the policy:", style="bold")
        for other in report.aside[:ASIDE]:
            page.hang("~ ", clean(other.finding.message))
            page.hang("  ", aside_said(other), style="dim")
        if len(report.aside) > ASIDE:
            page.hang("  ", f"and {len(report.aside) - ASIDE:,} more (see --format json)")
    said = [text for text in (counts(report), *report.notes) if text]
    if said:
        page.gap()
        for text in said:
            page.hang("", sentences(clean(text)))
    return page.text()
