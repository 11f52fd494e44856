"""The part of a graph that is exported: which nodes and edges, and their rows, one after the other.

The selection works on the graph's columns. A format asks for rows and writes each at once, so that its memory does not
grow with what it writes. All text of a row is inert on a terminal and in XML: see `clean`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from auditor.graph.columns import CONFIDENCES, KIND_ID, KINDS, NEEDS, RELATION_ID, RELATIONS, Bools, Csr, Graph, Ints
from auditor.graph.impact import IMPACTS
from auditor.graph.view import NodeView, View
from auditor.model import Finding, Impact, Kind, Lifecycle, Relation
from auditor.phrases import listed, ranged
from auditor.text import printable

Colours: TypeAlias = NDArray[np.uint64]

_CHUNK: Final = 16_384
_ROUNDS: Final = 200
_TEXT_LIMIT: Final = 16_384
# What `printable` leaves alone, and XML 1.0 or UTF-8 does not have; a tab is a space to some readers of attributes.
_NO_TEXT: Final = re.compile("[\t\ud800-\udfff\ufffe\uffff]")
_PLAIN: Final = frozenset({Kind.HOST, Kind.NAME, Kind.ADDRESS, Kind.ENDPOINT, Kind.DOCUMENT, Kind.RECORD})


class Direction(StrEnum):
    """Which way to look from the focus."""

    DEPENDENTS = "dependents"
    DEPENDENCIES = "dependencies"
    BOTH = "both"


class Only(StrEnum):
    """What to leave out: all that does not fail, or all that no finding's path shows."""

    EVERYTHING = ""
    BROKEN = "broken"
    FINDINGS = "findings"


