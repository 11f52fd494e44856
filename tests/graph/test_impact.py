from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditor.graph.columns import KIND_ID, NEED_ID, RELATION_ID, Graph, GraphBuilder
from auditor.graph.impact import (
    BITS,
    EVERYTHING,
    IMPACTS,
    OBSERVE,
    READ,
    RUN,
    WATCHERS,
    WRITE,
    ImpactResult,
    impact,
    lost_edges,
    nearest,
    reach,
    trace,
)
from auditor.model import DEFAULT_NEED, Impact, Kind, Need, Relation

_spec = importlib.util.spec_from_file_location("reference_impact", Path(__file__).with_name("reference_impact.py"))
assert _spec is not None
assert _spec.loader is not None
_module = importlib.util.module_from_spec(_spec)
sys.modules["reference_impact"] = _module
_spec.loader.exec_module(_module)
Arrow: Any = _module.Arrow
reference: Any = _module.reference

NONE, MENTIONED, DEGRADED, BLIND, BROKEN = Impact


class World:
    """A graph written down by names."""

    def __init__(self) -> None:
        self.builder = GraphBuilder()
        self.ids: dict[str, int] = {}
        self._graph: Graph | None = None

    def node(self, name: str, kind: Kind = Kind.SERVICE) -> int:
        if name not in self.ids:
            self.ids[name] = self.builder.node(KIND_ID[kind], name)
        return self.ids[name]

    def edge(self, consumer: str, relation: Relation, provider: str, need: Need | None = None, group: str = "") -> None:
        c, p = self.node(consumer), self.node(provider)
        number = self.builder.group(c, group) if group else -1
        self.builder.edge(c, p, RELATION_ID[relation], NEED_ID[need or DEFAULT_NEED[relation]], number)

    @property
    def graph(self) -> Graph:
        if self._graph is None:
            self._graph = self.builder.build()
        return self._graph

    def run(self, **lost: int) -> ImpactResult:
        return impact(self.graph, {self.ids[name]: mask for name, mask in lost.items()})

    def impacts(self, **lost: int) -> dict[str, Impact]:
        result = self.run(**lost)
        return {name: result.impact_of(node) for name, node in self.ids.items()}

    def trace(self, name: str, **lost: int) -> list[str]:
        result = self.run(**lost)
        names = {node: text for text, node in self.ids.items()}
        return [names[int(self.graph.provider[edge])] for edge in trace(self.graph, result, self.ids[name])]


def test_the_chain_of_the_incident_breaks_up_to_the_name() -> None:
    world = World()
    world.edge("cron", Relation.RUNS_ON, "legacy")
    world.edge("lineage", Relation.TRIGGERED_BY, "cron", group="triggers")
    world.edge("certificate", Relation.CERTIFIED_BY, "lineage")
    world.edge("api", Relation.SERVES, "certificate")
    assert set(world.impacts(legacy=EVERYTHING).values()) == {BROKEN}
    assert world.trace("api", legacy=EVERYTHING) == ["certificate", "lineage", "cron", "legacy"]


@pytest.mark.parametrize("relation", [Relation.STANDS_FOR, Relation.RESOLVES])
def test_a_transparent_edge_passes_the_mask_on(relation: Relation) -> None:
    world = World()
    world.edge("name", relation, "host")
    result = world.run(host=WRITE)
    assert result.lost[world.ids["name"]] == WRITE
    assert result.impact_of(world.ids["name"]) is DEGRADED


def test_only_the_lost_need_breaks_a_consumer_which_can_still_be_seen() -> None:
    world = World()
    world.edge("path", Relation.STANDS_FOR, "mount")
    world.edge("writer", Relation.WRITES, "path")
    world.edge("reader", Relation.READS, "path")
    world.edge("beyond", Relation.READS, "writer")
    result = world.run(mount=WRITE)
    assert result.lost[world.ids["writer"]] == EVERYTHING & ~OBSERVE
    assert world.impacts(mount=WRITE) == {
        "path": DEGRADED,
        "mount": DEGRADED,
        "writer": BROKEN,
        "reader": NONE,
        "beyond": BROKEN,
    }


def test_a_group_fails_only_as_a_whole() -> None:
    world = World()
    for host in ("one", "two"):
        world.edge("pool", Relation.BACKED_BY, host, group="members")
    assert world.impacts(one=EVERYTHING)["pool"] is DEGRADED
    assert world.impacts(one=EVERYTHING, two=EVERYTHING)["pool"] is BROKEN
    assert world.impacts(one=WRITE, two=WRITE)["pool"] is NONE


