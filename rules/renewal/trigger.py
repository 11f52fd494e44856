"""A renewal that one thing alone starts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from auditor.api import Area, Confidence, EstateView, Finding, Impact, Relation, Rule, Severity
from rules.renewal.lineages import ONE_SHOT, Lineages, called, lines, served_elsewhere


class RenewalSingleTriggerRule(Rule):
    """A renewal on a host that is going, which one job alone starts.

    What it does
    ------------
    For each lineage of a host that is going it counts what starts its client: cron lines, timers, hooks. One is shown
    as one; masked and disabled timers don't count. A client that is a daemon starts itself and is left out.

    Why it matters
    --------------
    With one trigger, one comment sign or one mount that can't be written ends the renewal, and nothing comes after it.
    Whoever moves the lineage moves that weakness along.

    Example
    -------
    A line in `/etc/cron.d/certbot`, and certbot's own timer is masked.

    What to do
    ----------
    Start it from a second place on the successor: a timer twice a day and a cron line once a week hurt nobody, as the
    client renews only what is due.

    What it can't see
    -----------------
    Schedules that were not captured, such as those of a scheduler elsewhere that logs in. That the only trigger is lost
    is told by `renewal-on-going-host`.
    """

    id: ClassVar[str] = "renewal-single-trigger"
    title: ClassVar[str] = "A renewal with one trigger and no fallback"
    area: ClassVar[Area] = Area.RENEWAL
    severity: ClassVar[Severity] = Severity.WARN
    since: ClassVar[str] = "0.2.0"
    needs: ClassVar[frozenset[Relation]] = frozenset({Relation.RENEWED_BY, Relation.RUNS_ON})

    def check(self, estate: EstateView) -> Iterator[Finding]:
        """One finding for each lineage."""
        known = Lineages(estate)
        for going, renewal in known.on_going_hosts():
            lineage = renewal.lineage
            if not renewal.enabled or len(renewal.triggers) != 1 or known.twins(lineage):
                continue
            if any(one.text not in ONE_SHOT for one in renewal.clients):
                continue
            if not served_elsewhere(estate, lineage, estate.blast_radius(lineage)):
                continue
            trigger = renewal.triggers[0]
            yield Finding(
                rule=self.id,
                area=self.area,
                severity=self.severity,
                confidence=Confidence.HIGH,
                subject=lineage.label,
                identity=(lineage.scope, lineage.text),
                message=f"Only one thing starts the renewal of {called(lineage)} on {going.host}: {trigger.text}",
                why="There is no other trigger: if it does not run, or fails, nothing comes after it.",
                action=f"Give it a second one on {going.successor or 'the host that takes over'}, such as a timer "
                "twice a day and a cron line once a week: the client renews only what is due.",
                impact=Impact.NONE,
                evidence=lines(trigger.provenance[:1]) or lineage.provenance[:1],
                hosts=(going.host,),
            )
