"""The graph in columns: nodes and edges as arrays, with the neighbours of a node both ways.

A graph of a fleet has millions of edges and is searched far more often than it is shown. Names are interned, kinds,
relations, needs and confidences are small integers (see the tables below), evidence is an index into a table that the
builder of the graph keeps. An edge points from the consumer to what it needs.

This module imports numpy and is itself imported lazily by whoever needs a graph.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, compress, count, repeat
from operator import getitem
from types import MappingProxyType
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from auditor.model import Confidence, Kind, Need, Relation

Bools: TypeAlias = NDArray[np.bool_]
Bytes: TypeAlias = NDArray[np.uint8]
Ints: TypeAlias = NDArray[np.int32]
Longs: TypeAlias = NDArray[np.int64]
Indices: TypeAlias = NDArray[np.integer[Any]]
Numbers: TypeAlias = Sequence[int] | NDArray[np.integer[Any]]
"""Integers as a Python sequence or as an array of any integer type; always one-dimensional."""

KINDS: Final = tuple(Kind)
RELATIONS: Final = tuple(Relation)
NEEDS: Final = tuple(Need)
CONFIDENCES: Final = tuple(Confidence)

KIND_ID: Final[Mapping[Kind, int]] = MappingProxyType({kind: i for i, kind in enumerate(KINDS)})
RELATION_ID: Final[Mapping[Relation, int]] = MappingProxyType({relation: i for i, relation in enumerate(RELATIONS)})
NEED_ID: Final[Mapping[Need, int]] = MappingProxyType({need: i for i, need in enumerate(NEEDS)})
CONFIDENCE_ID: Final[Mapping[Confidence, int]] = MappingProxyType({level: i for i, level in enumerate(CONFIDENCES)})

_ID_LIMIT: Final = 2**31
_FIELDS: Final = 7
_PENDING_LIMIT: Final = _FIELDS * 65_536
_DTYPES: Final[tuple[type[np.integer[Any]], ...]] = (
    np.int32,
    np.int32,
    np.uint8,
    np.uint8,
    np.int32,
    np.int32,
    np.uint8,
)


@dataclass(frozen=True, slots=True, eq=False)
class Csr:
    """Lists of integers, one for each key 0 … n-1, in compressed sparse rows.

    `start`: int64[n + 1]; `items`: int32[total]. The list of key `i` is `items[start[i]:start[i + 1]]`, in the order in
    which its members were added.
    """

    start: Longs
    items: Ints

    def of(self, key: int) -> Ints:
        """The list of one key, as a view. IndexError for a key that is not there."""
        if not 0 <= key < len(self.start) - 1:
            raise IndexError(f"no row {key} in {len(self.start) - 1}")
        return self.items[self.start[key] : self.start[key + 1]]

    def expand(self, keys: Ints) -> tuple[Ints, Longs]:
        """The lists of many keys, one after the other, and for each member the position of its key in `keys`."""
        start = self.start[keys]
        counts = self.start[keys + 1] - start
        ends = np.cumsum(counts)
        total = int(ends[-1]) if len(ends) else 0
        positions = np.arange(total) + np.repeat(start - (ends - counts), counts)
        return self.items[positions], np.repeat(np.arange(len(keys)), counts)


class _Buckets(dict[tuple[int, str], "defaultdict[str, int]"]):
    """(kind, scope) → text → node. A text that is new gets the next number, of one count for all buckets."""

    def __init__(self) -> None:
        super().__init__()
        self._next = count().__next__

    def __missing__(self, key: tuple[int, str]) -> defaultdict[str, int]:
        bucket = self[key] = defaultdict(self._next)
        return bucket


@dataclass(frozen=True, slots=True, weakref_slot=True, eq=False)
class Graph:
    """Nodes 0 … n-1 and edges 0 … m-1 in columns. Nothing of it changes after `GraphBuilder.build`.

    Nodes: `kinds` uint8[n] (index into KINDS), `texts`, `scope_ids` int32[n] (index into `scope_table`).
    Edges: `consumer`, `provider` int32[m]; `relation`, `need`, `confidence` uint8[m] (indices into RELATIONS, NEEDS,
    CONFIDENCES); `group` int32[m] (-1 for a single edge); `evidence` int32[m] (-1 for none).
    Groups 0 … g-1: `group_consumer` int32[g], `group_names`.
    `by_consumer`, `by_provider` and `by_group` give edges, `by_kind` gives nodes.
    """

    kinds: Bytes
    texts: list[str]
    scope_ids: Ints
    scope_table: list[str]
    consumer: Ints
    provider: Ints
    relation: Bytes
    need: Bytes
    group: Ints
    evidence: Ints
    confidence: Bytes
    group_consumer: Ints
    group_names: list[str]
    by_consumer: Csr
    by_provider: Csr
    by_group: Csr
    by_kind: Csr
    _index: Mapping[tuple[int, str], Mapping[str, int]]

    @property
    def node_count(self) -> int:
        """Number of nodes."""
        return len(self.texts)

    @property
    def edge_count(self) -> int:
        """Number of edges."""
        return len(self.consumer)

    def outgoing(self, node: int) -> Ints:
        """The edges whose consumer is this node, as a view. IndexError for a node that is not there."""
        return self.by_consumer.of(node)

    def incoming(self, node: int) -> Ints:
        """The edges whose provider is this node, as a view. IndexError for a node that is not there."""
        return self.by_provider.of(node)

    def members(self, group: int) -> Ints:
        """The edges of a group, as a view. IndexError for a group that is not there."""
        return self.by_group.of(group)

    def nodes_of(self, kind: int) -> Ints:
        """The nodes of a kind, ascending, as a view."""
        return self.by_kind.of(kind)

    def scope(self, node: int) -> str:
        """The host or tree that a local node belongs to; empty for global ones."""
        return self.scope_table[int(self.scope_ids[node])]

    def group_name(self, edge: int) -> str:
        """The name of an edge's group; empty for a single edge."""
        group = int(self.group[edge])
        return self.group_names[group] if group >= 0 else ""

    def find(self, kind: int, text: str, scope: str = "") -> int | None:
        """The node of this identity, if there is one."""
        bucket = self._index.get((kind, scope))
        node = None if bucket is None else bucket.get(text)
        # The index is the builder's own, and the builder may have gone on.
        return node if node is not None and node < len(self.texts) else None


