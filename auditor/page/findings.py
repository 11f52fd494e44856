"""The findings of a page: the checklist by area, each finding with its path, its evidence and what to do."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Final, TypeAlias

from auditor.model import Finding, Impact, Provenance, Report, Severity, Step, Verdict
from auditor.page.markup import Markup, hidden, joined, prose, tag
from auditor.page.model import GraphNode, Review
from auditor.phrases import parse_time
from auditor.report.layout import clean, moment, of_estate
from auditor.report.summary import (
    ALIKE,
    SEVERITY_SYMBOL,
    AreaSummary,
    area_of,
    areas,
    counted,
    evidence_of,
    ordered,
    shape,
    weight,
)

Called: TypeAlias = Mapping[str, Sequence[GraphNode]]

EVIDENCE: Final = 200
"""Places that a finding shows; the others are counted, and are in the JSON output."""
_NAMESAKES: Final = 8
DETAILED: Final = 400
"""Findings that have their path drawn, and a copy as Markdown; those after them are short."""
OPEN_PLACES: Final = 4

SEVERITY_WORD: Final[Mapping[Severity, str]] = {
    Severity.BLOCK: "Blocker",
    Severity.WARN: "Warning",
    Severity.INFO: "Note",
}
AREA_STATE: Final[Mapping[str, str]] = {
    "✗": "bad",
    "!": "warn",
    "✓": "good",
    "?": "unseen",
    "☐": "unseen",
    "☑": "good",
    "~": "warn",
}


_STATE: Final[Mapping[str, str]] = {
    "✗": "blocked",
    "!": "findings",
    "✓": "clean",
    "?": "not looked at",
    "☐": "for people, open",
    "☑": "for people, answered",
    "~": "only what was set aside",
}


def findings(review: Review) -> Markup:
    """All findings, by area, numbered as in every other format."""
    report = review.report
    found = ordered(report.findings, report.profile)
    if not found:
        said = "Nothing was found that needs what is going."
        if report.verdict is Verdict.INCOMPLETE:
            said = "Nothing was found, and not all was looked at: what is needed may hide in what nobody saw."
        return tag("p", said, class_="empty")
    called = _called(review)
    rows = {row.area.id: row for row in areas(report)}
    position = 0
    sections = []
    for area, of_area in groupby(found, key=lambda finding: area_of(finding, report.profile).id):
        articles: list[Markup] = []
        for _, alike in groupby(of_area, key=lambda finding: shape(finding, report)):
            group = list(alike)
            if len(group) >= ALIKE:
                articles.append(_group(review, group, position, called))
            else:
                for offset, finding in enumerate(group, 1):
                    articles.append(_single(review, finding, position + offset, called))
            position += len(group)
        row = rows[area]
        state = AREA_STATE[row.symbol]
        heading = tag(
            "h3",
            tag("span", row.marks, class_=f"mark {state}", aria_hidden="true"),
            capital(row.area.title),
            tag("span", counted(row), class_="counted"),
            id=f"area-{area}",
        )
        unseen = tag("p", tag("b", "Not looked at: "), row.unseen, class_="unseen-note") if row.unseen else None
        sections.append(
            tag(
                "section",
                heading,
                unseen,
                articles,
                class_="area",
                aria_labelledby=f"area-{area}",
                data_area=area,
            )
        )
    return joined(sections)


def _called(review: Review) -> Called:
    """The nodes of the paths, by what steps call them."""
    graph = review.graph
    if graph is None:
        return {}
    called: defaultdict[str, list[GraphNode]] = defaultdict(list)
    for rows in graph.paths.values():
        for row in rows:
            node = graph.nodes[row]
            for label in (node.name, f"{node.kind} {node.name}", f"{node.kind} {node.name} on {node.scope}"):
                if len(called[label]) < _NAMESAKES and node not in called[label]:
                    called[label].append(node)
    return called


def _single(review: Review, finding: Finding, position: int, called: Called) -> Markup:
    report = review.report
    title = f"finding-{position}-title"
    stake = weight(finding, report)
    summary = tag(
        "summary",
        tag("span", str(position), class_="number"),
        _mark(finding.severity),
        tag("h4", _new(report, finding), prose(finding.message), id=title, class_="title"),
        tag("span", stake, class_="stake") if stake else None,
    )
    body = [
        labelled("Why", prose(finding.why)) if finding.why else None,
        _path(finding.path, called) if finding.path and position <= DETAILED else None,
        evidence_list(evidence_of(finding)),
        labelled("What to do", prose(finding.action), "do") if finding.action else None,
        _foot(review, finding, position),
    ]
    return tag(
        "article",
        tag("details", summary, tag("div", body, class_="body"), open=position == 1),
        class_=f"finding {finding.severity.value}",
        id=f"finding-{position}",
        aria_labelledby=title,
        **_data(finding, position),
    )


def _group(review: Review, group: Sequence[Finding], start: int, called: Called) -> Markup:
    """Findings that say the same of several things: why and what to do once, then each with its place."""
    report, first = review.report, group[0]
    titles = {run.rule: run.title for run in report.rules}
    title = f"finding-{start + 1}-group"
    stake = weight(first, report)
    numbers = f"{start + 1}–{start + len(group)}"
    summary = tag(
        "summary",
        tag("span", numbers, class_="number"),
        _mark(first.severity),
        tag("h4", prose(f"{titles.get(first.rule, first.rule)}: {len(group):,} times"), id=title, class_="title"),
        tag("span", stake, class_="stake") if stake else None,
    )
    items = []
    for offset, finding in enumerate(group, 1):
        position = start + offset
        items.append(
            tag(
                "li",
                tag(
                    "p",
                    tag("span", str(position), class_="number"),
                    _new(report, finding),
                    prose(finding.message),
                    class_="message",
                ),
                _path(finding.path, called) if finding.path and position <= DETAILED else None,
                evidence_list(evidence_of(finding)),
                _foot(review, finding, position, short=True),
                class_="item",
                id=f"finding-{position}",
                **_data(finding, position),
            )
        )
    body = [
        labelled("Why", prose(first.why)) if first.why else None,
        labelled("What to do", prose(first.action), "do") if first.action else None,
        tag("ol", items, class_="items"),
        tag("p", tag("span", tag("code", first.rule), class_="rule"), class_="foot"),
    ]
    return tag(
        "article",
        tag("details", summary, tag("div", body, class_="body"), open=start == 0),
        class_=f"finding {first.severity.value}",
        aria_labelledby=title,
    )


def _new(report: Report, finding: Finding) -> Markup | None:
    """A mark for what the last run did not have."""
    new = report.since is not None and finding.fingerprint in report.since.new
    return joined([tag("span", "New", class_="chip new"), hidden(": "), " "]) if new else None


def _data(finding: Finding, position: int) -> dict[str, str | int]:
    """What the scripts ask a finding."""
    return {"data_finding": position, "data_severity": finding.severity.value}


def _mark(severity: Severity) -> Markup:
    return joined(
        [
            tag("span", SEVERITY_SYMBOL[severity], class_="mark", aria_hidden="true"),
            tag("span", SEVERITY_WORD[severity], class_="severity"),
        ]
    )


def labelled(label: str, said: Markup, kind: str = "why", *, level: str = "h5") -> Markup:
    """A paragraph under a small heading."""
    return tag("div", tag(level, label, class_="label"), tag("p", said), class_=kind)


def _path(path: Sequence[Step], called: Called) -> Markup:
    """The path as a row of boxes with the relations between them, from the consumer to what is going."""
    hops = [tag("li", _box(path[0].consumer, called))]
    before = path[0].consumer
    for step in path:
        if step.consumer != before:
            hops.append(tag("li", hidden("and "), _box(step.consumer, called), class_="again"))
        hops.append(
            tag(
                "li",
                tag(
                    "span",
                    tag("span", step.relation.replace("-", " ")),
                    tag("span", "→", class_="arrow", aria_hidden="true"),
                    class_="relation",
                ),
                _box(step.provider, called, step.note),
            )
        )
        before = step.provider
    return tag("div", tag("h5", "Path", class_="label"), tag("ol", hops, class_="path"), class_="via")


def _box(label: str, called: Called, note: str = "") -> Markup:
    # A name and its host may be called alike: only what is going has a note.
    nodes = called.get(label, ())
    node = next((one for one in nodes if one.going is bool(note)), nodes[0] if nodes else None)
    state = ""
    if node is not None:
        kind, name, scope = node.kind, node.name, node.scope
        state = "going" if node.going else node.impact
    else:
        kind, name, scope = "", label, ""
    said = note or (
        {Impact.BROKEN: "broken", Impact.BLIND: "blind"}.get(Impact(state), "") if node and not node.going else ""
    )
    return tag(
        "span",
        tag("span", kind, class_="kind") if kind else None,
        tag("span", tag("bdi", name), class_="name"),
        tag("span", "on ", tag("bdi", scope), class_="on") if scope else None,
        tag("span", said, class_="note") if said else None,
        class_=f"box {state}".rstrip(),
    )


def evidence_list(evidence: Sequence[Provenance], *, level: str = "h5") -> Markup:
    """Places with what stands there, the later ones folded."""
    shown = [_place(one) for one in evidence[:EVIDENCE]]
    more = None
    if len(shown) > OPEN_PLACES + 1:
        hidden_places = tag("ul", shown[OPEN_PLACES:], class_="places")
        more = tag("details", tag("summary", f"{len(shown) - OPEN_PLACES:,} more places"), hidden_places, class_="more")
        shown = shown[:OPEN_PLACES]
    rest = len(evidence) - EVIDENCE
    counted = tag("p", f"and {rest:,} more places, which are in the JSON output") if rest > 0 else None
    heading = tag(level, "Evidence", class_="label")
    return tag("div", heading, tag("ul", shown, class_="places"), more, counted, class_="evidence")


def _place(one: Provenance) -> Markup:
    """`file:line` and what stands there."""
    where = tag("code", tag("bdi", f"{one.path}:{one.line}" if one.line else one.path), class_="where")
    inside = tag("code", tag("bdi", one.api), class_="api") if one.api else None
    taken = tag("span", f"captured {_captured(one.collected_at)}", class_="taken") if one.collected_at else None
    quoted = clean(one.excerpt).strip()
    excerpt = None
    if quoted:
        line = tag("span", str(one.line), class_="line", aria_hidden="true") if one.line else None
        excerpt = tag("pre", line, tag("code", tag("bdi", quoted)), class_="excerpt")
    head = tag("p", where, inside, of_estate(one) or None, taken, class_="head")
    return tag("li", head, excerpt)


def _captured(said: str) -> str:
    time = parse_time(said)
    return moment(time) if time is not None else said


def _foot(review: Review, finding: Finding, position: int, *, short: bool = False) -> Markup:
    buttons = []
    if review.graph is not None and finding.fingerprint in review.graph.paths:
        buttons.append(_button("Show in graph", "show", position))
    if position <= DETAILED:
        buttons.append(_button("Copy as Markdown", "copy", position))
    about = None
    if not short:
        about = tag(
            "span",
            tag("code", finding.rule),
            f" · {finding.confidence.value} confidence · fingerprint ",
            tag("code", finding.fingerprint),
            class_="rule",
        )
    return tag("p", tag("span", buttons, class_="buttons script"), about, class_="foot")


def _button(label: str, action: str, position: int) -> Markup:
    return tag(
        "button",
        label,
        hidden(f" (finding {position})"),
        type="button",
        data_action=action,
        data_of=position,
    )


def checklist(report: Report) -> Markup:
    """The state of each area, as a table."""
    heads = ("", "Area", "Blockers", "Warnings", "Notes", "Looked at", "By hand", "Besides")
    rows = []
    for row in areas(report):
        state = AREA_STATE[row.symbol]
        name = capital(row.area.title)
        said = _STATE[row.symbol]
        found = bool(row.blockers or row.warnings or row.notes)
        if row.unseen and row.symbol != "?":
            said += ", not fully looked at"
        rows.append(
            tag(
                "tr",
                tag("td", tag("span", row.marks, class_=f"mark {state}", aria_hidden="true"), hidden(said)),
                tag("th", tag("a", name, href=f"#area-{row.area.id}") if found else name, scope="row"),
                _count(row.blockers, "bad", "blocker"),
                _count(row.warnings, "warn", "warning"),
                _count(row.notes, "", "note"),
                _count(row.seen, "seen", "looked at", "looked at"),
                _cell(f"{row.answered} of {row.asked}" if row.asked else "", "", "answered by hand"),
                tag("td", row.remark or "–", class_="unseen" if row.remark else "none"),
            )
        )
    head = tag(
        "thead",
        tag("tr", [tag("th", tag("span", one or "State", class_=None if one else "sr"), scope="col") for one in heads]),
    )
    return tag(
        "table", tag("caption", "The checklist by area", class_="sr"), head, tag("tbody", rows), class_="checklist"
    )


def _count(value: int, kind: str, one: str, many: str = "") -> Markup:
    return _cell(f"{value:,}" if value else "", kind, one if value == 1 else many or f"{one}s")


def _cell(said: str, kind: str, noun: str) -> Markup:
    """A cell with a number. On a narrow page, which has no headings, the noun stands behind it."""
    return tag("td", said or "–", class_=f"count {kind if said else 'none'}".rstrip(), data_noun=f" {noun}")


def capital(text: str) -> str:
    """A text with a capital letter first."""
    return text[:1].upper() + text[1:]


def by_kind(rows: Sequence[AreaSummary]) -> Iterator[tuple[str, AreaSummary, int]]:
    """Symbol, row and number of findings of the areas that have any, for the contents."""
    for row in rows:
        total = row.blockers + row.warnings + row.notes
        if total:
            yield row.symbol, row, total
