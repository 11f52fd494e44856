"""What a rule may ask of an estate: one scenario over one graph."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from types import MappingProxyType
from typing import Final

import numpy as np

from auditor.api import Blast, Declared, Edge, Node, Sighting
from auditor.capture.areas import AREA_OF
from auditor.graph.columns import CONFIDENCES, KIND_ID, KINDS, NEEDS, RELATION_ID, RELATIONS, Ints
from auditor.graph.impact import (
    IMPACTS,
    OBSERVE,
    READ,
    RUN,
    WRITE,
    ImpactResult,
    impact,
    lost_edges,
    nearest,
    reach,
    trace,
)
from auditor.graph.resolved import Linked
from auditor.model import (
    NO_ATTRIBUTES,
    TRANSPARENT,
    Area,
    Attribute,
    Confidence,
    Coverage,
    Going,
    Impact,
    Kind,
    Lifecycle,
    Need,
    Outcome,
    Phase,
    Provenance,
    Relation,
    Step,
)
from auditor.phrases import parse_time
from auditor.recovery import Recovery

ALL_LOST: Final = RUN | WRITE | READ | OBSERVE
READ_ONLY_LOST: Final = WRITE | OBSERVE
MOUNT_LOST: Final = WRITE
NO_RECOVERY: Final = Recovery()
_MAX_PATH: Final = 64
_TRANSPARENT_IDS: Final = frozenset(RELATION_ID[relation] for relation in TRANSPARENT)


@dataclass(frozen=True, slots=True)
class NodeView:
    """A node of the graph, as a rule sees it."""

    estate: View
    id: int

    @property
    def kind(self) -> Kind:
        return KINDS[self.estate.kind_ids[self.id]]

    @property
    def text(self) -> str:
        return self.estate.linked.graph.texts[self.id]

    @property
    def scope(self) -> str:
        return self.estate.linked.graph.scope_table[self.estate.scope_ids[self.id]]

    @property
    def label(self) -> str:
        kind, text, scope = self.kind, self.text, self.scope
        if kind is Kind.CERTIFICATE:
            subject = self.attributes.get("subject_name") or self.attributes.get("subject")
            sans = self.attributes.get("sans")
            text = (
                ", ".join(sans[:2]) + (" …" if len(sans) > 2 else "")
                if isinstance(sans, tuple) and sans
                else str(subject or text)
            )
            return f"certificate {text}"
        if kind is Kind.LINEAGE:
            return f"lineage {text}" + (f" on {scope}" if scope else "")
        if kind in (Kind.HOST, Kind.NAME, Kind.ADDRESS, Kind.ENDPOINT, Kind.DOCUMENT, Kind.RECORD):
            return text
        return f"{kind.value} {text}" + (f" on {scope}" if scope else "")

    @property
    def attributes(self) -> Mapping[str, Attribute]:
        return self.estate.linked.attributes.get(self.id, NO_ATTRIBUTES)

    @property
    def provenance(self) -> tuple[Provenance, ...]:
        """Where it was defined; for nodes that were only referred to, the first reference."""
        linked = self.estate.linked
        found = [linked.provenance(index) for index in linked.entity_evidence.get(self.id, ())]
        known = tuple(one for one in found if one is not None)
        if known:
            return known
        for edges in (linked.graph.outgoing(self.id), linked.graph.incoming(self.id)):
            for edge in edges[:8]:
                one = linked.provenance(int(linked.graph.evidence[edge]))
                if one is not None:
                    return (one,)
        return ()


@dataclass(frozen=True, slots=True)
class EdgeView:
    """A dependency, as a rule sees it."""

    estate: View
    id: int

    @property
    def consumer(self) -> NodeView:
        return NodeView(self.estate, self.estate.consumers[self.id])

    @property
    def provider(self) -> NodeView:
        return NodeView(self.estate, self.estate.providers[self.id])

    @property
    def relation(self) -> Relation:
        return RELATIONS[self.estate.relation_ids[self.id]]

    @property
    def need(self) -> Need:
        return NEEDS[int(self.estate.linked.graph.need[self.id])]

    @property
    def group(self) -> str:
        return self.estate.linked.graph.group_name(self.id)

    @property
    def confidence(self) -> Confidence:
        return CONFIDENCES[int(self.estate.linked.graph.confidence[self.id])]

    @property
    def provenance(self) -> Provenance:
        """Where it was written; for what the linker concluded, where its consumer was."""
        linked = self.estate.linked
        known = linked.provenance(int(linked.graph.evidence[self.id]))
        if known is not None:
            return known
        for node in (self.consumer, self.provider):
            if node.provenance:
                return node.provenance[0]
        return Provenance(".", 0, "")

    @property
    def lost(self) -> bool:
        """Whether this edge fails in the scenario."""
        return bool(self.estate.lost_mask[self.id])


class View:
    """The estate in one scenario: these hosts, going in this way, at this time. See `auditor.api.EstateView`."""

    def __init__(
        self,
        linked: Linked,
        going: Sequence[Going],
        now: datetime,
        on: datetime | None,
        coverage: Sequence[Coverage],
        recovery: Recovery = NO_RECOVERY,
        sightings: Mapping[str, Sighting] = MappingProxyType({}),
        phase: Phase = Phase.BEFORE,
        links: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """`links` has files of the estate that are links to others, by their paths, with those."""
        self.linked = linked
        self.going = tuple(going)
        self.now = now
        self.on = on
        self.recovery = recovery
        self.phase = phase
        self._sightings = sightings
        self._coverage = tuple(coverage)
        self._coverage_of: dict[Relation, list[Coverage]] = {}
        self._links = links
        # The same columns: rules ask for one value at a time, and of an array that takes four times as long.
        graph = linked.graph
        self.kind_ids, self.scope_ids = graph.kinds.data, graph.scope_ids.data
        self.consumers, self.providers = graph.consumer.data, graph.provider.data
        self.relation_ids = graph.relation.data
        self._reached: dict[int, tuple[NodeView, ...]] = {}
        self._going = {one.host: one for one in going}
        self._blasts: dict[int, Blast | None] = {}
        self._shown: set[tuple[str, int]] = set()
        self.result: ImpactResult = impact(linked.graph, self._losses())
        self.lost_mask = lost_edges(linked.graph, self.result)

    def _losses(self) -> dict[int, int]:
        losses = {}
        for one in self.going:
            node = self.linked.host_nodes.get(one.host)
            if node is None:
                continue
            record = self.linked.hosts.records.get(one.host)
            if one.lifecycle is Lifecycle.READ_ONLY:
                # Named paths only: the rest of the host can still be written.
                if record is not None and record.read_only_paths:
                    losses[node] = OBSERVE
                else:
                    losses[node] = READ_ONLY_LOST
            elif one.lifecycle in (Lifecycle.RETIRED, Lifecycle.RETIRING):
                losses[node] = ALL_LOST
        for node in self.linked.read_only:
            losses[node] = losses.get(node, 0) | MOUNT_LOST
        return losses

    # -- nodes and edges --------------------------------------------------------------------------------------------

    def nodes(self, kind: Kind) -> list[NodeView]:
        return [NodeView(self, node) for node in self.linked.graph.nodes_of(KIND_ID[kind]).tolist()]

    def find(self, kind: Kind, text: str, scope: str = "") -> NodeView | None:
        found = self.linked.graph.find(KIND_ID[kind], text, scope)
        return None if found is None else NodeView(self, found)

    def host(self, name: str) -> NodeView | None:
        found = self.linked.hosts.find(name)
        node = self.linked.host_nodes.get(found) if found else None
        return None if node is None else NodeView(self, node)

    def going_for(self, host: Node) -> Going | None:
        return self._going.get(host.text) if host.kind is Kind.HOST else None

    def _edges(self, edges: Ints, relations: tuple[Relation, ...]) -> list[EdgeView]:
        if not relations:
            return [EdgeView(self, edge) for edge in edges.tolist()]
        wanted = {RELATION_ID[relation] for relation in relations}
        relation = self.relation_ids
        return [EdgeView(self, edge) for edge in edges.tolist() if relation[edge] in wanted]

    def outgoing(self, node: Node, *relations: Relation) -> Sequence[EdgeView]:
        return self._edges(self.linked.graph.outgoing(node.id), relations)

    def incoming(self, node: Node, *relations: Relation) -> Sequence[EdgeView]:
        return self._edges(self.linked.graph.incoming(node.id), relations)

    def dependents(self, node: Node) -> Sequence[NodeView]:
        found = reach(self.linked.graph, np.array([node.id], dtype=np.int32))
        return [NodeView(self, int(one)) for one in found if int(one) != node.id]

    # -- the scenario -----------------------------------------------------------------------------------------------

    def impact_of(self, node: Node) -> Impact:
        return IMPACTS[int(self.result.impact[node.id])]

    def path(self, consumer: Node) -> tuple[Step, ...]:
        """The shortest path that explains the impact, following the need that was lost; empty for the unharmed."""
        edges = trace(self.linked.graph, self.result, consumer.id, _MAX_PATH)
        return tuple(self.step(EdgeView(self, edge)) for edge in edges)

    def path_over(self, edge: Edge) -> tuple[Step, ...]:
        """The path that begins with this dependency."""
        return (self.step(edge), *self.path(edge.provider))

    def path_to(self, consumer: Node, host: Node) -> tuple[Step, ...]:
        """The shortest path from a consumer to a host, over any edges; empty if there is none."""
        return self.paths_to(host)(consumer)

    def paths_to(self, host: Node) -> Callable[[Node], tuple[Step, ...]]:
        """What `path_to` gives for each of many consumers of one host."""
        distance, parent = nearest(self.linked.graph, np.array([host.id], dtype=np.int32), None)
        return lambda consumer: self._walk(consumer.id, parent) if distance[consumer.id] >= 0 else ()

    def _walk(self, node: int, parent: np.ndarray[tuple[int], np.dtype[np.int32]]) -> tuple[Step, ...]:
        steps: list[Step] = []
        while parent[node] >= 0 and len(steps) < _MAX_PATH:
            edge = EdgeView(self, int(parent[node]))
            steps.append(self.step(edge))
            node = int(self.linked.graph.provider[edge.id])
        return tuple(steps)

    def step(self, edge: Edge) -> Step:
        """An edge for people to read, with its evidence where it was written."""
        known = self.linked.provenance(int(self.linked.graph.evidence[edge.id]))
        provider = edge.provider
        note = ""
        one = self.going_for(provider)
        if one is not None:
            note = f"{one.lifecycle.value}" + (f" since {one.since[:10]}" if one.since else "")
        elif provider.id in self.linked.read_only:
            note = self.linked.read_only[provider.id]
        return Step(edge.consumer.label, edge.relation.value, provider.label, note, known)

    def hosts_of(self, consumer: Node) -> tuple[str, ...]:
        """The going hosts that a node leads to over edges that fail."""
        seen, pending, found = {consumer.id}, [consumer.id], set()
        graph = self.linked.graph
        while pending:
            node = pending.pop()
            if KINDS[graph.kinds[node]] is Kind.HOST and graph.texts[node] in self._going:
                found.add(graph.texts[node])
                continue
            if node in self.linked.read_only:
                found.update(name for name in (graph.scope(node),) if name in self._going)
            for edge in graph.outgoing(node):
                if self.lost_mask[edge] and int(graph.provider[edge]) not in seen:
                    seen.add(int(graph.provider[edge]))
                    pending.append(int(graph.provider[edge]))
        return tuple(sorted(found))

    def reaches(self, node: Node) -> tuple[NodeView, ...]:
        """The hosts that a node stands for, through names, addresses, endpoints, paths and mounts."""
        known = self._reached.get(node.id)
        if known is None:
            known = self._reached[node.id] = self._reach(node.id)
        return known

    def _reach(self, start: int) -> tuple[NodeView, ...]:
        graph, relation = self.linked.graph, self.relation_ids
        seen, pending, found = {start}, [start], []
        while pending:
            at = pending.pop()
            if KINDS[self.kind_ids[at]] is Kind.HOST:
                found.append(NodeView(self, at))
                continue
            for edge in graph.outgoing(at).tolist():
                if relation[edge] in _TRANSPARENT_IDS and (target := self.providers[edge]) not in seen:
                    seen.add(target)
                    pending.append(target)
        return tuple(sorted(found, key=lambda one: one.text))

    def home(self, node: Node) -> NodeView | None:
        found = self.linked.host_nodes.get(node.scope) if node.scope else None
        return None if found is None else NodeView(self, found)

    @cached_property
    def _covered_names(self) -> tuple[list[str], list[str]]:
        """Names of the estate that could be in a certificate: exact, and without their first label."""
        names = [self.linked.graph.texts[int(node)] for node in self.linked.graph.nodes_of(KIND_ID[Kind.NAME])]
        plain = sorted({name for name in names if "." in name and "_" not in name and not name.startswith("*")})
        return plain, [name.split(".", 1)[1] for name in plain]

    @cached_property
    def _machine_names(self) -> frozenset[str]:
        return frozenset(name for record in self.linked.hosts.records.values() for name in record.names)

    def blast_radius(self, lineage: Node) -> Blast | None:
        if lineage.id not in self._blasts:
            self._blasts[lineage.id] = self._blast_radius(lineage)
        return self._blasts[lineage.id]

    def _blast_radius(self, lineage: Node) -> Blast | None:
        certificate = lineage
        if lineage.kind is Kind.LINEAGE:
            held = [edge.consumer for edge in self.incoming(lineage, Relation.CERTIFIED_BY)]
            if not held:
                return None
            certificate = max(held, key=lambda one: str(one.attributes.get("not_before", "")))
        made = self._made_in(certificate)
        hosts = {
            path.scope
            for edge in self.outgoing(certificate, Relation.STORED_AT)
            if (path := edge.provider).scope and (path.scope, path.text.rsplit("/", 1)[0]) not in made
        }
        for edge in self.incoming(certificate, Relation.SERVES):
            hosts.update(host.text for host in self.reaches(edge.consumer))
            hosts.update(scope for scope in (edge.consumer.scope,) if scope)
            hosts.update(
                host.text
                for behind in self.outgoing(edge.consumer, Relation.BACKED_BY)
                for host in self.reaches(behind.provider)
            )
        sans = certificate.attributes.get("sans")
        patterns = set(sans) if isinstance(sans, tuple) else set()
        plain, parents = self._covered_names
        names = tuple(
            name
            for name, parent in zip(plain, parents, strict=True)
            if (name in patterns or f"*.{parent}" in patterns) and name not in self._machine_names
        )
        return Blast(certificate, parse_time(certificate.attributes.get("not_after")), tuple(sorted(hosts)), names)

    def _made_in(self, certificate: Node) -> set[tuple[str, str]]:
        """The directories, with their hosts, into which the client renews: whoever only makes it does not serve it."""
        made = set()
        for edge in self.outgoing(certificate, Relation.CERTIFIED_BY):
            lineage = edge.provider
            for written in self.outgoing(lineage, Relation.WRITES):
                made.add((lineage.scope, written.provider.text))
        return made

    def successor(self, host: Node) -> NodeView | None:
        record = self.linked.hosts.records.get(host.text)
        return self.host(record.successor) if record is not None and record.successor else None

    def declared(self, host: str) -> Declared | None:
        """What the inventory says of a host; None if it does not name it."""
        record = self.linked.hosts.records.get(self.linked.hosts.find(host) or "")
        if record is None or record.provenance is None or "inventory" not in record.origins:
            return None
        times = parse_time(record.since), parse_time(record.on)
        return Declared(record.lifecycle, *times, record.read_only_paths, record.provenance)

    def sighting(self, host: str) -> Sighting | None:
        """What became of a host's last collection; None if nobody tried, or no record says so."""
        return self._sightings.get(self.linked.hosts.find(host) or host)

    def site(self, host: str) -> str:
        """Where a host stands, by the inventory; empty if it does not say."""
        found = self.linked.hosts.find(host)
        record = self.linked.hosts.records.get(found) if found else None
        return record.site if record is not None else ""

    def own_domains(self) -> frozenset[str]:
        return self.linked.domains

    # -- what was looked at -----------------------------------------------------------------------------------------

    def coverage(self, relation: Relation) -> Sequence[Coverage]:
        known = self._coverage_of.get(relation)
        if known is None:
            area, name = AREA_OF.get(relation), relation.value
            known = [one for one in self._coverage if name in one.provides and (area is None or area is one.area)]
            self._coverage_of[relation] = known
        return known

    def gaps(self) -> Sequence[Coverage]:
        return [one for one in self._coverage if not one.seen]

    def show(self, places: Iterable[Provenance]) -> None:
        """Takes note of the places that a rule has shown, for those that are asked after it."""
        for place in places:
            for path in (place.path, self._links.get(place.path, place.path)):
                self._shown.update(((path, place.line), (path, 0)))

    def shown(self, place: Provenance) -> bool:
        return (place.path, place.line) in self._shown

    def looked_at(self, host: str, area: Area) -> bool:
        return any(
            one.source == host and one.area is area and one.outcome in (Outcome.OK, Outcome.ABSENT)
            for one in self._coverage
        )

    def nodes_at(self, host: str, kind: Kind) -> list[NodeView]:
        graph = self.linked.graph
        scope = self._scopes.get(host)
        if scope is None:
            return []
        nodes = graph.nodes_of(KIND_ID[kind])
        return [NodeView(self, node) for node in nodes[graph.scope_ids[nodes] == scope].tolist()]

    @cached_property
    def _scopes(self) -> dict[str, int]:
        return {scope: number for number, scope in enumerate(self.linked.graph.scope_table)}