class GraphBuilder:
    """Collects nodes and edges, one by one or in bulk, and makes a `Graph` of them.

    It may be built from again after more was added; graphs made earlier stay as they were.
    """

    def __init__(self) -> None:
        self._buckets = _Buckets()
        self._kinds = bytearray()
        self._texts: list[str] = []
        self._scope_ids = array("i")
        self._scopes: defaultdict[str, int] = defaultdict(count().__next__)
        self._groups: defaultdict[tuple[int, str], int] = defaultdict(count().__next__)
        self._group_consumer = array("i")
        self._group_names: list[str] = []
        self._pending: list[int] = []
        self._chunks: list[tuple[NDArray[Any], ...]] = []

    def node(self, kind: int, text: str, scope: str = "") -> int:
        """The node of this identity; made if it is new. ValueError for a kind that is not in KINDS."""
        if not 0 <= kind < len(KINDS):
            raise ValueError(f"no kind {kind}")
        found = self._buckets[kind, scope][text]
        if found == len(self._texts):
            self._kinds.append(kind)
            self._texts.append(text)
            self._scope_ids.append(self._scopes[scope])
        return found

    def group(self, consumer: int, name: str) -> int:
        """The group of this consumer with this name; made if it is new."""
        found = self._groups[consumer, name]
        if found == len(self._group_names):
            self._group_consumer.append(consumer)
            self._group_names.append(name)
        return found

    def edge(
        self,
        consumer: int,
        provider: int,
        relation: int,
        need: int,
        group: int = -1,
        evidence: int = -1,
        confidence: int = 0,
    ) -> None:
        """Adds an edge. What is out of range is found by `build`, or some thousands of edges later."""
        self._pending.extend((consumer, provider, relation, need, group, evidence, confidence))
        if len(self._pending) >= _PENDING_LIMIT:
            self._flush()

    def add_nodes(self, kinds: Numbers, texts: Sequence[str], scopes: Sequence[str] | None = None) -> Ints:
        """Many nodes at once: their ids, int32[len(texts)]. Without `scopes` all are global.

        ValueError for lengths that differ and for kinds that are not in KINDS; nothing is added then.
        """
        codes = _checked(kinds, 0, len(KINDS), np.uint8, "kind")
        if len(codes) != len(texts) or (scopes is not None and len(scopes) != len(texts)):
            raise ValueError("kinds, texts and scopes differ in length")
        known = len(self._texts)
        buckets: Iterator[defaultdict[str, int]]
        if scopes is None:
            buckets = map([self._buckets[kind, ""] for kind in range(len(KINDS))].__getitem__, codes.tolist())
        else:
            buckets = map(self._buckets.__getitem__, zip(codes.tolist(), scopes, strict=True))
        ids = np.fromiter(map(getitem, buckets, texts), np.int32, len(texts))
        new = _first_seen(ids, known)
        self._kinds.extend(codes[new].tobytes())
        everything = bool(new.all())
        self._texts.extend(texts if everything else compress(texts, new.tolist()))
        if scopes is None:
            self._scope_ids.extend(repeat(self._scopes[""], len(self._texts) - known))
        else:
            self._scope_ids.extend(
                map(self._scopes.__getitem__, scopes if everything else compress(scopes, new.tolist()))
            )
        return ids

    def add_groups(self, consumers: Numbers, names: Sequence[str]) -> Ints:
        """Many groups at once: their ids, int32[len(names)]. ValueError as for `add_nodes`."""
        owners = _checked(consumers, 0, len(self._texts), np.int32, "consumer of a group")
        if len(owners) != len(names):
            raise ValueError("consumers and names differ in length")
        known = len(self._group_names)
        keys = zip(owners.tolist(), names, strict=True)
        ids = np.fromiter(map(self._groups.__getitem__, keys), np.int32, len(names))
        new = _first_seen(ids, known)
        self._group_consumer.extend(owners[new].tolist())
        self._group_names.extend(compress(names, new.tolist()))
        return ids

    def add_edges(
        self,
        consumers: Numbers,
        providers: Numbers,
        relations: Numbers,
        needs: Numbers,
        groups: Numbers | None = None,
        evidence: Numbers | None = None,
        confidences: Numbers | None = None,
    ) -> None:
        """Many edges at once. ValueError for lengths that differ and for what is out of range; none is added then."""
        self._flush()
        size = len(consumers)
        self._append(
            consumers,
            providers,
            relations,
            needs,
            np.full(size, -1, np.int32) if groups is None else groups,
            np.full(size, -1, np.int32) if evidence is None else evidence,
            np.zeros(size, np.uint8) if confidences is None else confidences,
        )

    def build(self) -> Graph:
        """The graph of all that was added so far.

        Edges that are alike in consumer, provider, relation, need and group are kept once, as the first of them.
        ValueError for an edge in a group of another consumer, and for what is out of range.
        """
        self._flush()
        if len(self._chunks) != 1:
            self._chunks = [
                tuple(
                    np.concatenate([np.empty(0, dtype), *(chunk[i] for chunk in self._chunks)])
                    for i, dtype in enumerate(_DTYPES)
                )
            ]
        columns = self._chunks[0]
        nodes = len(self._texts)
        owner = np.array(self._group_consumer, dtype=np.int32)
        check_groups(owner, columns, nodes)
        kept = _without_duplicates(columns[:5])
        if kept is not None:
            columns = tuple(column[kept] for column in columns)
            self._chunks = [columns]
        return graph_of(
            np.frombuffer(bytes(self._kinds), dtype=np.uint8),
            self._texts.copy(),
            np.array(self._scope_ids, dtype=np.int32),
            list(self._scopes),
            columns,
            owner,
            self._group_names.copy(),
            self._buckets,
        )

    def _flush(self) -> None:
        if self._pending:
            rows = np.array(self._pending, dtype=np.int64).reshape(-1, _FIELDS)
            self._pending.clear()
            self._append(*rows.T)

    def _append(self, *columns: Numbers) -> None:
        self._chunks.append(edge_columns(columns, len(self._texts), len(self._group_names)))


