from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor.graph import columns
from auditor.graph.columns import (
    CONFIDENCE_ID,
    CONFIDENCES,
    KIND_ID,
    KINDS,
    NEED_ID,
    NEEDS,
    RELATION_ID,
    RELATIONS,
    Graph,
    GraphBuilder,
)
from auditor.model import Confidence, Kind, Need, Relation

HOST, JOB = KIND_ID[Kind.HOST], KIND_ID[Kind.JOB]
RUNS_ON, CALLS = RELATION_ID[Relation.RUNS_ON], RELATION_ID[Relation.CALLS]
RUN, READ = NEED_ID[Need.RUN], NEED_ID[Need.READ]

Row = tuple[int, int, int, int, int, int, int]


def rows(graph: Graph) -> list[Row]:
    columns = (
        graph.consumer,
        graph.provider,
        graph.relation,
        graph.need,
        graph.group,
        graph.evidence,
        graph.confidence,
    )
    return list(zip(*(column.tolist() for column in columns), strict=True))


def test_tables_and_their_inverses() -> None:
    assert list(KINDS) == list(Kind)
    assert [KIND_ID[kind] for kind in KINDS] == list(range(len(Kind)))
    assert [RELATION_ID[relation] for relation in RELATIONS] == list(range(len(Relation)))
    assert [NEED_ID[need] for need in NEEDS] == list(range(len(Need)))
    assert [CONFIDENCE_ID[level] for level in CONFIDENCES] == list(range(len(Confidence)))


def test_nodes_are_interned_by_kind_text_and_scope() -> None:
    builder = GraphBuilder()
    ids = [
        builder.node(JOB, "certbot", "a"),
        builder.node(JOB, "certbot", "b"),
        builder.node(HOST, "certbot", "a"),
        builder.node(JOB, "certbot", "a"),
        builder.node(JOB, "", "certbot"),
    ]
    assert ids == [0, 1, 2, 0, 3]
    graph = builder.build()
    assert graph.texts == ["certbot", "certbot", "certbot", ""]
    assert [graph.scope(node) for node in range(4)] == ["a", "b", "a", "certbot"]
    assert graph.find(JOB, "certbot", "b") == 1
    assert graph.find(JOB, "certbot") is None
    assert graph.find(JOB, "other", "b") is None
    assert graph.nodes_of(JOB).tolist() == [0, 1, 3]
    assert graph.nodes_of(KIND_ID[Kind.ZONE]).tolist() == []


def test_bulk_nodes_meet_single_ones() -> None:
    builder = GraphBuilder()
    first = builder.node(HOST, "a")
    ids = builder.add_nodes([HOST, JOB, HOST, JOB, HOST], ["a", "a", "b", "a", "b"])
    assert ids.tolist() == [first, 1, 2, 1, 2]
    scoped = builder.add_nodes(np.array([JOB, JOB, HOST]), ["a", "a", "b"], ["x", "x", ""])
    assert scoped.tolist() == [3, 3, 2]
    assert builder.node(JOB, "a", "x") == 3
    assert builder.add_nodes([], []).tolist() == []
    graph = builder.build()
    assert graph.texts == ["a", "a", "b", "a"]
    assert graph.kinds.tolist() == [HOST, JOB, HOST, JOB]
    assert [graph.scope(node) for node in range(4)] == ["", "", "", "x"]


_nodes = st.lists(st.tuples(st.integers(0, 2), st.sampled_from("abc"), st.sampled_from(["", "s"])), max_size=12)


@given(st.lists(st.tuples(st.booleans(), _nodes), max_size=4))
def test_bulk_and_single_give_the_same_ids(batches: list[tuple[bool, list[tuple[int, str, str]]]]) -> None:
    mixed, plain = GraphBuilder(), GraphBuilder()
    for bulk, nodes in batches:
        expected = [plain.node(*node) for node in nodes]
        if bulk:
            kinds, texts, scopes = [[node[i] for node in nodes] for i in range(3)]
            assert mixed.add_nodes(kinds, texts, scopes).tolist() == expected  # type: ignore[arg-type]
        else:
            assert [mixed.node(*node) for node in nodes] == expected
    assert mixed.build().texts == plain.build().texts


