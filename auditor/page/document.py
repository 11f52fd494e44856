"""A page: one HTML file with all that it needs, and a policy under which nothing else can be loaded or run."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Final

from auditor.model import Going, Report, Severity, Verdict
from auditor.page.coverage import coverage
from auditor.page.data import block, graph_data, report_data
from auditor.page.explorer import explorer
from auditor.page.findings import AREA_STATE, by_kind, capital, checklist, findings
from auditor.page.gaps import set_aside, unseen
from auditor.page.markup import Markup, hidden, joined, prose, tag
from auditor.page.model import PageGraph, Review
from auditor.page.people import by_hand, policy
from auditor.page.timeline import timeline
from auditor.report.layout import in_utc, iso, moment, number, time_left
from auditor.report.summary import (
    areas,
    basis,
    beyond,
    changes,
    fate_of,
    gaps,
    headline,
    open_items,
    signatures_said,
    since_said,
    soonest,
)

_VERDICT: Final = {Verdict.BLOCKED: "bad", Verdict.CLEAR: "good", Verdict.INCOMPLETE: "unseen"}
_NAMES: Final = 12
_HOSTS: Final = 40
_CYTOSCAPE_STYLE: Final = ".__________cytoscape_container { position: relative; }"
_NO_SCRIPT: Final = "Without scripts this page shows everything, and only the drawing can't be moved or searched."


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a page: its anchor, its heading, what stands beside that in the contents, and its body."""

    id: str
    title: str
    body: Markup
    beside: str = ""
    entries: tuple[Markup, ...] = ()


@cache
def asset(name: str) -> str:
    """A file of the page as text, with one line end at its end."""
    return files("auditor.page").joinpath(name).read_text(encoding="utf-8").replace("\r\n", "\n")


def render_page(review: Review, *, before: Iterable[Section] = (), after: Iterable[Section] = ()) -> str:
    """The page of a review. Other sections can stand before and after its own."""
    report = review.report
    sections = [*before, *_sections(review), *after]
    title = f"{report.verdict.value}: {headline(report).claim}"
    data = [block("report-data", report_data(review))]
    return document(title, _header(report), sections, data, review.graph)


def render_graph(graph: PageGraph, title: str, report: Report) -> str:
    """A page of a graph alone, in the scenario of a report."""
    going = [tag("li", tag("bdi", one.host), f": {fate_of(one)}") for one in report.going[:_HOSTS]]
    header = tag(
        "header",
        _tools(),
        tag("p", "Dependency graph", class_="kicker"),
        tag("h1", tag("bdi", title)),
        tag("ul", going),
        tag("p", f"As of {moment(report.now)}, estate ", tag("code", tag("bdi", report.estate)), class_="counts"),
        class_="top alone",
    )
    return document(f"Graph: {title}", header, [_graph(graph)], [], graph)


def document(
    title: str,
    header: Markup,
    sections: Iterable[Section],
    data: Iterable[Markup],
    graph: PageGraph | None,
    *,
    forms: bool = False,
) -> str:
    """A whole HTML file of a header and sections; the scripts of a graph are in it only if there is one.

    With `forms` a form may ask the server that the page came from.
    """
    parts = list(sections)
    contents = [
        tag(
            "li",
            tag("a", one.title, tag("span", one.beside, class_="n") if one.beside else None, href=f"#{one.id}"),
            tag("ul", one.entries) if one.entries else None,
        )
        for one in parts
    ]
    scripts = [asset("assets/page.js")]
    blocks = list(data)
    if graph is not None:
        blocks.append(block("graph-data", graph_data(graph)))
        scripts = [*scripts, asset("vendor/cytoscape.min.js"), asset("assets/graph.js")]
    style = asset("assets/page.css")
    allowed = (
        "default-src 'none'; "
        f"script-src {' '.join(map(_hash, scripts))}; style-src {_hash(style)} {_hash(_CYTOSCAPE_STYLE)}; "
        f"base-uri 'none'; form-action {_SELF if forms else _NONE}; "
        f"require-trusted-types-for 'script'; trusted-types {_NONE}"
    )
    main = [
        tag(
            "section",
            tag("h2", one.title, id=f"{one.id}-title"),
            one.body,
            id=one.id,
            aria_labelledby=f"{one.id}-title",
        )
        for one in parts
    ]
    body = [
        tag("a", "Skip to the content", href="#content", class_="skip"),
        tag(
            "div",
            tag("nav", tag("ul", contents), aria_label="Contents", class_="contents"),
            tag("div", header, tag("main", main, id="content", tabindex=-1), _footer(), class_="sheet"),
            class_="layout",
        ),
        tag("div", "", id="said", class_="sr", role="status", aria_live="polite"),
    ]
    return "".join(
        (
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n',
            tag("meta", http_equiv="Content-Security-Policy", content=allowed),
            '\n<meta name="viewport" content="width=device-width, initial-scale=1">\n',
            '<meta name="referrer" content="no-referrer">\n<meta name="color-scheme" content="light dark">\n',
            tag("title", title),
            f"\n<style>{style}</style>\n",
            # Cytoscape writes this element if it is not there, and the policy would not let it.
            f'<style id="__________cytoscape_stylesheet">{_CYTOSCAPE_STYLE}</style>\n',
            "</head>\n<body>\n",
            *body,
            "\n",
            *(f"{one}\n" for one in blocks),
            *(f"<script>{one}</script>\n" for one in scripts),
            "</body>\n</html>\n",
        )
    )