class KindIndex(Mapping[tuple[int, str], Mapping[str, int]]):
    """(kind, scope) → text → node, of nodes that are all different. Laid out for a kind when it is first asked for."""

    def __init__(self, by_kind: Csr, texts: Sequence[str], scope_ids: Ints, scope_table: Sequence[str]) -> None:
        self._by_kind, self._texts, self._scope_ids, self._scope_table = by_kind, texts, scope_ids, scope_table
        self._laid_out: dict[int, dict[str, dict[str, int]]] = {}

    def __getitem__(self, key: tuple[int, str]) -> Mapping[str, int]:
        kind, scope = key
        return self._of(kind)[scope]

    def __iter__(self) -> Iterator[tuple[int, str]]:
        return ((kind, scope) for kind in range(len(KINDS)) for scope in self._of(kind))

    def __len__(self) -> int:
        return sum(len(self._of(kind)) for kind in range(len(KINDS)))

    def _of(self, kind: int) -> dict[str, dict[str, int]]:
        known = self._laid_out.get(kind)
        if known is None:
            known = self._laid_out[kind] = {}
            nodes = self._by_kind.of(kind)
            for node, scope in zip(nodes.tolist(), self._scope_ids[nodes].tolist(), strict=True):
                known.setdefault(self._scope_table[scope], {})[self._texts[node]] = node
        return known


