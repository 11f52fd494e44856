"""Names of ours that resolve to nothing, and have to do with a host that is going."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Final

from auditor.api import (
    Area,
    Confidence,
    Edge,
    EstateView,
    Finding,
    Going,
    Impact,
    Kind,
    Node,
    Outcome,
    Relation,
    Rule,
    Severity,
)

_USES: Final = (
    Relation.CONNECTS,
    Relation.DEPLOYED_BY,
    Relation.DELIVERS,
    Relation.NOTIFIES,
    Relation.CALLS,
)
_POINTS: Final = (Relation.RESOLVES, Relation.RECORDS)
_LIMIT: Final = 1000


class DnsDanglingRule(Rule):
    """Finds names under our own domains that do not exist, where they matter to a host that is going.

    What it does
    ------------
    Takes each name below a zone that was captured and that the zone has no record for, and speaks of two kinds: a
    record that points at a name below the host's own (`crl.legacy-cert-01`), which people forget because it leads
    nowhere already; and a name that a job, script, unit or renewal of the host or of its successor uses. Names that
    lead to the host are told by dns-leads-to-going-host, and not again here.

    Names that begin with `_` are left out (a renewal makes and removes them), and so are those below a delegation, and
    zones of which a part could not be read.

    Why it matters
    --------------
    A dangling alias shows that a clean-up before this one was not finished. A name that the successor uses and that
    does not exist is a move that was prepared, and never done: the job will fail on its first run.

    Example
    -------
    `crl.pki IN CNAME crl.legacy-cert-01`, and no `crl.legacy-cert-01` in the zone

    What to do
    ----------
    Remove the record, or create what it points at; correct the name that the job uses.

    What it can't see
    -----------------
    Records of other views of the zone, and records that a program adds at run time.
    """

    id: ClassVar[str] = "dns-dangling"
    title: ClassVar[str] = "A name of ours resolves to nothing"
    area: ClassVar[Area] = Area.NAMES
    severity: ClassVar[Severity] = Severity.WARN
    needs: ClassVar[frozenset[Relation]] = frozenset({Relation.RECORDS})

    def check(self, estate: EstateView) -> Iterator[Finding]:
        """One finding for each record or consumer that leads to a name that does not exist."""
        partial = {row.path for row in estate.gaps() if row.outcome is Outcome.PARTIAL and row.path}
        zones = {
            zone.text
            for zone in estate.nodes(Kind.ZONE)
            if not zone.text.endswith(".arpa") and not any(one.path in partial for one in zone.provenance)
        }
        if not zones:
            return
        by_name = {going.host: going for going in estate.going}
        homes: dict[str, Going] = {}
        for going in estate.going:
            host = estate.host(going.host)
            successor = estate.successor(host) if host is not None else None
            homes.setdefault(going.host, going)
            if successor is not None:
                homes.setdefault(successor.text, going)
        for name in estate.nodes(Kind.NAME):
            if not _is_nothing(estate, name, zones):
                continue
            labels = name.text.split(".")
            for at in range(1, len(labels)):
                below = by_name.get(".".join(labels[at:]))
                if below is not None:
                    yield from self._records(estate, below, name)
            yield from self._users(estate, homes, name)

    def _records(self, estate: EstateView, going: Going, name: Node) -> Iterator[Finding]:
        for edge in estate.incoming(name, *_POINTS):
            place = edge.provenance
            if place.path == "." or edge.consumer.scope:
                continue
            owner = str(edge.consumer.attributes.get("owner", edge.consumer.text))
            kind = str(edge.consumer.attributes.get("type", "CNAME"))
            yield Finding(
                rule=self.id,
                area=self.area,
                severity=self.severity,
                confidence=Confidence.HIGH,
                subject=f"{owner} {kind}",
                identity=(owner, kind, name.text),
                message=f"{owner} ({kind}) points at {name.text}, which does not exist",
                why=f"It leads nowhere already, and was left over from {going.host} by a clean-up before this one.",
                action=f"Remove the record of {owner}, or point it at what it should be.",
                impact=Impact.NONE,
                evidence=(place,),
                path=estate.path_over(edge),
                hosts=(going.host,),
            )

    def _users(self, estate: EstateView, homes: dict[str, Going], name: Node) -> Iterator[Finding]:
        for edge in _uses(estate, name):
            place, consumer = edge.provenance, edge.consumer
            going = homes.get(consumer.scope)
            if place.path == "." or going is None or edge.confidence is Confidence.LOW:
                continue
            late = consumer.scope != going.host
            where = f"{consumer.scope}, which takes over from {going.host}" if late else going.host
            yield Finding(
                rule=self.id,
                area=self.area,
                severity=self.severity,
                confidence=edge.confidence,
                subject=consumer.label,
                identity=(consumer.kind.value, consumer.text, consumer.scope, name.text),
                message=f"{consumer.text} on {where} uses {name.text}, which does not exist",
                why="It fails now, or as soon as it is run: the zone has no record of the name.",
                action=f"Create {name.text}, or correct the name in {place.path}.",
                impact=Impact.BROKEN,
                evidence=(place,),
                path=estate.path_over(edge),
                hosts=(going.host,),
            )


def _is_nothing(estate: EstateView, name: Node, zones: set[str]) -> bool:
    """Whether a name is known not to exist: its zone was captured, and has nothing of it or below it."""
    text = name.text
    if name.scope or text.startswith(("_", "*")) or "." not in text or estate.outgoing(name):
        return False
    labels = text.split(".")
    parents = [".".join(labels[at:]) for at in range(1, len(labels))]
    zone = next((parent for parent in parents if parent in zones), "")
    if text in zones or not zone:
        return False
    for parent in parents[: parents.index(zone)]:
        above = estate.find(Kind.NAME, parent)
        if estate.find(Kind.RECORD, f"{parent} NS") is not None:
            return False
        if above is not None and above.attributes.get("dname"):
            return False
    return not any(
        str(edge.consumer.attributes.get("owner", "")) == text for edge in estate.incoming(name, Relation.RECORDS)
    )


def _uses(estate: EstateView, name: Node) -> Iterator[Edge]:
    """Who uses a name, over URLs, short names and aliases."""
    seen, pending = {name.id}, [name]
    while pending and len(seen) < _LIMIT:
        at = pending.pop()
        yield from estate.incoming(at, *_USES)
        for edge in estate.incoming(at, Relation.STANDS_FOR, Relation.RESOLVES):
            if edge.consumer.id not in seen:
                seen.add(edge.consumer.id)
                pending.append(edge.consumer)
