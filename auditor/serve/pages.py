"""The pages that are only served: the list of a store, a difference, a wave. All of them are plain HTML."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final
from urllib.parse import urlencode

from auditor.difference import Diff, FactChange
from auditor.model import Finding, Provenance, Step
from auditor.page.document import Section, document
from auditor.page.markup import Markup, prose, tag
from auditor.report.diff.wording import headline as diff_headline
from auditor.report.diff.wording import verdict as diff_verdict
from auditor.report.layout import moment, number, place
from auditor.report.summary import SEVERITY_SYMBOL, ordered
from auditor.report.wave.wording import (
    SYMBOL,
    after,
    alike,
    alike_waits,
    because,
    called,
    fate,
    together,
    waits_within,
)
from auditor.report.wave.wording import headline as wave_headline
from auditor.serve.store import Store, Stored
from auditor.wave import Fate, Wave, WaveHost

SHOWN: Final = 200
"""Things of one section that a page shows."""
_BAD: Final = {Fate.BLOCKED: "bad", Fate.UNSEEN: "unseen", Fate.READY: "good", Fate.WAITS: "good"}


def link(path: str, text: str, **query: str | Sequence[str]) -> Markup:
    """A link within the server."""
    words = urlencode({key: value for key, value in query.items() if value}, doseq=True)
    return tag("a", text, href=f"{path}?{words}" if words else path)


def home_page(store: Store) -> str:
    """The list of snapshots and waves, and a form for a question of one's own."""
    sections = [Section("snapshots", "Snapshots", _snapshots(store), str(len(store.snapshots)))]
    if store.waves:
        sections.append(Section("waves", "Waves", _waves(store), str(len(store.waves))))
    sections.append(Section("ask", "Ask", _form(store)))
    newest = store.snapshots[0]
    said = f"{number(len(store.snapshots), 'snapshot')}, the newest {_when(newest)}"
    return document("Retirements", _top("Retirements", "Reviews from snapshots", said), sections, [], None, forms=True)


def _top(title: str, kicker: str, *said: str, kind: str = "") -> Markup:
    return tag(
        "header",
        tag("p", kicker, class_="kicker"),
        tag("h1", tag("bdi", title)),
        [tag("p", one, class_="counts") for one in said],
        class_=f"top {kind}".strip(),
    )


def _when(one: Stored) -> str:
    return f"of {moment(one.at)}" if one.at is not None else "of a time that it does not say"


def _table(headings: Sequence[str], rows: Iterable[Sequence[Markup | str]]) -> Markup:
    head = tag("tr", [tag("th", one, scope="col") for one in headings])
    return tag(
        "table", tag("thead", head), tag("tbody", [tag("tr", [tag("td", cell) for cell in row]) for row in rows])
    )


def _snapshots(store: Store) -> Markup:
    rows = []
    for one in store.snapshots:
        earlier = store.before(one)
        if one.wrong:
            rows.append([tag("bdi", one.name), "", "", tag("strong", f"can't be read: {one.wrong}"), ""])
            continue
        reviews: list[Markup | str] = [link("/review", "all that is going", snapshot=one.name)] if one.hosts else []
        reviews += [link("/review", host, snapshot=one.name, host=host) for host in one.hosts[:SHOWN]]
        failed = tag("strong", f"{one.failed:,} not seen") if one.failed else "all seen"
        compared = link("/diff", f"since {earlier.name}", old=earlier.name, new=one.name) if earlier else ""
        rows.append(
            [
                tag("bdi", one.name),
                moment(one.at) if one.at is not None else "–",
                tag("span", f"{one.captures:,} captures, ", failed),
                tag("ul", [tag("li", review) for review in reviews]) if reviews else "no host is declared as going",
                compared,
            ]
        )
    return _table(("Snapshot", "Captured", "Seen", "Reviews", "Changes"), rows)


def _waves(store: Store) -> Markup:
    return tag("ul", [tag("li", link("/wave", name, wave=name)) for name, _ in store.waves])


