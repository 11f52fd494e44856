"""Places of a drawing: columns go one way, nothing overlaps, and the same graph is always drawn the same."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditor.page.drawing import _cut
from auditor.page.layered import HEAD, ROW, columns, framed, layout

graphs = st.integers(1, 24).flatmap(
    lambda size: st.tuples(
        st.just(size),
        st.lists(st.tuples(st.integers(0, size - 1), st.integers(0, size - 1)), max_size=60),
        st.sets(st.integers(0, size - 1), max_size=3),
    )
)


@settings(max_examples=150)
@given(graphs)
def test_any_graph_is_placed_without_overlaps(graph: tuple[int, list[tuple[int, int]], set[int]]) -> None:
    size, edges, right = graph
    found = layout(size, edges, right)
    assert found == layout(size, edges, right)
    by_column: dict[int, list[int]] = {}
    for x, y in zip(found.x, found.y, strict=True):
        by_column.setdefault(x, []).append(y)
    for places in by_column.values():
        places.sort()
        assert all(below - above >= ROW - 1 for above, below in pairwise(places))
    assert len(found.bends) == len(edges)


@settings(max_examples=150)
@given(graphs)
def test_without_cycles_each_edge_leads_right(graph: tuple[int, list[tuple[int, int]], set[int]]) -> None:
    size, edges, right = graph
    forward = sorted({(min(edge), max(edge)) for edge in edges if edge[0] != edge[1]})
    found = columns(size, forward, right)
    assert all(found[node] == 0 for node in right)
    assert all(found[consumer] > found[provider] for consumer, provider in forward if consumer not in right)


def test_what_is_going_is_on_the_right_and_a_chain_is_straight() -> None:
    found = layout(4, [(0, 1), (1, 2), (2, 3)], {3})
    assert found.x == sorted(found.x)
    assert len(set(found.x)) == 4
    assert len(set(found.y)) == 1


def test_what_does_not_lead_to_what_is_going_stands_beside_its_consumer() -> None:
    # 0 → 1 → 2 → 3 (going), and 0 → 4, which leads nowhere.
    assert columns(5, [(0, 1), (1, 2), (2, 3), (0, 4)], {3}) == [3, 2, 1, 0, 2]


def test_a_long_edge_bends_between_nodes() -> None:
    found = layout(4, [(0, 1), (1, 2), (0, 2), (0, 3)], {2})
    (point,) = found.bends[2]
    assert point[0] == found.x[1]
    assert abs(point[1] - found.y[1]) >= ROW // 2


def test_crossings_that_need_not_be_are_not() -> None:
    edges = [(0, 7), (1, 6), (2, 5), (3, 4)]
    found = layout(8, edges, set())
    order = sorted(edges, key=lambda edge: found.y[edge[0]])
    assert [found.y[edge[1]] for edge in order] == sorted(found.y[edge[1]] for edge in order)


@pytest.mark.parametrize("size", [0, 1, 3])
def test_without_edges(size: int) -> None:
    found = layout(size, [], set())
    assert len(set(zip(found.x, found.y, strict=True))) == size


def test_a_large_graph_with_cycles_ends() -> None:
    rng = random.Random(1)
    edges = [(rng.randrange(12_000), rng.randrange(12_000)) for _ in range(40_000)]
    assert len(columns(12_000, edges, {0})) == 12_000


@settings(max_examples=150, deadline=None)
@given(graphs, st.lists(st.sampled_from(["", "a", "b", "c"]), min_size=24, max_size=24))
def test_a_frame_holds_its_own_nodes_and_no_others(
    graph: tuple[int, list[tuple[int, int]], set[int]], keys: list[str]
) -> None:
    size, edges, right = graph
    keys = keys[:size]
    places = layout(size, edges, right)
    heights, frames = framed(places.x, places.y, keys)
    assert sorted(one.key for one in frames) == sorted({key for key in keys if key})
    for node, (x, y) in enumerate(zip(places.x, heights, strict=True)):
        for one in frames:
            beside = x < one.left or x > one.right
            within = one.top + HEAD <= y - ROW / 2 and y + ROW / 2 <= one.bottom
            apart = y + ROW / 2 <= one.top or y - ROW / 2 >= one.bottom
            assert (not beside and within) if keys[node] == one.key else (beside or apart)
    taken = sorted(zip(places.x, heights, strict=True))
    assert all(a[0] != b[0] or b[1] - a[1] >= ROW for a, b in pairwise(taken))


@pytest.mark.parametrize(
    ("kind", "name", "shown"),
    [
        ("host", "legacy-cert-01.eventide.net", "legacy-cert-01.eventid…"),
        ("path", "/etc/letsencrypt/renewal/x.conf", "/etc/letsen…ewal/x.conf"),
        ("job", "/etc/cron.d/csr-sync: deploy rsync -a /srv x:", "csr-sync: deploy rsync…"),
        ("job", "/etc/cron.d/push: root true", "push: root true"),
        ("job", "backup-of-the-warehouse.timer on /srv", "backup-of-the-warehous…"),
        ("alert", "certificates/CertificateExpiresSoon", "CertificateExpiresSoon"),
        ("alert", "db01/Disk space /srv", "db01/Disk space /srv"),
        ("alert", "db01.example.org/Disk space /srv", "Disk space /srv"),
    ],
)
def test_what_a_box_says_of_a_long_name(kind: str, name: str, shown: str) -> None:
    assert _cut(kind, name) == shown
