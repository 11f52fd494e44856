"""The checklist as Markdown for tickets: a task for each finding.

Text of an estate stays text. What could be markup, a link, a mention (`@team`), a reference (`#12`, `!7`, `GH-9`,
a commit) or HTML stands in a code span: forges look for mentions and references in the rendered text, so a
backslash before them is not enough, and they leave code alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Final

from auditor.model import Answer, Finding, Provenance, Report, Verdict
from auditor.report.layout import clean, moment, number, of_estate
from auditor.report.summary import (
    EXIT_CODES,
    EXIT_MEANING,
    SEVERITY_SYMBOL,
    answer_said,
    area_of,
    areas,
    aside_said,
    aside_tally,
    basis,
    beyond,
    changes,
    evidence_of,
    fate_of,
    fleet_said,
    gaps,
    headline,
    item_said,
    next_deadline,
    only_owner,
    open_items,
    ordered,
    other_counts,
    passed,
    path_parts,
    seen_by_area,
    signature_said,
    signatures_said,
    since_said,
    weight,
)

INLINE: Final = 3
"""Pieces of evidence that stand in the open; more of them fold into a details block."""

SOURCES: Final = 20
"""Hosts and other sources that a gap names; the others are counted."""

_QUOTED: Final = re.compile(r"`([^`]+)`")
_WORD: Final = re.compile(r"(?P<open>[(\"'‘“]*)(?P<word>.*?)(?P<close>[)\"'’”.,;:!?…]*)", re.DOTALL)
_NUMBER: Final = re.compile(r"\d{1,3}(?:,\d{3})+|\d{1,2}:\d\d")
_REFERENCE: Final = re.compile(r"[A-Za-z][A-Za-z0-9]*-\d|^[0-9a-f]{7,}$", re.IGNORECASE)
_LONGEST: Final = 100
_SIGNS: Final = frozenset({"", "-", "–", "—", "→", "·", "/", "+", "%", "&"})


def code(text: str) -> str:
    """Text as one code span, whatever is in it: the fence is longer than any run of backticks inside."""
    text = clean(text).strip() or " "
    fence = "`" * (max((len(run) for run in re.findall(r"`+", text)), default=0) + 1)
    space = " " if text[0] == "`" or text[-1] == "`" or text == " " else ""
    return f"{fence}{space}{text}{space}{fence}"


def prose(text: str) -> str:
    """A sentence in which everything but plain words, numbers and signs is a code span.

    What the sentence has in backticks is one span. The punctuation left outside means nothing where it stands:
    the result must not start a line.
    """
    said = ""
    for odd, part in enumerate(_QUOTED.split(clean(text))):
        piece = code(part) if odd % 2 else " ".join(map(_inline, re.split(" +", part)))
        # Two code spans side by side would be one with another end.
        said += f" {piece}" if said.endswith("`") and piece.startswith("`") else piece
    return said.strip()


def _inline(text: str) -> str:
    found = _WORD.fullmatch(text)
    if found is None:
        return code(text)
    return text if _is_plain(found["word"]) else f"{found['open']}{code(found['word'])}{found['close']}"


def _is_plain(word: str) -> bool:
    """Whether a word without the punctuation around it can't be anything but a word or a number."""
    if word in _SIGNS or _NUMBER.fullmatch(word):
        return True
    if len(word) > _LONGEST or _REFERENCE.search(word):
        return False
    return all(part.isalnum() for part in re.split(r"[-'’]", word))


def _cell(text: str) -> str:
    """Inline Markdown inside a table, where a pipe would end the cell even in a code span."""
    return text.replace("|", "\\|")


def render_markdown(report: Report) -> str:
    """The checklist as CommonMark with tables and task lists (GitHub, GitLab)."""
    lines: list[str] = []
    lines.extend(_head(report))
    lines.extend(_table(report))
    if report.verdict is Verdict.INCOMPLETE:
        lines.extend(_unseen(report))
        lines.extend(_findings(report))
    else:
        lines.extend(_findings(report))
        lines.extend(_unseen(report))
    lines.extend(_aside(report))
    lines.extend(_by_hand(report))
    lines.extend(_policy(report))
    lines.extend(_seen(report))
    lines += ["", f"Exit code {EXIT_CODES[report.verdict]} ({EXIT_MEANING})."]
    return "\n".join(lines) + "\n"


