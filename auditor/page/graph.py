"""The graph of a page: the part of an estate that a review needs, its equal nodes in groups, and drawings of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from auditor.export.picture import (
    Direction,
    GroupBy,
    Only,
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
from auditor.page.drawing import WIDTH
from auditor.page.layered import PAD, columns, framed, layout
from auditor.page.model import Drawing, Frame, GraphEdge, GraphGroup, GraphNode, PageGraph, Placed
from auditor.phrases import listed, plural
from auditor.report.layout import clean
from auditor.report.summary import ordered
from auditor.text import excerpt

NODES: Final = 12_000
"""Nodes that a page holds; of a larger graph those that findings need come first."""
EDGES: Final = 40_000
DRAWN: Final = 250
"""Groups that are drawn at once: more is a hairball."""
DRAWN_EDGES: Final = 900
WHOLE: Final = Wanted(collapse=True, mentions=True)
"""All there is, with equal nodes as one."""

_NAME: Final = 300
_FACT_BYTES: Final = 600_000
_EXCERPT_BYTES: Final = 900_000
_ITEMS: Final = 8
# Said elsewhere, or of no use to a reader.
_NO_FACTS: Final = frozenset(("owner", "mentions", "file"))


def page_graph(
    view: View, findings: Iterable[Finding] = (), wanted: Wanted = WHOLE, limit: int | None = None
) -> PageGraph:
    """The graph of a view, or the part of it that is asked for, for a page.

    `wanted.group_by` says what frames are drawn around at first. Without `wanted.collapse` each node stays alone.
    `limit` is how many groups are drawn at once: None for the usual, 0 for as many as the page holds.
    """
    urgent = ordered(findings)
    whole = select(view, replace(wanted, collapse=False), urgent)
    path_edges, path_nodes = shown_by(view, urgent)
    picture = _narrowed(view, whole, path_edges, path_nodes)
    graph = view.linked.graph
    drawn, drawn_edges = (DRAWN, DRAWN_EDGES) if limit is None else (limit or NODES, EDGES)

    classes = collapsed(picture) if wanted.collapse else picture
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
    nodes = tuple(_nodes(view, picture, group_of, {node for path in paths.values() for node in path}))
    keys = _keys(wanted.group_by, nodes, groups)
    draw = _Draw(picture, group_of, right, drawn, drawn_edges, keys)
    return PageGraph(
        nodes,
        tuple(_edges(picture, place)),
        groups,
        tuple(_drawings(view, urgent, paths, path_edges, draw)),
        len(whole.nodes),
        len(whole.edges),
        paths,
        wanted.group_by.value,
        drawn,
        _asked(view, wanted, whole),
    )


def _keys(by: GroupBy, nodes: Iterable[GraphNode], groups: Sequence[GraphGroup]) -> list[str]:
    """What the frame of each group is called; empty for none: its members have that in common, or they have none."""
    of: dict[GroupBy, Callable[[GraphNode], str]] = {
        GroupBy.NOTHING: lambda _node: "",
        GroupBy.HOST: lambda node: groups[node.group].name if node.kind == Kind.HOST else groups[node.group].scope,
        GroupBy.SITE: lambda node: node.site,
        GroupBy.OWNER: lambda node: node.owner,
        GroupBy.KIND: lambda node: node.kind,
    }
    found: list[set[str]] = [set() for _ in groups]
    for node in nodes:
        found[node.group].add(of[by](node))
    return [next(iter(one)) if len(one) == 1 else "" for one in found]


def _asked(view: View, wanted: Wanted, whole: Picture) -> str:
    """What part of the whole graph was asked for, in words; empty for all of it."""
    graph = view.linked.graph
    if len(whole.nodes) == graph.node_count and len(whole.edges) == graph.edge_count:
        return ""
    only = {Only.EVERYTHING: "everything", Only.BROKEN: "all that fails", Only.FINDINGS: "the paths of findings"}
    said = [only[wanted.only]]
    if wanted.focus:
        hosts = listed([clean(graph.texts[node]) for node in wanted.focus], 3)
        around = {
            Direction.DEPENDENTS: f"what needs {hosts}",
            Direction.DEPENDENCIES: f"what {hosts} {'needs' if len(wanted.focus) == 1 else 'need'}",
            Direction.BOTH: f"what needs {hosts} or is needed by {'it' if len(wanted.focus) == 1 else 'them'}",
        }
        said = [around[wanted.direction]]
        if wanted.depth is not None:
            said.append(f"at most {plural(wanted.depth, 'dependency', 'dependencies')} away")
        if wanted.only is not Only.EVERYTHING:
            said.append(f"only {only[wanted.only]}")
    if not wanted.mentions:
        said.append("without text that only names a host")
    nodes = f"{len(whole.nodes):,} of {plural(graph.node_count, 'node')}"
    edges = f"{len(whole.edges):,} of {plural(graph.edge_count, 'dependency', 'dependencies')}"
    return f"Asked for: {', '.join(said)}. That is {nodes} and {edges}."


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


class _Draw:
    """Makes the drawings of one page."""

    def __init__(
        self, picture: Picture, group_of: Ints, right: set[int], limit: int, edge_limit: int, keys: Sequence[str]
    ) -> None:
        self.picture = picture
        self.group_of = group_of
        self.right = right
        self.limit = limit
        self._edge_limit = edge_limit
        self._keys = keys

    def nearest(self, first: set[int], usable: Bools) -> set[int]:
        """As many groups as can be drawn, from what is going outwards; of those as near, the ones in `first` first."""
        kept = usable[self.picture.edges]
        ends = zip(self.picture.consumers[kept], self.picture.providers[kept], strict=True)
        consumers: dict[int, set[int]] = {}
        for consumer, provider in ends:
            consumers.setdefault(int(self.group_of[provider]), set()).add(int(self.group_of[consumer]))
        found = dict.fromkeys(sorted(self.right))
        row = list(found)
        while row and len(found) < self.limit:
            row = sorted({one for group in row for one in consumers.get(group, ())} - found.keys())
            row.sort(key=lambda group: group not in first)
            found.update(dict.fromkeys(row))
        return set(list(found)[: self.limit])

    def __call__(self, name: str, title: str, groups: set[int], usable: Bools, *, alone: bool = True) -> Drawing:
        """A drawing of these groups with the usable edges among them; without places if they are too many.

        Without `alone`, groups that no edge ties to another are left out, unless there are no others.
        """
        picture, group_of = self.picture, self.group_of
        kept = usable[picture.edges]
        consumers, providers = group_of[picture.consumers[kept]].tolist(), group_of[picture.providers[kept]].tolist()
        edges = sorted({pair for pair in zip(consumers, providers, strict=True) if set(pair) <= groups})
        if not alone and edges:
            groups = {group for pair in edges for group in pair if pair[0] != pair[1]} or groups
            edges = [pair for pair in edges if set(pair) <= groups]
        if len(groups) > self.limit or len(edges) > self._edge_limit:
            return Drawing(name, title, len(groups))
        order = sorted(groups)
        at = {group: index for index, group in enumerate(order)}
        right = {at[one] for one in self.right if one in at}
        found = layout(len(order), [(at[one], at[other]) for one, other in edges], right)
        keys = [self._keys[group] for group in order]
        if not any(keys):
            placed = tuple(Placed(group, x, y) for group, x, y in zip(order, found.x, found.y, strict=True))
            return Drawing(name, title, len(groups), placed, tuple(edges), tuple(found.bends))
        heights, spans = framed(found.x, found.y, keys)
        placed = tuple(Placed(group, x, y) for group, x, y in zip(order, found.x, heights, strict=True))
        edge = WIDTH // 2 + PAD
        frames = (
            Frame(one.key, one.left - edge, one.top, one.right - one.left + 2 * edge, one.bottom - one.top)
            for one in spans
        )
        return Drawing(name, title, len(groups), placed, tuple(edges), ((),) * len(edges), tuple(frames))


def _drawings(
    view: View,
    findings: Sequence[Finding],
    paths: Mapping[str, tuple[int, ...]],
    path_edges: Sequence[int],
    draw: _Draw,
) -> list[Drawing]:
    graph, picture, right = view.linked.graph, draw.picture, draw.right
    rows = draw.group_of[picture.nodes]
    made = []
    shown: set[int] = set()
    many, told = 0, 0
    for finding in findings:
        more = {int(rows[row]) for row in paths.get(finding.fingerprint, ())}
        many += bool(more)
        if more and len(shown | more) <= draw.limit:
            shown |= more
            told += 1
    if shown:
        on_path = np.zeros(graph.edge_count, bool)
        on_path[list(path_edges)] = True
        title = "Paths of findings" if told == many else f"Paths of {told:,} of {many:,} findings"
        made.append(draw("findings", title, shown | right, on_path, alone=False))
    harmed = set(rows[view.result.impact[picture.nodes] >= IMPACTS.index(Impact.DEGRADED)].tolist())
    if harmed:
        made.append(draw("harmed", "All that fails", harmed | right, view.lost_mask, alone=False))
    plain = graph.relation != RELATION_ID[Relation.MENTIONS]
    if right:
        start = np.array(_going(view), np.int32)
        leading = reached(graph.by_provider, graph.consumer, start, plain, None)
        groups = set(rows[leading[picture.nodes]].tolist())
        made.append(draw("leading", "All that depends on them", groups, plain))
    made.append(draw("all", "Everything", set(rows.tolist()), np.ones(graph.edge_count, bool)))
    if right and not any(one.placed for one in made):
        near = draw.nearest(harmed, plain)
        made.insert(0, draw("nearest", "Only what is nearest", near, plain))
    return made
