"""What was not seen, and what was found and does not count: both as visible as findings."""

from __future__ import annotations

from collections.abc import Sequence

from auditor.model import Report
from auditor.page.findings import EVIDENCE, evidence_list, labelled
from auditor.page.markup import Markup, joined, prose, tag
from auditor.report.layout import place
from auditor.report.summary import aside_said, changes, gaps


def unseen(report: Report) -> Markup:
    """What was not looked at, each gap like a finding, and what of the audit failed."""
    found = gaps(report)
    articles: list[Markup] = []
    for position, gap in enumerate(found, 1):
        title = f"gap-{position}-title"
        sources = tag("p", "At ", _listed(gap.sources), class_="sources") if gap.sources else None
        summary = tag(
            "summary",
            tag("span", "?" if gap.needed else "·", class_="mark unseen", aria_hidden="true"),
            tag("span", "Gap" if gap.needed else "Gap that does not change the verdict", class_="severity"),
            tag("h3", prose(f"{gap.area.value.capitalize()}: {gap.what}"), id=title, class_="title"),
        )
        body = [
            labelled("Why", prose(gap.why), level="h4"),
            sources,
            evidence_list(gap.places, level="h4") if gap.places else None,
            labelled("What to do", prose(gap.action), "do", level="h4") if gap.action else None,
        ]
        articles.append(
            tag(
                "article",
                tag("details", summary, tag("div", body, class_="body"), open=gap.needed and position <= 3),
                class_="finding gap" if gap.needed else "finding gap minor",
                aria_labelledby=title,
            )
        )
    for failure in report.failures:
        head = tag(
            "summary",
            tag("span", "?", class_="mark unseen", aria_hidden="true"),
            tag("span", "Failed", class_="severity"),
            tag("h3", prose(failure.what), class_="title"),
        )
        hint = labelled("What to do", prose(failure.hint), "do", level="h4") if failure.hint else None
        body = [labelled("Why", prose(failure.error), level="h4"), hint]
        articles.append(
            tag("article", tag("details", head, tag("div", body, class_="body"), open=True), class_="finding gap")
        )
    if not articles:
        if any(line.needed and not line.seen for line in report.coverage):
            link = tag("a", "Coverage", href="#coverage")
            return tag(
                "p",
                "What was not looked at is among the findings above. All of it is under ",
                link,
                ".",
                class_="empty",
            )
        return tag("p", "Everything that a check needs was looked at.", class_="empty")
    return joined(articles)


def _listed(names: Sequence[str], limit: int = 40) -> Markup:
    shown: list[Markup | str] = []
    for name in names[:limit]:
        shown.extend((tag("code", tag("bdi", name)), ", "))
    more = f"and {len(names) - limit:,} more" if len(names) > limit else ""
    return joined([shown[:-1] if not more else shown, more])


def set_aside(report: Report) -> Markup:
    """What was found and does not count, with who has decided that; and what was there before and is no more."""
    rows = [
        tag(
            "tr",
            tag("th", prose(one.finding.message), scope="row"),
            tag("td", prose(aside_said(one))),
            tag("td", tag("code", tag("bdi", place(one.finding.evidence[0])))),
        )
        for one in report.aside[:EVIDENCE]
    ]
    if len(report.aside) > EVIDENCE:
        more = f"and {len(report.aside) - EVIDENCE:,} more, which are in the JSON output"
        rows.append(tag("tr", tag("td", more, colspan=3)))
    heads = [tag("th", one, scope="col") for one in ("What was found", "Why it does not count", "Where")]
    table = tag("table", tag("thead", tag("tr", heads)), tag("tbody", rows), class_="sign-offs") if rows else None
    gone = []
    for _, said, earlier in changes(report):
        listed = tag("ul", [tag("li", prose(one.message)) for one in earlier[:EVIDENCE]])
        gone += [tag("p", said, class_="lead"), listed]
    return joined([table, gone])