def _head(report: Report) -> Iterator[str]:
    yield f"# {report.verdict.value}: {prose(str(headline(report)))}"
    yield ""
    if soonest := next_deadline(report):
        yield f"**{prose(soonest)}**"
        yield ""
    if report.verdict is Verdict.CLEAR:
        yield f"This rests on {prose(basis(report))}, as of {prose(moment(report.now))}."
        yield ""
        if left := beyond(report):
            yield f"**It does not cover**: {prose(left)}."
            yield ""
    if report.since is not None:
        yield f"{prose(since_said(report, report.since))}."
        yield ""
    for host in report.going:
        parts = [f"{code(host.host)}: {prose(fate_of(host))}"]
        if host.names:
            parts.append(f"names {', '.join(code(name) for name in host.names)}")
        if host.addresses:
            parts.append(f"addresses {', '.join(code(address) for address in host.addresses)}")
        parts.append(f"successor {code(host.successor)}" if host.successor else "no successor declared")
        yield f"- {'; '.join(parts)}"
    asked = f", from {prose(moment(report.on))}" if report.on else ""
    yield f"- as of {prose(moment(report.now))}{asked}; estate {code(report.estate)}"


def _table(report: Report) -> Iterator[str]:
    yield ""
    rows = areas(report)
    asked = any(row.asked for row in rows)
    aside = bool(report.aside)
    more = (" by hand |" if asked else "") + (" set aside |" if aside else "")
    yield f"| | area | blockers | warnings | notes | looked at |{more} not looked at |"
    yield f"|---|---|---:|---:|---:|---:|{'---:|' if asked else ''}{'---|' if aside else ''}---|"
    for row in rows:
        counts = " | ".join(f"{count:,}" for count in (row.blockers, row.warnings, row.notes, row.seen))
        hand = (f" {row.answered} of {row.asked} |" if row.asked else "  |") if asked else ""
        hand += f" {row.aside} |" if aside else ""
        title = _cell(prose(row.area.title))
        yield f"| {row.marks} | {title} | {counts} |{hand} {_cell(prose(row.unseen))} |"


def _findings(report: Report) -> Iterator[str]:
    numbered = enumerate(ordered(report.findings, report.profile), 1)
    titles = {area.id: area.title for area in report.profile.areas}
    for area, group in groupby(numbered, key=lambda item: area_of(item[1], report.profile).id):
        yield ""
        yield f"## {prose(titles[area][:1].upper() + titles[area][1:])}"
        yield ""
        for position, finding in group:
            yield from finding_lines(position, finding, report)


def finding_lines(position: int, finding: Finding, report: Report) -> Iterator[str]:
    """One finding as a task, with its number."""
    symbol = SEVERITY_SYMBOL[finding.severity]
    new = "new: " if report.since is not None and finding.fingerprint in report.since.new else ""
    yield f"- [ ] {symbol} {position}: {new}{prose(finding.message)}"
    stake = weight(finding, report)
    why = f"{stake}. {finding.why}" if stake and finding.why else stake or finding.why
    if why:
        yield f"  - why: {prose(why)}"
    if parts := path_parts(finding):
        yield f"  - path: {' → '.join(code(part) for part in parts)}"
    yield from _evidence(evidence_of(finding))
    if finding.action:
        yield f"  - do: {prose(finding.action)}"
    yield f"  - rule {code(finding.rule)}, fingerprint {code(finding.fingerprint)}"


def _evidence(evidence: Sequence[Provenance]) -> Iterator[str]:
    if len(evidence) <= INLINE:
        for item in evidence:
            yield f"  - at {_place(item)}"
        return
    yield f"  - at {_place(evidence[0])}"
    yield "    <details>"
    yield f"    <summary>and {len(evidence) - 1:,} more</summary>"
    yield ""
    for item in evidence[1:]:
        yield f"    - {_place(item)}"
    yield ""
    yield "    </details>"


def _place(item: Provenance) -> str:
    where = code(f"{item.path}:{item.line}" if item.line else item.path)
    if item.api:
        where += f" {code(item.api)}"
    where += prose(of_estate(item))
    return f"{where}: {code(item.excerpt)}" if item.excerpt.strip() else where


