"""Ways back that nobody has walked for long, or ever."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import ClassVar

from auditor.api import Confidence, EstateView, Finding, Impact, Period, Procedure, Relation, Severity, duration, listed
from rules.recovery.stakes import RecoveryRule, concerned
from rules.renewal.lineages import lines


class RecoveryNotRehearsedRule(RecoveryRule):
    """A procedure that was never rehearsed, or not in the last quarter.

    What it does
    ------------
    Of the procedures for certificates that lose their renewal, or that need a host that is going, it shows those whose
    `last_rehearsed` is `never`, not given, or more than 92 days ago.

    Why it matters
    --------------
    What was never walked has steps that no longer exist: a login that was closed, a key that moved, a person who left.
    The evening on which it is needed is the wrong one to find that out.

    Example
    -------
    `last_rehearsed: never` at the emergency reissue of the wildcard.

    What to do
    ----------
    Walk it once before the host goes, to the end, and write down how long it took; then once a quarter.

    What it can't see
    -----------------
    Whether the rehearsal went to the end. It believes the date in the inventory.
    """

    id: ClassVar[str] = "recovery-not-rehearsed"
    title: ClassVar[str] = "A way back that nobody has rehearsed"
    severity: ClassVar[Severity] = Severity.WARN
    since: ClassVar[str] = "0.2.0"
    needs: ClassVar[frozenset[Relation]] = frozenset({Relation.RENEWED_BY})
    interval = Period(timedelta(days=92), "how long after a rehearsal the next one is due")

    def check(self, estate: EstateView) -> Iterator[Finding]:
        """One finding for all that were never walked, one for each that is overdue."""
        known = list(concerned(estate))
        never = [(one, hosts) for one, hosts in known if one.last_rehearsed is None]
        if never:
            names = [one.name for one, _ in never]
            count = f"{len(never)} of {len(known)} procedures" if len(known) > 1 else "The only procedure"
            verb = "were" if len(never) > 1 else "was"
            they = (
                "How long they take, and whether they work" if len(never) > 1 else "How long it takes, and if it works"
            )
            message = f"{count} for this {verb} never rehearsed: {listed(names, 9)}"
            yield self._finding(never, message, "never", f"{they}, nobody knows.")
        for procedure, hosts in known:
            if procedure.last_rehearsed is not None and estate.now - procedure.last_rehearsed > self.interval:
                ago = duration((estate.now - procedure.last_rehearsed).total_seconds())
                yield self._finding(
                    [(procedure, hosts)],
                    f"{procedure.name} was last rehearsed {ago} ago, {procedure.last_rehearsed:%Y-%m-%d}",
                    "overdue",
                    "A rehearsal is due each quarter."
                    if self.interval == type(self).interval.default
                    else f"A rehearsal is due every {type(self).interval.said(self.interval)}.",
                )

    def _finding(self, found: list[tuple[Procedure, tuple[str, ...]]], message: str, state: str, why: str) -> Finding:
        return Finding(
            rule=self.id,
            area=self.area,
            severity=self.severity,
            confidence=Confidence.HIGH,
            subject=", ".join(f"procedure {one.name}" for one, _ in found),
            identity=(state, *sorted(one.name for one, _ in found)),
            message=message,
            why=why,
            action="Walk it to the end before the host goes, and declare the date and how long it took.",
            impact=Impact.NONE,
            evidence=lines(one.rehearsal or one.provenance for one, _ in found),
            hosts=tuple(sorted({host for _, hosts in found for host in hosts})),
        )
