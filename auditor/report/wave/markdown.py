"""A wave for a ticket."""

from __future__ import annotations

from collections.abc import Sequence

from auditor.report.layout import moment
from auditor.report.markdown import code, prose
from auditor.report.summary import ordered
from auditor.report.wave.wording import (
    SYMBOL,
    after,
    alike,
    alike_waits,
    because,
    called,
    fate,
    headline,
    judged,
    together,
    uncovered,
)
from auditor.wave import Fate, Wave, WaveHost


def render_markdown(waves: Sequence[Wave]) -> str:
    """Waves as CommonMark with task lists, one item a host."""
    return "\n".join(line for wave in waves for line in _wave(wave)) + "\n"


def _wave(wave: Wave) -> list[str]:
    lines = [
        f"## {prose(wave.name)}: {headline(wave)}",
        "",
        f"As of {moment(wave.report.now)}; {prose(judged(wave))}.",
        "",
    ]
    if out := uncovered(wave):
        lines += [f"**It does not cover**: {prose(out)}.", ""]
    for step, hosts in enumerate(wave.steps, 1):
        lines += [f"### Step {step}", ""]
        for same in alike(hosts, wave):
            lines += _host(wave, same)
        lines.append("")
    for cycle in wave.cycles:
        lines += [f"**{prose(together(cycle))}.**", ""]
    return lines


def _host(wave: Wave, same: Sequence[WaveHost]) -> list[str]:
    host = same[0]
    lines = [f"- [ ] {SYMBOL[host.fate]} {code(called(one.host for one in same))}: {prose(fate(same, wave))}"]
    lines += [f"  - after {prose(because(waits))}" for waits in alike_waits(after(host, wave))]
    lines += [
        f"  - ✗ {prose(one.message)} ({code(f'{one.evidence[0].path}:{one.evidence[0].line}')})"
        for one in ordered(host.blockers)
    ]
    if host.fate is Fate.UNSEEN:
        lines += [f"  - ? {prose(gap)}" for gap in host.gaps]
    return lines
