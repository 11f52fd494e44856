"""A way back that takes longer than the certificate lasts."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import ClassVar

from auditor.api import (
    Confidence,
    EstateView,
    Finding,
    Impact,
    Period,
    Procedure,
    Relation,
    Schedule,
    Severity,
    day,
    duration,
    earliest,
    listed,
    plural,
)
from rules.recovery.stakes import REISSUING, RecoveryRule, Stake, stakes
from rules.renewal.lineages import lines, reach_of


class RecoveryTooSlowRule(RecoveryRule):
    """A certificate that loses its renewal ends before people could have replaced it.

    What it does
    ------------
    For each certificate that loses its renewal it computes when each declared emergency reissue, or signing of a
    request, ends at the earliest if it begins now: approvals one after the other or all at once, each in the working
    hours and the time zone of who gives it, holidays left out, and the work of each step in its own hours. If none ends
    before the certificate does, it says by how much, and which step takes the longest. If it would end in time without
    waiting for approvals and may (`pre_authorized`), that counts. A policy may ask for time to spare (`spare`): too
    little of it is a warning.

    Why it matters
    --------------
    Each step looks short on its page. That a sign-off at another site begins on Monday, or that the CA has closed, is
    seen only when they are put one after the other on the evening on which they are needed.

    Example
    -------
    On Friday evening: five sign-offs, the last on Monday at 15:00; three hours of audit trail; the CA's vetting. The
    earliest end is Monday at 21:49, and the certificate ends on Saturday.

    What to do
    ----------
    Begin now, and shorten the longest step: an approver on call, an exception that is authorized beforehand, a second
    place for the key, the CA's emergency number.

    What it can't see
    -----------------
    Procedures that nobody declared. That everybody answers at once in their hours is the best case, not the likely one.
    """

    id: ClassVar[str] = "recovery-too-slow"
    title: ClassVar[str] = "The way back takes longer than the certificate lasts"
    severity: ClassVar[Severity] = Severity.BLOCK
    since: ClassVar[str] = "0.2.0"
    needs: ClassVar[frozenset[Relation]] = frozenset({Relation.RENEWED_BY, Relation.STORED_AT})
    spare = Period(timedelta(0), "how long before the certificate's end the way back must have ended")

    def check(self, estate: EstateView) -> Iterator[Finding]:
        """One finding for each certificate."""
        for stake in stakes(estate):
            ends = stake.ends
            ways = [one for one in estate.recovery.procedures if one.kind in REISSUING and stake.is_for(one)]
            if ends is None or ends <= estate.now or not ways:
                continue
            timed = [(one, earliest(one, estate.now, approvals=not one.pre_authorized)) for one in ways]
            done = [(one, schedule) for one, schedule in timed if schedule is not None]
            if not done:
                yield self._finding(estate, stake, ends, ways[0], None)
                continue
            procedure, best = min(done, key=lambda pair: pair[1].ends)
            if best.ends > ends - self.spare:
                yield self._finding(estate, stake, ends, procedure, best)

    def _finding(
        self, estate: EstateView, stake: Stake, ends: datetime, procedure: Procedure, schedule: Schedule | None
    ) -> Finding:
        reach = reach_of(estate, stake.blast) if stake.blast else ""
        for_whom = f" for {reach}" if reach else ""
        evidence = [step.provenance for step in procedure.steps]
        in_time = False
        if schedule is None:
            says, why, slowest = (
                "is never done",
                "Somebody whom it needs has no hours at all. ",
                procedure.steps[0].name,
            )
        else:
            apart = duration((schedule.ends - ends).total_seconds())
            in_time = schedule.ends <= ends
            says = f"is done {day(schedule.ends)} at the earliest, "
            if in_time:
                wanted = duration(self.spare.total_seconds())
                says += f"only {apart} before the certificate ends: {wanted} are wanted"
            else:
                says += f"{apart} after the certificate ends"
            longest = schedule.longest
            slowest = longest.step.name
            evidence = [longest.step.provenance, *evidence]
            waits = f", waiting for {longest.waits_for}" if longest.waits_for else ""
            why = (
                f"Its longest step is {slowest}: {duration(longest.seconds)}{waits}. "
                f"{_timetable(schedule)} {_alone(estate, procedure, ends)}"
            )
        return Finding(
            rule=self.id,
            area=self.area,
            severity=Severity.WARN if in_time else self.severity,
            confidence=Confidence.HIGH,
            subject=f"procedure {procedure.name}",
            identity=(procedure.name, stake.lineage.scope, stake.lineage.text),
            message=f"{procedure.name}, begun now, {says} ({stake.name}, {day(ends)})",
            why=why.strip() if in_time else f"{why.strip()} Between the two there is no TLS{for_whom}.",
            action=f"Begin it now. Shorten {slowest}: someone on call, an exception that is authorized beforehand, or "
            "a second place for the key.",
            impact=Impact.DEGRADED if in_time else Impact.BROKEN,
            evidence=lines(evidence),
            hosts=(stake.going.host,),
            deadline=ends,
        )


def _timetable(schedule: Schedule) -> str:
    """`Sign-off until Mon 2025-11-24 16:00 UTC; signing until 19:45; …`: when each step ends."""
    said: list[str] = []
    before = schedule.start
    for one in schedule.steps:
        same = one.ends.date() == before.date() and said
        said.append(f"{one.step.name} until {one.ends:%H:%M}" if same else f"{one.step.name} until {day(one.ends)}")
        before = one.ends
    return f"Steps: {'; '.join(said)}."


def _alone(estate: EstateView, procedure: Procedure, ends: datetime) -> str:
    """What it would be without waiting for approvals."""
    if not procedure.approvers or procedure.pre_authorized:
        return ""
    best = earliest(procedure, estate.now, approvals=False)
    if best is None:
        return ""
    count = plural(len(procedure.approvers), "approval")
    if best.ends <= ends:
        return f"Without its {count} it would be done {day(best.ends)}, in time."
    held = [one for one in best.steps if one.begins > one.ready]
    why = f": {listed([one.step.name for one in held])} can't begin before {day(held[0].begins)}" if held else ""
    return f"Even without its {count} it would be done only {day(best.ends)}{why}."
