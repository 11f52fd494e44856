"""What a scenario does to a graph: which nodes lose what, over which edges, and which nodes depend on which.

The scenario says what the going hosts can no longer meet, as a mask of needs (RUN 1, WRITE 2, READ 4, OBSERVE 8). What
each other node loses is the least fixpoint of:

* a transparent edge (stands-for, resolves) costs its consumer what the provider lost;
* any other edge breaks its consumer, if the provider lost what the edge needs: that costs RUN, WRITE and READ, and of
  one that watches OBSERVE too. What is broken can still be seen to be broken, unless it is the watcher itself;
* an edge that only observes costs its consumer OBSERVE at the most, if the provider lost OBSERVE;
* a mention costs nothing;
* a node loses what any single edge costs it, and of a group what every edge of the group costs it;
* of all that a node observes, it loses OBSERVE only if every edge fails: its single edges and its groups together. An
  observing edge in a group with edges of other needs is an alternative there like any other.

From nothing lost upwards, so that a script and the job that calls it do not break each other. What some edges of a
group cost and others don't is *thinned*: the consumer is degraded. That is handed on over single transparent edges, and
from there to each consumer whose single edge needs what was thinned, and no further.

Everything goes level by level, a level being a few numpy operations: time and memory are linear in nodes and edges. A
graph that is one long chain pays for its levels: some tens of microseconds each.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final
from weakref import WeakKeyDictionary

import numpy as np

from auditor.graph.columns import (
    KIND_ID,
    NEEDS,
    RELATION_ID,
    RELATIONS,
    Bools,
    Bytes,
    Graph,
    Ints,
    Longs,
    assign_first,
    distinct,
)
from auditor.model import TRANSPARENT, Impact, Kind, Need, Relation

RUN: Final = 1
WRITE: Final = 2
READ: Final = 4
OBSERVE: Final = 8
EVERYTHING: Final = RUN | WRITE | READ | OBSERVE
BROKEN: Final = RUN | WRITE | READ
"""What is lost by whatever breaks: it can't do anything, and that can be seen."""
BITS: Final = (RUN, WRITE, READ, OBSERVE)
"""The bit of each need, in the order of `columns.NEEDS`."""

IMPACTS: Final = tuple(Impact)
"""From none to broken: the indices are in order of strength."""
WATCHERS: Final = frozenset({Kind.ALERT, Kind.PROBE, Kind.SCRAPE})

_NONE, _MENTIONED, _DEGRADED, _BLIND, _BROKEN = range(len(IMPACTS))

# What an edge does with a loss of its provider. 2 + i breaks its consumer if the i-th need is lost, 6 + i a watcher.
_MENTION: Final = 0
_PASSES: Final = 1
_BREAKS: Final = 2
_OBSERVES: Final = _BREAKS + NEEDS.index(Need.OBSERVE)
_BREAKS_WATCHER: Final = _BREAKS + len(NEEDS)


def _cost_table() -> Bytes:
    table = np.zeros((_BREAKS_WATCHER + len(NEEDS), EVERYTHING + 1), np.uint8)
    masks = np.arange(EVERYTHING + 1)
    table[_PASSES] = masks
    for i, bit in enumerate(BITS):
        table[_BREAKS + i] = np.where(masks & bit, BROKEN, 0)
        table[_BREAKS_WATCHER + i] = np.where(masks & bit, EVERYTHING, 0)
    table[_OBSERVES] = masks & OBSERVE
    return table.ravel()


def _code_table() -> Bytes:
    table = np.empty((len(RELATIONS), len(NEEDS)), np.uint8)
    table[:] = _BREAKS + np.arange(len(NEEDS))
    for relation in TRANSPARENT:
        table[RELATION_ID[relation]] = _PASSES
    table[RELATION_ID[Relation.MENTIONS]] = _MENTION
    return table.ravel()


_COST: Final = _cost_table()
_CODE: Final = _code_table()


@dataclass(frozen=True, slots=True)
class _Plan:
    """What of a graph every scenario needs.

    A slot is a set of edges that fail only together: a group, or the pool of all that a node observes.
    """

    code: Bytes
    slot: Ints
    slot_size: Ints
    slot_consumer: Ints
    slot_observes: Bools
    mentions: Longs


