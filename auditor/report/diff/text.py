"""A difference for a terminal: findings first, then what was not seen, then facts, what one line says together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from auditor.difference import Diff, FactChange
from auditor.model import Finding
from auditor.report.diff.wording import EXIT_MEANING, exit_code, headline, subjects, unseen, verdict
from auditor.report.layout import Page, clean, columns, cut, moment, number, place
from auditor.report.summary import SEVERITY_SYMBOL, fate_of, ordered

SHOWN: Final = 50
"""Things of one section that are shown; the others are counted."""
_PLACES: Final = 3
_LINES: Final = 6
_STYLE: Final = {"✗": "bad", "!": "warn", "✓": "good", "?": "unseen", "+": "good", "-": "bad", "~": "warn"}


def render_text(diff: Diff, *, color: bool = False, width: int = 80) -> str:
    """The difference as text of at most `width` columns, but for a `file:line`, which stays in one piece."""
    page = Page(color=color, width=width)
    word = f"{verdict(diff)}  "
    style = ("good", "warn", "", "", "unseen")[exit_code(diff)]
    for line in headline(diff):
        page.hang(word, line, label=style, style="bold")
        word = " " * len(word)
    page.gap()
    for name, said in (("old", diff.old), ("new", diff.new), ("as of", moment(diff.now))):
        page.hang(f"  {name:<7}", clean(said), label="dim")
    for host in diff.going[:10]:
        page.hang("  host   ", f"{clean(host.host)}: {fate_of(host)}", label="dim")
    if len(diff.going) > 10:
        page.hang("         ", f"and {number(len(diff.going) - 10, 'host')} more")
    _findings(page, diff)
    _not_seen(page, diff)
    _facts(page, "APPEARED", "+", diff.appeared)
    _facts(page, "VANISHED", "-", diff.vanished)
    _facts(page, "CHANGED", "~", diff.changed)
    page.gap()
    page.hang("", f"exit code {exit_code(diff)} ({EXIT_MEANING})", style="dim")
    return page.text()


def _heading(page: Page, title: str, count: int) -> bool:
    if count:
        page.gap()
        line = f"{title} ({count:,}) "
        page.line(page.paint(line, "bold") + page.paint("─" * max(page.width - columns(line), 0), "dim"))
    return bool(count)


def _rest(page: Page, count: int) -> None:
    if count > SHOWN:
        page.hang("", f"… and {count - SHOWN:,} more (see --format json)")


def _findings(page: Page, diff: Diff) -> None:
    whys = {id(one.finding): one.why for one in diff.found}
    if _heading(page, "NEW FINDINGS", len(diff.found)):
        for finding in ordered(one.finding for one in diff.found)[:SHOWN]:
            symbol = SEVERITY_SYMBOL[finding.severity]
            _finding(page, symbol, finding)
            if whys[id(finding)]:
                page.hang("  but  ", clean(f"it may have been there: {whys[id(finding)]}"), label="unseen")
        _rest(page, len(diff.found))
    if _heading(page, "CHANGED FINDINGS", len(diff.findings_changed)):
        changed = {id(one.after): one for one in diff.findings_changed}
        for finding in ordered(one.after for one in diff.findings_changed)[:SHOWN]:
            one = changed[id(finding)]
            _finding(page, SEVERITY_SYMBOL[finding.severity], finding, brief=True)
            for name in one.what:
                before, after = getattr(one.before, name), getattr(one.after, name)
                if name == "message":
                    said = before
                elif name == "evidence":
                    said = f"in {number(len(before), 'place')}, is in {len(after):,}"
                elif name == "deadline":
                    said = f"deadline: {moment(before) if before else 'none'} → {moment(after) if after else 'none'}"
                else:
                    said = f"{name}: {before.value} → {after.value}"
                page.hang("  was  ", clean(said), label="dim")
            if one.why:
                page.hang("  but  ", clean(f"not all was seen: {one.why}"), label="unseen")
        _rest(page, len(diff.findings_changed))
    if _heading(page, "GONE FINDINGS", len(diff.fixed)):
        for finding in ordered(diff.fixed)[:SHOWN]:
            _finding(page, "✓", finding, brief=True)
        _rest(page, len(diff.fixed))


def _finding(page: Page, symbol: str, finding: Finding, *, brief: bool = False) -> None:
    page.gap()
    page.hang(f"{symbol} ", clean(finding.message), label=_STYLE[symbol], style="bold")
    for item in finding.evidence[: 1 if brief else _PLACES]:
        _place(page, place(item), item.excerpt)
    if not brief and len(finding.evidence) > _PLACES:
        page.hang("       ", f"and {number(len(finding.evidence) - _PLACES, 'more place')}")
    if not brief:
        page.hang("  do   ", f"{clean(finding.action)} [{clean(finding.rule)}]".lstrip(), label="dim")


def _place(page: Page, where: str, excerpt: str) -> None:
    page.hang("  at   ", where, label="dim", unbroken=True)
    if quoted := clean(excerpt).strip():
        page.line("         " + page.paint(cut(quoted, page.width - 9), "dim"))


def _not_seen(page: Page, diff: Diff) -> None:
    places = unseen(diff)
    if not _heading(page, "NOT SEEN THIS TIME", len(places) + len(diff.failures)):
        return
    page.hang("", "Neither there nor gone: what the old state knew, and the new one could not look at.")
    for one in places[:SHOWN]:
        page.gap()
        page.hang("? ", clean(one.path), label="unseen", style="bold", unbroken=True)
        page.hang("  why  ", clean(one.why), label="dim")
        if one.last_seen:
            page.hang("  last ", f"seen {clean(one.last_seen)}", label="dim")
        if one.rests:
            page.hang("  so   ", f"{one.rests} of the old state may still hold", label="dim")
        said = [finding.message for finding in one.findings] or [about.title for about in one.subjects]
        for text in said[:_LINES]:
            page.hang("       ", clean(text))
        if len(said) > _LINES:
            page.hang("       ", f"and {len(said) - _LINES:,} more")
    _rest(page, len(places))
    for failure in diff.failures[:SHOWN]:
        page.gap()
        page.hang("? ", clean(failure.what), label="unseen", style="bold")
        page.hang("  why  ", clean(failure.error), label="dim")


def _facts(page: Page, title: str, sign: str, changes: Sequence[FactChange]) -> None:
    grouped = subjects(changes, both=sign == "~")
    if not _heading(page, title, len(changes)):
        return
    for about in grouped[:SHOWN]:
        page.gap()
        page.hang(f"{sign} ", clean(about.title), label=_STYLE[sign], style="bold")
        for line in about.details[:_LINES]:
            page.hang("    ", clean(line))
        if len(about.details) > _LINES:
            page.hang("    ", f"and {len(about.details) - _LINES:,} more")
        if about.why:
            page.hang("  but  ", clean(about.why), label="unseen")
        _place(page, place(about.first.where), about.first.where.excerpt)
    _rest(page, len(grouped))
