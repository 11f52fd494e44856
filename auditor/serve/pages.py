"""The pages that are only served: the list of a store, a difference, a wave. All of them are plain HTML."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
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
    judged,
    together,
    waits_within,
)
from auditor.report.wave.wording import headline as wave_headline
from auditor.serve.store import Store, Stored
from auditor.wave import Fate, Wave, WaveHost

SHOWN: Final = 200
"""Things of one section that a page shows."""
_WHY: Final = 5
_RANK: Final = ("good", "unseen", "bad")
_WAVE: Final = {Fate.BLOCKED: "blocked", Fate.UNSEEN: "not fully seen", Fate.READY: "can go"}
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
    if store.left_out:
        said += f"; {store.left_out:,} more, whose names sort before these, are not shown"
    return document("Retirements", _top("Retirements", "Reviews from snapshots", said), sections, [], None, forms=True)


def _top(title: str, kicker: str, *said: str, kind: str = "") -> Markup:
    return tag(
        "header",
        tag("p", kicker, class_="kicker"),
        tag("h1", tag("bdi", title)),
        [tag("p", one, class_="counts") for one in said if one],
        class_=f"top {kind}".strip(),
    )


def _when(one: Stored) -> str:
    return f"of {moment(one.at)}" if one.at is not None else "of a time that it does not say"


def _judged_as_of(one: Stored, now: datetime | None) -> str:
    return f"Snapshot {one.name}, {_when(one)}; judged as of {moment(now) if now is not None else 'then'}."


def _table(headings: Sequence[str], rows: Iterable[Sequence[Markup | str]]) -> Markup:
    """A table whose first column names the row; on a narrow screen each row is a list."""
    head = tag("tr", [tag("th", one, scope="col") for one in headings])
    body = [
        tag(
            "tr",
            tag("th", row[0], scope="row"),
            [
                tag("td", cell, data_head=heading, class_=None if cell else "none")
                for heading, cell in zip(headings[1:], row[1:], strict=True)
            ],
        )
        for row in rows
    ]
    return tag("table", tag("thead", head), tag("tbody", body), class_="stacked")


def _snapshots(store: Store) -> Markup:
    rows = []
    for one in store.snapshots:
        earlier = store.before(one)
        if one.wrong:
            rows.append([tag("bdi", one.name), "", tag("strong", f"can't be read: {one.wrong}"), "", ""])
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
    shown = tag("ul", [tag("li", link("/wave", name, wave=name)) for name, _ in store.waves])
    ready = tag("p", link("/waves", "Which of them are ready, and what blocks each"))
    return tag("div", ready, shown)


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


def around(store: Store, one: Stored, hosts: Sequence[str], lifecycle: str, now: datetime | None) -> Section:
    """What stands before a review that is served: the way back, and the same question in other snapshots."""
    rows = []
    for other in store.snapshots:
        this = other is one
        if other.wrong:
            rows.append([tag("bdi", other.name), "", tag("strong", "can't be read"), ""])
            continue
        same = dict(snapshot=other.name, host=list(hosts), **{"as": lifecycle})
        asked = tag("strong", "this page") if this else link("/review", "the same review", **same)
        change = "" if this else _between(store, one, other, hosts)
        rows.append([tag("bdi", other.name), moment(other.at) if other.at else "–", asked, change])
    others = None
    if len(rows) > 1:
        summary = tag("summary", f"The same review in {number(len(rows) - 1, 'other snapshot')}, and what changed")
        table = _table(("Snapshot", "Captured", "Review", "Changes"), rows)
        others = tag("details", summary, table, class_="plain")
    body = [tag("p", link("/", "All snapshots")), tag("p", _judged_as_of(one, now)), others]
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


def waves_page(waves: Sequence[Wave], store: Store, one: Stored, now: datetime | None) -> str:
    """Which waves are ready, and what blocks each, in the order in which they were given."""
    rows, kinds = [], []
    for wave in waves:
        blockers = {finding.fingerprint: finding for host in wave.hosts for finding in host.blockers}
        most = ordered(blockers.values())
        why: list[Markup] = [tag("li", tag("strong", "✗ "), prose(finding.message)) for finding in most[:_WHY]]
        if len(most) > _WHY:
            why.append(tag("li", f"and {number(len(most) - _WHY, 'blocker')} more"))
        why += [tag("li", tag("strong", "⟲ "), prose(together(cycle))) for cycle in wave.cycles[:_WHY]]
        worst = next((each for each in (Fate.BLOCKED, Fate.UNSEEN) if wave.of(each)), Fate.READY)
        kinds.append(_BAD[worst])
        state = [
            tag("strong", f"{SYMBOL[worst]} {_WAVE[worst]}", class_=f"fate {_BAD[worst]}"),
            f": {wave_headline(wave)}",
        ]
        name = link("/wave", wave.name, wave=wave.name, snapshot=one.name)
        rows.append([name, tag("span", state), tag("ul", why) if why else ""])
    body = [_table(("Wave", "State", "What blocks it"), rows)]
    if len(waves) > 1:
        body.append(tag("p", "Each wave is judged with those above it gone.", class_="legend"))
    ways = [
        tag("li", link("/waves", f"in {other.name}", snapshot=other.name))
        for other in store.snapshots
        if other is not one and not other.wrong
    ]
    back = tag("div", tag("p", link("/", "All snapshots")), tag("ul", ways) if ways else None)
    said = [f"{kinds.count(_BAD[Fate.READY])} of {number(len(waves), 'wave')} can go", _judged_as_of(one, now)]
    sections = [Section("waves", "Waves", tag("div", body), str(len(waves))), Section("back", "Where to", back)]
    kind = max(kinds, key=_RANK.index, default="")
    return document("Waves", _top("Waves", "Migration waves", *said, kind=kind), sections, [], None)


def wave_page(wave: Wave, store: Store, one: Stored, now: datetime | None) -> str:
    """The hosts of a wave, step by step."""
    sections = [Section("back", "Where to", _wave_ways(store, wave, one))]
    for step, hosts in enumerate(wave.steps, 1):
        items = [_wave_host(wave, same, one) for same in alike(hosts, wave)]
        sections.append(Section(f"step-{step}", f"Step {step}", tag("ul", items, class_="items"), str(len(hosts))))
    if wave.cycles:
        sections.append(Section("cycles", "Need each other", _cycles(wave), str(len(wave.cycles))))
    kind = "bad" if wave.of(Fate.BLOCKED) else "unseen" if wave.of(Fate.UNSEEN) else "good"
    said = [wave_headline(wave), f"Judged {judged(wave)}." if wave.after else "", _judged_as_of(one, now)]
    return document(wave.name, _top(wave.name, "Migration wave", *said, kind=kind), sections, [], None)


def _wave_ways(store: Store, wave: Wave, one: Stored) -> Markup:
    others = [
        tag("li", link("/wave", f"in {other.name}", wave=wave.name, snapshot=other.name))
        for other in store.snapshots
        if other is not one and not other.wrong
    ]
    ways = [tag("p", link("/", "All snapshots and waves"))]
    if len(store.waves) > 1:
        ways.append(tag("p", link("/waves", "Which waves are ready", snapshot=one.name)))
    return tag("div", ways, tag("ul", others) if others else None)


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
    state = tag("strong", f"{SYMBOL[host.fate]} ", class_=f"fate {_BAD[host.fate]}")
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