def graph_of(
    kinds: Bytes,
    texts: list[str],
    scope_ids: Ints,
    scope_table: list[str],
    edges: Sequence[NDArray[Any]],
    group_consumer: Ints,
    group_names: list[str],
    index: Mapping[tuple[int, str], Mapping[str, int]] | None = None,
) -> Graph:
    """A graph of nodes and edges that are all different and in range. It keeps the lists and arrays that are given.

    `edges` are the seven columns, as `edge_columns` gives them. Without an `index` of the nodes it has one of its own.
    """
    nodes = len(texts)
    consumer, provider, relation, need, group, evidence, confidence = edges
    by_kind = rows_of(kinds, len(KINDS))
    graph = Graph(
        kinds=kinds,
        texts=texts,
        scope_ids=scope_ids,
        scope_table=scope_table,
        consumer=consumer,
        provider=provider,
        relation=relation,
        need=need,
        group=group,
        evidence=evidence,
        confidence=confidence,
        group_consumer=group_consumer,
        group_names=group_names,
        by_consumer=rows_of(consumer, nodes),
        by_provider=rows_of(provider, nodes),
        by_group=rows_of(group, len(group_names)),
        by_kind=by_kind,
        _index=index if index is not None else KindIndex(by_kind, texts, scope_ids, scope_table),
    )
    for column in (*edges, graph.kinds, graph.scope_ids, group_consumer):
        column.setflags(write=False)
    for rows in (graph.by_consumer, graph.by_provider, graph.by_group, graph.by_kind):
        rows.start.setflags(write=False)
        rows.items.setflags(write=False)
    return graph


def edge_columns(columns: Sequence[Numbers], nodes: int, groups: int) -> tuple[NDArray[Any], ...]:
    """Consumers, providers, relations, needs, groups, evidence and confidences as arrays of their own.

    ValueError for lengths that differ and for what is out of range.
    """
    if len({len(column) for column in columns}) > 1:
        raise ValueError("the columns of the edges differ in length")
    limits = (
        ("consumer", 0, nodes),
        ("provider", 0, nodes),
        ("relation", 0, len(RELATIONS)),
        ("need", 0, len(NEEDS)),
        ("group", -1, groups),
        ("evidence", -1, _ID_LIMIT),
        ("confidence", 0, len(CONFIDENCES)),
    )
    return tuple(
        _checked(column, low, high, dtype, what)
        for column, (what, low, high), dtype in zip(columns, limits, _DTYPES, strict=True)
    )


def check_groups(owner: Ints, edges: Sequence[NDArray[Any]], nodes: int) -> None:
    """ValueError if a group's consumer is no node, or an edge is in a group of another consumer."""
    if not len(owner):
        return
    if int(owner.min()) < 0 or int(owner.max()) >= nodes:
        raise ValueError("a group belongs to a consumer that does not exist")
    grouped = np.flatnonzero(edges[4] >= 0)
    if not np.array_equal(owner[edges[4][grouped]], edges[0][grouped]):
        raise ValueError("an edge is in a group of another consumer")


def distinct_edges(edges: Sequence[NDArray[Any]], among: Bools | None = None) -> tuple[NDArray[Any], ...]:
    """The edges without those that are alike in consumer, provider, relation, need and group to an earlier one.

    `among` tells which edges are looked at, if others are known to be different from all.
    """
    looked = np.flatnonzero(among) if among is not None else None
    kept = _without_duplicates([column if looked is None else column[looked] for column in edges[:5]])
    if kept is None:
        return tuple(edges)
    if among is not None and looked is not None:
        staying = ~among
        staying[looked[kept]] = True
        kept = np.flatnonzero(staying)
    return tuple(column[kept] for column in edges)


def _checked(values: Numbers, low: int, high: int, dtype: type[np.integer[Any]], what: str) -> NDArray[Any]:
    """A copy of its own as an array of a type; ValueError if anything is outside low … high-1."""
    given = np.asarray(values)
    if not len(given):
        return np.empty(0, dtype)
    if given.dtype.kind not in "iu" or given.ndim != 1:
        raise ValueError(f"{what}: not a sequence of integers")
    if int(given.min()) < low or int(given.max()) >= high:
        raise ValueError(f"{what} out of range: not all of them are in {low} … {high - 1}")
    return given.astype(dtype)


