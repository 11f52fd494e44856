"""Whatever else needs a host that is going: services, balancers, forwards, and what the inventory declares."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
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
    Lifecycle,
    Need,
    Node,
    Provenance,
    Relation,
    Rule,
    Severity,
    listed,
    plural,
    ranged,
)
from rules.texts import written
from rules.ways import Ways, told_in_front

_TRANSPARENT: Final = (Relation.STANDS_FOR, Relation.RESOLVES)
_VERBS: Final = {
    Relation.CONNECTS: "connects to",
    Relation.BACKED_BY: "is served by",
    Relation.CALLS: "calls",
    Relation.READS: "reads from",
    Relation.WRITES: "writes to",
    Relation.MOUNTS: "mounts from",
    Relation.RUNS_ON: "runs on",
}
_OTHERS: Final = frozenset({Kind.JOB, Kind.UNIT, Kind.PATH, Kind.CLIENT, Kind.LINEAGE, Kind.CERTIFICATE, Kind.WEBHOOK})
"""What the rules about jobs, renewals and webhooks speak of."""
_WATCHERS: Final = frozenset({Kind.ALERT, Kind.PROBE, Kind.SCRAPE, Kind.ROUTE, Kind.RECEIVER, Kind.SILENCE})
"""What the rules about monitoring speak of, but for where a check runs."""
_MEMBERS: Final = {Relation.BACKED_BY: "back ends"}
_AREAS: Final = {Relation.MOUNTS: Area.STORAGE}
_SHOWN: Final = 1000
_FAR: Final = 50


@dataclass(slots=True)
class _Alike:
    """Consumers of one name and file on many hosts that need the same, and the edges of each."""

    consumers: list[Node] = field(default_factory=list)
    edges: dict[int, list[Edge]] = field(default_factory=dict)
    hosts: dict[str, Going] = field(default_factory=dict)


class DependsOnGoingHostRule(Rule):
    """Finds services, load balancers, forwards and declared needs that end at a host that is going.

    What it does
    ------------
    Takes everything that needs a going host directly, or through names and addresses alone, and whose line no sharper
    rule has shown: back ends of web servers and balancers, forwards of logs and metrics, databases and caches of a
    service, what the inventory says that a service needs, that a balancer has behind it, or that a check runs on. A
    pool that loses all its members is broken, one that loses some is degraded. One finding for each consumer; equal
    ones on many hosts are one.

    Why it matters
    --------------
    A pool hides the retirement of its members until the last one goes. What a person declared in the inventory is
    there because no file says it.

    Example
    -------
    `upstream tracking { server old-01.example.net:8080; }`

    What to do
    ----------
    Point it at the successor, or take the host out of the pool, before the host goes.

    What it can't see
    -----------------
    Whether the consumer is still in use, and needs that are neither configured in a known format nor declared.
    """

    id: ClassVar[str] = "depends-on-going-host"
    title: ClassVar[str] = "Something else needs the host"
    area: ClassVar[Area] = Area.CONFIGURATION
    severity: ClassVar[Severity] = Severity.BLOCK
    needs: ClassVar[frozenset[Relation]] = frozenset({Relation.CONNECTS})

    def check(self, estate: EstateView) -> Iterator[Finding]:
        """One finding for each consumer, or for equal ones on many hosts."""
        found: dict[tuple[Kind, str, str, tuple[str, ...]], _Alike] = {}
        leaving = {one.host for one in estate.going}
        ways = Ways(estate)
        direct: dict[int, tuple[Node, list[Edge], set[str]]] = {}
        for going in estate.going:
            host = estate.host(going.host)
            for edge in _needing(estate, ways, host) if host is not None else ():
                consumer = edge.consumer
                if (home := estate.home(consumer)) is None or home.text not in leaving:
                    _, edges, hosts = direct.setdefault(consumer.id, (consumer, [], set()))
                    hosts.add(going.host)
                    if all(known.id != edge.id for known in edges):
                        edges.append(edge)
        for consumer, edges, hosts in direct.values():
            place = edges[0].provenance.path
            if consumer.scope:
                place = place.split("/", 2)[-1]
            key = (consumer.kind, consumer.text, place, tuple(sorted(edge.provider.text for edge in edges)))
            alike = found.setdefault(key, _Alike())
            alike.consumers.append(consumer)
            alike.edges[consumer.id] = edges
            alike.hosts.update({one.host: one for one in estate.going if one.host in hosts})
        for alike in found.values():
            yield self._finding(estate, alike)

    def _finding(self, estate: EstateView, alike: _Alike) -> Finding:
        consumer = alike.consumers[0]
        edges = alike.edges[consumer.id]
        broken = _broken(estate, consumer, edges)
        first = (broken or edges)[0]
        sure = any(edge.confidence is not Confidence.LOW for edge in broken or edges)
        hosts = sorted(alike.hosts)
        homes = ranged(one.scope for one in alike.consumers if one.scope)
        label = _called(consumer) + (f" on {listed(homes)}" if homes else "")
        successors = sorted({one.successor for one in alike.hosts.values() if one.successor})
        evidence = _lines(edge.provenance for edges in alike.edges.values() for edge in edges)
        return Finding(
            rule=self.id,
            area=_AREAS.get(first.relation, self.area),
            severity=Severity.BLOCK if broken and sure else Severity.WARN,
            confidence=Confidence.HIGH if sure else Confidence.LOW,
            subject=label,
            identity=(_bare(consumer), *hosts, first.relation.value, evidence[0].path),
            message=_message(estate, label, edges, broken, hosts),
            why=_why(estate, consumer, alike, bool(broken)),
            action=(
                f"Point it at {listed(successors)}." if successors else "Point it elsewhere, or take it out of use."
            )
            + written(estate, evidence, hosts),
            impact=Impact.BROKEN if broken else Impact.DEGRADED,
            evidence=evidence[:_SHOWN],
            path=estate.path_over(first),
            hosts=tuple(hosts),
        )


def _needing(estate: EstateView, ways: Ways, host: Node) -> Iterator[Edge]:
    """The lost dependencies on a host itself, or on names and addresses that lead to it alone."""
    seen, pending = {host.id}, [host]
    while pending:
        node = pending.pop()
        for edge in estate.incoming(node, *_TRANSPARENT):
            consumer = edge.consumer
            if not edge.lost or consumer.id in seen or consumer.kind in (Kind.PATH, Kind.MOUNT):
                continue
            # What is lost for another reason, such as a certificate that ends, goes on leading elsewhere.
            if ways.hosts(consumer):
                seen.add(consumer.id)
                pending.append(consumer)
        for edge in estate.incoming(node, *_VERBS):
            if edge.lost and _is_ours(edge) and not told_in_front(estate, edge):
                yield edge


def _is_ours(edge: Edge) -> bool:
    kind = edge.consumer.kind
    if kind in _WATCHERS:
        return edge.relation is Relation.RUNS_ON
    return kind not in _OTHERS and edge.need is not Need.OBSERVE


def _broken(estate: EstateView, consumer: Node, edges: Sequence[Edge]) -> list[Edge]:
    """Of the lost edges those that have no alternative left."""
    whole: dict[str, bool] = {}
    for edge in estate.outgoing(consumer):
        if edge.group:
            whole[edge.group] = whole.get(edge.group, True) and edge.lost
    return [edge for edge in edges if not edge.group or whole.get(edge.group, True)]


def _message(
    estate: EstateView, label: str, edges: Sequence[Edge], broken: Sequence[Edge], hosts: Sequence[str]
) -> str:
    """`Shop connects to old-01`, `1 of 3 back ends of pool is going: old-01`, `Both back ends of … are going: …`."""
    first = (broken or edges)[0]
    if not first.group:
        return f"{label} {_VERBS[first.relation]} {listed(hosts)}"
    members = [edge for edge in estate.outgoing(first.consumer) if edge.group == first.group]
    lost = sum(edge.lost for edge in members)
    if len(members) == 1:
        return f"{label} {_VERBS[first.relation]} {listed(hosts)} alone"
    noun = _MEMBERS.get(first.relation, "alternatives")
    if lost == len(members):
        count = "Both" if lost == 2 else f"All {lost}"
        return f"{count} {noun} of {label} are going: {listed(hosts)}"
    return f"{lost} of {len(members)} {noun} of {label} {'is' if lost == 1 else 'are'} going: {listed(hosts)}"


def _why(estate: EstateView, consumer: Node, alike: _Alike, broken: bool) -> str:
    if all(one.lifecycle is Lifecycle.READ_ONLY for one in alike.hosts.values()):
        ends = "It can't write there any more"
    elif broken:
        ends = "It fails once the host is gone"
    else:
        ends = "The others must carry its share, and the host must leave the list"
    said = ["It is declared as critical"] if consumer.attributes.get("critical") is True else []
    after = sorted(_behind(estate, consumer))
    if after and broken:
        said.append(f"With it {'goes' if len(after) == 1 else 'go'} {listed(after)}")
    if owner := consumer.attributes.get("owner"):
        said.append(f"Its owner: {owner}")
    where = "" if len(alike.consumers) == 1 else f", on {plural(len(alike.consumers), 'host')}"
    return ". ".join([ends + where, *said]) + "."


def _behind(estate: EstateView, consumer: Node) -> set[str]:
    """Services that need this one, as people call them."""
    seen, pending, found = {consumer.id}, [consumer], set()
    while pending and len(seen) < _FAR:
        for edge in estate.incoming(pending.pop(), *_TRANSPARENT, Relation.CONNECTS, Relation.BACKED_BY):
            node = edge.consumer
            if edge.lost and node.id not in seen:
                seen.add(node.id)
                pending.append(node)
                if node.kind is Kind.SERVICE:
                    found.add(
                        _called(node)
                        + (f" on {node.scope}" if node.scope else "")
                        + (" (critical)" if node.attributes.get("critical") is True else "")
                    )
    return found


def _called(node: Node) -> str:
    """The name alone: that it is a service says nothing, and `declared/` is ours."""
    text = node.text.removeprefix("declared/")
    return text if node.kind in (Kind.SERVICE, Kind.NAME) else f"{node.kind.value} {text}"


def _bare(node: Node) -> str:
    return f"{node.kind.value} {node.text}"


def _lines(places: Iterable[Provenance]) -> tuple[Provenance, ...]:
    unique = {(place.path, place.line): place for place in places}
    return tuple(unique[key] for key in sorted(unique))