_PLANS: Final[WeakKeyDictionary[Graph, _Plan]] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True, eq=False)
class ImpactResult:
    """What a scenario does to each node.

    `lost`: uint8[n], the mask of needs it can no longer meet. `impact`: uint8[n], index into IMPACTS.
    `cause`: int32[n], the edge over which it first lost something; for a node that lost nothing, the edge that makes it
    degraded or mentioned; -1 for the scenario's own nodes and for unharmed ones.
    `causes`: int32[4, n], the same for each bit of `lost`.
    `thinned`: uint8[n], the mask of needs for which an alternative was lost, here or behind transparent edges;
    `thinned_by`: int32[4, n], the edge over which, for each bit, -1 for none.
    """

    lost: Bytes
    impact: Bytes
    cause: Ints
    causes: Ints
    thinned: Bytes
    thinned_by: Ints

    def impact_of(self, node: int) -> Impact:
        """What the scenario does to a node."""
        return IMPACTS[int(self.impact[node])]


def impact(graph: Graph, lost: Mapping[int, int]) -> ImpactResult:
    """What happens to every node if these nodes lose these needs.

    `lost` maps nodes to masks: all four bits for a retired host; WRITE and OBSERVE for a read-only one, since watching
    it is green and meaningless; WRITE for a read-only mount. A node of the kinds in WATCHERS is blind as soon as it
    lost OBSERVE; any other node is so only if all that it observes is lost, and degraded if it lost some needs but not
    all. ValueError for a node that is not there and for a mask outside 0 … 15.
    """
    plan = _plan(graph)
    size = graph.node_count
    sources, masks = _starting(size, lost)
    mask = np.zeros(size, np.uint8)
    mask[sources] = masks
    counted = np.zeros(size, np.uint8)
    cause = np.full(size, -1, np.int32)
    causes = np.full((len(BITS), size), -1, np.int32)
    blinded = np.zeros(size, bool)
    left = np.tile(plan.slot_size, (len(BITS), 1))
    scratch = np.empty(size, np.int32)
    failing: list[Ints] = []

    frontier = sources[masks != 0]
    while len(frontier):
        edges, at = graph.by_provider.expand(frontier)
        before, now = counted[frontier], mask[frontier]
        counted[frontier] = now
        code = plan.code[edges] << 4
        fallen = _COST[code | now[at]] & ~_COST[code | before[at]]
        hit = np.flatnonzero(fallen)
        edges, fallen = edges[hit], fallen[hit]
        slots = plan.slot[edges]
        alone = slots < 0
        single, single_fallen = edges[alone], fallen[alone]
        single_consumer = graph.consumer[single]
        shared, shared_fallen = edges[~alone], fallen[~alone]
        slots = slots[~alone].astype(np.intp)
        failing.append(shared)
        grown: list[Ints] = []
        for i, bit in enumerate(BITS):
            which = np.flatnonzero(single_fallen & bit)
            nodes, via = single_consumer[which], single[which]
            which = np.flatnonzero(shared_fallen & bit)
            if len(which):
                np.subtract.at(left[i], slots[which], 1)
                which = which[left[i][slots[which]] == 0]
                owners = plan.slot_consumer[slots[which]]
                if bit == OBSERVE:
                    blinded[owners[plan.slot_observes[slots[which]]]] = True
                nodes, via = np.concatenate([nodes, owners]), np.concatenate([via, shared[which]])
            new = mask[nodes] & bit == 0
            nodes, via = nodes[new], via[new]
            assign_first(causes[i], nodes, via)
            unharmed = cause[nodes] < 0
            assign_first(cause, nodes[unharmed], via[unharmed])
            mask[nodes] |= bit
            grown.append(nodes)
        frontier = distinct(np.concatenate(grown), scratch)

    thinned, thinned_by = _thinned(graph, plan, mask, left, failing, scratch)
    handed, handed_by = _handed(graph, plan, thinned)
    mentions = plan.mentions[mask[graph.provider[plan.mentions]] != 0]

    strength = np.zeros(size, np.uint8)
    strength[graph.consumer[mentions]] = _MENTIONED
    strength[handed] = _DEGRADED
    strength[(thinned != 0) | (mask != 0)] = _DEGRADED
    watching = np.zeros(len(KIND_ID), bool)
    watching[[KIND_ID[kind] for kind in WATCHERS]] = True
    strength[(mask & OBSERVE != 0) & (blinded | watching[graph.kinds])] = _BLIND
    strength[mask & BROKEN == BROKEN] = _BROKEN

    for by in thinned_by:
        cause = np.where(cause < 0, by, cause)
    for nodes, via in ((handed, handed_by), (graph.consumer[mentions], mentions)):
        unharmed = cause[nodes] < 0
        assign_first(cause, nodes[unharmed], via[unharmed])
    cause[sources[masks != 0]] = -1
    return ImpactResult(mask, strength, cause, causes, thinned, thinned_by)


