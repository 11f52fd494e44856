"""A host that is declared to be there, and was not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Final

from auditor.api import (
    Area,
    Confidence,
    Declared,
    EstateView,
    Finding,
    Impact,
    Kind,
    Lifecycle,
    Outcome,
    Provenance,
    Relation,
    Rule,
    Severity,
    listed,
    ranged,
)
from rules.lifecycle.states import concerned, lines, role

_STATES: Final = {
    "terminated": "terminated",
    "shutting-down": "being terminated",
    "stopped": "stopped",
    "stopping": "being stopped",
}


@dataclass(frozen=True, slots=True)
class _Absence:
    """How a host was seen not to be there. `sure` if it is not only that it did not answer."""

    said: str
    why: str
    where: Provenance
    sure: bool


class LifecycleGoneObservedRule(Rule):
    """A host is declared active or read-only, and its instance is stopped or terminated, or it did not answer.

    What it does
    ------------
    Looks at each host that the inventory declares as active, read-only or retiring: does AWS say that its instance is
    stopped or terminated, or could the collection not reach it? For a host of the scenario, and for one that takes
    over, that is a warning, and blocks if a host that takes over is not there for sure. Of other hosts it makes a note,
    one for all that are alike. `auditor audit` asks about a host whose instance is terminated as if it were declared
    retired.

    Why it matters
    --------------
    What depends on it fails now, or will when the machine is wanted. And where everything else moves to a host that is
    not there, nothing has moved.

    Example
    -------
    `lifecycle: active, instance_id: i-0a1b2c3d4e5f60718`, and `"State": {"Name": "terminated"}`

    What to do
    ----------
    Start it, or declare what it is (`lifecycle: retired`, `since`), and ask `auditor checklist HOST`.

    What it can't see
    -----------------
    Hosts that nobody tried to collect, and whether a host did not answer because of a firewall between.
    """

    id: ClassVar[str] = "lifecycle-gone-observed"
    title: ClassVar[str] = "A host is declared to be there, and was not"
    area: ClassVar[Area] = Area.CONFIGURATION
    severity: ClassVar[Severity] = Severity.WARN
    needs: ClassVar[frozenset[Relation]] = frozenset()

    def check(self, estate: EstateView) -> Iterator[Finding]:
        """One finding for each host of the scenario; of others one for all that are alike."""
        own = concerned(estate)
        others: dict[tuple[str, str], list[tuple[str, _Absence]]] = {}
        for node in estate.nodes(Kind.HOST):
            declared = estate.declared(node.text)
            if declared is None or declared.lifecycle is Lifecycle.RETIRED:
                continue
            absence = _absence(estate, node.text)
            if absence is None:
                continue
            if node.text in own:
                yield self._host(estate, node.text, absence, declared)
            else:
                others.setdefault((absence.said, declared.lifecycle.value), []).append((node.text, absence))
        for (said, lifecycle), found in sorted(others.items()):
            yield self._others(said, lifecycle, found)

    def _host(self, estate: EstateView, host: str, absence: _Absence, declared: Declared) -> Finding:
        takes_over = role(estate, host)
        so = "Nothing can have moved there." if takes_over else "What depends on it fails, or will when it is wanted."
        return Finding(
            rule=self.id,
            area=self.area,
            severity=Severity.BLOCK if takes_over and absence.sure else self.severity,
            confidence=Confidence.HIGH if absence.sure else Confidence.MEDIUM,
            subject=host,
            identity=(host, absence.said),
            message=f"{host}{takes_over} is declared {declared.lifecycle.value}, and {absence.said}",
            why=f"{absence.why} {so}",
            action=f"Start it, or declare what it is, and ask `auditor checklist {host}`."
            if absence.sure
            else "Find out whether it is still there; then declare what it is, or repair the way to it.",
            impact=Impact.NONE,
            evidence=lines(absence.where, declared.where),
            hosts=(host,),
        )

    def _others(self, said: str, lifecycle: str, found: list[tuple[str, _Absence]]) -> Finding:
        hosts = [host for host, _ in found]
        several = len(hosts) > 1
        verb = "are" if several else "is"
        absent = said.replace("its instance is", "their instances are") if several else said
        return Finding(
            rule=self.id,
            area=self.area,
            severity=Severity.INFO,
            confidence=Confidence.HIGH if found[0][1].sure else Confidence.MEDIUM,
            subject=listed(ranged(hosts)),
            identity=("others", said, *sorted(hosts)),
            message=f"{listed(ranged(hosts))} {verb} declared {lifecycle}, and {absent}",
            why=f"{'They have' if several else 'It has'} nothing to do with the hosts asked about.",
            action=f"Declare what {'they are' if several else 'it is'}, and ask `auditor checklist {hosts[0]}`.",
            impact=Impact.NONE,
            evidence=lines(*(absence.where for _, absence in found[:20])),
        )


def _absence(estate: EstateView, host: str) -> _Absence | None:
    node = estate.host(host)
    state = str(node.attributes.get("state", "")) if node is not None else ""
    if node is not None and state in _STATES:
        where = next((one for one in node.provenance if one.path.startswith("aws/")), None)
        if where is not None:
            reason = str(node.attributes.get("state_reason", ""))
            why = f"AWS gives the reason: {reason}." if reason else "AWS says so."
            return _Absence(f"its instance is {_STATES[state]}", why, where, sure=True)
    sighting = estate.sighting(host)
    if sighting is not None and sighting.outcome is Outcome.UNREACHABLE:
        on = f" on {sighting.at.date().isoformat()}" if sighting.at else ""
        said = sighting.where.excerpt.partition(": ")[2] or "nobody knows why"
        return _Absence("did not answer", f"When it was collected{on}: {said}.", sighting.where, sure=False)
    return None
