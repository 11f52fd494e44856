"""What still refers to a host that is gone, for the rules that say so by area."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import ClassVar, Final

from auditor.api import (
    Area,
    Confidence,
    Edge,
    EstateView,
    Finding,
    Impact,
    Kind,
    Node,
    Phase,
    Relation,
    Rule,
    Severity,
    listed,
    plural,
    ranged,
)
from rules.jobs.schedules import WORDS
from rules.texts import files, settings, written
from rules.ways import Ways, distinct, is_own_name, references_to, successor_of

AFTER: Final = frozenset({Phase.AFTER})
_SHOWN: Final = 1000
_VERBS: Final = {
    Relation.RESOLVES: "leads to",
    Relation.RECORDS: "points at",
    Relation.RUNS_ON: "runs on",
    Relation.CALLS: "calls",
    Relation.CONNECTS: "connects to",
    Relation.READS: "reads from",
    Relation.WRITES: "writes to",
    Relation.MOUNTS: "mounts from",
    Relation.RENEWED_BY: "is renewed by",
    Relation.VALIDATED_THROUGH: "is validated through",
    Relation.DEPLOYED_BY: "is deployed through",
    Relation.ISSUED_BY: "is issued by",
    Relation.WATCHES: "watches",
    Relation.SILENCES: "silences",
    Relation.NOTIFIES: "tells",
    Relation.DELIVERS: "delivers to",
    Relation.MEMBER: "has as a member",
    Relation.SELECTS: "selects",
    Relation.BACKED_BY: "is served by",
}
_BARE: Final = frozenset(
    {Kind.NAME, Kind.ADDRESS, Kind.ENDPOINT, Kind.RECORD, Kind.HOST, Kind.DOCUMENT, Kind.PATH, Kind.SERVICE}
)
_INNER: Final = frozenset({Relation.STANDS_FOR, Relation.MENTIONS})


@dataclass(slots=True)
class Left:
    """A consumer that still refers to hosts that are gone, or equal ones on many hosts."""

    consumers: list[Node] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)

    @property
    def first(self) -> Edge:
        """The reference that says most: the surest one."""
        return min(self.edges, key=lambda edge: list(Confidence).index(edge.confidence))


def left_over(estate: EstateView, ways: Ways, concerns: Callable[[Edge], bool]) -> Iterator[Left]:
    """What refers to a host that is gone, directly or by a name or address that leads to it alone, and is of concern.

    What the host itself said of itself, in captures from before, does not count.
    """
    gone = {one.host for one in estate.going}
    found: dict[tuple[object, ...], Left] = {}
    for name in sorted(gone):
        host = estate.host(name)
        if host is None:
            continue
        for node in (host, *references_to(estate, host)):
            if node is not host and name not in ways.hosts(node):
                continue
            for edge in estate.incoming(node):
                if edge.relation in _INNER or not concerns(edge) or not _is_of_others(estate, edge, gone):
                    continue
                consumer = edge.consumer
                place = files((edge.provenance,))[0]
                left = found.setdefault((consumer.kind, consumer.text, place, name), Left())
                if all(one.id != consumer.id for one in left.consumers):
                    left.consumers.append(consumer)
                if all(one.id != edge.id for one in left.edges):
                    left.edges.append(edge)
                left.hosts.add(name)
    yield from found.values()


def _is_of_others(estate: EstateView, edge: Edge, gone: set[str]) -> bool:
    consumer, path = edge.consumer, edge.provenance.path
    if not path or consumer.scope in gone or (consumer.kind is Kind.HOST and consumer.text in gone):
        return False
    home = estate.home(consumer)
    return (home is None or home.text not in gone) and not any(path.startswith(f"hosts/{one}/") for one in gone)


class StillRefers(Rule):
    """What the rules about references that are left share: one finding for each consumer, or for equal ones."""

    severity: ClassVar[Severity] = Severity.BLOCK
    since: ClassVar[str] = "0.2.0"
    phases: ClassVar[frozenset[Phase]] = AFTER

    def check(self, estate: EstateView) -> Iterator[Finding]:
        """One finding for each consumer, or for equal ones on many hosts."""
        ways = Ways(estate)
        for left in left_over(estate, ways, self.concerns):
            yield self._finding(estate, ways, left)

    @abstractmethod
    def concerns(self, edge: Edge) -> bool:
        """Whether a reference is this rule's to tell."""

    def area_of(self, edge: Edge) -> Area:
        """The area of the checklist that a reference belongs to."""
        return self.area

    def _finding(self, estate: EstateView, ways: Ways, left: Left) -> Finding:
        consumer, first = left.consumers[0], left.first
        hosts = sorted(left.hosts)
        homes = ranged(one.scope for one in left.consumers if one.scope)
        label = called(consumer) + (f" on {listed(homes)}" if homes else "")
        sure = first.confidence is not Confidence.LOW
        evidence = distinct(edge.provenance for edge in left.edges)
        successor = successor_of(estate, hosts)
        where = listed(settings(evidence))
        return Finding(
            rule=self.id,
            area=self.area_of(first),
            severity=self.severity if sure else Severity.WARN,
            confidence=first.confidence,
            subject=label,
            identity=(consumer.kind.value, consumer.text, first.relation.value, *files(evidence)[:1], *hosts),
            message=f"{label} still {_verb(first)} {_named(left, hosts)}",
            why=_why(left),
            action=f"Point it at {successor} in {where}, or take it out.{written(estate, evidence, hosts)}"
            if successor and not _is_its_own(estate, consumer)
            else f"Take it out of {where}.",
            impact=Impact.BROKEN if sure else Impact.MENTIONED,
            evidence=evidence[:_SHOWN],
            path=ways.steps(first),
            hosts=tuple(hosts),
        )


def _is_its_own(estate: EstateView, consumer: Node) -> bool:
    """Whether a record is of the host itself, its name or its address: another machine has records of its own."""
    if consumer.kind is Kind.RECORD:
        return " PTR " in consumer.text
    return consumer.kind is Kind.NAME and is_own_name(estate, consumer)


def called(node: Node) -> str:
    """How people call a consumer, without the host."""
    text = node.text.removeprefix("declared/")
    return text if node.kind in _BARE else f"{node.kind.value} {text}"


def _verb(edge: Edge) -> str:
    return WORDS[edge.need] if edge.relation is Relation.CONNECTS else _VERBS[edge.relation]


def _named(left: Left, hosts: Iterable[str]) -> str:
    """`old.example.net`, or `old.example.net (as 10.0.0.1)` where it is written otherwise."""
    known = list(hosts)
    written = list(dict.fromkeys(edge.provider.text for edge in left.edges if edge.provider.text not in known))
    return listed(known) + (f" (as {listed(written)})" if written else "")


def _why(left: Left) -> str:
    many = f", on {plural(len(left.consumers), 'host')}" if len(left.consumers) > 1 else ""
    relation = left.first.relation
    if relation in (Relation.WATCHES, Relation.SILENCES):
        return f"Nobody will be there to answer it{many}: it fires for ever, or hides what should fire."
    if relation in (Relation.RESOLVES, Relation.RECORDS):
        return f"Whoever gets the address next gets what is sent there{many}."
    return f"It fails now, or will when it is used{many}; and whoever gets the address next gets what is sent there."
