"""A wave for a terminal: what can go, step by step, and what holds the others back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from auditor.phrases import checklist_command
from auditor.report.layout import Page, clean, columns, moment, number, place
from auditor.report.summary import ordered
from auditor.report.wave.wording import (
    EXIT_MEANING,
    MEANING,
    SYMBOL,
    after,
    alike,
    alike_waits,
    because,
    called,
    exit_code,
    fate,
    headline,
    judged,
    together,
    uncovered,
    waits_within,
    written,
)
from auditor.wave import Fate, Wait, Wave, WaveHost

BLOCKERS: Final = 10
GAPS: Final = 5
_STYLE: Final = {Fate.READY: "good", Fate.WAITS: "good", Fate.BLOCKED: "bad", Fate.UNSEEN: "unseen"}


def render_text(waves: Sequence[Wave], *, color: bool = False, width: int = 80) -> str:
    """Waves as text of at most `width` columns, but for a `file:line`, which stays in one piece."""
    page = Page(color=color, width=width)
    for number_of, wave in enumerate(waves):
        if number_of:
            page.gap()
        _wave(page, wave)
    page.gap()
    page.hang("", MEANING, style="dim")
    page.hang("", f"exit code {exit_code(waves)} ({EXIT_MEANING})", style="dim")
    return page.text()


def _wave(page: Page, wave: Wave) -> None:
    page.hang("WAVE  ", f"{clean(wave.name)}: {headline(wave)}", style="bold")
    page.hang(
        "      ",
        f"as of {moment(wave.report.now)}; {clean(judged(wave))}",
        style="dim",
    )
    if out := uncovered(wave):
        page.hang("      ", f"It does not cover: {out}. See NOT LOOKED AT of `auditor checklist`.", style="unseen")
    for step, hosts in enumerate(wave.steps, 1):
        page.gap()
        title = f"STEP {step} "
        page.line(page.paint(title, "bold") + page.paint("─" * max(page.width - columns(title), 0), "dim"))
        for same in alike(hosts, wave):
            _host(page, wave, same)
    for cycle in wave.cycles:
        page.gap()
        page.hang("⟲ ", clean(together(cycle)), label="warn", style="bold")
        for needed, wait in waits_within(wave, cycle):
            page.hang("  ", clean(f"{needed} ← {because([wait])}"))
            _at(page, wait)


def _host(page: Page, wave: Wave, same: Sequence[WaveHost]) -> None:
    host = same[0]
    names = clean(called(one.host for one in same))
    page.hang(f"{SYMBOL[host.fate]} ", f"{names}: {clean(fate(same, wave))}", label=_STYLE[host.fate], style="bold")
    for waits in alike_waits(after(host, wave)):
        page.hang("  after  ", clean(because(waits)))
        _at(page, waits[0])
    for finding in ordered(host.blockers)[:BLOCKERS]:
        page.hang("  ✗ ", clean(f"{finding.message} [{finding.rule}]"), label="bad")
        page.hang("    at  ", place(finding.evidence[0]))
    if len(host.blockers) > BLOCKERS:
        page.hang("  … ", f"and {number(len(host.blockers) - BLOCKERS, 'blocker')} more: {_checklist(host, wave)}")
    if host.fate is Fate.UNSEEN:
        for gap in host.gaps[:GAPS]:
            page.hang("  ? ", clean(gap), label="unseen")
        if len(host.gaps) > GAPS:
            page.hang("  … ", f"and {len(host.gaps) - GAPS} more: {_checklist(host, wave)}")


def _at(page: Page, wait: Wait) -> None:
    if (where := written(wait)) is not None:
        page.hang("    at  ", place(where))


def _checklist(host: WaveHost, wave: Wave) -> str:
    return clean(checklist_command(host.host, wave.report.estate))