def _form(store: Store) -> Markup:
    options = [tag("option", one.name, value=one.name) for one in store.snapshots if not one.wrong]
    return tag(
        "form",
        tag("p", tag("label", "Host ", tag("input", name_="host", required=True, placeholder="db03.example.org"))),
        tag("p", tag("label", "Snapshot ", tag("select", options, name_="snapshot"))),
        tag(
            "p",
            tag(
                "label",
                "Is to be ",
                tag(
                    "select",
                    tag("option", "as declared, else retired", value=""),
                    tag("option", "retired", value="retired"),
                    tag("option", "read-only", value="read-only"),
                    name_="as",
                ),
            ),
        ),
        tag("p", tag("label", "On ", tag("input", name_="on", type="date"))),
        tag("p", tag("button", "Review", type="submit")),
        action="/review",
        method="get",
    )


def around(store: Store, one: Stored, hosts: Sequence[str], lifecycle: str) -> Section:
    """What stands before a review that is served: the way back, and the same question in other snapshots."""
    rows = []
    for other in store.snapshots:
        this = other is one
        same = dict(snapshot=other.name, host=list(hosts), **{"as": lifecycle})
        asked = tag("strong", "this page") if this else link("/review", "the same review", **same)
        change = "" if this else _between(store, one, other, hosts)
        rows.append([tag("bdi", other.name), moment(other.at) if other.at else "–", asked, change])
    body = [
        tag("p", link("/", "All snapshots")),
        tag("p", f"Snapshot {one.name}, {_when(one)}; judged as of then."),
        _table(("Snapshot", "Captured", "Review", "Changes"), rows) if len(store.snapshots) > 1 else None,
    ]
    return Section("history", "History", tag("div", body), str(len(store.snapshots)))


def _between(store: Store, one: Stored, other: Stored, hosts: Sequence[str]) -> Markup:
    newer, older = sorted((one, other), key=store.snapshots.index)
    return link("/diff", f"{older.name} to {newer.name}", old=older.name, new=newer.name, host=list(hosts))


def diff_page(diff: Diff, old: Stored, new: Stored) -> str:
    """What changed between two snapshots."""
    sections = [
        _found("new", "New findings", [one.finding for one in diff.found]),
        _found("changed", "Changed findings", [one.after for one in diff.findings_changed]),
        _found("gone", "Findings that are gone", diff.fixed),
        _found("unseen", "Findings that nobody could look for again", [one.finding for one in diff.findings_not_seen]),
        Section(
            "sources",
            "Not seen this time",
            tag(
                "ul",
                [
                    tag("li", tag("code", tag("bdi", one.path)), f": {one.outcome.value} {one.detail}".rstrip())
                    for one in diff.sources_not_seen[:SHOWN]
                ],
            ),
            str(len(diff.sources_not_seen)),
        ),
        _facts("appeared", "Appeared", diff.appeared),
        _facts("vanished", "Vanished", diff.vanished),
        _facts("altered", "Changed", diff.changed),
    ]
    shown = [one for one in sections if one.beside not in ("", "0")]
    said = [*diff_headline(diff), f"{old.name}, {_when(old)}, to {new.name}, {_when(new)}"]
    kind = "good" if not diff.differs and diff.complete else "unseen" if not diff.complete else ""
    top = _top(f"{diff_verdict(diff)}: {old.name} to {new.name}", "What changed", *said, kind=kind)
    back = Section("back", "Where to", tag("p", link("/", "All snapshots")))
    return document("Changes", top, [back, *shown], [], None)


def _found(identity: str, title: str, findings: Iterable[Finding]) -> Section:
    some = ordered(findings)
    items = [
        tag("li", f"{SEVERITY_SYMBOL[one.severity]} ", prose(one.message), tag("br"), _at(one.evidence[0]))
        for one in some[:SHOWN]
    ]
    return Section(identity, title, tag("div", tag("ul", items, class_="items"), _more(len(some))), str(len(some)))


def _at(evidence: Provenance) -> Markup:
    return tag("code", tag("bdi", place(evidence)))