def test_two_groups_are_two_requirements() -> None:
    world = World()
    world.edge("job", Relation.CONNECTS, "a", group="databases")
    world.edge("job", Relation.CONNECTS, "b", group="queues")
    world.edge("job", Relation.CONNECTS, "c", group="queues")
    assert world.impacts(a=EVERYTHING)["job"] is BROKEN
    assert world.impacts(b=EVERYTHING)["job"] is DEGRADED


def test_groups_of_one_name_belong_to_their_consumer() -> None:
    world = World()
    world.edge("job", Relation.CONNECTS, "a", group="g")
    world.edge("other", Relation.CONNECTS, "b", group="g")
    assert world.impacts(a=EVERYTHING)["job"] is BROKEN


def test_transparent_alternatives_lose_what_all_of_them_lost() -> None:
    world = World()
    for host in ("one", "two"):
        world.edge("name", Relation.RESOLVES, host, group="addresses")
    result = world.run(one=EVERYTHING, two=WRITE | OBSERVE)
    name = world.ids["name"]
    assert result.lost[name] == WRITE | OBSERVE
    assert result.thinned[name] == RUN | READ
    assert result.impact_of(name) is DEGRADED
    assert world.run(one=READ, two=WRITE).lost[name] == 0
    assert world.impacts(one=READ, two=WRITE)["name"] is DEGRADED
    assert world.impacts(one=EVERYTHING, two=EVERYTHING)["name"] is BROKEN


def test_an_alternative_that_fails_in_a_later_level_completes_the_group() -> None:
    world = World()
    world.edge("far", Relation.RUNS_ON, "host")
    world.edge("farther", Relation.CALLS, "far")
    world.edge("lineage", Relation.TRIGGERED_BY, "farther", group="t")
    world.edge("lineage", Relation.TRIGGERED_BY, "host", group="t")
    assert world.impacts(host=EVERYTHING)["lineage"] is BROKEN


def test_a_watcher_of_only_what_is_going_is_blind_and_not_broken() -> None:
    world = World()
    world.node("alert", Kind.ALERT)
    world.edge("alert", Relation.WATCHES, "one")
    world.edge("alert", Relation.WATCHES, "two")
    world.edge("dashboard", Relation.CONNECTS, "alert")
    result = world.run(one=EVERYTHING, two=WRITE | OBSERVE)
    assert result.lost[world.ids["alert"]] == OBSERVE
    assert result.impact_of(world.ids["alert"]) is BLIND
    assert result.impact_of(world.ids["dashboard"]) is NONE
    assert world.impacts(one=EVERYTHING)["alert"] is DEGRADED
    assert world.impacts(one=WRITE | RUN | READ)["alert"] is NONE


def test_a_named_group_of_targets_is_one_member_of_what_is_watched() -> None:
    world = World()
    world.node("alert", Kind.ALERT)
    world.edge("alert", Relation.WATCHES, "one")
    world.edge("alert", Relation.WATCHES, "a", group="pool")
    world.edge("alert", Relation.WATCHES, "b", group="pool")
    assert world.impacts(a=EVERYTHING, b=EVERYTHING)["alert"] is DEGRADED
    assert world.impacts(one=EVERYTHING, a=EVERYTHING)["alert"] is DEGRADED
    assert world.impacts(one=EVERYTHING, a=EVERYTHING, b=EVERYTHING)["alert"] is BLIND


def test_a_blind_scrape_blinds_the_alert_on_it() -> None:
    world = World()
    world.node("scrape", Kind.SCRAPE)
    world.node("alert", Kind.ALERT)
    world.edge("scrape", Relation.WATCHES, "host")
    world.edge("alert", Relation.WATCHES, "scrape")
    world.edge("alert", Relation.NOTIFIES, "receiver")
    assert world.impacts(host=OBSERVE)["alert"] is BLIND
    assert world.impacts(host=OBSERVE, receiver=EVERYTHING)["alert"] is BROKEN


def test_a_kind_that_watches_is_blind_through_a_transparent_edge_and_another_is_not() -> None:
    world = World()
    world.node("probe", Kind.PROBE)
    world.node("name", Kind.NAME)
    world.edge("probe", Relation.STANDS_FOR, "host")
    world.edge("name", Relation.STANDS_FOR, "host")
    found = world.impacts(host=WRITE | OBSERVE)
    assert (found["probe"], found["name"]) == (BLIND, DEGRADED)


