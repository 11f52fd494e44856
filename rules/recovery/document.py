"""Instructions that are older than what they are about."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import ClassVar

from auditor.api import (
    Confidence,
    EstateView,
    Finding,
    Going,
    Impact,
    Procedure,
    Relation,
    Severity,
    duration,
    parse_time,
)
from rules.recovery.stakes import RecoveryRule, concerned, named_hosts, node_of
from rules.renewal.lineages import lines


class RecoveryDocumentStaleRule(RecoveryRule):
    """A procedure's document that was last reviewed before a host that it names changed.

    What it does
    ------------
    Of the procedures whose steps run on a host that is going, or log in through it, it compares the document's
    `last_reviewed` with the date on which that host became what it is (`since`). A document without a date counts as
    older.

    Why it matters
    --------------
    The page still describes the world before the move; whoever follows it in the night starts on the wrong server.

    Example
    -------
    The wiki's page was reviewed in March 2024, and the server became read-only in June 2025.

    What to do
    ----------
    Walk the page against the successor, correct it, and write down the date of the review.

    What it can't see
    -----------------
    What the page says. Pages that are among the captures and name the host are told by `mention`.
    """

    id: ClassVar[str] = "recovery-document-stale"
    title: ClassVar[str] = "A procedure's document older than the host's change"
    severity: ClassVar[Severity] = Severity.WARN
    since: ClassVar[str] = "0.2.0"
    needs: ClassVar[frozenset[Relation]] = frozenset({Relation.RENEWED_BY})

    def check(self, estate: EstateView) -> Iterator[Finding]:
        """One finding for each procedure."""
        for procedure, _ in concerned(estate):
            node = node_of(estate, procedure)
            named = named_hosts(estate, node) if node is not None else set()
            for going in estate.going:
                changed = parse_time(going.since)
                if procedure.document and going.host in named and changed is not None:
                    reviewed = procedure.last_reviewed
                    if reviewed is None or reviewed < changed:
                        yield self._finding(procedure, going, changed, reviewed)
                        break

    def _finding(self, procedure: Procedure, going: Going, changed: datetime, reviewed: datetime | None) -> Finding:
        if reviewed is None:
            when, gap = "has no date of a review", ""
        else:
            when = f"was last reviewed on {reviewed:%Y-%m-%d}"
            gap = f", {duration((changed - reviewed).total_seconds())} later"
        return Finding(
            rule=self.id,
            area=self.area,
            severity=self.severity,
            confidence=Confidence.HIGH,
            subject=f"procedure {procedure.name}",
            identity=(procedure.name, going.host),
            message=f"The page of {procedure.name} {when}; {going.host}, which it starts from, became "
            f"{going.lifecycle.value} on {changed:%Y-%m-%d}{gap}",
            why=f"Who follows {procedure.document} works on a server that can't do it any more.",
            action=f"Walk the page against {going.successor or 'the host that takes over'}, correct it, and set "
            "`last_reviewed`.",
            impact=Impact.NONE,
            evidence=lines((procedure.review or procedure.provenance,)),
            hosts=(going.host,),
        )
