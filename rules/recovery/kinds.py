"""Which ways back there are: renewal, reissue, recovery of the key, revocation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Final

from auditor.api import Confidence, EstateView, Finding, Impact, Procedure, Relation, Severity, listed
from rules.recovery.stakes import RecoveryRule, Stake, concerned, named_hosts, node_of, stakes
from rules.renewal.lineages import lines

KINDS: Final = {
    "renewal": "renewal",
    "emergency-reissue": "an emergency reissue",
    "key-recovery": "recovery of the key",
    "revocation": "revocation",
}


class RecoveryProcedureMissingRule(RecoveryRule):
    """A certificate without a procedure for one of: renewal, reissue, recovery of its key, revocation.

    What it does
    ------------
    For each certificate that loses its renewal it says which of the four procedures the inventory declares, and which
    not. If revocation and renewal, or reissue, both need the same host that is going, it says that too: they are then
    one path.

    Why it matters
    --------------
    Revocation is another problem than renewal: a certificate whose key got out must go at once, and the new one must be
    everywhere before. Who has only one of the two finds out on the day.

    Example
    -------
    There are procedures for renewal, emergency reissue and recovery of the key; none for revocation.

    What to do
    ----------
    Write the missing one, with who may decide, and rehearse it. Let revocation not depend on the host that renews.

    What it can't see
    -----------------
    Procedures that nobody declared.
    """

    id: ClassVar[str] = "recovery-procedure-missing"
    title: ClassVar[str] = "A way back that nobody has written down"
    severity: ClassVar[Severity] = Severity.WARN
    since: ClassVar[str] = "0.2.0"
    needs: ClassVar[frozenset[Relation]] = frozenset({Relation.RENEWED_BY})

    def check(self, estate: EstateView) -> Iterator[Finding]:
        """One finding for each certificate."""
        procedures = estate.recovery.procedures
        if not procedures:
            return
        seen: set[str] = set()
        for stake in stakes(estate):
            if stake.name in seen:
                continue
            seen.add(stake.name)
            mine = [one for one in procedures if stake.is_for(one)]
            known = {one.kind for one in mine}
            missing = [kind for kind in KINDS if kind not in known]
            if missing:
                yield self._missing(stake, mine or list(procedures), missing)
        yield from self._one_path(estate)

    def _missing(self, stake: Stake, mine: list[Procedure], missing: list[str]) -> Finding:
        there = [name for kind, name in KINDS.items() if kind not in missing]
        return Finding(
            rule=self.id,
            area=self.area,
            severity=self.severity,
            confidence=Confidence.HIGH,
            subject=stake.lineage.label,
            identity=(stake.name, *missing),
            message=f"There is no procedure for {listed([KINDS[kind] for kind in missing])} of {stake.name}",
            why=f"{len(there)} of {len(KINDS)} are declared" + (f": {listed(there)}." if there else "."),
            action="Write it down, with who may decide and what it needs, and rehearse it before the host goes.",
            impact=Impact.NONE,
            evidence=lines(one.provenance for one in mine),
            hosts=(stake.going.host,),
        )

    def _one_path(self, estate: EstateView) -> Iterator[Finding]:
        """Revocation and renewal over one and the same going host."""
        by_kind: dict[str, list[tuple[Procedure, set[str]]]] = {}
        for procedure, _ in concerned(estate):
            node = node_of(estate, procedure)
            if node is not None and (named := named_hosts(estate, node)):
                by_kind.setdefault(procedure.kind, []).append((procedure, named))
        for revocation, hosts in by_kind.get("revocation", ()):
            others = [*by_kind.get("renewal", ()), *by_kind.get("emergency-reissue", ())]
            shared = [(one, named & hosts) for one, named in others if named & hosts]
            if shared:
                through = sorted({host for _, named in shared for host in named})
                yield Finding(
                    rule=self.id,
                    area=self.area,
                    severity=self.severity,
                    confidence=Confidence.HIGH,
                    subject=f"procedure {revocation.name}",
                    identity=(revocation.name, *through),
                    message=f"{revocation.name} and {listed([one.name for one, _ in shared])} are one path, through "
                    f"{listed(through)}",
                    why="Who has to revoke because that host can't be trusted, or is gone, can't.",
                    action="Give the revocation a way of its own: the CA's account from another host, or its number.",
                    impact=Impact.NONE,
                    evidence=lines((revocation.provenance,), (one.provenance for one, _ in shared)),
                    hosts=tuple(through),
                )
