"""What a rule may ask: one scenario over one graph."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from auditor.api import THIS_HOST, Area, Coverage, Dependency, Entity, Going, Impact, Kind, Ref, Relation, Where
from auditor.graph.hosts import HostTable
from auditor.graph.link import Linker
from auditor.graph.view import NodeView, View
from auditor.model import Attribute, Lifecycle, Outcome, Parsed

OLD = "old.example.org"
NEW = "new.example.org"
WEB = "web.example.org"
JOB = Ref(Kind.JOB, "job")
Item = tuple[str, Parsed]


def depends(consumer: Ref, relation: Relation, provider: Ref, line: int = 1, group: str = "") -> Dependency:
    return Dependency(consumer, provider, relation, Where(line, f"line {line}"), group=group)


def entity(ref: Ref, line: int = 1, **attributes: Attribute) -> Entity:
    return Entity(ref, Where(line, f"line {line}"), attributes)


def view(
    lifecycle: Lifecycle,
    *items: Item,
    hosts: Sequence[str] = (OLD, NEW, WEB),
    read_only_paths: tuple[str, ...] = (),
    coverage: Sequence[Coverage] = (),
) -> View:
    table = HostTable()
    for number, name in enumerate(hosts, 1):
        table.address(table.add(name, "test"), f"10.0.0.{number}")
    table.records[OLD].successor = NEW
    table.records[OLD].read_only_paths = read_only_paths
    linker = Linker(table)
    placed = [(host, f"hosts/{host}/file" if host else "file", None, item) for host, item in items]
    linker.context(placed)
    for placed_item in placed:
        linker.add(*placed_item)
    for name in table.records:
        linker.node(Ref(Kind.HOST, name))
    linker.resolve()
    going = Going(OLD, lifecycle, since="2025-06-20T10:00:00Z", successor=NEW)
    return View(linker.build(), [going], datetime(2025, 11, 20, tzinfo=UTC), None, coverage)


def node(estate: View, kind: Kind, text: str, scope: str = "") -> NodeView:
    found = estate.find(kind, text, scope)
    assert found is not None
    return found


def impact_of(estate: View, kind: Kind, text: str, scope: str = "") -> Impact:
    return estate.impact_of(node(estate, kind, text, scope))


@pytest.mark.parametrize(
    ("relation", "target", "retired", "read_only"),
    [
        (Relation.CONNECTS, Ref(Kind.NAME, OLD), Impact.BROKEN, Impact.NONE),
        (Relation.CONNECTS, Ref(Kind.ADDRESS, "10.0.0.1"), Impact.BROKEN, Impact.NONE),
        (Relation.CONNECTS, Ref(Kind.ENDPOINT, f"https://{OLD}/x"), Impact.BROKEN, Impact.NONE),
        (Relation.CONNECTS, Ref(Kind.NAME, NEW), Impact.NONE, Impact.NONE),
        (Relation.WRITES, Ref(Kind.PATH, "/srv/x", OLD), Impact.BROKEN, Impact.BROKEN),
        (Relation.READS, Ref(Kind.PATH, "/srv/x", OLD), Impact.BROKEN, Impact.NONE),
        (Relation.WRITES, Ref(Kind.PATH, "/srv/x"), Impact.NONE, Impact.NONE),
    ],
)
def test_what_a_going_host_still_does(relation: Relation, target: Ref, retired: Impact, read_only: Impact) -> None:
    for lifecycle, expected in (
        (Lifecycle.RETIRED, retired),
        (Lifecycle.RETIRING, retired),
        (Lifecycle.READ_ONLY, read_only),
    ):
        estate = view(lifecycle, (WEB, depends(JOB, relation, target)))
        assert impact_of(estate, Kind.JOB, "job", WEB) is expected, lifecycle


def test_jobs_of_a_read_only_host_run_on_unless_they_write() -> None:
    items = [
        (OLD, depends(JOB, Relation.RUNS_ON, THIS_HOST)),
        (OLD, depends(Ref(Kind.JOB, "writer"), Relation.RUNS_ON, THIS_HOST)),
        (OLD, depends(Ref(Kind.JOB, "writer"), Relation.WRITES, Ref(Kind.PATH, "/var/x"))),
    ]
    estate = view(Lifecycle.READ_ONLY, *items)
    assert impact_of(estate, Kind.JOB, "job", OLD) is Impact.NONE
    assert impact_of(estate, Kind.JOB, "writer", OLD) is Impact.BROKEN


def test_declared_read_only_paths_leave_the_rest_writable() -> None:
    items = [
        (OLD, depends(Ref(Kind.JOB, "in"), Relation.WRITES, Ref(Kind.PATH, "/srv/pki/x"))),
        (OLD, depends(Ref(Kind.JOB, "out"), Relation.WRITES, Ref(Kind.PATH, "/srv/pkix"))),
    ]
    estate = view(Lifecycle.READ_ONLY, *items, read_only_paths=("/srv/pki",))
    assert impact_of(estate, Kind.JOB, "in", OLD) is Impact.BROKEN
    assert impact_of(estate, Kind.JOB, "out", OLD) is Impact.NONE
    assert estate.hosts_of(node(estate, Kind.JOB, "in", OLD)) == (OLD,)


def test_a_read_only_mount_of_a_host_that_stays() -> None:
    items = [
        (WEB, entity(Ref(Kind.MOUNT, "/srv"), read_only=True, read_only_by="mount")),
        (WEB, depends(JOB, Relation.WRITES, Ref(Kind.PATH, "/srv/x"))),
    ]
    estate = view(Lifecycle.RETIRED, *items)
    assert impact_of(estate, Kind.JOB, "job", WEB) is Impact.BROKEN
    # It breaks, and the host that goes has nothing to do with it.
    assert estate.hosts_of(node(estate, Kind.JOB, "job", WEB)) == ()


def test_who_watches_a_going_host_is_blind() -> None:
    def alert(name: str, *targets: str) -> list[Item]:
        ref = Ref(Kind.ALERT, name)
        return [(WEB, depends(ref, Relation.WATCHES, Ref(Kind.NAME, target), group="targets")) for target in targets]

    for lifecycle in (Lifecycle.RETIRED, Lifecycle.READ_ONLY):
        estate = view(lifecycle, *alert("only", OLD), *alert("both", OLD, NEW), *alert("other", NEW))
        assert impact_of(estate, Kind.ALERT, "only", WEB) is Impact.BLIND
        assert impact_of(estate, Kind.ALERT, "both", WEB) is Impact.DEGRADED
        assert impact_of(estate, Kind.ALERT, "other", WEB) is Impact.NONE


def test_alternatives() -> None:
    items = [
        ("", depends(Ref(Kind.NAME, "pool.example.org"), Relation.RESOLVES, Ref(Kind.ADDRESS, address), group="a"))
        for address in ("10.0.0.1", "10.0.0.2")
    ]
    estate = view(Lifecycle.RETIRED, *items, (WEB, depends(JOB, Relation.CONNECTS, Ref(Kind.NAME, "pool.example.org"))))
    assert impact_of(estate, Kind.NAME, "pool.example.org") is Impact.DEGRADED
    assert impact_of(estate, Kind.JOB, "job", WEB) in (Impact.NONE, Impact.DEGRADED)


def chain() -> View:
    return view(
        Lifecycle.RETIRED,
        (WEB, entity(JOB, 4)),
        (WEB, depends(JOB, Relation.CONNECTS, Ref(Kind.ENDPOINT, "https://hook.example.org/x"), 4)),
        ("", depends(Ref(Kind.NAME, "hook.example.org"), Relation.RESOLVES, Ref(Kind.NAME, "cert.example.org"), 41)),
        ("", depends(Ref(Kind.NAME, "cert.example.org"), Relation.RESOLVES, Ref(Kind.ADDRESS, "10.0.0.1"), 57)),
    )


def test_the_path_is_the_explanation() -> None:
    estate = chain()
    job = node(estate, Kind.JOB, "job", WEB)
    steps = estate.path(job)
    assert [(step.relation, step.provider) for step in steps] == [
        ("connects", "https://hook.example.org/x"),
        ("stands-for", "hook.example.org"),
        ("resolves", "cert.example.org"),
        ("resolves", "10.0.0.1"),
        ("stands-for", OLD),
    ]
    assert [(step.evidence.path, step.evidence.line) if step.evidence else None for step in steps] == [
        (f"hosts/{WEB}/file", 4),
        None,
        ("file", 41),
        ("file", 57),
        None,
    ]
    assert steps[-1].note == "retired since 2025-06-20"
    assert estate.path_to(job, node(estate, Kind.HOST, OLD)) == steps
    assert estate.path_to(node(estate, Kind.HOST, NEW), job) == ()
    assert estate.path(node(estate, Kind.HOST, NEW)) == ()
    (edge,) = estate.outgoing(job, Relation.CONNECTS)
    assert edge.lost
    assert estate.path_over(edge) == steps


def test_who_leads_where() -> None:
    estate = chain()
    job = node(estate, Kind.JOB, "job", WEB)
    host = node(estate, Kind.HOST, OLD)
    assert estate.hosts_of(job) == (OLD,)
    assert [one.text for one in estate.reaches(node(estate, Kind.NAME, "hook.example.org"))] == [OLD]
    assert estate.reaches(job) == ()
    assert {one.text for one in estate.dependents(host)} >= {"job", "hook.example.org", "cert.example.org", "10.0.0.1"}
    assert host.id not in {one.id for one in estate.dependents(host)}
    home = estate.home(job)
    assert home is not None
    assert home.text == WEB
    assert estate.home(node(estate, Kind.NAME, "hook.example.org")) is None


def test_hosts_and_their_successors() -> None:
    estate = chain()
    host = estate.host("OLD.example.org.")
    assert host is not None
    assert estate.host("old") == host
    assert estate.host("nobody.example.org") is None
    successor = estate.successor(host)
    assert successor is not None
    assert successor.text == NEW
    assert estate.successor(successor) is None
    going = estate.going_for(host)
    assert going is not None
    assert going.lifecycle is Lifecycle.RETIRED
    assert estate.going_for(successor) is None
    assert estate.going_for(node(estate, Kind.NAME, "hook.example.org")) is None


def test_provenance_is_never_empty_where_something_was_written() -> None:
    estate = chain()
    job = node(estate, Kind.JOB, "job", WEB)
    assert [(one.path, one.line) for one in job.provenance] == [(f"hosts/{WEB}/file", 4)]
    # Only referred to: then the reference is where it is from.
    (first,) = node(estate, Kind.NAME, "hook.example.org").provenance
    assert (first.path, first.line) == ("file", 41)
    for edge in estate.outgoing(node(estate, Kind.ENDPOINT, "https://hook.example.org/x")):
        assert edge.provenance.path


def test_labels_name_the_host_of_what_is_local() -> None:
    estate = chain()
    assert node(estate, Kind.JOB, "job", WEB).label == f"job job on {WEB}"
    assert node(estate, Kind.NAME, "hook.example.org").label == "hook.example.org"


def test_a_loop_ends() -> None:
    names = [Ref(Kind.NAME, f"n{number}.example.org") for number in range(3)]
    items: list[Item] = [("", depends(names[at], Relation.RESOLVES, names[(at + 1) % 3])) for at in range(3)]
    estate = view(Lifecycle.RETIRED, *items, (WEB, depends(JOB, Relation.CONNECTS, names[0])))
    assert impact_of(estate, Kind.JOB, "job", WEB) is Impact.NONE
    assert estate.reaches(node(estate, Kind.NAME, "n0.example.org")) == ()
    assert len(estate.dependents(node(estate, Kind.NAME, "n0.example.org"))) == 3


def test_a_long_path_is_cut() -> None:
    items: list[Item] = [
        ("", depends(Ref(Kind.NAME, f"n{at}.example.org"), Relation.RESOLVES, Ref(Kind.NAME, f"n{at + 1}.example.org")))
        for at in range(500)
    ]
    items.append(("", depends(Ref(Kind.NAME, "n500.example.org"), Relation.RESOLVES, Ref(Kind.ADDRESS, "10.0.0.1"))))
    estate = view(Lifecycle.RETIRED, *items)
    assert impact_of(estate, Kind.NAME, "n0.example.org") is Impact.BROKEN
    assert 10 <= len(estate.path(node(estate, Kind.NAME, "n0.example.org"))) <= 64


def test_coverage_by_relation() -> None:
    row = Coverage(OLD, Area.SCHEDULES, "crontabs", Outcome.OK, 1, provides=(Relation.RUNS_ON.value,))
    estate = view(Lifecycle.RETIRED, coverage=[row])
    assert estate.coverage(Relation.RUNS_ON) == [row]
    assert estate.coverage(Relation.WATCHES) == []
    assert estate.looked_at(OLD, Area.SCHEDULES)
    assert not estate.looked_at(NEW, Area.SCHEDULES)
    assert not estate.looked_at(OLD, Area.RENEWAL)


def test_no_relation_given_is_any() -> None:
    estate = chain()
    name = node(estate, Kind.NAME, "hook.example.org")
    assert {edge.relation for edge in estate.outgoing(name)} == {Relation.RESOLVES}
    assert estate.outgoing(name, Relation.MENTIONS) == []
    assert {edge.consumer.text for edge in estate.incoming(name)} == {"https://hook.example.org/x"}
