"""What people are asked on a page, with their answers; what a policy changes."""

from __future__ import annotations

from auditor.model import Answer, Answered, ManualItem, Report
from auditor.page.findings import capital
from auditor.page.markup import Markup, hidden, joined, prose, tag
from auditor.phrases import parse_time
from auditor.report.layout import clean, moment, place
from auditor.report.summary import answer_mark, item_said, only_owner, signature_said, signatures_said


def by_hand(report: Report) -> Markup:
    """The questions of this phase by area, with who signs an area off. On paper, an open one has room to write."""
    bodies = []
    alone = only_owner(report)
    for area in report.profile.areas:
        asked = [item for item in area.items if item.phase is report.phase]
        if not asked and area.id not in report.signed:
            continue
        said = signature_said(report, area)
        signer = tag("span", prose(said), class_="many") if said else None
        name = tag("th", capital(area.title), " ", signer, scope="rowgroup", colspan=5)
        rows = [_question(item, report.answers.get(item.id)) for item in asked]
        bodies.append(tag("tbody", tag("tr", name), rows))
    heads = [tag("th", one, scope="col") for one in (hidden("State"), "Question", "Answer", "By", "When")]
    lead = "No machine can tell these. They do not change the verdict; a review is not complete without them."
    signed = f" All areas are to be signed off by {clean(alone)}." if alone else ""
    if count := signatures_said(report):
        signed += f" {count}."
    frame = tag(
        "div",
        tag(
            "table",
            tag("caption", "Questions for people", class_="sr"),
            tag("thead", tag("tr", heads)),
            bodies,
            class_="by-hand",
        ),
        class_="scroll",
        role="region",
        aria_label="Questions for people",
        tabindex=0,
    )
    return joined([tag("p", lead, signed, class_="lead"), frame])


def _question(item: ManualItem, answered: Answered | None) -> Markup:
    mark = tag("span", answer_mark(answered), class_="mark", aria_hidden="true")
    question = tag(
        "th", prose(item.text), " ", tag("code", item.id), tag("span", item_said(item), class_="areas"), scope="row"
    )
    if answered is None:
        empty = [tag("td", "", class_="write") for _ in range(2)]
        return tag("tr", tag("td", mark), question, tag("td", "open", class_="write"), empty, class_="open")
    said = {Answer.NOT_APPLICABLE: "not applicable"}.get(answered.answer, answered.answer.value)
    note = tag("span", prose(answered.note), class_="areas") if answered.note else None
    shown = tag("span", "evidence: ", prose(answered.evidence), class_="areas") if answered.evidence else None
    time = parse_time(answered.time)
    return tag(
        "tr",
        tag("td", mark),
        question,
        tag("td", said, note, shown),
        tag("td", tag("bdi", answered.by)),
        tag("td", moment(time) if time is not None else answered.time),
        class_="no" if answered.answer is Answer.NO else None,
    )


def policy(report: Report) -> Markup:
    """What the policy changes, and its waivers that nothing meets."""
    use = report.policy
    unused = None
    if use.unused:
        listed = [[tag("code", tag("bdi", place(one))), " "] for one in use.unused]
        unused = tag(
            "p", hidden("Warning: "), "Nothing meets these waivers, remove what is done: ", listed, class_="unseen-note"
        )
    changes = tag("ul", [tag("li", prose(one)) for one in use.changes], class_="bullets") if use.changes else None
    return joined([tag("p", "Of ", tag("code", tag("bdi", use.path)), ":", class_="lead"), changes, unused])
