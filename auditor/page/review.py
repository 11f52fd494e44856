"""What a page shows of an audit: the report, its graph, and all that has a date."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Final

from auditor.graph.view import NodeView, View
from auditor.model import Impact, Kind, Lifecycle
from auditor.page.graph import page_graph
from auditor.page.model import Event, Review
from auditor.phrases import parse_time, plural
from auditor.schedule import in_zone, is_timer, next_run, previous_run

if TYPE_CHECKING:
    from auditor.audit.engine import Audited

EVENTS: Final = 40
"""Dates that a timeline shows: of what is going, then what is harmed, then the nearest."""
RUNS: Final = 8
"""Of them those that say of runs the same, such as when a job is due next."""
_CERTIFICATES: Final = 400
_JOBS: Final = 200
_RANK: Final = {impact: -rank for rank, impact in enumerate(Impact)}
_RUNS: Final = {
    "last_run": "ran last",
    "last_trigger": "was started last",
    "last_success": "succeeded last",
    "last_start": "was started last",
    "delivered_at": "was delivered last",
    "last_scrape": "was scraped last",
    "last_evaluation": "was evaluated last",
}
_DUE: Final = ((previous_run, "was due last"), (next_run, "is due next"))
_OF_RUNS: Final = frozenset((*_RUNS.values(), *(said for _, said in _DUE)))


def review_of(audited: Audited) -> Review:
    """The review of a run."""
    view, report = audited.view, audited.report
    events = [*_of_going(view), *_events(view)]
    events.sort(key=lambda one: (_RANK[one.impact], abs(one.at - view.now), one.subject, one.what))
    going = {one.host for one in view.going}
    events.sort(key=lambda one: one.subject not in going)
    many: Counter[str] = Counter()
    found = []
    for event in events:
        many[event.what] += 1
        if event.what not in _OF_RUNS or many[event.what] <= RUNS:
            found.append(event)
    shown = sorted(found[:EVENTS], key=lambda one: (one.at, one.subject, one.what))
    graph = page_graph(view, report.findings)
    return Review(report, graph, tuple(shown), len(events) - len(shown))


def _of_going(view: View) -> Iterator[Event]:
    for one in view.going:
        record = view.linked.hosts.records.get(one.host)
        place = record.provenance if record is not None else None
        since = parse_time(one.since)
        if since is not None:
            yield Event(since, f"became {one.lifecycle.value}", one.host, "", Impact.BROKEN, place)
        planned = view.on or parse_time(one.on)
        if planned is not None:
            fate = "is made read-only" if one.lifecycle is Lifecycle.READ_ONLY else "is retired"
            yield Event(planned, fate, one.host, "as planned", Impact.BROKEN, place)


def _events(view: View) -> Iterator[Event]:
    yield from _certificates(view)
    yield from _runs(view)
    for procedure in view.recovery.procedures:
        for at, what, of, place in (
            (procedure.last_rehearsed, "was rehearsed last", "", procedure.rehearsal),
            (procedure.last_reviewed, "was reviewed last", "page of ", procedure.review),
        ):
            if at is not None:
                yield Event(at, what, f"{of}{procedure.name}", "", Impact.NONE, place)


def _certificates(view: View) -> Iterator[Event]:
    dated: list[tuple[datetime, NodeView]] = []
    for node in view.nodes(Kind.CERTIFICATE):
        about = node.attributes
        end = parse_time(about.get("not_after"))
        if end is not None and not about.get("is_ca") and not about.get("superseded"):
            dated.append((end, node))
    dated.sort(key=lambda item: (item[0], item[1].id))
    for end, node in dated[:_CERTIFICATES]:
        blast = view.blast_radius(node)
        reach = []
        if blast is not None and blast.hosts:
            reach.append(plural(len(blast.hosts), "server"))
        if blast is not None and blast.names:
            reach.append(plural(len(blast.names), "name"))
        impact = view.impact_of(node)
        place = node.provenance[0] if node.provenance else None
        verb = "expired" if end < view.now else "expires"
        yield Event(end, verb, node.label, " and ".join(reach), impact, place)
        begun = parse_time(node.attributes.get("not_before"))
        if begun is not None and impact is not Impact.NONE:
            yield Event(begun, "was renewed last", node.label, "", Impact.NONE, place)


def _runs(view: View) -> Iterator[Event]:
    for identity, known in view.linked.attributes.items():
        for name, said in _RUNS.items():
            at = parse_time(known.get(name)) if name in known else None
            if at is not None:
                node = NodeView(view, identity)
                place = node.provenance[0] if node.provenance else None
                yield Event(at, said, node.label, "", view.impact_of(node), place)
    broken = (node for node in view.nodes(Kind.JOB) if view.impact_of(node) in (Impact.BROKEN, Impact.BLIND))
    for _, node in zip(range(_JOBS), broken, strict=False):
        schedule = node.attributes.get("schedule")
        if not isinstance(schedule, str) or not schedule:
            continue
        home = view.home(node)
        now = in_zone(view.now, home.attributes.get("zone") if home is not None else None)
        place = node.provenance[0] if node.provenance else None
        for find, said in _DUE:
            try:
                due = find(schedule, "oncalendar" if is_timer(node.text) else "cron", now)
            except ValueError:
                continue
            if due is not None:
                yield Event(due, said, node.label, schedule, view.impact_of(node), place)
