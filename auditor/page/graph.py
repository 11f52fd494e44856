"""The graph of a page: the part of an estate that a review needs, its equal nodes in groups, and drawings of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

import numpy as np

from auditor.export.picture import (
    GroupBy,
    Picture,
    Wanted,
    clusters,
    collapsed,
    focus_of,
    mounts_of,
    reached,
    select,
    shown_by,
)
from auditor.graph.columns import RELATION_ID, Bools, Ints
from auditor.graph.impact import IMPACTS
from auditor.graph.view import NodeView, View
from auditor.model import Attribute, Finding, Impact, Kind, Relation
from auditor.page.layered import columns, layout
from auditor.page.model import Drawing, GraphEdge, GraphGroup, GraphNode, PageGraph, Placed
from auditor.report.layout import clean
from auditor.report.summary import ordered
from auditor.text import excerpt

NODES: Final = 12_000
"""Nodes that a page holds; of a larger graph those that findings need come first."""
EDGES: Final = 40_000
DRAWN: Final = 250
"""Groups that are drawn at once: more is a hairball."""
DRAWN_EDGES: Final = 900

_NAME: Final = 300
_FACT_BYTES: Final = 600_000
_EXCERPT_BYTES: Final = 900_000
_ITEMS: Final = 8
# Said elsewhere, or of no use to a reader.
_NO_FACTS: Final = frozenset(("owner", "mentions", "file"))


def page_graph(view: View, findings: Iterable[Finding] = (), wanted: Wanted | None = None) -> PageGraph:
    """The graph of a view, or the part of it that is asked for, for a page."""
    urgent = ordered(findings)
    whole = select(view, wanted or Wanted(mentions=True), urgent)
    path_edges, path_nodes = shown_by(view, urgent)
    picture = _narrowed(view, whole, path_edges, path_nodes)
    graph = view.linked.graph

    classes = collapsed(picture)
    group_of = np.zeros(graph.node_count, np.int32)
    counts = np.ones(len(classes.nodes), np.int64)
    for at, node in enumerate(classes.nodes.tolist()):
        members = classes.members.of(at) if classes.members is not None else np.array([node], np.int32)
        group_of[members], counts[at] = at, len(members)
    place = np.full(graph.node_count, -1, np.int64)
    place[picture.nodes] = np.arange(len(picture.nodes))
    pairs = sorted(set(zip(group_of[picture.consumers].tolist(), group_of[picture.providers].tolist(), strict=True)))
    right = {int(group_of[node]) for node in _going(view) if place[node] >= 0}
    away = columns(len(classes.nodes), pairs, right)
    groups = tuple(
        GraphGroup(_short(_name(row.kind, row.text, row.label)), _short(row.scope), int(count), column)
        for row, count, column in zip(classes.node_rows(), counts.tolist(), away, strict=True)
    )
    paths = _paths(view, urgent, path_nodes, path_edges, place)
    return PageGraph(
        tuple(_nodes(view, picture, group_of, {node for path in paths.values() for node in path})),
        tuple(_edges(picture, place)),
        groups,
        tuple(_drawings(view, picture, urgent, paths, path_edges, group_of, right)),
        len(whole.nodes),
        len(whole.edges),
        paths,
    )


def _going(view: View) -> list[int]:
    focus = focus_of(view, (one.host for one in view.going))
    return sorted({*focus, *mounts_of(view, focus)})


def _narrowed(view: View, whole: Picture, path_edges: Sequence[int], path_nodes: Sequence[int]) -> Picture:
    """Of a graph that is too large for a page: what findings show, what is harmed, what leads to it, what is near."""
    if len(whole.nodes) <= NODES and len(whole.edges) <= EDGES:
        return whole
    graph = view.linked.graph
    rank = np.full(graph.node_count, 5, np.int8)
    usable = np.ones(graph.edge_count, bool)
    start = np.array(_going(view), np.int32)
    rank[reached(graph.by_consumer, graph.provider, _at_least(view, Impact.DEGRADED), usable, 1)] = 4
    rank[reached(graph.by_provider, graph.consumer, start, usable, None)] = 3
    rank[_at_least(view, Impact.MENTIONED)] = 2
    rank[_at_least(view, Impact.BLIND)] = 1
    rank[list(path_nodes)] = 0
    rank[start] = 0
    kept = np.sort(whole.nodes[np.argsort(rank[whole.nodes], kind="stable")[:NODES]])
    chosen = np.zeros(graph.node_count, bool)
    chosen[kept] = True
    weight = np.full(graph.edge_count, 2, np.int8)
    weight[view.lost_mask] = 1
    weight[list(path_edges)] = 0
    inner = np.flatnonzero(chosen[whole.consumers] & chosen[whole.providers])
    inner = np.sort(inner[np.argsort(weight[whole.edges[inner]], kind="stable")[:EDGES]])
    edges = whole.edges[inner]
    return Picture(view, whole.wanted, kept, edges, whole.consumers[inner], whole.providers[inner])


def _at_least(view: View, least: Impact) -> Ints:
    return np.flatnonzero(view.result.impact >= IMPACTS.index(least)).astype(np.int32)


def _paths(
    view: View, findings: Sequence[Finding], nodes: Iterable[int], edges: Iterable[int], place: Ints | np.ndarray
) -> dict[str, tuple[int, ...]]:
    """The nodes of each finding, as rows of the page, from the consumer to what is going."""
    graph = view.linked.graph
    ends = {int(end) for edge in edges for end in (graph.consumer[edge], graph.provider[edge])}
    called: dict[str, list[int]] = {}
    texts: dict[str, list[int]] = {}
    for node in sorted({*nodes, *ends}):
        if place[node] >= 0:
            called.setdefault(NodeView(view, node).label, []).append(int(place[node]))
            texts.setdefault(graph.texts[node], []).append(int(place[node]))
    found = {}
    for finding in findings:
        words = [finding.subject] if not finding.path else [finding.path[0].consumer]
        words += [step.provider for step in finding.path]
        rows = [row for word in words for row in called.get(word, ())] or texts.get(finding.subject, [])
        if rows:
            found[finding.fingerprint] = tuple(dict.fromkeys(rows))
    return found


def _short(text: str) -> str:
    return text if len(text) <= _NAME else text[: _NAME - 1] + "…"


def _name(kind: str, text: str, label: str) -> str:
    """What a node is called beside its kind: a certificate by its names."""
    return label.removeprefix(f"{kind} ") if kind == Kind.CERTIFICATE and " × " not in label else text


def _nodes(view: View, picture: Picture, group_of: Ints, first: set[int]) -> Iterator[GraphNode]:
    linked = view.linked
    owner, site = (clusters(view, by) for by in (GroupBy.OWNER, GroupBy.SITE))
    going = set(_going(view))
    facts: dict[int, tuple[tuple[str, str], ...]] = {}
    room = _FACT_BYTES
    rows = sorted(first) + [row for row in range(len(picture.nodes)) if row not in first]
    for row in rows:
        known = linked.attributes.get(int(picture.nodes[row]))
        if known:
            facts[row] = tuple(_facts(known))
            room -= sum(len(name) + len(value) for name, value in facts[row])
            if room < 0:
                break
    for at, about in enumerate(picture.node_rows()):
        node = int(picture.nodes[at])
        yield GraphNode(
            about.kind,
            _short(_name(about.kind, about.text, about.label)),
            _short(about.scope),
            about.impact,
            about.lifecycle,
            _short(clean(owner(node))),
            _short(clean(site(node))),
            int(group_of[node]),
            _short(about.path),
            about.line,
            about.seen,
            node in going,
            facts.get(at, ()),
        )


def _facts(known: Mapping[str, Attribute]) -> Iterator[tuple[str, str]]:
    for name, value in known.items():
        if name in _NO_FACTS or value == "" or value == ():
            continue
        if isinstance(value, bool):
            said = "yes" if value else "no"
        elif isinstance(value, tuple):
            said = ", ".join(value[:_ITEMS]) + (f" and {len(value) - _ITEMS:,} more" if len(value) > _ITEMS else "")
        else:
            said = str(value)
        yield clean(name).replace("_", " "), clean(excerpt(said))


def _edges(picture: Picture, place: np.ndarray) -> Iterator[GraphEdge]:
    room = _EXCERPT_BYTES
    quoted: set[str] = set()
    ends = zip(place[picture.consumers].tolist(), place[picture.providers].tolist(), strict=True)
    for row, (consumer, provider) in zip(picture.edge_rows(), ends, strict=True):
        said = row.excerpt if row.fails or room > _EXCERPT_BYTES // 2 else ""
        if said and said not in quoted:
            room -= len(said)
            quoted.add(said)
        yield GraphEdge(
            consumer,
            provider,
            row.relation,
            row.need,
            _short(row.group) if row.relation != Relation.MENTIONS else "",
            row.confidence,
            row.fails,
            _short(row.path),
            row.line,
            said if room > 0 else "",
        )


def _drawings(
    view: View,
    picture: Picture,
    findings: Sequence[Finding],
    paths: Mapping[str, tuple[int, ...]],
    path_edges: Sequence[int],
    group_of: Ints,
    right: set[int],
) -> Iterator[Drawing]:
    graph = view.linked.graph
    rows = group_of[picture.nodes]
    shown: set[int] = set()
    many, told = 0, 0
    for finding in findings:
        more = {int(rows[row]) for row in paths.get(finding.fingerprint, ())}
        many += bool(more)
        if more and len(shown | more) <= DRAWN:
            shown |= more
            told += 1
    if shown:
        on_path = np.zeros(graph.edge_count, bool)
        on_path[list(path_edges)] = True
        title = "Paths of findings" if told == many else f"Paths of {told:,} of {many:,} findings"
        yield _drawn("findings", title, picture, group_of, shown | right, right, on_path, alone=False)
    harmed = set(rows[view.result.impact[picture.nodes] >= IMPACTS.index(Impact.DEGRADED)].tolist())
    if harmed:
        title = "All that fails"
        yield _drawn("harmed", title, picture, group_of, harmed | right, right, view.lost_mask, alone=False)
    plain = graph.relation != RELATION_ID[Relation.MENTIONS]
    if right:
        start = np.array(_going(view), np.int32)
        leading = reached(graph.by_provider, graph.consumer, start, plain, None)
        groups = set(rows[leading[picture.nodes]].tolist())
        yield _drawn("leading", "All that depends on them", picture, group_of, groups, right, plain)
    everything = set(rows.tolist())
    yield _drawn("all", "Everything", picture, group_of, everything, right, np.ones(graph.edge_count, bool))


def _drawn(
    name: str,
    title: str,
    picture: Picture,
    group_of: Ints,
    groups: set[int],
    right: set[int],
    usable: Bools,
    *,
    alone: bool = True,
) -> Drawing:
    """A drawing of these groups with the usable edges among them; without places if they are too many.

    Without `alone`, groups that no edge ties to another are left out, unless there are no others.
    """
    kept = usable[picture.edges]
    consumers, providers = group_of[picture.consumers[kept]].tolist(), group_of[picture.providers[kept]].tolist()
    edges = sorted({pair for pair in zip(consumers, providers, strict=True) if set(pair) <= groups})
    if not alone and edges:
        groups = {group for pair in edges for group in pair if pair[0] != pair[1]} or groups
        edges = [pair for pair in edges if set(pair) <= groups]
    if len(groups) > DRAWN or len(edges) > DRAWN_EDGES:
        return Drawing(name, title, len(groups))
    order = sorted(groups)
    at = {group: index for index, group in enumerate(order)}
    found = layout(len(order), [(at[one], at[other]) for one, other in edges], {at[one] for one in right if one in at})
    placed = tuple(Placed(group, x, y) for group, x, y in zip(order, found.x, found.y, strict=True))
    return Drawing(name, title, len(groups), placed, tuple(edges), tuple(found.bends))