def test_an_observing_alternative_in_a_mixed_group_never_breaks() -> None:
    world = World()
    for kind, name in ((Kind.JOB, "job"), (Kind.PROBE, "probe")):
        world.node(name, kind)
        world.edge(name, Relation.WATCHES, "a", group="g")
        world.edge(name, Relation.CONNECTS, "b", group="g")
    for name in ("job", "probe"):
        assert world.impacts(b=EVERYTHING)[name] is DEGRADED
        assert world.impacts(a=EVERYTHING)[name] is DEGRADED
    both = world.impacts(a=EVERYTHING, b=EVERYTHING)
    assert (both["job"], both["probe"]) == (DEGRADED, BLIND)


def test_an_alert_sees_what_broke_for_another_reason() -> None:
    world = World()
    world.node("alert", Kind.ALERT)
    world.edge("alert", Relation.WATCHES, "site")
    world.edge("site", Relation.CONNECTS, "database")
    world.edge("database", Relation.RUNS_ON, "host")
    found = world.impacts(host=EVERYTHING)
    assert (found["site"], found["alert"]) == (BROKEN, NONE)


def test_a_mention_never_breaks_and_is_weakest() -> None:
    world = World()
    world.edge("wiki", Relation.MENTIONS, "host")
    world.edge("wiki", Relation.MENTIONS, "other", need=Need.OBSERVE)
    world.edge("reader", Relation.READS, "wiki")
    world.edge("script", Relation.MENTIONS, "host")
    world.edge("script", Relation.CONNECTS, "host")
    found = world.impacts(host=WRITE)
    assert (found["wiki"], found["reader"], found["script"]) == (MENTIONED, NONE, MENTIONED)
    assert world.impacts(host=EVERYTHING)["script"] is BROKEN
    assert world.run(host=EVERYTHING).lost[world.ids["wiki"]] == 0
    assert world.trace("wiki", host=WRITE) == ["host"]


def test_a_mention_is_no_alternative() -> None:
    world = World()
    world.edge("job", Relation.CONNECTS, "host", group="g")
    world.edge("job", Relation.MENTIONS, "elsewhere", group="g")
    assert world.impacts(host=EVERYTHING)["job"] is BROKEN
    assert world.impacts(elsewhere=EVERYTHING)["job"] is MENTIONED


def test_degraded_goes_to_the_first_consumer_behind_transparent_edges_and_no_further() -> None:
    world = World()
    world.edge("name", Relation.RESOLVES, "a", group="addresses")
    world.edge("name", Relation.RESOLVES, "b", group="addresses")
    world.edge("alias", Relation.RESOLVES, "name")
    world.edge("endpoint", Relation.STANDS_FOR, "alias")
    world.edge("hook", Relation.DELIVERS, "endpoint")
    world.edge("direct", Relation.CONNECTS, "name")
    world.edge("beyond", Relation.CALLS, "hook")
    world.edge("chooser", Relation.CONNECTS, "endpoint", group="any")
    world.edge("chooser", Relation.CONNECTS, "elsewhere", group="any")
    world.edge("either", Relation.RESOLVES, "name", group="any")
    found = world.impacts(a=EVERYTHING)
    assert {name for name, what in found.items() if what is DEGRADED} == {"name", "alias", "endpoint", "hook", "direct"}
    assert world.trace("hook", a=EVERYTHING) == ["endpoint", "alias", "name", "a"]


def test_degraded_is_handed_on_only_for_the_needs_that_were_thinned() -> None:
    world = World()
    world.edge("path", Relation.STANDS_FOR, "a", group="replicas")
    world.edge("path", Relation.STANDS_FOR, "b", group="replicas")
    world.edge("reader", Relation.READS, "path")
    world.edge("writer", Relation.WRITES, "path")
    found = world.impacts(a=WRITE)
    assert (found["path"], found["reader"], found["writer"]) == (DEGRADED, NONE, DEGRADED)


def test_a_partial_loss_is_not_handed_on_as_degraded() -> None:
    world = World()
    world.edge("name", Relation.STANDS_FOR, "host")
    world.edge("reader", Relation.CONNECTS, "name")
    assert world.impacts(host=WRITE | OBSERVE)["reader"] is NONE