def lost_edges(graph: Graph, result: ImpactResult) -> Bools:
    """The edges that fail in a scenario, bool[m]: those that cost their consumer something, or would cost it if alone.

    Mentions never fail.
    """
    failed: Bools = _COST[(_plan(graph).code << 4) | result.lost[graph.provider]] != 0
    return failed


def trace(graph: Graph, result: ImpactResult, node: int, most: int = sys.maxsize) -> tuple[int, ...]:
    """The edges that explain a node's impact, from it to a node of the scenario; empty if there is nothing to explain.

    Of a longer way the first `most` are given.

    Each step follows the very need that was lost: a job that must write leads over its host's read-only mount, not over
    something else that the host lost. Of the ways in which a node first lost a need, it is a shortest one.
    """
    path: list[int] = []
    code = _plan(graph).code
    edge = int(result.cause[node])
    bit = _followed(result, node, edge)
    while edge >= 0 and len(path) < most:
        path.append(edge)
        provider = int(graph.provider[edge])
        if code[edge] == _MENTION:
            edge = int(result.cause[provider])
            bit = _followed(result, provider, edge)
            continue
        if code[edge] != _PASSES:
            bit = (int(code[edge]) - _BREAKS) % len(NEEDS)
        edges_of = result.causes if int(result.lost[provider]) & BITS[bit] else result.thinned_by
        edge = int(edges_of[bit, provider])
    return tuple(path)


def reach(graph: Graph, sources: Iterable[int], relations: Collection[int] | None = None) -> Ints:
    """All that depends on the sources over any number of edges: their ids, ascending, without the sources themselves.

    `relations` are indices into `columns.RELATIONS`; without them, every relation but mentions.
    """
    allowed = np.zeros(len(RELATIONS), bool)
    if relations is None:
        allowed[:] = True
        allowed[RELATION_ID[Relation.MENTIONS]] = False
    else:
        allowed[list(relations)] = True
    start = _existing(graph.node_count, sources)
    seen = np.zeros(graph.node_count, bool)
    seen[start] = True
    scratch = np.empty(graph.node_count, np.int32)
    frontier = np.flatnonzero(seen).astype(np.int32)
    while len(frontier):
        edges, _ = graph.by_provider.expand(frontier)
        if not allowed.all():
            edges = edges[allowed[graph.relation[edges]]]
        nodes = graph.consumer[edges]
        frontier = distinct(nodes[~seen[nodes]], scratch)
        seen[frontier] = True
    seen[start] = False
    return np.flatnonzero(seen).astype(np.int32)


def nearest(graph: Graph, sources: Iterable[int], edge_mask: Bools | None = None) -> tuple[Ints, Ints]:
    """How far every node is from the nearest source, and over which edge: (distance int32[n], edge int32[n]).

    Edges are followed from provider to consumer; `edge_mask` bool[m] says which, all but mentions without it. The
    distance is 0 at a source and -1 where no source is reached; the edge leads towards the source and is -1 in both.
    """
    usable = graph.relation != RELATION_ID[Relation.MENTIONS] if edge_mask is None else edge_mask
    if usable.shape != (graph.edge_count,):
        raise ValueError("edge_mask has not one value for each edge")
    distance = np.full(graph.node_count, -1, np.int32)
    parent = np.full(graph.node_count, -1, np.int32)
    distance[_existing(graph.node_count, sources)] = 0
    scratch = np.empty(graph.node_count, np.int32)
    frontier = np.flatnonzero(distance == 0).astype(np.int32)
    level = 0
    while len(frontier):
        level += 1
        edges, _ = graph.by_provider.expand(frontier)
        edges = edges[usable[edges]]
        nodes = graph.consumer[edges]
        new = distance[nodes] < 0
        nodes, edges = nodes[new], edges[new]
        assign_first(parent, nodes, edges)
        frontier = distinct(nodes, scratch)
        distance[frontier] = level
    return distance, parent


def _followed(result: ImpactResult, node: int, edge: int) -> int:
    """Index of the need that a node lost, or has fewer alternatives for, over its `cause`; 0 if only the edge knows."""
    for mask, by in ((result.lost, result.causes), (result.thinned, result.thinned_by)):
        for i, bit in enumerate(BITS):
            if int(mask[node]) & bit and by[i, node] == edge:
                return i
    return 0


def _plan(graph: Graph) -> _Plan:
    plan = _PLANS.get(graph)
    if plan is None:
        plan = _PLANS[graph] = _make_plan(graph)
    return plan