class GroupBy(StrEnum):
    """What a cluster has in common."""

    NOTHING = ""
    HOST = "host"
    SITE = "site"
    OWNER = "owner"
    KIND = "kind"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for. `focus` are nodes; without them the whole graph is selected.

    `depth` is the number of edges from the focus, None for any. Mentions are left out unless `mentions`.
    """

    focus: tuple[int, ...] = ()
    direction: Direction = Direction.DEPENDENTS
    depth: int | None = None
    only: Only = Only.EVERYTHING
    group_by: GroupBy = GroupBy.NOTHING
    collapse: bool = False
    mentions: bool = False


class NodeRow(NamedTuple):
    """A node as every format writes it. `count` is how many equal nodes it stands for; `line` 0 is the whole file.

    `key` identifies the node from one export to the next; `id` only within one.
    """

    id: str
    key: str
    kind: str
    text: str
    scope: str
    label: str
    lifecycle: str
    impact: str
    count: int  # type: ignore[assignment]
    cluster: str
    path: str
    line: int
    seen: str


class EdgeRow(NamedTuple):
    """A dependency as every format writes it. `fails` says whether it does so in the scenario."""

    id: str
    consumer: str
    provider: str
    relation: str
    need: str
    group: str
    confidence: str
    fails: bool
    count: int  # type: ignore[assignment]
    path: str
    line: int
    excerpt: str
    seen: str


def clean(text: str) -> str:
    """Text without control characters, tabs, bidirectional overrides and what XML can't hold: visible escapes instead.

    Longer text than 16,384 characters is cut, and ends in `…`.
    """
    if text.isascii() and text.isprintable() and len(text) <= _TEXT_LIMIT:
        return text
    if len(text) > _TEXT_LIMIT:
        text = text[: _TEXT_LIMIT - 1] + "…"
    return _NO_TEXT.sub(lambda found: "\\x09" if found[0] == "\t" else f"\\u{ord(found[0]):04x}", printable(text))


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A selection, and the rows of it.

    `nodes` int32: one node for each row. `edges`, `consumers`, `providers` int32: an edge for each row, and the nodes
    at its ends. `members`, if something was collapsed: by row, the nodes that it stands for. `edge_counts` likewise.
    """

    view: View
    wanted: Wanted
    nodes: Ints
    edges: Ints
    consumers: Ints
    providers: Ints
    members: Csr | None = None
    edge_counts: Ints | None = None

    def key(self, node: int) -> str:
        """What identifies a node from one export to the next: `KIND|SCOPE|TEXT`."""
        graph = self.view.linked.graph
        scope = graph.scope(node).replace("|", "%7C")
        return clean(f"{KINDS[graph.kinds[node]].value}|{scope}|{graph.texts[node]}")

    def node_rows(self) -> Iterator[NodeRow]:
        """A row for each node, in the order of the graph."""
        view, linked = self.view, self.view.linked
        graph, records, result = linked.graph, linked.hosts.records, view.result
        asked = {one.host: one.lifecycle.value for one in view.going}
        cluster = clusters(view, self.wanted.group_by)
        position = 0
        for at in range(0, len(self.nodes), _CHUNK):
            chunk = self.nodes[at : at + _CHUNK]
            columns = zip(
                chunk.tolist(),
                graph.kinds[chunk].tolist(),
                graph.scope_ids[chunk].tolist(),
                result.impact[chunk].tolist(),
                strict=True,
            )
            for node, kind_id, scope_id, impact_id in columns:
                kind, text, scope = KINDS[kind_id], graph.texts[node], graph.scope_table[scope_id]
                lifecycle = ""
                if kind is Kind.HOST:
                    record = records.get(text)
                    lifecycle = asked.get(text) or (record.lifecycle if record else Lifecycle.ACTIVE).value
                elif node in linked.read_only:
                    lifecycle = Lifecycle.READ_ONLY.value
                key = self.key(node)
                label = NodeView(view, node).label if kind is Kind.CERTIFICATE else _label(kind, text, scope)
                count, group = 1, cluster(node)
                if self.members is not None:
                    members = self.members.of(position)
                    count = len(members)
                    if count > 1:
                        text, scope, label = _together(graph, kind, members)
                        group = group if all(cluster(int(one)) == group for one in members) else ""
                path, line, seen = "", 0, ""
                if found := linked.entity_evidence.get(node):
                    path, where, time = linked.evidence[found[0]]
                    line, seen, path = where.line, time or "", where.path or path
                yield NodeRow(
                    f"n{node}",
                    key,
                    kind.value,
                    clean(text),
                    clean(scope),
                    clean(label),
                    lifecycle,
                    IMPACTS[impact_id].value,
                    count,
                    clean(group),
                    clean(path),
                    line,
                    clean(seen),
                )
                position += 1

    def edge_rows(self) -> Iterator[EdgeRow]:
        """A row for each edge, in the order of the graph."""
        linked = self.view.linked
        graph, evidence, names = linked.graph, linked.evidence, linked.graph.group_names
        relations, needs, levels = (tuple(one.value for one in table) for table in (RELATIONS, NEEDS, CONFIDENCES))
        for at in range(0, len(self.edges), _CHUNK):
            chunk = self.edges[at : at + _CHUNK]
            counts = [1] * len(chunk) if self.edge_counts is None else self.edge_counts[at : at + _CHUNK].tolist()
            columns = zip(
                chunk.tolist(),
                self.consumers[at : at + _CHUNK].tolist(),
                self.providers[at : at + _CHUNK].tolist(),
                graph.relation[chunk].tolist(),
                graph.need[chunk].tolist(),
                graph.group[chunk].tolist(),
                graph.confidence[chunk].tolist(),
                self.view.lost_mask[chunk].tolist(),
                counts,
                graph.evidence[chunk].tolist(),
                strict=True,
            )
            for edge, consumer, provider, relation, need, group, level, lost, count, index in columns:
                path, line, excerpt, seen = "", 0, "", ""
                if index >= 0:
                    path, where, time = evidence[index]
                    path, line, excerpt, seen = where.path or path, where.line, where.excerpt, time or ""
                yield EdgeRow(
                    f"e{edge}",
                    f"n{consumer}",
                    f"n{provider}",
                    relations[relation],
                    needs[need],
                    clean(names[group]) if group >= 0 and count == 1 else "",
                    levels[level],
                    lost,
                    count,
                    clean(path),
                    line,
                    clean(excerpt),
                    clean(seen) if seen else "",
                )


def _label(kind: Kind, text: str, scope: str) -> str:
    if kind in _PLAIN:
        return text
    return f"{kind.value} {text} on {scope}" if scope else f"{kind.value} {text}"


def _together(graph: Graph, kind: Kind, members: Ints) -> tuple[str, str, str]:
    """What equal nodes are called together: text, scope, label."""
    texts = listed(ranged(graph.texts[int(one)] for one in members), 3)
    scopes = listed(ranged(filter(None, {graph.scope(int(one)) for one in members})), 3)
    label = f"{len(members):,} × {kind.value} {texts}"
    return texts, scopes, f"{label} on {scopes}" if scopes else label