def test_a_cycle_does_not_break_itself_and_breaks_from_outside() -> None:
    world = World()
    world.edge("job", Relation.CALLS, "script")
    world.edge("script", Relation.TRIGGERED_BY, "job", group="triggers")
    world.edge("script", Relation.TRIGGERED_BY, "timer", group="triggers")
    world.edge("job", Relation.RUNS_ON, "host")
    world.node("unrelated")
    assert set(world.impacts(unrelated=EVERYTHING).values()) == {NONE, BROKEN}
    assert world.impacts(unrelated=EVERYTHING)["job"] is NONE
    assert world.impacts(host=EVERYTHING)["script"] is DEGRADED
    assert world.impacts(host=EVERYTHING, timer=EVERYTHING)["script"] is BROKEN


def test_the_trace_follows_the_need_that_was_lost() -> None:
    world = World()
    world.edge("name", Relation.STANDS_FOR, "readonly")
    world.edge("name", Relation.STANDS_FOR, "alias")
    world.edge("alias", Relation.STANDS_FOR, "gone")
    world.edge("reader", Relation.READS, "name")
    result = world.run(readonly=WRITE, gone=READ)
    assert int(result.cause[world.ids["name"]]) == 0
    assert world.trace("reader", readonly=WRITE, gone=READ) == ["name", "alias", "gone"]


def test_sources_have_no_cause_and_the_unharmed_neither() -> None:
    world = World()
    world.edge("a", Relation.CONNECTS, "b")
    world.edge("b", Relation.CONNECTS, "a")
    world.edge("c", Relation.CONNECTS, "d")
    result = world.run(a=READ)
    assert [int(result.cause[world.ids[name]]) for name in "abcd"] == [-1, 1, -1, -1]
    assert result.impact_of(world.ids["a"]) is BROKEN
    assert trace(world.graph, result, world.ids["a"]) == ()


def test_lost_edges_are_those_that_fail() -> None:
    world = World()
    world.edge("a", Relation.CONNECTS, "host")
    world.edge("a", Relation.WRITES, "host")
    world.edge("a", Relation.WATCHES, "host")
    world.edge("a", Relation.MENTIONS, "host")
    world.edge("n", Relation.STANDS_FOR, "host")
    world.edge("a", Relation.CONNECTS, "fine")
    assert lost_edges(world.graph, world.run(host=WRITE | OBSERVE)).tolist() == [False, True, True, False, True, False]


def test_reach_and_nearest() -> None:
    world = World()
    world.edge("b", Relation.CONNECTS, "a")
    world.edge("c", Relation.CONNECTS, "b")
    world.edge("a", Relation.CALLS, "c")
    world.edge("d", Relation.MENTIONS, "b")
    world.edge("e", Relation.WRITES, "c")
    world.node("apart")
    ids = world.ids

    def named(nodes: np.ndarray[Any, Any]) -> set[str]:
        return {name for name, node in ids.items() if node in nodes}

    assert named(reach(world.graph, [ids["a"]])) == {"b", "c", "e"}
    assert named(reach(world.graph, [ids["a"]], [RELATION_ID[r] for r in Relation])) == {"b", "c", "d", "e"}
    assert named(reach(world.graph, [ids["a"]], [RELATION_ID[Relation.CONNECTS]])) == {"b", "c"}
    distance, parent = nearest(world.graph, [ids["a"]])
    assert {name: int(distance[node]) for name, node in ids.items()} == {
        "a": 0,
        "b": 1,
        "c": 2,
        "d": -1,
        "e": 3,
        "apart": -1,
    }
    assert [int(parent[ids[name]]) for name in ("a", "b", "c", "e", "apart")] == [-1, 0, 1, 4, -1]
    everything, _ = nearest(world.graph, [ids["a"]], np.ones(world.graph.edge_count, bool))
    assert int(everything[ids["d"]]) == 2
    nothing, _ = nearest(world.graph, [ids["a"]], np.zeros(world.graph.edge_count, bool))
    assert int((nothing >= 0).sum()) == 1


def test_what_is_not_in_the_graph_is_refused() -> None:
    world = World()
    world.edge("a", Relation.CONNECTS, "b")
    with pytest.raises(ValueError, match="not in the graph"):
        impact(world.graph, {2: 1})
    with pytest.raises(ValueError, match="not in the graph"):
        reach(world.graph, [-1])
    with pytest.raises(ValueError, match="mask"):
        impact(world.graph, {0: 16})
    with pytest.raises(ValueError, match="edge_mask"):
        nearest(world.graph, [0], np.ones(5, bool))


