"""The checklist for a terminal, for a tired human: the verdict first, then what to do in the order of urgency.

A finding takes a few lines: what, `why` it matters with the time left, the path (`via`), file:line (`at`), and what
to `do`. Each says in words and symbols what colour only repeats.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Final

from auditor.model import Aside, Finding, Provenance, Report, Severity, Verdict
from auditor.report.layout import Page, chain, clean, columns, cut, moment, number, pad, place, some
from auditor.report.summary import (
    ALIKE,
    ASIDE_NOUN,
    EXIT_CODES,
    EXIT_MEANING,
    GONE,
    SEVERITY_SYMBOL,
    answer_mark,
    answer_said,
    area_of,
    areas,
    aside_said,
    aside_tally,
    basis,
    beyond,
    changes,
    counted,
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
    shape,
    signature_said,
    signatures_said,
    since_said,
    weight,
)

SHOWN: Final = 3
"""Pieces of evidence that a finding shows; the others are counted."""
ASIDE: Final = 20
"""Findings that are known or switched off and that are shown; the others are counted."""

_NAMES: Final = 6
_HOSTS: Final = 20
_HOSTS_IN_FULL: Final = 3
_STYLE: Final = {"✗": "bad", "!": "warn", "✓": "good", "?": "unseen", "☐": "unseen", "☑": "good", "~": "dim"}
_VERDICT: Final = {Verdict.BLOCKED: "bad", Verdict.CLEAR: "good", Verdict.INCOMPLETE: "unseen"}
_LEFT: Final = "  "


def render_text(report: Report, *, color: bool = False, width: int = 80) -> str:
    """The checklist as text of at most `width` columns (40 and more), in ANSI colours if `color`.

    Only a `file:line` may be longer than the width: it stays in one piece, to be copied.
    """
    page = Page(color=color, width=width)
    _verdict(page, report)
    _scenario(page, report)
    _table(page, report)
    _findings(page, report)
    _aside(page, report)
    _unseen(page, report)
    _by_hand(page, report)
    _policy(page, report)
    _seen(page, report)
    _legend(page, report)
    return page.text()


def _verdict(page: Page, report: Report) -> None:
    style = _VERDICT[report.verdict]
    word = f"{report.verdict.value}  "
    said = headline(report)
    indent = " " * len(word)
    if columns(f"{word}{said}") <= page.width or not said.counts:
        page.hang(word, str(said), label=style, style="bold")
    else:
        page.hang(word, said.claim, label=style, style="bold")
        page.hang(indent, said.counts, style="bold")
    if report.verdict is Verdict.CLEAR:
        page.hang(indent, f"This rests on {basis(report)}, as of {moment(report.now)}.")
        if out := beyond(report):
            page.hang(indent, f"It does not cover: {out}. See NOT LOOKED AT.", style="unseen")
    if soonest := next_deadline(report):
        page.hang(indent, soonest, style="bad")
    if report.since is not None:
        page.hang(indent, since_said(report, report.since))
    if left := open_items(report):
        page.hang(indent, f"{number(left, 'question')} for people {'is' if left == 1 else 'are'} open: see BY HAND")
    page.gap()


def _scenario(page: Page, report: Report) -> None:
    for host in report.going[:_HOSTS]:
        _field(page, "host", clean(host.host), style="bold")
        successor = f"successor {clean(host.successor)}" if host.successor else "no successor declared"
        if len(report.going) > _HOSTS_IN_FULL:
            known = f"{number(len(host.names), 'name')}, {number(len(host.addresses), 'address', 'addresses')}"
            _field(page, "", f"{fate_of(host)}, {successor}, {known}")
            continue
        _field(page, "as", fate_of(host))
        if host.names:
            _field(page, "names", some((clean(name) for name in host.names), _NAMES))
        if host.addresses:
            _field(page, "addresses", some((clean(address) for address in host.addresses), _NAMES))
        _field(page, "successor", clean(host.successor) if host.successor else "none declared")
    if len(report.going) > _HOSTS:
        _field(page, "", f"and {number(len(report.going) - _HOSTS, 'host')} more (see --format json)")
    if report.on:
        _field(page, "from", moment(report.on))
    _field(page, "as of", moment(report.now))
    _field(page, "estate", clean(report.estate))
    page.gap()


def _field(page: Page, name: str, text: str, *, style: str = "") -> None:
    page.hang(pad(f"{_LEFT}{name}", 13), text, label="dim", style=style)


def _table(page: Page, report: Report) -> None:
    rows = areas(report)
    asked = any(row.asked for row in rows) and page.width >= 48
    wide = page.width >= (72 if asked else 60)
    titles = ("blockers", "warnings", "notes", "looked at") if wide else ("block", "warn", "note", "seen")
    hand = "by hand" if wide else "hand"
    longest = max((columns(clean(row.area.id)) for row in rows), default=0)
    room_for_name = max(min(longest, 20 if wide else 13), 13)
    page.line(page.paint(pad("", room_for_name + 4) + "  ".join([*titles, *([hand] if asked else [])]), "dim"))
    for row in rows:
        cells = zip((row.blockers, row.warnings, row.notes, row.seen), titles, strict=True)
        numbers = "  ".join(f"{_count(value, len(title)):>{len(title)}}" for value, title in cells)
        if asked:
            numbers += "  " + f"{f'{row.answered}/{row.asked}' if row.asked else '·':>{len(hand)}}"
        head = page.paint(pad(row.marks, 2), _STYLE[row.symbol])
        name = page.paint(pad(cut(clean(row.area.id), room_for_name), room_for_name), "bold" if row.blockers else "")
        line = f"{head} {name} {numbers}"
        room = page.width - room_for_name - 4 - len(numbers) - 2
        if row.remark and columns(row.remark) <= room:
            page.line(f"{line}  {page.paint(row.remark, 'unseen')}")
        else:
            page.line(line)
            if row.remark:
                page.hang("   ", row.remark, style="unseen")
    page.gap()


def _count(value: int, room: int) -> str:
    """A number in at most `room` columns, if need be in thousands or millions; a dot for none."""
    for said in (f"{value:,}", f"{value}", f"{value // 1000}k"):
        if len(said) <= room:
            return said if value else "·"
    return f"{value // 1_000_000}M"


def _heading(page: Page, title: str, counted: str, style: str) -> None:
    page.gap()
    beside = columns(title) + columns(counted) + 5 <= page.width
    rule = "─" * (page.width - columns(title) - (columns(counted) + 2 if beside else 1))
    head = f"{page.paint(title, style)} {page.paint(rule[1:] if beside else rule, 'dim')}"
    page.line(f"{head} {counted}" if beside else head)
    if not beside:
        page.hang("", counted)


def _findings(page: Page, report: Report) -> None:
    needles = [word for host in report.going for word in (host.host, *host.names, *host.addresses)]
    needles += [name.split(".")[0] for name in needles if not name[:1].isdigit()]
    rows = {row.area.id: row for row in areas(report)}
    position = 0
    by_area = groupby(ordered(report.findings, report.profile), key=lambda finding: area_of(finding, report.profile).id)
    for area, of_area in by_area:
        row = rows[area]
        _heading(page, clean(row.area.title).upper(), counted(row), _STYLE[row.symbol])
        for _, alike in groupby(of_area, key=lambda finding: shape(finding, report)):
            group = list(alike)
            if len(group) >= ALIKE:
                _group(page, report, group, position, needles)
            else:
                for offset, finding in enumerate(group, 1):
                    _finding(page, report, finding, position + offset, needles)
            position += len(group)


def _finding(page: Page, report: Report, finding: Finding, position: int, needles: Sequence[str]) -> None:
    page.gap()
    new = report.since is not None and finding.fingerprint in report.since.new
    _what(page, finding.severity, position, ("New: " if new else "") + clean(finding.message))
    _why(page, report, finding)
    _path(page, finding)
    _evidence(page, evidence_of(finding), needles)
    _action(page, finding)


def _group(page: Page, report: Report, group: Sequence[Finding], start: int, needles: Sequence[str]) -> None:
    """Findings that say the same of several things: why and what to do once, then each with its place."""
    first = group[0]
    titles = {run.rule: run.title for run in report.rules}
    page.gap()
    title = clean(titles.get(first.rule, first.rule))
    _what(page, first.severity, 0, f"{title}: {len(group):,} times")
    _why(page, report, first)
    _action(page, first)
    for offset, finding in enumerate(group, 1):
        new = report.since is not None and finding.fingerprint in report.since.new
        page.hang(f"{_LEFT}{start + offset}. ", ("New: " if new else "") + clean(finding.message))
        _path(page, finding)
        _evidence(page, evidence_of(finding), needles)


def _what(page: Page, severity: Severity, position: int, message: str) -> None:
    symbol = SEVERITY_SYMBOL[severity]
    page.hang(f"{symbol} {position}. " if position else f"{symbol} ", message, label=_STYLE[symbol], style="bold")


def _why(page: Page, report: Report, finding: Finding) -> None:
    stake = weight(finding, report)
    _labelled(page, "why", clean(f"{stake}. {finding.why}" if stake and finding.why else stake or finding.why))


def _action(page: Page, finding: Finding) -> None:
    """What to do, and the rule's name for `auditor explain`."""
    _labelled(page, "do", f"{clean(finding.action)} [{clean(finding.rule)}]".lstrip(), style="bold")


