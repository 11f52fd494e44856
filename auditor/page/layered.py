"""A drawing in columns: every consumer stands left of what it needs, and what is going is on the right.

The usual steps (Sugiyama, Tagawa and Toda, 1981): cycles are broken, each node gets a column, edges that skip columns
get a point in each, the order in the columns is changed until fewer edges cross, and heights are chosen so that edges
are as straight as the order allows. Nothing is random: the same graph is always drawn the same.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, NamedTuple

COLUMN: Final = 224
"""Pixels from one column to the next."""
ROW: Final = 58
"""Pixels from one node to the next in a column."""
HEAD: Final = 24
"""Pixels at the top of a frame, for its name; `PAD` is what it has on its other sides, and what parts two."""
PAD: Final = 12
_POINT: Final = 22
"""Pixels that an edge takes where it passes between nodes."""
_SWEEPS: Final = 12
_STRAIGHTEN: Final = 24
_POINTS_LIMIT: Final = 6000


@dataclass(frozen=True, slots=True)
class Layout:
    """`x` and `y` of each node's middle, in pixels; of each edge the points that it passes, consumer first."""

    x: list[int]
    y: list[int]
    bends: list[tuple[tuple[int, int], ...]]


class Span(NamedTuple):
    """A frame: whose it is, the middles of its outermost columns, and where it begins and ends."""

    key: str
    left: int
    right: int
    top: int
    bottom: int


def framed(x: Sequence[int], y: Sequence[int], keys: Sequence[str]) -> tuple[list[int], list[Span]]:
    """Other heights, by which the nodes of one key have a rectangle of their own, and these rectangles.

    Nodes stay in their columns. A node with an empty key has no frame, and stands in none. The script of the page does
    the same with what a reader adds.
    """
    lanes: dict[tuple[str, int], list[int]] = {}
    for node, key in enumerate(keys):
        lanes.setdefault((key, 0 if key else node), []).append(node)
    middle = {lane: sum(y[node] for node in nodes) / len(nodes) for lane, nodes in lanes.items()}
    filled = dict.fromkeys(x, 0)
    heights = [0] * len(x)
    spans = []
    for (key, _), own in sorted(lanes.items(), key=lambda item: (middle[item[0]], item[1][0])):
        left, right = min(x[node] for node in own), max(x[node] for node in own)
        across = [column for column in filled if left <= column <= right]
        top = max(filled[column] for column in across)
        begin = top + HEAD if key else top
        by_column: dict[int, list[int]] = {}
        for node in sorted(own, key=lambda node: (y[node], node)):
            by_column.setdefault(x[node], []).append(node)
        tallest = max(map(len, by_column.values()))
        for nodes in by_column.values():
            first = begin + (tallest - len(nodes) + 1) * ROW // 2
            for at, node in enumerate(nodes):
                heights[node] = first + at * ROW
        bottom = begin + tallest * ROW
        if key:
            spans.append(Span(key, left, right, top, bottom))
            bottom += PAD
        filled.update(dict.fromkeys(across, bottom))
    return heights, spans


def columns(size: int, edges: Sequence[tuple[int, int]], right: Collection[int]) -> list[int]:
    """How many columns each of `size` nodes is away from the right edge, where those in `right` stand.

    An edge leads to a smaller number, except for those that close a cycle and those that start in `right`. What does
    not lead to `right` stands beside its nearest consumer.
    """
    out: list[list[int]] = [[] for _ in range(size)]
    for consumer, provider in edges:
        if consumer != provider and consumer not in right:
            out[consumer].append(provider)
    order = _without_cycles(out)
    back: list[list[int]] = [[] for _ in range(size)]
    for consumer, providers in enumerate(out):
        for provider in providers:
            back[provider].append(consumer)
    column = [0] * size
    leads = [node in right for node in range(size)]
    for node in order:
        for provider in out[node]:
            column[node] = max(column[node], column[provider] + 1)
            leads[node] = leads[node] or leads[provider]
        if node not in right and not out[node] and right:
            column[node] = 1
    for node in reversed(order):
        if not leads[node] and back[node]:
            column[node] = max(column[node], min(column[consumer] for consumer in back[node]) - 1)
    return column


def _without_cycles(out: list[list[int]]) -> list[int]:
    """All nodes, each after all that it leads to. Takes the edges that close a cycle out of the lists."""
    state = bytearray(len(out))
    order: list[int] = []
    for root in range(len(out)):
        if state[root]:
            continue
        stack = [(root, 0)]
        state[root] = 1
        while stack:
            node, at = stack.pop()
            while at < len(out[node]):
                other = out[node][at]
                if state[other] == 1:
                    del out[node][at]
                    continue
                at += 1
                if not state[other]:
                    state[other] = 1
                    stack.extend(((node, at), (other, 0)))
                    break
            else:
                state[node] = 2
                order.append(node)
    return order