def _make_plan(graph: Graph) -> _Plan:
    code = _CODE[graph.relation.astype(np.intp) * len(NEEDS) + graph.need]
    watching = np.isin(graph.kinds, [KIND_ID[kind] for kind in WATCHERS])[graph.consumer]
    code[watching & (code >= _BREAKS) & (code != _OBSERVES)] += len(NEEDS)
    mentions = np.flatnonzero(code == _MENTION)
    slot = graph.group.copy()
    slot[mentions] = -1
    observing = np.flatnonzero(code == _OBSERVES)
    groups = len(graph.group_names)
    mixed = np.zeros(groups + 1, bool)
    mixed[slot[(slot >= 0) & (code != _OBSERVES)]] = True
    # The extra last place answers for edges without a group: slot -1.
    mixed[groups] = False
    pooled = observing[~mixed[slot[observing]]]
    observers, place = np.unique(graph.consumer[pooled], return_inverse=True)
    slot[pooled] = groups + place
    used = slot[slot >= 0]
    observes = np.zeros(groups + len(observers), bool)
    observes[slot[observing]] = True
    return _Plan(
        code=code,
        slot=slot,
        slot_size=np.bincount(used, minlength=len(observes)).astype(np.int32),
        slot_consumer=np.concatenate([graph.group_consumer, observers]),
        slot_observes=observes,
        mentions=mentions,
    )


def _thinned(
    graph: Graph, plan: _Plan, mask: Bytes, left: Ints, failing: list[Ints], scratch: Ints
) -> tuple[Bytes, Ints]:
    """For which needs each node lost alternatives, itself or behind single transparent edges, and over which edge."""
    thinned = np.zeros(graph.node_count, np.uint8)
    by = np.full((len(BITS), graph.node_count), -1, np.int32)
    edges = np.concatenate([np.empty(0, np.int32), *failing])
    slots = plan.slot[edges]
    partly = np.zeros(len(edges), np.uint8)
    for i, bit in enumerate(BITS):
        remaining = left[i][slots]
        partly[(remaining > 0) & (remaining < plan.slot_size[slots])] |= bit
    owners = graph.consumer[edges]
    # One member may have lost other needs than the next: only what this edge costs is thinned by it.
    partly &= _COST[(plan.code[edges] << 4) | mask[graph.provider[edges]]] & ~mask[owners]
    frontier = _spread(thinned, by, owners, edges, partly, scratch)
    while len(frontier):
        edges, at = graph.by_provider.expand(frontier)
        nodes = graph.consumer[edges]
        passed = thinned[frontier][at] & ~mask[nodes] & ~thinned[nodes]
        passed[(plan.code[edges] != _PASSES) | (graph.group[edges] >= 0)] = 0
        frontier = _spread(thinned, by, nodes, edges, passed, scratch)
    return thinned, by


def _spread(thinned: Bytes, by: Ints, nodes: Ints, edges: Ints, passed: Bytes, scratch: Ints) -> Ints:
    """Adds the bits in `passed` to the nodes, and notes the edges; gives the nodes that have more bits than before."""
    grown = [np.empty(0, np.int32)]
    for i, bit in enumerate(BITS):
        hit = np.flatnonzero(passed & bit)
        hit = hit[thinned[nodes[hit]] & bit == 0]
        assign_first(by[i], nodes[hit], edges[hit])
        thinned[nodes[hit]] |= bit
        grown.append(nodes[hit])
    return distinct(np.concatenate(grown), scratch)


def _handed(graph: Graph, plan: _Plan, thinned: Bytes) -> tuple[Ints, Ints]:
    """The consumers, and the edges, that need over a single edge what was thinned at its provider."""
    providers = np.flatnonzero(thinned).astype(np.int32)
    edges, at = graph.by_provider.expand(providers)
    code = plan.code[edges]
    needed = (_COST[(code << 4) | thinned[providers][at]] != 0) & (code != _PASSES) & (graph.group[edges] < 0)
    edges = edges[needed]
    return graph.consumer[edges], edges


def _existing(size: int, nodes: Iterable[int]) -> Ints:
    wanted = np.fromiter(nodes, np.int64)
    if len(wanted) and not (int(wanted.min()) >= 0 and int(wanted.max()) < size):
        raise ValueError("a source is not in the graph")
    return wanted.astype(np.int32)


def _starting(size: int, lost: Mapping[int, int]) -> tuple[Ints, Bytes]:
    sources = _existing(size, lost)
    masks = np.fromiter(lost.values(), np.int64, len(lost))
    if len(masks) and not (int(masks.min()) >= 0 and int(masks.max()) <= EVERYTHING):
        raise ValueError("a mask of lost needs is outside 0 … 15")
    return sources, masks.astype(np.uint8)