def _labelled(page: Page, label: str, text: str, *, style: str = "", unbroken: bool = False) -> None:
    if text:
        page.hang(_prefix(label), text, label="dim", style=style, unbroken=unbroken)


def _prefix(label: str) -> str:
    return pad(f"{_LEFT}{label}", len(_LEFT) + 5)


def _path(page: Page, finding: Finding) -> None:
    if parts := path_parts(finding):
        prefix = _prefix("via")
        page.hang_lines(prefix, chain(parts, page.width - len(prefix)), label="dim")


def _evidence(page: Page, evidence: Sequence[Provenance], needles: Sequence[str]) -> None:
    prefix = _prefix("at")
    shown = evidence if len(evidence) <= SHOWN + 1 else evidence[:SHOWN]
    for position, item in enumerate(shown):
        where = place(item)
        quoted = clean(item.excerpt).strip()
        room = page.width - len(prefix) - columns(where) - 2
        if quoted and columns(quoted) <= room:
            page.line(page.paint(prefix, "dim") + where + "  " + page.paint(quoted, "dim"))
        else:
            page.line(page.paint(prefix, "dim") + where)
            if quoted and position == 0:
                margin = " " * len(prefix) + "  "
                page.line(margin + page.paint(cut(quoted, page.width - len(margin), needles), "dim"))
        prefix = " " * len(prefix)
    if len(evidence) > len(shown):
        page.hang(prefix, f"and {len(evidence) - len(shown):,} more (see --format json)")