def clusters(view: View, by: GroupBy) -> Callable[[int], str]:
    """The function that gives a node's cluster; empty for none."""
    linked = view.linked
    graph, records = linked.graph, linked.hosts.records

    def of_host(node: int) -> str:
        return graph.texts[node] if KINDS[graph.kinds[node]] is Kind.HOST else graph.scope(node)

    def of_site(node: int) -> str:
        record = records.get(of_host(node))
        return record.site if record else ""

    def of_owner(node: int) -> str:
        # A record of the DNS has an owner, too: its name there.
        own = None if KINDS[graph.kinds[node]] is Kind.RECORD else linked.attributes.get(node, {}).get("owner")
        record = records.get(of_host(node))
        return own if isinstance(own, str) and own else record.owner if record else ""

    return {
        GroupBy.NOTHING: lambda _node: "",
        GroupBy.HOST: of_host,
        GroupBy.SITE: of_site,
        GroupBy.OWNER: of_owner,
        GroupBy.KIND: lambda node: KINDS[graph.kinds[node]].value,
    }[by]


def select(view: View, wanted: Wanted, findings: Iterable[Finding] = ()) -> Picture:
    """The nodes and edges that are asked for.

    With a focus: what is reached from it over the edges that are left, and all such edges among them. A host's
    read-only mounts count as the host. `findings` are needed for `Only.FINDINGS` alone.
    """
    graph = view.linked.graph
    usable = np.ones(graph.edge_count, bool)
    if not wanted.mentions:
        usable &= graph.relation != RELATION_ID[Relation.MENTIONS]
    chosen = np.ones(graph.node_count, bool)
    start = np.array(sorted({*wanted.focus, *mounts_of(view, wanted.focus)}), np.int32)
    if wanted.only is Only.BROKEN:
        usable &= view.lost_mask
        harmed = [IMPACTS.index(Impact.BROKEN), IMPACTS.index(Impact.BLIND)]
        ill = np.flatnonzero(np.isin(view.result.impact, harmed)).astype(np.int32)
        chosen = reached(graph.by_consumer, graph.provider, ill, usable, None)
    elif wanted.only is Only.FINDINGS:
        edges, nodes = shown_by(view, findings)
        shown = np.zeros(graph.edge_count, bool)
        shown[edges] = True
        usable = shown
        chosen[:] = False
        chosen[nodes] = True
        chosen[graph.consumer[usable]] = True
        chosen[graph.provider[usable]] = True
    if wanted.focus:
        near = np.zeros(graph.node_count, bool)
        if wanted.direction is not Direction.DEPENDENCIES:
            near |= reached(graph.by_provider, graph.consumer, start, usable, wanted.depth)
        if wanted.direction is not Direction.DEPENDENTS:
            near |= reached(graph.by_consumer, graph.provider, start, usable, wanted.depth)
        chosen &= near
        chosen[list(wanted.focus)] = True
    kept = np.flatnonzero(usable & chosen[graph.consumer] & chosen[graph.provider]).astype(np.int32)
    picture = Picture(
        view, wanted, np.flatnonzero(chosen).astype(np.int32), kept, graph.consumer[kept], graph.provider[kept]
    )
    return collapsed(picture) if wanted.collapse else picture


def mounts_of(view: View, focus: Iterable[int]) -> list[int]:
    names = {view.linked.graph.texts[node] for node in focus}
    return [mount for mount in view.linked.read_only if view.linked.graph.scope(mount) in names]


def reached(rows: Csr, other: Ints, start: Ints, usable: Bools, depth: int | None) -> Bools:
    """The nodes within `depth` usable edges of the start, itself included."""
    seen = np.zeros(len(rows.start) - 1, bool)
    seen[start] = True
    frontier = start
    while len(frontier) and (depth is None or depth > 0):
        edges, _ = rows.expand(frontier)
        nodes = other[edges[usable[edges]]]
        frontier = np.unique(nodes[~seen[nodes]])
        seen[frontier] = True
        depth = None if depth is None else depth - 1
    return seen


def shown_by(view: View, findings: Iterable[Finding]) -> tuple[list[int], list[int]]:
    """The edges on the paths of findings, and the nodes that they are about. A path has names, and no numbers."""
    graph = view.linked.graph
    steps = {(step.consumer, step.relation, step.provider) for one in findings for step in one.path}
    subjects = {one.subject for one in findings}
    named = {word for step in steps for word in (step[0], step[2])} | subjects
    labels: dict[int, str] = {}
    for node in range(graph.node_count):
        label = NodeView(view, node).label
        if label in named or graph.texts[node] in subjects:
            labels[node] = label
    edges = []
    for node, label in labels.items():
        for edge in graph.outgoing(node).tolist():
            provider = labels.get(int(graph.provider[edge]))
            if provider and (label, RELATIONS[graph.relation[edge]].value, provider) in steps:
                edges.append(edge)
    about = [node for node, label in labels.items() if label in subjects or graph.texts[node] in subjects]
    return edges, about