def _first_seen(ids: Ints, known: int) -> Bools:
    """Which of the ids are new (not below `known`) and occur for the first time, given that new ids ascend."""
    highest = np.maximum.accumulate(np.concatenate([np.array([known - 1], np.int32), ids]))
    first: Bools = ids > highest[:-1]
    return first


def lists_of(lists: Sequence[Sequence[int]]) -> Csr:
    """Lists of integers, for the keys 0 … len(lists) - 1."""
    start = np.zeros(len(lists) + 1, np.int64)
    np.cumsum(np.fromiter(map(len, lists), np.int64, len(lists)), out=start[1:])
    return Csr(start, np.fromiter(chain.from_iterable(lists), np.int32, int(start[-1])))


def rows_of(keys: NDArray[Any], size: int) -> Csr:
    """Positions by key, in their own order within a key. Negative keys are left out."""
    if keys.dtype.kind == "i":
        used = np.flatnonzero(keys >= 0)
        if len(used) < len(keys):
            rows = rows_of(keys[used], size)
            return Csr(rows.start, used[rows.items].astype(np.int32))
    start = np.zeros(size + 1, np.int64)
    np.cumsum(np.bincount(keys, minlength=size), out=start[1:])
    # numpy sorts 16-bit keys by radix: two such passes, low half first, take a quarter of the time of one over 32 bits.
    order = np.argsort(keys.astype(np.uint16), kind="stable").astype(np.int32)
    if size > 1 << 16:
        order = order[np.argsort((keys >> 16).astype(np.uint16)[order], kind="stable")]
    return Csr(start, order)


def assign_first(target: Ints, places: Indices, values: Indices) -> None:
    """target[places] = values, where the first of several values for a place stays."""
    target[places[::-1]] = values[::-1]


def distinct(nodes: Ints, scratch: Ints) -> Ints:
    """Each node once, in order of first occurrence, in linear time. `scratch` has a place for every node there is."""
    own = np.arange(len(nodes), dtype=np.int32)
    assign_first(scratch, nodes, own)
    once: Ints = nodes[scratch[nodes] == own]
    return once


def _without_duplicates(columns: Sequence[NDArray[Any]]) -> Longs | None:
    """The positions of the first of all equal edges, ascending; None if no two are equal.

    Each edge goes to a slot by its hash, where the first to come stays. Those that are turned away are compared with
    the one that stayed: equal ones are duplicates, the few others try again with another hash. Exact, and linear.
    """
    size = len(columns[0])
    dropped: list[Longs] = []
    rest: Longs | None = None
    for turn in range(1, 1 + 8):
        present = columns if rest is None else [column[rest] for column in columns]
        length = len(present[0])
        if length < 2:
            break
        bits = max(4, length.bit_length() + 1)
        slot = (_mixed(present, turn) >> np.uint64(64 - bits)).astype(np.int64)
        first = np.empty(1 << bits, np.int32)
        own = np.arange(length, dtype=np.int32)
        first[slot[::-1]] = own[::-1]
        stayed = first[slot]
        away = np.flatnonzero(stayed != own)
        equal = np.ones(len(away), bool)
        for column in present:
            equal &= column[away] == column[stayed[away]]
        dropped.append(away[equal] if rest is None else rest[away[equal]])
        away = away[~equal]
        rest = away if rest is None else rest[away]
    if rest is not None and len(rest) > 1:
        present = [column[rest] for column in columns]
        order = np.lexsort(present)
        same = np.ones(len(order) - 1, bool)
        for column in present:
            ordered = column[order]
            same &= ordered[1:] == ordered[:-1]
        dropped.append(rest[order[1:][same]])
    gone = np.concatenate(dropped) if dropped else np.empty(0, np.int64)
    if not len(gone):
        return None
    kept = np.ones(size, bool)
    kept[gone] = False
    return np.flatnonzero(kept)


def _mixed(columns: Sequence[NDArray[Any]], turn: int) -> NDArray[np.uint64]:
    """64 well mixed bits of each row (multiply and xor-shift, as in SplitMix64); another mixture each turn."""
    mixed = np.full(len(columns[0]), (turn * 0x9E3779B97F4A7C15) % 2**64, np.uint64)
    for column in columns:
        mixed ^= column.astype(np.uint64)
        mixed *= np.uint64(0xBF58476D1CE4E5B9)
        mixed ^= mixed >> np.uint64(29)
    return mixed
