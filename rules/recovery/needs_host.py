"""A way back that itself needs what is going."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from auditor.api import Confidence, EstateView, Finding, Impact, Lifecycle, Need, Relation, Severity, listed
from rules.recovery.stakes import RecoveryRule, node_of
from rules.renewal.lineages import going_behind, lines, state_of


class RecoveryNeedsGoingHostRule(RecoveryRule):
    """A procedure with a step that runs on what is going, or logs in through it.

    What it does
    ------------
    Looks at the steps of each declared procedure: where they run (`runs_on`) and which way one logs in
    (`logs_in_through`), over names and addresses. A step of a renewal, of a reissue or of the signing of a request
    makes something new: it fails on a host that can't be written, too.

    Why it matters
    --------------
    The way back is needed because the host fails. One that leads through the same host is none.

    Example
    -------
    The emergency reissue signs its request on the certificate server that is read-only.

    What to do
    ----------
    Give the step to the successor, with the access and the tools that it needs there, and rehearse it.

    What it can't see
    -----------------
    Hosts that a step needs and does not name.
    """

    id: ClassVar[str] = "recovery-needs-going-host"
    title: ClassVar[str] = "A way back that leads through the host"
    severity: ClassVar[Severity] = Severity.BLOCK
    since: ClassVar[str] = "0.2.0"
    needs: ClassVar[frozenset[Relation]] = frozenset({Relation.RENEWED_BY})

    def check(self, estate: EstateView) -> Iterator[Finding]:
        """One finding for each procedure."""
        for procedure in estate.recovery.procedures:
            node = node_of(estate, procedure)
            lost = [edge for edge in estate.outgoing(node) if edge.lost] if node is not None else []
            found = {one.host: one for edge in lost for one in going_behind(estate, edge.provider)}
            if node is None or not found:
                continue
            going = found[min(found)]
            targets = {edge.provider.text for edge in lost}
            hit = [one for one in procedure.steps if not targets.isdisjoint((*one.runs_on, *one.logs_in_through))]
            steps = [one.name for one in hit]
            logs_in = all(edge.relation is Relation.CONNECTS for edge in lost)
            how = "logs in through" if logs_in else "runs on"
            count = f"{len(steps)} of {len(procedure.steps)} steps" if len(procedure.steps) > 1 else "The only step"
            writes = going.lifecycle is Lifecycle.READ_ONLY and any(edge.need is Need.WRITE for edge in lost)
            yield Finding(
                rule=self.id,
                area=self.area,
                severity=self.severity,
                confidence=Confidence.HIGH,
                subject=f"procedure {procedure.name}",
                identity=(procedure.name, *sorted(found)),
                message=f"{count} of {procedure.name} {how if len(steps) == 1 else how.replace('runs', 'run', 1)} "
                f"{listed(sorted(found))}, which {state_of(estate, going)}"
                + (": what it makes can't be stored there" if writes else ""),
                why=f"{'The step is' if len(steps) == 1 else 'The steps are'} {listed(steps)}.",
                action=f"Give {'it' if len(steps) == 1 else 'them'} to {going.successor or 'a host that stays'}, with "
                "all that is needed there, and rehearse it.",
                impact=Impact.BROKEN,
                evidence=lines(
                    (edge.provenance for edge in lost),
                    (place for one in hit for place in one.places if _names(place.excerpt, targets)),
                ),
                path=estate.path(node),
                hosts=tuple(sorted(found)),
            )


def _names(text: str, targets: set[str]) -> bool:
    return any(target in text.lower() for target in targets)
