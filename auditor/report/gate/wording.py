"""What the gate's renderers share: how its answer is said."""

from __future__ import annotations

from collections import Counter
from typing import Final

from auditor.change import GateReport, Judged, Standing
from auditor.model import Coverage, Finding, Provenance, Severity
from auditor.phrases import listed
from auditor.report.layout import number
from auditor.report.summary import ordered

REMOVED: Final = "host-removed-with-dependents"
"""The id under which machines get a removal that leaves dependents behind."""
REMOVED_TITLE: Final = "The change takes out a host or name that something still depends on"
REMOVED_HELP: Final = """\
# The change takes out a host or name that something still depends on

The line takes a host out of an inventory or a name out of a zone, declares a host retired, retiring or read-only, lets
a plan destroy it, or leaves a group without a host. The rest of the repository (and the snapshot, if one was given)
still refers to it.

Repoint or remove what is listed, in this change or before it.
"""


def headline(report: GateReport) -> str:
    """The answer in one sentence."""
    fails = [one for one in report.judged if one.fails]
    left = [one for one in report.removals if one.dependents]
    counted = Counter(one.finding.severity for one in fails)
    parts = [
        number(counted[severity], word)
        for severity, word in ((Severity.BLOCK, "blocker"), (Severity.WARN, "warning"), (Severity.INFO, "note"))
        if counted[severity]
    ]
    if not fails and not left:
        return _without_findings(report)
    said = f"this change brings {', '.join(parts)}" if parts else "this change brings nothing new"
    if len(left) == 1:
        return f"{said}; {left[0].host} {left[0].what}, and is still needed"
    if left:
        return f"{said}; {listed([one.host for one in left], 3)} are on their way out, and still needed"
    return said


def _without_findings(report: GateReport) -> str:
    nothing = "nothing that depends on a server that is going was added or left behind by this change"
    if report.passed:
        return nothing
    if report.failures:
        return f"the change could not be judged: {report.failures[0].what}"
    if report.withdrawn:
        hosts = listed(list(report.withdrawn), 3)
        return f"{nothing}, but {hosts} {'is' if len(report.withdrawn) == 1 else 'are'} not declared as going any more"
    return f"{nothing}, as far as can be seen: {number(len(report.lost_sight), 'thing')} can't be read since"


def sentences(*parts: str) -> str:
    """Parts of a text one after the other, each ended as a sentence."""
    return " ".join(part if part.endswith((".", "!", "?", ":")) else f"{part}." for part in parts if part.strip())


def by_urgency(judged: tuple[Judged, ...]) -> list[Judged]:
    """In the order of the checklist: the same urgency, the same place."""
    place = {id(finding): at for at, finding in enumerate(ordered(one.finding for one in judged))}
    return sorted(judged, key=lambda one: place[id(one.finding)])


def counts(report: GateReport) -> str:
    """How many findings were there before, and how many this change has mended."""
    known, fixed = len(report.by(Standing.KNOWN)), len(report.by(Standing.FIXED))
    parts = []
    if known:
        parts.append(f"{number(known, 'finding')} of before {'is' if known == 1 else 'are'} still there")
    if fixed:
        parts.append(f"{number(fixed, 'finding')} {'is' if fixed == 1 else 'are'} mended by this change")
    return "; ".join(parts)


def place_of(item: Provenance) -> str:
    """file:line for people."""
    return f"{item.path}:{item.line}" if item.line else item.path


def main_place(one: Judged) -> Provenance:
    """Where to point at: a place that the change wrote, else the first one."""
    return one.added[0] if one.added else one.finding.evidence[0]


def removal_message(host: str, what: str, dependents: tuple[Finding, ...]) -> str:
    """What a removal leaves behind, in one sentence."""
    places = list(dict.fromkeys(place_of(item) for finding in dependents for item in finding.evidence))
    need = "place still needs" if len(places) == 1 else "places still need"
    return f"{host} {what}, and {len(places):,} {need} it: {listed(places, 5)}"


def gap_text(gap: Coverage) -> str:
    """What can't be seen any more."""
    return f"{gap.what}: {gap.detail}" if gap.detail else gap.what