def _unseen(report: Report) -> Iterator[str]:
    found = gaps(report)
    if found:
        yield ""
        yield "## Not looked at"
        yield ""
        yield "Nobody saw these: dependencies may hide in them."
        yield ""
    for gap in found:
        yield f"- [ ] {'?' if gap.needed else '·'} {gap.area.value}: {prose(gap.what)}"
        shown = gap.sources if len(gap.sources) <= SOURCES else gap.sources[:SOURCES]
        more = f" and {len(gap.sources) - len(shown):,} more" if len(shown) < len(gap.sources) else ""
        sources = f" ({', '.join(map(code, shown))}{more})" if shown else ""
        yield f"  - why: {prose(gap.why)}{sources}"
        if gap.places:
            yield from _evidence(gap.places)
        if gap.action:
            yield f"  - do: {prose(gap.action)}"
    if report.failures:
        yield ""
        yield "## Failed"
        yield ""
    for failure in report.failures:
        yield f"- [ ] ? {prose(failure.what)}"
        yield f"  - why: {prose(failure.error)}"
        if failure.hint:
            yield f"  - do: {prose(failure.hint)}"


def _aside(report: Report) -> Iterator[str]:
    if report.aside:
        yield ""
        yield f"## Set aside: {prose(aside_tally(report.aside))}"
        yield ""
        yield "These were found, and somebody has decided that they do not count."
        yield ""
        for one in report.aside:
            yield f"- {prose(one.finding.message)}"
            yield f"  - {prose(aside_said(one))}"
            yield f"  - at {_place(one.finding.evidence[0])}"
            yield f"  - rule {code(one.finding.rule)}, fingerprint {code(one.finding.fingerprint)}"
    for title, said, found in changes(report):
        yield ""
        yield f"## {title.capitalize()}"
        yield ""
        yield prose(said)
        yield ""
        for earlier in found:
            yield f"- {prose(earlier.message)}: rule {code(earlier.rule)}, fingerprint {code(earlier.fingerprint)}"


def _by_hand(report: Report) -> Iterator[str]:
    items = report.profile.items(report.phase)
    if not items:
        return
    yield ""
    yield f"## By hand: {open_items(report)} of {number(len(items), 'question')} open"
    yield ""
    alone = only_owner(report)
    signed = f" All areas are to be signed off by {prose(alone)}." if alone else ""
    if said := signatures_said(report):
        signed += f" {said}."
    yield f"No machine can tell these. They do not change the verdict; a run is not complete without them.{signed}"
    for area in report.profile.areas:
        asked = [item for item in area.items if item.phase is report.phase]
        if not asked and area.id not in report.signed:
            continue
        signer = signature_said(report, area)
        yield ""
        yield f"### {prose(area.title)}" + (f" ({prose(signer)})" if signer else "")
        yield ""
        for item in asked:
            answered = report.answers.get(item.id)
            done = answered is not None and answered.answer is not Answer.NO
            yield f"- [{'x' if done else ' '}] {prose(item.text)} ({code(item.id)})"
            yield f"  - {prose(answer_said(answered) if answered else item_said(item))}"


def _policy(report: Report) -> Iterator[str]:
    use = report.policy
    if use.changes or use.unused:
        yield ""
        yield f"## Policy: {code(use.path)}"
        yield ""
        yield from (f"- {prose(change)}" for change in use.changes)
        for one in use.unused:
            yield f"- nothing meets the waiver at {_place(one)}"


def _seen(report: Report) -> Iterator[str]:
    yield ""
    yield "## Looked at"
    yield ""
    yield f"{prose(basis(report))}."
    yield ""
    if as_it_should_be := passed(report):
        yield from (f"- ✓ {prose(text)}: rule {code(rule)}" for text, rule in as_it_should_be)
        yield ""
    yield "| area | what | known to be absent |"
    yield "|---|---|---|"
    for area, kinds, absent in seen_by_area(report):
        looked = ", ".join(f"{prose(what)} {count:,}" for what, count in kinds)
        yield f"| {area.value} | {_cell(looked)} | {_cell(', '.join(prose(what) for what in absent))} |"
    if fleet := fleet_said(report):
        yield ""
        yield f"- {prose(fleet[0])}"
        yield from (f"  - {prose(part)}" for part in fleet[1:])
    others = [f"{prose(name)} {count:,}" for name, count in other_counts(report)]
    if others:
        yield ""
        yield f"In all: {', '.join(others)}, {number(len(report.rules), 'check')}."
