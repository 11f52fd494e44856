"""The graph of a page: what is in it, what is drawn, and what is left out of a large one."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

from auditor.audit.engine import Audited, Request, audit
from auditor.audit.scenario import parse_host
from auditor.export.picture import GroupBy, Only, Wanted, focus_of
from auditor.model import Impact, Lifecycle
from auditor.page import graph as module
from auditor.page.graph import page_graph
from auditor.page.model import PageGraph
from auditor.page.review import RUNS, review_of
from auditor.registry import load_collectors, load_rules

OLD = "old.example.org"
NOW = datetime(2025, 11, 20, tzinfo=UTC)


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Audited:
    files = {
        f"hosts/{OLD}/etc/hostname": "old\n",
        "dns/example.org.zone": "$ORIGIN example.org.\n@ IN SOA ns root 1 2 3 4 5\nold IN A 10.0.0.1\n",
        "hosts/web[01:40].example.org/etc/cron.d/push": f"1 1 * * * root curl -fsS https://{OLD}/push\n",
        "hosts/lone.example.org/etc/cron.d/pull": "1 1 * * * root curl -fsS https://other.example.org/pull\n",
        "inventory.yaml": f"version: 1\ndomains: [example.org]\nhosts:\n- name: {OLD}\n  owner: web team\n",
    }
    root = tmp_path_factory.mktemp("estate")
    for path, content in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(content)
    collectors, _ = load_collectors()
    rules, _ = load_rules()
    return audit(Request(Path(root), (parse_host(OLD),), Lifecycle.RETIRED, NOW), collectors, rules)


def by_name(graph: PageGraph, kind: str, name: str) -> int:
    (found,) = [at for at, node in enumerate(graph.nodes) if node.kind == kind and node.name == name]
    return found


def test_equal_nodes_are_one_group_with_all_its_members(audited: Audited) -> None:
    graph = page_graph(audited.view, audited.report.findings)
    jobs = [node for node in graph.nodes if node.kind == "job" and "push" in node.name]
    assert len(jobs) == 40
    (group,) = {node.group for node in jobs}
    assert graph.groups[group].count == 40
    assert graph.groups[group].scope == "web[01:40].example.org"
    assert graph.nodes[by_name(graph, "host", OLD)].going
    assert graph.nodes[by_name(graph, "host", OLD)].owner == "web team"
    assert ("schedule", "1 1 * * *") in jobs[0].facts
    assert {(node.impact, node.line) for node in jobs} == {("broken", 1)}


def test_drawings_go_from_the_findings_to_everything(audited: Audited) -> None:
    graph = page_graph(audited.view, audited.report.findings)
    assert [one.name for one in graph.drawings] == ["findings", "harmed", "leading", "all"]
    sizes = [one.groups for one in graph.drawings]
    assert sizes[0] <= sizes[2] <= sizes[3] == len(graph.groups)
    going = graph.nodes[by_name(graph, "host", OLD)].group
    for drawing in graph.drawings:
        assert len(drawing.placed) == drawing.groups
        places = {one.group: one for one in drawing.placed}
        assert all({consumer, provider} <= places.keys() for consumer, provider in drawing.edges)
        assert all(places[going].x >= one.x for one in drawing.placed if one.group in dict(drawing.edges))
    lone = next(node.group for node in graph.nodes if "other.example.org/pull" in node.name)
    assert lone not in {one.group for one in graph.drawings[2].placed}


def test_the_path_of_a_finding_begins_at_the_consumer(audited: Audited) -> None:
    graph = page_graph(audited.view, audited.report.findings)
    finding = next(one for one in audited.report.findings if one.path)
    rows = graph.paths[finding.fingerprint]
    assert graph.nodes[rows[0]].kind == "job"
    assert graph.nodes[rows[-1]].going


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_of_too_many_groups_the_nearest_are_drawn(audited: Audited, limit: int) -> None:
    graph = page_graph(audited.view, audited.report.findings, limit=limit)
    drawings = {one.name: one for one in graph.drawings}
    assert drawings["all"].placed == ()
    assert drawings["all"].groups > limit == graph.limit
    if first := next((one for one in graph.drawings if one.placed), None):
        assert len(first.placed) <= limit
        assert graph.nodes[by_name(graph, "host", OLD)].group in {one.group for one in first.placed}
    assert "nearest" in drawings or drawings["findings"].placed


def test_any_number_is_drawn_if_that_is_asked_for(audited: Audited, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DRAWN", 5)
    graph = page_graph(audited.view, audited.report.findings, limit=0)
    assert all(len(one.placed) == one.groups for one in graph.drawings)
    assert "nearest" not in {one.name for one in graph.drawings}


def test_nodes_stay_alone_if_that_is_asked_for(audited: Audited) -> None:
    graph = page_graph(audited.view, wanted=Wanted(mentions=True))
    assert {one.count for one in graph.groups} == {1}
    assert len(graph.groups) == len(graph.nodes)


@pytest.mark.parametrize("by", ["host", "owner", "kind"])
def test_frames_are_around_what_has_something_in_common(audited: Audited, by: str) -> None:
    graph = page_graph(audited.view, wanted=Wanted(collapse=True, group_by=GroupBy(by)))
    drawing = next(one for one in graph.drawings if one.name == "all")
    names = {one.name for one in drawing.frames}
    if by == "host":
        assert {OLD, "web[01:40].example.org", "lone.example.org"} <= names
    elif by == "owner":
        assert names == {"web team"}
    else:
        assert names == {node.kind for node in graph.nodes}
    assert graph.frame_by == by
    places = {(one.x, one.y) for one in drawing.placed}
    assert len(places) == len(drawing.placed)


def test_what_nobody_asked_for_is_said(audited: Audited) -> None:
    assert page_graph(audited.view).asked == ""
    focus = focus_of(audited.view, [OLD])
    part = page_graph(audited.view, wanted=Wanted(focus, depth=1, only=Only.BROKEN))
    total = audited.view.linked.graph.node_count
    assert part.asked.startswith(
        f"Asked for: what needs {OLD}, at most 1 dependency away, only all that fails, without text that only names "
        f"a host. That is {len(part.nodes)} of {total} nodes"
    )
    assert "everything, without text" in page_graph(audited.view, wanted=Wanted()).asked


def test_of_a_large_graph_what_findings_need_is_kept(audited: Audited, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = page_graph(audited.view, audited.report.findings)
    monkeypatch.setattr(module, "NODES", 60)
    monkeypatch.setattr(module, "EDGES", 50)
    part = page_graph(audited.view, audited.report.findings)
    assert len(part.nodes) == 60
    assert len(part.edges) <= 50
    assert (part.total_nodes, part.total_edges) == (len(whole.nodes), len(whole.edges))
    assert by_name(part, "host", OLD) >= 0
    shown = {node.name for node in part.nodes}
    for finding in audited.report.findings:
        if finding.impact is Impact.BROKEN:
            assert {whole.nodes[row].name for row in whole.paths[finding.fingerprint]} <= shown


def test_secrets_are_in_no_fact(tmp_path: Path) -> None:
    job = f"1 1 * * * root curl -fsS -u deploy:Tr0ub4dor-3 https://{OLD}/push?token=deadbeefdeadbeef\n"
    (tmp_path / "hosts/web01.example.org/etc/cron.d").mkdir(parents=True)
    (tmp_path / "hosts/web01.example.org/etc/cron.d/push").write_text(job)
    collectors, _ = load_collectors()
    rules, _ = load_rules()
    made = review_of(audit(Request(tmp_path, (parse_host(OLD),), Lifecycle.RETIRED, NOW), collectors, rules))
    assert made.graph is not None
    assert any(name == "command" for node in made.graph.nodes for name, _ in node.facts)
    assert "Tr0ub4dor" not in repr(made)
    assert "deadbeef" not in repr(made)


def test_many_runs_leave_room_for_other_dates(tmp_path: Path) -> None:
    files = {
        "inventory.yaml": f"version: 1\nhosts:\n- {{name: {OLD}, lifecycle: read-only, since: 2024-01-01}}\n",
        "hosts/web[01:60].example.org/etc/cron.d/push": f"1 1 * * * root rsync -a /srv/ {OLD}:/srv/\n",
    }
    for path, content in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(content)
    collectors, _ = load_collectors()
    rules, _ = load_rules()
    made = review_of(audit(Request(tmp_path, (parse_host(OLD),), None, NOW), collectors, rules))
    said = Counter(one.what for one in made.events)
    assert said["became read-only"] == 1
    assert 0 < said["was due last"] <= RUNS
    assert 0 < said["is due next"] <= RUNS
    assert made.more_events == 2 * 60 - said["was due last"] - said["is due next"]