def _aside(page: Page, report: Report) -> None:
    """What was found and does not count: all that is waived, the others up to a number."""
    if report.aside:
        _heading(page, "SET ASIDE", aside_tally(report.aside), "dim")
        page.hang("", "These were found, and somebody has decided that they do not count.")
        for why in ASIDE_NOUN:
            alike = [one for one in report.aside if one.why is why]
            for one in alike[: len(alike) if why is Aside.WAIVED else ASIDE]:
                page.gap()
                page.hang("~ ", clean(one.finding.message), style="bold")
                _labelled(page, "why", aside_said(one))
                _evidence(page, one.finding.evidence[:1], ())
            if why is not Aside.WAIVED and len(alike) > ASIDE:
                page.gap()
                page.hang("~ ", f"and {len(alike) - ASIDE:,} more {ASIDE_NOUN[why]} (see --format json)")
    for title, said, found in changes(report):
        _heading(page, title, number(len(found), "finding"), "good" if title == GONE else "unseen")
        page.hang("", said)
        for earlier in found[:ASIDE]:
            page.hang("✓ " if title == GONE else "? ", clean(f"{earlier.message} [{earlier.rule}]"))
        if len(found) > ASIDE:
            page.hang("  ", f"and {len(found) - ASIDE:,} more (see --format json)")