def _mix(*columns: NDArray[np.integer] | NDArray[np.bool_]) -> Colours:
    """64 well mixed bits of each row (multiply and xor-shift, as in SplitMix64)."""
    mixed = np.full(len(columns[0]), 0x9E3779B97F4A7C15, np.uint64)
    for column in columns:
        mixed ^= column.astype(np.uint64)
        mixed *= np.uint64(0xBF58476D1CE4E5B9)
        mixed ^= mixed >> np.uint64(29)
        mixed *= np.uint64(0x94D049BB133111EB)
        mixed ^= mixed >> np.uint64(32)
    return mixed


def collapsed(picture: Picture) -> Picture:
    """The same picture with equal nodes as one.

    Equal are nodes of one kind and impact whose edges, both ways, lead to equal nodes by the same relations and needs:
    the coarsest such partition, by colour refinement. Hosts of the focus and going ones stay alone, and what belongs to
    hosts is equal only if it is called the same there. A graph that takes more than 200 rounds is left as it is.
    """
    view, graph = picture.view, picture.view.linked.graph
    nodes, edges = picture.nodes, picture.edges
    place = np.full(graph.node_count, -1, np.int64)
    place[nodes] = np.arange(len(nodes))
    consumer, provider = place[picture.consumers], place[picture.providers]
    names: dict[object, int] = {}
    cluster = clusters(view, picture.wanted.group_by)
    alone = {node for one in view.going if (node := view.linked.host_nodes.get(one.host)) is not None}
    alone.update(picture.wanted.focus, mounts_of(view, picture.wanted.focus))
    own = []
    for node in nodes.tolist():
        local = KINDS[graph.kinds[node]].is_local
        name = node if node in alone else (graph.texts[node] if local else "")
        group = cluster(node) if picture.wanted.group_by is not GroupBy.HOST else ""
        own.append(names.setdefault((name, group), len(names)))
    colour = _mix(graph.kinds[nodes], view.result.impact[nodes], np.array(own, np.int64))
    kinds = _mix(graph.relation[edges], graph.need[edges], view.lost_mask[edges])
    both = np.concatenate([consumer, provider])
    classes = len(np.unique(colour))
    for _ in range(_ROUNDS):
        out, back = _mix(kinds, colour[provider]), _mix(~kinds, colour[consumer])
        signs = np.concatenate([out, back])
        order = np.lexsort((signs, both))
        at, signs = both[order], signs[order]
        first = np.ones(len(at), bool)
        first[1:] = (at[1:] != at[:-1]) | (signs[1:] != signs[:-1])
        around = np.zeros(len(nodes), np.uint64)
        np.add.at(around, at[first], signs[first])
        colour = _mix(colour, around)
        before, classes = classes, len(np.unique(colour))
        if classes == before:
            break
    else:
        return picture
    _, kept, own_class = np.unique(colour, return_index=True, return_inverse=True)
    # Rows in the order of the graph, whatever the colours are.
    rank = np.empty(len(kept), np.int64)
    rank[np.argsort(kept, kind="stable")] = np.arange(len(kept))
    row = rank[own_class]
    order = np.argsort(row, kind="stable")
    start = np.zeros(len(kept) + 1, np.int64)
    np.cumsum(np.bincount(row, minlength=len(kept)), out=start[1:])
    members = Csr(start, nodes[order])
    representative = nodes[np.sort(kept)]
    ends = (row[consumer], row[provider], graph.relation[edges], graph.need[edges])
    order = np.lexsort(ends[::-1])
    fresh = np.zeros(len(order), bool)
    fresh[:1] = True
    for column in ends:
        fresh[1:] |= column[order][1:] != column[order][:-1]
    begins = np.flatnonzero(fresh)
    counts = np.diff(np.append(begins, len(order))).astype(np.int32)
    first_edges = order[begins]
    return replace(
        picture,
        nodes=representative,
        edges=edges[first_edges],
        consumers=representative[ends[0][first_edges]],
        providers=representative[ends[1][first_edges]],
        members=members,
        edge_counts=counts,
    )


def focus_of(view: View, names: Iterable[str]) -> tuple[int, ...]:
    """The nodes of hosts, by their canonical names."""
    graph = view.linked.graph
    found = (graph.find(KIND_ID[Kind.HOST], name) for name in names)
    return tuple(node for node in found if node is not None)
