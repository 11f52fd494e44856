"""A renewal whose trigger does not run."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import ClassVar

from auditor.api import (
    Area,
    Confidence,
    Count,
    EstateView,
    Finding,
    Going,
    Impact,
    Node,
    Period,
    Relation,
    Rule,
    Severity,
    is_timer,
)
from rules.jobs.evidence import line_of, never_ran
from rules.renewal.lineages import Renewal, called, expiry, lines
from rules.renewal.stages import in_question


class RenewalNeverRanRule(Rule):
    """What starts a renewal is set up, and did not run when it should have.

    What it does
    ------------
    Compares the schedule of each timer and each job of anacron that starts a renewal with the last time it ran, by what
    systemd and anacron's spool said: never since the machine was started, or longer ago than two runs and a day; or a
    timer that is over and won't start it again. It looks at hosts that are going, at what goes through them, and at
    their successors.

    Why it matters
    --------------
    A timer that is enabled and was never started (`enable` without `--now`) looks set up in every list. So does the one
    on the successor, until the certificate ends.

    Example
    -------
    `certbot.timer` of the successor: enabled, `LastTriggerUSec=n/a`, and the machine has been up for three weeks

    What to do
    ----------
    `systemctl start certbot.timer`, and look at `systemctl list-timers` the day after.

    What it can't see
    -----------------
    When a job of cron ran, and what ran before the machine was last started, for timers without `Persistent=true`.
    """

    id: ClassVar[str] = "renewal-never-ran"
    title: ClassVar[str] = "The trigger of a renewal does not run"
    area: ClassVar[Area] = Area.RENEWAL
    severity: ClassVar[Severity] = Severity.WARN
    since: ClassVar[str] = "0.2.0"
    needs: ClassVar[frozenset[Relation]] = frozenset({Relation.RENEWED_BY})
    missed = Count(2, "run", "how many runs in a row may be missing")
    grace = Period(timedelta(days=1), "how much later than these a run may be")

    def check(self, estate: EstateView) -> Iterator[Finding]:
        """One finding for each lineage and trigger."""
        for renewal, going in in_question(estate):
            for trigger in renewal.triggers:
                reason = never_ran(estate, trigger, self.missed, self.grace)
                if reason:
                    yield self._finding(estate, renewal, going, trigger, reason)

    def _finding(self, estate: EstateView, renewal: Renewal, going: Going, trigger: Node, reason: str) -> Finding:
        lineage, line = renewal.lineage, line_of(trigger)
        host = trigger.scope or lineage.scope
        takes_over = f", which takes over from {going.host}," if host == going.successor else ""
        place = trigger.text.partition(": ")[0]
        others = [one.text.partition(": ")[0] for one in renewal.triggers if one.id != trigger.id]
        alone = (
            "Nothing else starts it."
            if not others
            else f"{len(others)} of its {len(renewal.triggers)} triggers {'is' if len(others) == 1 else 'are'} left."
        )
        start = f"`systemctl start {place}`" if is_timer(place) else f"Start {place}"
        return Finding(
            rule=self.id,
            area=self.area,
            severity=self.severity,
            confidence=Confidence.HIGH,
            subject=lineage.label,
            identity=(lineage.scope, lineage.text, trigger.text),
            message=f"{place} on {host}{takes_over} is to start the renewal of {called(lineage)}, and does not: "
            f"{reason}",
            why=f"{alone} {expiry(estate, estate.blast_radius(lineage))}",
            action=f"{start} on {host}, and see that it ran the day after.",
            impact=Impact.NONE,
            evidence=lines([line] if line is not None else [], trigger.provenance[:1]),
            hosts=(going.host,),
        )