def _by_hand(page: Page, report: Report) -> None:
    """What people are asked, with the answers so far."""
    items = report.profile.items(report.phase)
    if not items:
        return
    left = open_items(report)
    _heading(page, "BY HAND", f"{left} of {number(len(items), 'question')} open", "bold" if left else "good")
    page.hang("", "No machine can tell these. They do not change the verdict; a run is not complete without them.")
    alone = only_owner(report)
    if alone:
        page.hang("", f"All areas are to be signed off by {clean(alone)}.")
    if said := signatures_said(report):
        page.hang("", f"{said}.")
    for area in report.profile.areas:
        asked = [item for item in area.items if item.phase is report.phase]
        if not asked and area.id not in report.signed:
            continue
        page.gap()
        signer = signature_said(report, area)
        page.hang("", clean(area.title) + (f" ({signer})" if signer else ""), style="bold")
        for item in asked:
            answered = report.answers.get(item.id)
            page.hang(f"{answer_mark(answered)} ", clean(f"{item.text} [{item.id}]"))
            page.hang("  ", answer_said(answered) if answered else item_said(item), style="dim")


def _policy(page: Page, report: Report) -> None:
    use = report.policy
    if not (use.changes or use.unused):
        return
    _heading(page, "POLICY", clean(use.path), "dim")
    for change in use.changes:
        page.hang("· ", clean(change))
    if use.unused:
        places = some([f"{clean(one.path)}:{one.line}" for one in use.unused], 5)
        page.hang("! ", f"nothing meets {number(len(use.unused), 'waiver')}: {places}. Remove what is done.")


def _unseen(page: Page, report: Report) -> None:
    found = gaps(report)
    if found:
        _heading(page, "NOT LOOKED AT", number(len(found), "gap"), "unseen")
        page.hang("", "Nobody saw these: dependencies may hide in them.")
        for gap in found:
            page.gap()
            page.hang("? " if gap.needed else "· ", f"{gap.area.value}: {gap.what}", label="unseen", style="bold")
            sources = f" ({some(gap.sources)})" if gap.sources else ""
            _labelled(page, "why", f"{gap.why}{sources}")
            _evidence(page, gap.places, ())
            _labelled(page, "do", gap.action, style="bold")
    if report.failures:
        _heading(page, "FAILED", number(len(report.failures), "part of the audit", "parts of the audit"), "bad")
        for failure in report.failures:
            page.gap()
            page.hang("? ", clean(failure.what), label="unseen", style="bold")
            _labelled(page, "why", clean(failure.error))
            _labelled(page, "do", clean(failure.hint), style="bold")


def _seen(page: Page, report: Report) -> None:
    _heading(page, "LOOKED AT", basis(report), "good")
    for text, rule in passed(report):
        page.hang(f"{_LEFT}✓ ", f"{text} [{rule}]", label="good")
    for area, kinds, absent in seen_by_area(report):
        parts = [f"{what} {count:,}" for what, count in kinds]
        if absent:
            parts.append(f"known to be absent: {', '.join(absent)}")
        page.hang(pad(f"{_LEFT}{area.value}", 17), " · ".join(parts), label="dim")
    if fleet := fleet_said(report):
        page.hang(pad(f"{_LEFT}hosts", 17), " · ".join(fleet), label="dim")
    others = " · ".join(f"{name} {count:,}" for name, count in other_counts(report))
    if others:
        page.hang(pad(f"{_LEFT}in all", 17), others, label="dim")


def _legend(page: Page, report: Report) -> None:
    page.gap()
    more = " · ☐ for people" if report.profile.items(report.phase) else ""
    more += " · ~ set aside" if report.aside else ""
    page.hang("", f"✗ blocker · ! warning or note · ✓ nothing found · ? not fully seen{more}", style="dim")
    page.hang("", f"exit code {EXIT_CODES[report.verdict]} ({EXIT_MEANING})", style="dim")