_SELF: Final = "'self'"
_NONE: Final = "'none'"


def _hash(content: str) -> str:
    """A source of the policy: the SHA-256 of what stands between the tags."""
    return f"'sha256-{b64encode(sha256(content.encode()).digest()).decode()}'"


def _tools() -> Markup:
    return tag(
        "div",
        tag("button", "Print", type="button", data_action="print"),
        tag("button", "Dark", type="button", data_action="theme", aria_pressed="false"),
        class_="tools script",
    )


def _header(report: Report) -> Markup:
    said = headline(report)
    kind = _VERDICT[report.verdict]
    found = soonest(report)
    left = None
    if found is not None:
        over = in_utc(found.deadline) < in_utc(report.now)
        more = f"; {number(found.later, 'later deadline')}" if found.later else ""
        left = tag(
            "p",
            tag("strong", time_left(found.deadline, report.now)),
            " since " if over else " until ",
            tag("time", moment(found.deadline), datetime=iso(found.deadline)),
            ": ",
            tag("bdi", found.finding.subject),
            " (see ",
            tag("a", f"finding {found.position}", href=f"#finding-{found.position}"),
            f"{more})",
            class_="deadline",
        )
    counts = tag("p", said.counts, class_="counts") if said.counts else None
    rests: list[Markup] = []
    if report.verdict is Verdict.CLEAR:
        rests = [tag("p", f"This rests on {basis(report)}, as of {moment(report.now)}.")]
        if left_out := beyond(report):
            link = tag("a", "not looked at", href="#unseen")
            rests.append(tag("p", tag("strong", "It does not cover: "), prose(left_out), " (", link, ")"))
    return tag(
        "header",
        _tools(),
        tag("p", "Decommission review", class_="kicker"),
        tag("h1", tag("span", report.verdict.value, class_="verdict"), " ", tag("span", said.claim, class_="claim")),
        counts,
        left,
        rests,
        _lines(report),
        tag("p", "", id="age", class_="age", hidden=True),
        class_=f"top {kind}",
    )


def _lines(report: Report) -> list[Markup]:
    """What is new since the last run, and what people are still asked."""
    lines = [tag("p", since_said(report, report.since), class_="more-lines")] if report.since is not None else []
    if signed := signatures_said(report):
        lines.append(tag("p", f"{signed}: ", tag("a", "by hand", href="#by-hand"), class_="more-lines"))
    if left := open_items(report):
        said = f"{number(left, 'question')} for people {'is' if left == 1 else 'are'} open: "
        lines.append(tag("p", said, tag("a", "by hand", href="#by-hand"), class_="more-lines"))
    return lines


