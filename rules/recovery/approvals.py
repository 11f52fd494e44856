"""Approvals that an emergency must wait for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from auditor.api import Confidence, EstateView, Finding, Impact, Procedure, Relation, Severity, day, listed, plural
from rules.recovery.stakes import RecoveryRule, concerned
from rules.renewal.lineages import lines

_EMERGENCIES = frozenset({"emergency-reissue", "key-recovery", "revocation"})


class RecoveryApprovalsRule(RecoveryRule):
    """An emergency procedure that may not begin without approvals that can't be had at any hour.

    What it does
    ------------
    Of the emergency procedures for certificates that lose their renewal, or that need a host that is going, it shows
    those with at least one approver who has working hours, and without an exception (`pre_authorized`). It counts the
    approvals and says who can't be reached now, and from when on.

    Why it matters
    --------------
    Certificates end on any day of the week. Whoever may not act alone waits.

    Example
    -------
    Five sign-offs in sequence; on a Friday evening three of them can be had again on Monday.

    What to do
    ----------
    Agree on an exception: who may begin alone, under which condition, and who is told afterwards. Or put each approval
    on a rota that answers at any hour.

    What it can't see
    -----------------
    Whether somebody answers within their hours. Whether the whole takes too long is told by `recovery-too-slow`.
    """

    id: ClassVar[str] = "recovery-approvals"
    title: ClassVar[str] = "An emergency that waits for approvals"
    severity: ClassVar[Severity] = Severity.WARN
    since: ClassVar[str] = "0.2.0"
    needs: ClassVar[frozenset[Relation]] = frozenset({Relation.RENEWED_BY})

    def check(self, estate: EstateView) -> Iterator[Finding]:
        """One finding for each procedure."""
        for procedure, hosts in concerned(estate):
            waiting = [one for one in procedure.approvers if one.hours is not None and one.hours.text != "24/7"]
            if procedure.kind in _EMERGENCIES and waiting and not procedure.pre_authorized:
                yield self._finding(estate, procedure, hosts)

    def _finding(self, estate: EstateView, procedure: Procedure, hosts: tuple[str, ...]) -> Finding:
        opens = {one.name: one.hours.opens(estate.now) for one in procedure.approvers if one.hours is not None}
        away = {name: at for name, at in opens.items() if at is None or at > estate.now}
        count = len(procedure.approvers)
        later = [at for at in away.values() if at is not None]
        if away:
            until = f", the last of them until {day(max(later))}" if later else ""
            now = f"{len(away)} of {count} can't be reached now{until}: {listed(sorted(away))}."
        else:
            now = (
                f"{'Both' if count == 2 else f'All {count}'} can be reached now, and none of them at night."
                if count > 1
                else "Now it can be had."
            )
        sequence = any(not one.parallel and len(one.approvals) > 1 for one in procedure.steps)
        return Finding(
            rule=self.id,
            area=self.area,
            severity=self.severity,
            confidence=Confidence.HIGH,
            subject=f"procedure {procedure.name}",
            identity=(procedure.name,),
            message=f"{procedure.name} may not begin without {plural(count, 'approval')}"
            f"{', one after the other' if sequence else ''}, and there is no exception",
            why=now,
            action="Agree on who may begin alone in an emergency and who is told afterwards, and declare it as "
            "`pre_authorized: true`.",
            impact=Impact.NONE,
            evidence=lines(
                (step.provenance for step in procedure.steps if step.approvals),
                (one.provenance for one in procedure.approvers if one.provenance),
            ),
            hosts=hosts,
        )