def test_edges_both_ways_in_the_order_they_came() -> None:
    builder = GraphBuilder()
    for text in "abcd":
        builder.node(JOB, text)
    builder.edge(2, 0, CALLS, RUN)
    builder.edge(0, 1, CALLS, RUN, -1, 7, 2)
    builder.add_edges([2, 0], np.array([1, 0]), [CALLS, RUNS_ON], [RUN, READ], evidence=[8, 9])
    builder.edge(2, 2, CALLS, RUN)
    graph = builder.build()
    assert rows(graph) == [
        (2, 0, CALLS, RUN, -1, -1, 0),
        (0, 1, CALLS, RUN, -1, 7, 2),
        (2, 1, CALLS, RUN, -1, 8, 0),
        (0, 0, RUNS_ON, READ, -1, 9, 0),
        (2, 2, CALLS, RUN, -1, -1, 0),
    ]
    assert [graph.outgoing(node).tolist() for node in range(4)] == [[1, 3], [], [0, 2, 4], []]
    assert [graph.incoming(node).tolist() for node in range(4)] == [[0, 3], [1, 2], [4], []]
    assert graph.outgoing(2).base is not None
    with pytest.raises(IndexError):
        graph.outgoing(4)
    with pytest.raises(IndexError):
        graph.incoming(-1)


def test_an_edge_stated_twice_is_kept_once_with_its_first_evidence() -> None:
    builder = GraphBuilder()
    for text in "ab":
        builder.node(JOB, text)
    group = builder.group(0, "any")
    builder.edge(0, 1, CALLS, RUN, -1, 5)
    builder.edge(0, 1, CALLS, RUN, -1, 6, 1)
    builder.edge(0, 1, CALLS, RUN, group, 7)
    builder.edge(0, 1, CALLS, READ, -1, 8)
    builder.edge(0, 1, RUNS_ON, RUN, -1, 9)
    builder.edge(1, 0, CALLS, RUN, -1, 10)
    builder.edge(0, 1, CALLS, RUN, group, 11)
    assert builder.build().evidence.tolist() == [5, 7, 8, 9, 10]


_edges = st.lists(st.tuples(*[st.integers(0, 2)] * 4, st.just(-1), st.integers(0, 99), st.integers(0, 2)), max_size=60)


@given(_edges, st.booleans())
def test_duplicates_as_a_dict_would_drop_them(edges: list[Row], always_the_same_slot: bool) -> None:
    first: dict[tuple[int, ...], Row] = {}
    for edge in edges:
        first.setdefault(edge[:5], edge)
    builder = GraphBuilder()
    builder.add_nodes([HOST] * 3, ["a", "b", "c"])
    for edge in edges:
        builder.edge(*edge)
    with pytest.MonkeyPatch.context() as patch:
        if always_the_same_slot:
            patch.setattr(columns, "_mixed", lambda present, turn: np.zeros(len(present[0]), np.uint64))
        assert rows(builder.build()) == list(first.values())


def test_groups_belong_to_a_consumer() -> None:
    builder = GraphBuilder()
    for text in "abc":
        builder.node(JOB, text)
    one, two, other = builder.group(0, "any"), builder.group(0, "more"), builder.group(1, "any")
    assert (one, two, other, builder.group(0, "any")) == (0, 1, 2, 0)
    assert builder.add_groups([0, 1, 1], ["any", "new", "new"]).tolist() == [0, 3, 3]
    builder.edge(0, 1, CALLS, RUN, one)
    builder.edge(0, 1, CALLS, RUN)
    builder.edge(0, 2, CALLS, RUN, one)
    builder.edge(1, 2, CALLS, RUN, other)
    graph = builder.build()
    assert [graph.members(group).tolist() for group in range(4)] == [[0, 2], [], [3], []]
    assert [graph.group_name(edge) for edge in range(4)] == ["any", "", "any", "any"]
    assert graph.group_consumer.tolist() == [0, 0, 1, 1]
    builder.edge(1, 0, CALLS, RUN, one)
    with pytest.raises(ValueError, match="another consumer"):
        builder.build()


