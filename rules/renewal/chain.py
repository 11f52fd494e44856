"""A renewal from its trigger to its deployment, stage by stage."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from auditor.api import (
    Area,
    Confidence,
    Edge,
    EstateView,
    Finding,
    Going,
    Impact,
    Node,
    Provenance,
    Relation,
    Rule,
    Severity,
    listed,
    plural,
)
from rules.renewal.lineages import (
    Lineages,
    Renewal,
    called,
    going_behind,
    lines,
    reach_of,
    served_elsewhere,
    shown,
)


@dataclass(frozen=True, slots=True)
class _Stage:
    """One stage: what it goes through, and what of that is lost."""

    name: str
    uses: tuple[str, ...]
    lost: tuple[str, ...]
    edges: tuple[Edge, ...]
    lines: tuple[Provenance, ...]
    all_needed: bool = True
    """Whether one of them that is lost is enough to break it."""

    @property
    def breaks(self) -> bool:
        return bool(self.lost) and (self.all_needed or len(self.lost) == len(self.uses))

    @property
    def said(self) -> str:
        if not self.uses:
            return f"{self.name}: none is known"
        if not self.lost:
            return f"{self.name}: {listed(self.uses, 2)}"
        count = f"{len(self.lost)} of {len(self.uses)} lost" if len(self.uses) > 1 else "lost"
        return f"{self.name}: {count}, {listed(self.lost, 2)}"


class RenewalChainBrokenRule(Rule):
    """All stages of a renewal that is lost, with the first one that breaks.

    What it does
    ------------
    Follows each renewal that loses two stages or more: what triggers it, its client, the CA's challenge, the CA and
    account, the place where the new certificate is stored, the deploy hooks and where they lead, and who serves it. It
    says which of them are lost, and which one is the first: that is the one that the log will speak of.

    Why it matters
    --------------
    Whoever mends one stage sees the next one fail, one renewal later. Seen together they are one piece of work.

    Example
    -------
    The cron line runs, the CA answers; the challenge's updates, the archive and both hooks go to the read-only server:
    3 of 6 stages, the challenge first.

    What to do
    ----------
    Move the stages in this order, and run the renewal on the successor to its end, with the deployment.

    What it can't see
    -----------------
    Stages whose files were not captured. What each stage depends on, and what to do about it, is told by the rule about
    that stage; whether somebody watches it by `renewal-stages-unwatched`.
    """

    id: ClassVar[str] = "renewal-chain-broken"
    title: ClassVar[str] = "A renewal breaks at several stages"
    area: ClassVar[Area] = Area.RENEWAL
    severity: ClassVar[Severity] = Severity.INFO
    since: ClassVar[str] = "0.2.0"
    needs: ClassVar[frozenset[Relation]] = frozenset({Relation.RENEWED_BY, Relation.RUNS_ON})

    def check(self, estate: EstateView) -> Iterator[Finding]:
        """One finding for each lineage."""
        known = Lineages(estate)
        for renewal in map(known.of, known.all):
            if not renewal.enabled or not renewal.triggers or known.twins(renewal.lineage):
                continue
            stages = _stages(estate, renewal)
            broken = [stage for stage in stages if stage.breaks]
            going = next((one for stage in broken for edge in stage.edges for one in _behind(estate, edge)), None)
            if len(broken) < 2 or going is None:
                continue
            if served_elsewhere(estate, renewal.lineage, estate.blast_radius(renewal.lineage)):
                yield self._finding(estate, renewal, going, stages, broken)

    def _finding(
        self, estate: EstateView, renewal: Renewal, going: Going, stages: list[_Stage], broken: list[_Stage]
    ) -> Finding:
        lineage, first = renewal.lineage, broken[0]
        blast = estate.blast_radius(lineage)
        reach = reach_of(estate, blast) if blast is not None else ""
        hosts = sorted({one.host for stage in broken for edge in stage.edges for one in _behind(estate, edge)})
        others = listed([stage.name for stage in broken[1:]], 6)
        numbered = "; ".join(f"{number} {stage.said}" for number, stage in enumerate(stages, 1))
        return Finding(
            rule=self.id,
            area=self.area,
            severity=self.severity,
            confidence=Confidence.HIGH,
            subject=lineage.label,
            identity=(lineage.scope, lineage.text, *(stage.name for stage in broken)),
            message=f"The renewal of {called(lineage)} loses {len(broken)} of {plural(len(stages), 'stage')}, first "
            f"the {first.name} ({stages.index(first) + 1}), then the {others}",
            why=f"{numbered}." + (f" It is for {reach}." if reach else ""),
            action=f"Move them in this order to {going.successor or 'a host that stays'}, and let it renew there once, "
            "to the end of the last hook.",
            impact=Impact.BROKEN,
            evidence=lines(line for stage in broken for line in stage.lines) or lineage.provenance[:1],
            hosts=tuple(hosts),
        )


def _stages(estate: EstateView, renewal: Renewal) -> list[_Stage]:
    """The stages in the order of a run."""
    lineage = renewal.lineage
    lost = set(renewal.lost_triggers)
    return [
        _Stage(
            "trigger",
            tuple(_place(one) for one in renewal.triggers),
            tuple(_place(one) for one in renewal.triggers if one in lost),
            tuple(edge for one in renewal.lost_triggers for edge in estate.outgoing(one) if edge.lost),
            tuple(one.provenance[0] for one in renewal.lost_triggers if one.provenance),
            all_needed=False,
        ),
        _stage(estate, lineage, "client", Relation.RENEWED_BY, Relation.RUNS_ON),
        _stage(estate, lineage, "challenge", Relation.VALIDATED_THROUGH, Relation.READS, Relation.CONNECTS),
        _stage(estate, lineage, "CA", Relation.ISSUED_BY),
        _stage(estate, lineage, "storage", Relation.WRITES),
        _stage(estate, lineage, "deployment", Relation.DEPLOYED_BY, Relation.CALLS),
    ]


def _stage(estate: EstateView, lineage: Node, name: str, *relations: Relation) -> _Stage:
    edges = [edge for edge in estate.outgoing(lineage, *relations) if not _is_taken_from_store(estate, lineage, edge)]
    lost = [edge for edge in edges if edge.lost]
    return _Stage(
        name,
        tuple(dict.fromkeys(edge.provider.text for edge in edges)),
        tuple(dict.fromkeys(edge.provider.text for edge in lost)),
        tuple(lost),
        tuple(edge.provenance for edge in lost if shown(edge.provenance)),
    )


def _is_taken_from_store(estate: EstateView, lineage: Node, edge: Edge) -> bool:
    """Whether a hook only reads what the renewal itself has stored: no credentials of a challenge are there."""
    if edge.relation is not Relation.READS:
        return False
    above = edge.provider.text.rstrip("/")
    stored = (one.provider.text for one in estate.outgoing(lineage, Relation.WRITES))
    return any(path == above or path.startswith(f"{above}/") for path in stored)


def _place(trigger: Node) -> str:
    return trigger.text.partition(": ")[0]


def _behind(estate: EstateView, edge: Edge) -> list[Going]:
    return going_behind(estate, edge.provider)