def _more(count: int) -> Markup | None:
    return tag("p", f"and {count - SHOWN:,} more: auditor diff --format json") if count > SHOWN else None


def _facts(identity: str, title: str, facts: Sequence[FactChange]) -> Section:
    items = [
        tag(
            "li",
            tag("bdi", f"{one.kind} {one.subject}"),
            f" {one.relation} " if one.relation else "",
            tag("bdi", f"{one.provider_kind} {one.provider}".strip()) if one.provider else None,
            f" on {one.hosts[0]}" + (f" and {len(one.hosts) - 1} more" if len(one.hosts) > 1 else "")
            if one.hosts
            else None,
            tag("br"),
            _at(one.where),
        )
        for one in facts[:SHOWN]
    ]
    return Section(identity, title, tag("div", tag("ul", items, class_="items"), _more(len(facts))), str(len(facts)))


def wave_page(wave: Wave, store: Store, one: Stored) -> str:
    """The hosts of a wave, step by step."""
    sections = [Section("back", "Where to", _wave_ways(store, wave, one))]
    for step, hosts in enumerate(wave.steps, 1):
        items = [_wave_host(wave, same, one) for same in alike(hosts, wave)]
        sections.append(Section(f"step-{step}", f"Step {step}", tag("ul", items, class_="items"), str(len(hosts))))
    if wave.cycles:
        sections.append(Section("cycles", "Need each other", _cycles(wave), str(len(wave.cycles))))
    kind = "bad" if wave.of(Fate.BLOCKED) else "unseen" if wave.of(Fate.UNSEEN) else "good"
    said = [wave_headline(wave), f"Snapshot {one.name}, {_when(one)}; judged as of then."]
    return document(wave.name, _top(wave.name, "Migration wave", *said, kind=kind), sections, [], None)


def _wave_ways(store: Store, wave: Wave, one: Stored) -> Markup:
    others = [
        tag("li", link("/wave", f"in {other.name}", wave=wave.name, snapshot=other.name))
        for other in store.snapshots
        if other is not one and not other.wrong
    ]
    return tag("div", tag("p", link("/", "All snapshots and waves")), tag("ul", others) if others else None)


def _wave_host(wave: Wave, same: Sequence[WaveHost], one: Stored) -> Markup:
    host = same[0]
    lines: list[Markup] = [
        tag("li", "after ", prose(because(waits)), _path(waits[0].path)) for waits in alike_waits(after(host, wave))
    ]
    lines += [
        tag("li", tag("strong", "✗ "), prose(finding.message), tag("br"), _at(finding.evidence[0]))
        for finding in ordered(host.blockers)[:SHOWN]
    ]
    if host.fate is Fate.UNSEEN:
        lines += [tag("li", tag("strong", "? "), gap) for gap in host.gaps[:SHOWN]]
    names = called(member.host for member in same)
    review = link("/review", names, snapshot=one.name, host=[member.host for member in same][:50])
    state = tag("strong", f"{SYMBOL[host.fate]} ", class_=_BAD[host.fate])
    return tag("li", state, review, f": {fate(same, wave)}", tag("ul", lines) if lines else None)


def _path(steps: Sequence[Step]) -> Markup | None:
    place_of = next((step.evidence for step in steps if step.evidence is not None and step.evidence.path != "."), None)
    return tag("span", tag("br"), _at(place_of)) if place_of is not None else None


def _cycles(wave: Wave) -> Markup:
    items = []
    for cycle in wave.cycles:
        why = [
            tag("li", tag("bdi", needed), " ← ", prose(because([wait])), _path(wait.path))
            for needed, wait in waits_within(wave, cycle)
        ]
        items.append(tag("li", prose(together(cycle)), tag("ul", why)))
    return tag("ul", items, class_="items")


def error_page(status: int, said: str, hint: str) -> str:
    """Why there is no page."""
    back = Section("back", "Where to", tag("p", link("/", "All snapshots")))
    return document("No page", _top(f"{status}", "No page", said, hint, kind="bad"), [back], [], None)