def _sections(review: Review) -> list[Section]:
    report = review.report
    rows = areas(report)
    found = Section(
        "findings",
        "Findings",
        joined([_filters(review), findings(review)]),
        f"{len(report.findings):,}" if report.findings else "none",
        tuple(
            tag(
                "li",
                tag(
                    "a",
                    tag("span", symbol, class_=f"mark {AREA_STATE[symbol]}", aria_hidden="true"),
                    capital(row.area.title),
                    tag("span", f"{count:,}", class_="n"),
                    href=f"#area-{row.area.id}",
                ),
            )
            for symbol, row, count in by_kind(rows)
        ),
    )
    missed = len(gaps(report)) + len(report.failures)
    lead = tag("p", "Nobody saw these: dependencies may hide in them.", class_="lead") if missed else None
    not_seen = Section(
        "unseen",
        "Not looked at",
        joined([lead, unseen(report)]),
        f"{missed:,}" if missed else ("" if report.verdict is not Verdict.CLEAR else "none"),
    )
    sections = [Section("summary", "Summary", _summary(report))]
    # Where nothing blocks, what nobody saw is the first thing to read.
    sections += [not_seen, found] if report.verdict is Verdict.INCOMPLETE else [found, not_seen]
    if report.aside or changes(report):
        sections.append(Section("set-aside", "Set aside", set_aside(report), f"{len(report.aside):,}"))
    if review.graph is not None:
        sections.append(_graph(review.graph))
    sections.append(Section("timeline", "Timeline", timeline(review), f"{len(review.events):,}"))
    sections.append(Section("coverage", "Coverage", coverage(report)))
    if items := report.profile.items(report.phase):
        open_ = open_items(report)
        sections.append(
            Section("by-hand", "By hand", by_hand(report), f"{open_:,} open" if open_ else f"{len(items):,}")
        )
    if report.policy.changes or report.policy.unused:
        sections.append(Section("policy", "Policy", policy(report)))
    return sections


def _graph(graph: PageGraph) -> Section:
    return Section("graph", "Graph", explorer(graph), f"{graph.total_nodes:,}")


def _summary(report: Report) -> Markup:
    going = [_going(one) for one in report.going[:_HOSTS]]
    if len(report.going) > _HOSTS:
        going.append(tag("p", f"and {number(len(report.going) - _HOSTS, 'host')} more, which are in the JSON output"))
    when = [tag("dt", "As of"), tag("dd", moment(report.now))]
    if report.on:
        when += [tag("dt", "Planned for"), tag("dd", moment(report.on))]
    when += [tag("dt", "Estate"), tag("dd", tag("code", tag("bdi", report.estate)))]
    return joined([tag("div", going, tag("dl", when, class_="facts"), class_="hosts"), checklist(report)])


def _going(one: Going) -> Markup:
    rows = [tag("dt", "Is"), tag("dd", fate_of(one))]
    for name, values in (("Names", one.names), ("Addresses", one.addresses)):
        if values:
            shown = [[tag("code", tag("bdi", value)), " "] for value in values[:_NAMES]]
            more = f"and {len(values) - _NAMES:,} more" if len(values) > _NAMES else None
            rows += [tag("dt", name), tag("dd", shown, more)]
    successor = tag("code", tag("bdi", one.successor)) if one.successor else tag("b", "none declared")
    rows += [tag("dt", "Successor"), tag("dd", successor)]
    return tag("div", tag("h3", tag("bdi", one.host)), tag("dl", rows, class_="facts"), class_="host")


def _filters(review: Review) -> Markup | None:
    report = review.report
    if len(report.findings) < 2:
        return None
    present = [one for one in Severity if any(finding.severity is one for finding in report.findings)]
    words = {"block": "Blockers", "warn": "Warnings", "info": "Notes"}
    boxes = [
        tag(
            "label",
            tag("input", type="checkbox", checked=True, value=one.value, data_filter="severity"),
            words[one.value],
        )
        for one in present
    ]
    options = [tag("option", "all areas", value="")]
    options += [tag("option", row.area.title, value=row.area.id) for _, row, _ in by_kind(areas(report))]
    return tag(
        "div",
        tag(
            "label",
            hidden("Search the findings"),
            tag("input", type="search", placeholder="Search findings", data_filter="text"),
        ),
        tag("label", hidden("Area"), tag("select", options, data_filter="area")),
        boxes,
        tag("span", "", id="found", class_="found", role="status"),
        tag("button", "Open all", type="button", data_action="open"),
        tag("button", "Copy all as Markdown", type="button", data_action="copy-all"),
        class_="filters script",
        role="search",
        aria_label="Findings",
    )


def _footer() -> Markup:
    from auditor import __version__

    return tag(
        "footer",
        tag(
            "p",
            f"Made by auditor {__version__}. This page loads nothing from elsewhere, and sends nothing anywhere.",
        ),
        tag("noscript", tag("p", _NO_SCRIPT)),
    )