def test_an_empty_graph_and_an_empty_scenario() -> None:
    empty = GraphBuilder().build()
    assert len(impact(empty, {}).impact) == 0
    assert len(reach(empty, [])) == 0
    world = World()
    world.edge("a", Relation.CONNECTS, "b", group="g")
    assert set(world.impacts().values()) == {NONE}
    assert set(world.impacts(b=0).values()) == {NONE}


_KINDS = (Kind.HOST, Kind.NAME, Kind.JOB, Kind.ALERT, Kind.SCRAPE)
_RELATIONS = (
    Relation.STANDS_FOR,
    Relation.RESOLVES,
    Relation.CALLS,
    Relation.CONNECTS,
    Relation.WATCHES,
    Relation.MENTIONS,
)


@st.composite
def _worlds(draw: st.DrawFn) -> tuple[list[Kind], list[Any], dict[int, int]]:
    size = draw(st.integers(1, 9))
    node = st.integers(0, size - 1)
    arrow = st.builds(
        Arrow,
        node,
        node,
        st.sampled_from(_RELATIONS),
        st.sampled_from(list(Need)),
        st.sampled_from(["", "", "g", "h"]),
    )
    kinds = draw(st.lists(st.sampled_from(_KINDS), min_size=size, max_size=size))
    arrows = draw(st.lists(arrow, max_size=24))
    return kinds, arrows, draw(st.dictionaries(node, st.integers(0, 15), max_size=3))


@settings(max_examples=800)
@given(_worlds())
def test_columns_and_plain_python_agree(world: tuple[list[Kind], list[Any], dict[int, int]]) -> None:
    kinds, arrows, lost = world
    builder = GraphBuilder()
    for number, kind in enumerate(kinds):
        builder.node(KIND_ID[kind], str(number))
    for arrow in arrows:
        group = builder.group(arrow.consumer, arrow.group) if arrow.group else -1
        builder.edge(arrow.consumer, arrow.provider, RELATION_ID[arrow.relation], NEED_ID[arrow.need], group)
    graph = builder.build()
    assert graph.edge_count == len(set(arrows))
    result = impact(graph, lost)
    expected_lost, expected_impact, expected_thinned = reference(kinds, arrows, lost, set(WATCHERS))
    assert result.lost.tolist() == expected_lost
    assert [IMPACTS[i] for i in result.impact.tolist()] == expected_impact
    assert result.thinned.tolist() == expected_thinned

    failed = lost_edges(graph, result)
    sources = {node for node, mask in lost.items() if mask}
    for node in range(len(kinds)):
        path = trace(graph, result, node)
        harmed = expected_impact[node] is not NONE
        assert bool(path) == (harmed and node not in sources)
        assert (int(result.cause[node]) >= 0) == bool(path)
        at = node
        for edge in path:
            assert int(graph.consumer[edge]) == at
            at = int(graph.provider[edge])
        if path:
            assert path[0] == int(result.cause[node])
            assert at in sources
            if expected_lost[node]:
                assert failed[list(path)].all()
        for i, bit in enumerate(BITS):
            gained = bool(expected_lost[node] & bit and not lost.get(node, 0) & bit)
            assert (int(result.causes[i, node]) >= 0) == gained


@settings(max_examples=200)
@given(_worlds())
def test_reach_and_nearest_agree_with_networkx(world: tuple[list[Kind], list[Any], dict[int, int]]) -> None:
    import networkx as nx

    kinds, arrows, lost = world
    builder = GraphBuilder()
    backwards: nx.DiGraph[int] = nx.DiGraph()
    for number, kind in enumerate(kinds):
        builder.node(KIND_ID[kind], str(number))
        backwards.add_node(number)
    for arrow in arrows:
        builder.edge(arrow.consumer, arrow.provider, RELATION_ID[arrow.relation], NEED_ID[arrow.need])
        if arrow.relation is not Relation.MENTIONS:
            backwards.add_edge(arrow.provider, arrow.consumer)
    graph = builder.build()
    expected: dict[int, int] = {}
    for source in lost:
        for node, length in nx.single_source_shortest_path_length(backwards, source).items():
            expected[node] = min(length, expected.get(node, length))
    distance, parent = nearest(graph, lost)
    assert distance.tolist() == [expected.get(node, -1) for node in range(len(kinds))]
    assert reach(graph, lost).tolist() == sorted(expected.keys() - lost.keys())
    for node, edge in enumerate(parent.tolist()):
        if edge >= 0:
            assert int(graph.consumer[edge]) == node
            assert distance[int(graph.provider[edge])] == distance[node] - 1