@pytest.mark.parametrize(
    ("edge", "what"),
    [
        ((2, 0, 0, 0), "consumer"),
        ((0, -1, 0, 0), "provider"),
        ((0, 0, len(RELATIONS), 0), "relation"),
        ((0, 0, 256, 0), "relation"),
        ((0, 0, 0, 4), "need"),
        ((0, 0, 0, 0, 0), "group"),
        ((0, 0, 0, 0, -1, -2), "evidence"),
        ((0, 0, 0, 0, -1, 2**31), "evidence"),
        ((0, 0, 0, 0, -1, 0, 3), "confidence"),
        ((2**32, 0, 0, 0), "consumer"),
    ],
)
def test_what_is_out_of_range_is_refused(edge: tuple[int, ...], what: str) -> None:
    builder = GraphBuilder()
    builder.add_nodes([HOST, HOST], ["a", "b"])
    builder.edge(*edge)
    with pytest.raises(ValueError, match=f"^{what} out of range"):
        builder.build()


def test_bulk_of_unequal_lengths_or_odd_types_is_refused() -> None:
    builder = GraphBuilder()
    with pytest.raises(ValueError, match="length"):
        builder.add_nodes([HOST], ["a", "b"])
    with pytest.raises(ValueError, match="kind out of range"):
        builder.add_nodes([len(KINDS)], ["a"])
    with pytest.raises(ValueError, match="no kind"):
        builder.node(len(KINDS), "a")
    assert builder.add_nodes([HOST, HOST], ["a", "b"]).tolist() == [0, 1]
    with pytest.raises(ValueError, match="length"):
        builder.add_edges([0, 1], [1], [CALLS], [RUN])
    with pytest.raises(ValueError, match="not a sequence of integers"):
        builder.add_edges(np.array([0.0]), [1], [CALLS], [RUN])
    with pytest.raises(ValueError, match="length"):
        builder.add_groups([0], [])


def test_a_graph_does_not_change_when_its_builder_goes_on() -> None:
    builder = GraphBuilder()
    builder.add_nodes([HOST, HOST], ["a", "b"])
    given = np.array([0], np.int32)
    builder.add_edges(given, [1], [CALLS], [RUN])
    graph = builder.build()
    given[0] = 1
    builder.edge(0, builder.node(HOST, "c"), CALLS, RUN)
    builder.group(0, "g")
    later = builder.build()
    assert (graph.node_count, graph.edge_count, len(graph.group_names)) == (2, 1, 0)
    assert (later.node_count, later.edge_count, len(later.group_names)) == (3, 2, 1)
    assert graph.find(HOST, "c") is None
    assert later.find(HOST, "c") == 2
    assert graph.consumer.tolist() == [0]
    with pytest.raises(ValueError, match="read-only"):
        graph.consumer[0] = 1
    with pytest.raises(ValueError, match="read-only"):
        graph.outgoing(0)[0] = 1


def test_ids_beyond_sixteen_bits_keep_their_order() -> None:
    size = 70_000
    builder = GraphBuilder()
    builder.add_nodes(np.zeros(size, np.uint8), [str(i) for i in range(size)])
    consumers = np.array([65_536, 1, 65_537, 1, 65_536, 69_999])
    builder.add_edges(consumers, [0, 65_536, 0, 2, 1, 65_536], [CALLS] * 6, [RUN] * 6)
    graph = builder.build()
    assert graph.outgoing(65_536).tolist() == [0, 4]
    assert graph.outgoing(1).tolist() == [1, 3]
    assert graph.outgoing(69_999).tolist() == [5]
    assert graph.incoming(65_536).tolist() == [1, 5]


def test_edges_one_by_one_beyond_what_is_kept_pending(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "_PENDING_LIMIT", 21)
    builder = GraphBuilder()
    builder.add_nodes([HOST] * 20, [str(i) for i in range(20)])
    for i in range(20):
        builder.edge(i, 19 - i, CALLS, RUN, -1, i)
    assert builder.build().evidence.tolist() == list(range(20))