def layout(size: int, edges: Sequence[tuple[int, int]], right: Collection[int]) -> Layout:
    """Places `size` nodes. Nodes without any edge stand in rows below the others."""
    tied = {node for edge in edges for node in edge if edge[0] != edge[1]}
    known = sorted(tied)
    rank = {node: at for at, node in enumerate(known)}
    inner = [(rank[consumer], rank[provider]) for consumer, provider in edges if consumer != provider]
    column = columns(len(known), inner, {rank[node] for node in right if node in rank})
    used = {value: at for at, value in enumerate(sorted(set(column)))}
    column = [used[value] for value in column]

    # Points of long edges are further nodes, from len(known) on.
    chains: list[list[int]] = []
    spans = sum(max(abs(column[c] - column[p]) - 1, 0) for c, p in inner)
    for consumer, provider in inner:
        chain = [consumer]
        step = -1 if column[provider] < column[consumer] else 1
        if spans <= _POINTS_LIMIT:
            for at in range(column[consumer] + step, column[provider], step):
                chain.append(len(column))
                column.append(at)
        chains.append([*chain, provider])
    near: list[list[int]] = [[] for _ in column]
    for chain in chains:
        for one, other in pairwise(chain):
            near[one].append(other)
            near[other].append(one)
    order = _ordered(column, near)
    heights = _heights(order, near, len(known))
    width = max(column, default=0)

    x, y = [0] * size, [0] * size
    for at, node in enumerate(known):
        x[node], y[node] = (width - column[at]) * COLUMN, round(heights[at])
    alone = [node for node in range(size) if node not in tied]
    low = max((y[node] for node in known), default=-ROW) + ROW
    across = max(width + 1, 4)
    for at, node in enumerate(alone):
        x[node], y[node] = at % across * COLUMN, low + at // across * ROW
    passed = iter(chains)
    bends = [
        tuple(((width - column[point]) * COLUMN, round(heights[point])) for point in next(passed)[1:-1])
        if consumer != provider
        else ()
        for consumer, provider in edges
    ]
    return Layout(x, y, bends)


def _ordered(column: Sequence[int], near: Sequence[Sequence[int]]) -> list[list[int]]:
    """The nodes of each column from top to bottom, with few crossings."""
    order: list[list[int]] = [[] for _ in range(max(column, default=-1) + 1)]
    seen = bytearray(len(column))
    # Depth first from the right: what belongs together starts together.
    for root in sorted(range(len(column)), key=lambda node: (column[node], node)):
        stack = [root]
        while stack:
            node = stack.pop()
            if seen[node]:
                continue
            seen[node] = 1
            order[column[node]].append(node)
            stack.extend(reversed(near[node]))
    place = [0.0] * len(column)
    for row in order:
        for at, node in enumerate(row):
            place[node] = at
    best, fewest = [row.copy() for row in order], _crossings(order, column, near, place)
    for sweep in range(_SWEEPS):
        rows = range(1, len(order)) if sweep % 2 == 0 else range(len(order) - 2, -1, -1)
        side = -1 if sweep % 2 == 0 else 1
        for at in rows:
            row = order[at]

            def middle(node: int, at: int = at, side: int = side) -> float:
                places = sorted(place[other] for other in near[node] if column[other] == at + side)
                if not places:
                    return place[node]
                half = len(places) // 2
                return places[half] if len(places) % 2 else (places[half - 1] + places[half]) / 2

            row.sort(key=middle)
            for new, node in enumerate(row):
                place[node] = new
        found = _crossings(order, column, near, place)
        if found < fewest:
            best, fewest = [row.copy() for row in order], found
        if not fewest:
            break
    return best


def _crossings(
    order: Sequence[Sequence[int]], column: Sequence[int], near: Sequence[Sequence[int]], place: Sequence[float]
) -> int:
    """How many pairs of edges between neighbouring columns cross."""
    total = 0
    for at, row in enumerate(order[:-1]):
        seen: list[float] = []
        for node in row:
            ends = sorted(place[other] for other in near[node] if column[other] == at + 1)
            total += sum(len(seen) - bisect_right(seen, end) for end in ends)
            for end in ends:
                insort(seen, end)
    return total


def _heights(order: Sequence[Sequence[int]], near: Sequence[Sequence[int]], real: int) -> list[float]:
    """The middle of each node, so that edges are straight, in the given order and with room for each node.

    Nodes from `real` on are points of edges.
    """
    heights = [0.0] * len(near)
    offsets: list[list[float]] = []
    for row in order:
        down, last = [0.0], 0.0
        for above, below in pairwise(row):
            last += ROW if above < real and below < real else (ROW + _POINT) / 2 if min(above, below) < real else _POINT
            down.append(last)
        offsets.append(down)
        for node, offset in zip(row, down, strict=True):
            heights[node] = offset - last / 2
    for turn in range(_STRAIGHTEN):
        rows = range(len(order)) if turn % 2 == 0 else range(len(order) - 1, -1, -1)
        for at in rows:
            wanted, weights = [], []
            for node, offset in zip(order[at], offsets[at], strict=True):
                around = near[node]
                pull = [(heights[other], 4.0 if node >= real and other >= real else 1.0) for other in around]
                weight = sum(one for _, one in pull) or 0.1
                wanted.append((sum(y * one for y, one in pull) / weight if pull else heights[node]) - offset)
                weights.append(weight)
            for node, offset, level in zip(order[at], offsets[at], _ascending(wanted, weights), strict=True):
                heights[node] = level + offset
    least = min(heights, default=0.0)
    return [height - least for height in heights]


def _ascending(values: Sequence[float], weights: Sequence[float]) -> list[float]:
    """The nearest values that do not descend, by weighted least squares (pool adjacent violators)."""
    blocks: list[tuple[float, float, int]] = []
    for value, weight in zip(values, weights, strict=True):
        size = 1
        while blocks and blocks[-1][0] > value:
            above, heavy, many = blocks.pop()
            value = (value * weight + above * heavy) / (weight + heavy)
            weight += heavy
            size += many
        blocks.append((value, weight, size))
    return [value for value, _, size in blocks for _ in range(size)]
