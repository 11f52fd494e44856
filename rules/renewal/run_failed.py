"""A renewal whose last run failed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import ClassVar

from auditor.api import (
    Area,
    Confidence,
    EstateView,
    Finding,
    Going,
    Impact,
    Node,
    Period,
    Relation,
    Rule,
    Severity,
)
from rules.jobs.evidence import Failure, failure_of
from rules.renewal.lineages import Renewal, called, deadline, expiry, lines
from rules.renewal.stages import in_question


class RenewalRunFailedRule(Rule):
    """The last run of what starts a renewal ended with a failure.

    What it does
    ------------
    Reads what systemd said of the services by which timers start a renewal: `Result` and the exit status of the last
    run, as `auditor collect` keeps them. It looks at hosts that are going, at what goes through them, and at their
    successors. It blocks if the certificate ends within seven days.

    Why it matters
    --------------
    A renewal fails for weeks before its certificate ends, twice a day. On the successor it means that the move is not
    done, whatever the ticket says.

    Example
    -------
    `Id=certbot.service Result=exit-code ExecMainStatus=1`, last ended this morning

    What to do
    ----------
    Read its log (`journalctl -u certbot.service`), mend it, start it once by hand and see it end well, before anything
    is moved.

    What it can't see
    -----------------
    Runs of cron, whose results nobody keeps, and failures that the client does not tell by its exit status. A renewal
    that is overdue is told by `certificate-overdue`.
    """

    id: ClassVar[str] = "renewal-run-failed"
    title: ClassVar[str] = "The last run of a renewal failed"
    area: ClassVar[Area] = Area.RENEWAL
    severity: ClassVar[Severity] = Severity.BLOCK
    since: ClassVar[str] = "0.2.0"
    needs: ClassVar[frozenset[Relation]] = frozenset({Relation.RENEWED_BY})
    urgent = Period(timedelta(days=7), "how close the certificate's end must be to block")

    def check(self, estate: EstateView) -> Iterator[Finding]:
        """One finding for each lineage and job that failed."""
        for renewal, going in in_question(estate):
            for trigger in renewal.triggers:
                failure = failure_of(estate, trigger)
                if failure is not None:
                    yield self._finding(estate, renewal, going, trigger, failure)

    def _finding(self, estate: EstateView, renewal: Renewal, going: Going, trigger: Node, failure: Failure) -> Finding:
        lineage = renewal.lineage
        blast = estate.blast_radius(lineage)
        ends = deadline(blast)
        host = failure.unit.scope or lineage.scope
        takes_over = f", which takes over from {going.host}" if host == going.successor else ""
        others = len(renewal.triggers) - 1
        left = f" {others} other {'job starts' if others == 1 else 'jobs start'} it too." if others else ""
        return Finding(
            rule=self.id,
            area=self.area,
            severity=self.severity if ends is not None and ends < estate.now + self.urgent else Severity.WARN,
            confidence=Confidence.HIGH,
            subject=lineage.label,
            identity=(lineage.scope, lineage.text, failure.unit.text),
            message=f"{failure.unit.text} on {host}{takes_over}, which renews {called(lineage)}, {failure.said}",
            why=f"1 of {len(renewal.triggers)} that start it.{left} {expiry(estate, blast)}",
            action=f"Read {_log(failure.unit)} on {host}, mend it, and start it once by hand before anything is moved.",
            impact=Impact.NONE,
            evidence=lines([failure.line], trigger.provenance[:1]),
            hosts=(going.host,),
            deadline=ends,
        )


def _log(unit: Node) -> str:
    """Where a failed run has left its words."""
    windows = unit.attributes.get("dialect") == "windows"
    return "its history in Task Scheduler" if windows else f"`journalctl -u {unit.text}`"
