"""A run of the guard as Prometheus metrics, for the textfile collector of the node exporter.

Text format 0.0.4. Series are the same from run to run as far as can be, with zeros, so that an alert sees a change and
not an absence.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from auditor import __version__
from auditor.capture.ages import SourceAge
from auditor.model import Aside, Coverage, Lifecycle, Outcome, Report, Severity, Verdict
from auditor.report.layout import clean, in_utc

MAX_SOURCES: Final = 20_000
"""Sources whose age is written; how many more there are is a metric of its own."""
LAST_SUCCESS: Final = "auditor_last_success_timestamp_seconds"


@dataclass(frozen=True, slots=True)
class Run:
    """One run of the guard. `report` is None if it came to no answer; `seconds` is how long it took.

    `last_success` is the time of the last run that came to an answer without any failure, this one included, as Unix
    time; 0 if there was none. `pinged` is whether the dead-man's ping was delivered; None if there is none.
    """

    now: datetime
    seconds: float
    success: bool
    report: Report | None = None
    sources: Sequence[SourceAge] = ()
    stale: int = 0
    last_success: float = 0.0
    pinged: bool | None = None
    version: str = field(default=__version__)


def render_metrics(run: Run) -> str:
    """The text of a `.prom` file."""
    page = _Page()
    page.gauge("auditor_build_info", "Which auditor wrote this.", {(("version", run.version),): 1})
    page.gauge("auditor_run_timestamp_seconds", "When the run was, as Unix time.", {(): in_utc(run.now).timestamp()})
    page.gauge("auditor_run_duration_seconds", "How long the run took.", {(): round(run.seconds, 3)})
    page.gauge("auditor_run_success", "Whether it came to an answer and nothing of it failed.", {(): int(run.success)})
    page.gauge(LAST_SUCCESS, "When a run last succeeded, as Unix time; 0 if none has.", {(): run.last_success})
    if run.pinged is not None:
        page.gauge("auditor_ping_delivered", "Whether the dead-man's switch was reached.", {(): int(run.pinged)})
    verdict = run.report.verdict if run.report is not None else None
    page.gauge(
        "auditor_verdict",
        "1 for the verdict of this run. All are 0 if it came to none.",
        {(("verdict", one.value),): int(one is verdict) for one in Verdict},
    )
    if run.report is not None:
        _report(page, run.report)
    _sources(page, run)
    return page.text()


def read_last_success(text: str) -> float:
    """The time of the last success that an earlier file holds; 0 if it holds none."""
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        if name == LAST_SUCCESS:
            try:
                number = float(value)
            except ValueError:
                return 0.0
            return number if 0 <= number < 1e11 else 0.0
    return 0.0


def _report(page: _Page, report: Report) -> None:
    lifecycles = Counter(one.lifecycle for one in report.going)
    page.gauge(
        "auditor_hosts_going",
        "Hosts that are judged as going, by what is to happen to them.",
        {(("lifecycle", one.value),): lifecycles[one] for one in Lifecycle if one is not Lifecycle.ACTIVE},
    )
    findings: Counter[tuple[tuple[str, str], ...]] = Counter()
    for run in report.rules:
        for severity in Severity:
            findings[("rule", run.rule), ("area", run.area.value), ("severity", severity.value)] = 0
    for one in report.findings:
        findings[("rule", one.rule), ("area", one.area.value), ("severity", one.severity.value)] += 1
    page.gauge("auditor_findings", "What the rules found.", findings)
    aside = Counter(one.why for one in report.aside)
    page.gauge(
        "auditor_findings_set_aside",
        "What was found and does not count: waived, known before, or switched off.",
        {(("why", one.value),): aside[one] for one in Aside},
    )
    page.gauge(
        "auditor_rule_looked_at",
        "Whether all that a rule needs was looked at, and it did not crash.",
        {(("rule", run.rule), ("area", run.area.value)): int(run.looked_at) for run in report.rules},
    )
    coverage: Counter[tuple[tuple[str, str], ...]] = Counter()
    for row in report.coverage:
        coverage[("area", row.area.value), ("outcome", row.outcome.value)] += _weight(row)
    for area in sorted({row.area for row in report.coverage}, key=lambda area: area.value):
        for outcome in Outcome:
            coverage[("area", area.value), ("outcome", outcome.value)] += 0
    page.gauge("auditor_coverage", "What was looked at, by area and outcome.", coverage)
    gaps = [row for row in report.coverage if row.needed and not row.seen]
    page.gauge("auditor_coverage_gaps", "What was not seen and rules out CLEAR.", {(): len(gaps)})
    page.gauge("auditor_failures", "Rules and collectors that failed.", {(): len(report.failures)})
    deadlines = [in_utc(one.deadline).timestamp() for one in report.findings if one.deadline is not None]
    if deadlines:
        what = "The first deadline of all findings, as Unix time."
        page.gauge("auditor_next_deadline_timestamp_seconds", what, {(): min(deadlines)})


def _weight(row: Coverage) -> int:
    return max(row.count, 1)


def _sources(page: _Page, run: Run) -> None:
    shown = run.sources[:MAX_SOURCES]
    labels = [(("kind", one.kind), ("source", one.name)) for one in shown]
    times = [in_utc(one.collected_at).timestamp() if one.collected_at is not None else None for one in shown]
    now = in_utc(run.now).timestamp()
    if shown:
        page.gauge(
            "auditor_source_age_seconds",
            "Age of the oldest capture of each source at the time of the run; +Inf if nothing says when it was taken.",
            {key: now - when if when is not None else float("inf") for key, when in zip(labels, times, strict=True)},
        )
        page.gauge(
            "auditor_source_timestamp_seconds",
            "When the oldest capture of each source was taken, as Unix time.",
            {key: when for key, when in zip(labels, times, strict=True) if when is not None},
        )
    page.gauge("auditor_sources", "Sources of the estate.", {(): len(run.sources)})
    page.gauge("auditor_sources_stale", "Sources that are older than --max-age.", {(): run.stale})


class _Page:
    def __init__(self) -> None:
        self._lines: list[str] = []

    def gauge(self, name: str, what: str, series: Mapping[tuple[tuple[str, str], ...], float]) -> None:
        """One metric with its help, its type, and its series in order of their labels."""
        if not series:
            return
        self._lines += [f"# HELP {name} {what}", f"# TYPE {name} gauge"]
        self._lines += [f"{name}{_labels(labels)} {_number(series[labels])}" for labels in sorted(series)]

    def text(self) -> str:
        return "\n".join(self._lines) + "\n"


def _labels(labels: Iterable[tuple[str, str]]) -> str:
    said = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels)
    return f"{{{said}}}" if said else ""


def _escaped(value: str) -> str:
    return clean(value).replace("\\", "\\\\").replace('"', '\\"')


def _number(value: float) -> str:
    if value == float("inf"):
        return "+Inf"
    return str(int(value)) if value == int(value) else repr(float(value))
