"""What the rules about monitoring share: what an alert looks at in the end, and which alerts see only what is going."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final

from auditor.api import Edge, EstateView, Impact, Kind, Lifecycle, Node, Provenance, Relation
from rules.ways import Ways, distinct, each_once, references_to

WATCHERS: Final = frozenset({Kind.ALERT, Kind.PROBE, Kind.SCRAPE})
_MAX_TARGETS: Final = 5000
_INSTANCE_LABELS: Final = ("instance", "target", "host", "hostname", "fqdn", "nodename", "server")


@dataclass(frozen=True, slots=True)
class Target:
    """Something that is watched, with the edges that lead from the watcher to it."""

    node: Node
    edges: tuple[Edge, ...]


@dataclass(frozen=True, slots=True)
class Watched:
    """All that a watcher looks at. `dynamic`: service discovery adds to it what is not known here."""

    targets: tuple[Target, ...]
    dynamic: bool


def watched_by(estate: EstateView, watcher: Node) -> Watched:
    """What an alert, a probe or a scrape job looks at, through its scrape jobs and probes."""
    found: dict[int, Target] = {}
    dynamic = False
    seen = {watcher.id}
    pending: list[tuple[Node, tuple[Edge, ...]]] = [(watcher, ())]
    while pending and len(found) < _MAX_TARGETS:
        node, way = pending.pop()
        dynamic = dynamic or bool(node.attributes.get("dynamic"))
        for edge in estate.outgoing(node, Relation.WATCHES):
            if edge.provider.kind not in WATCHERS:
                found.setdefault(edge.provider.id, Target(edge.provider, (*way, edge)))
            elif edge.provider.id not in seen:
                seen.add(edge.provider.id)
                pending.append((edge.provider, (*way, edge)))
    return Watched(tuple(found.values()), dynamic)


@dataclass(frozen=True, slots=True)
class Blind:
    """An alert, or a probe that no alert looks at, all of whose targets lead to hosts that are going."""

    watcher: Node
    targets: tuple[Target, ...]
    hosts: tuple[str, ...]


def lines_of(estate: EstateView, watcher: Node, target: Target, told: Collection[int] = ()) -> tuple[Provenance, ...]:
    """The lines that name a target: of the alert itself where it does, and of the probe or the scrape job.

    A scrape job's line is left out if the alert's own names the target, unless the job is used by alerts in `told`
    alone.
    """
    found = [edge.provenance for edge in target.edges[1:]]
    own = target.edges[0].provenance
    names = watcher.kind is not Kind.ALERT or bool(watcher.attributes.get("declared"))
    names = names or names_host(estate, watcher, own, [host.text for host in estate.reaches(target.node)])
    if len(target.edges) == 1:
        for edge in estate.incoming(target.node, Relation.WATCHES):
            if edge.consumer.kind is Kind.SCRAPE:
                users = {alert.id for alert in alerts_over(estate, edge)}
                if not names or (users and users <= set(told)):
                    found.append(edge.provenance)
    return distinct([own, *found] if names or not found else found)


def names_host(estate: EstateView, alert: Node, line: Provenance, hosts: Collection[str]) -> bool:
    """Whether a line of an expression names one of these going hosts, in full, in short or by a pattern."""
    text = line.excerpt.lower()
    words = set()
    for going in estate.going:
        if going.host in hosts:
            words |= {going.host, going.host.split(".", 1)[0], *going.names, *going.addresses}
    conditions = alert.attributes.get("matchers")
    for condition in conditions if isinstance(conditions, tuple) else ():
        label, _, value = condition.partition("=")
        if label in _INSTANCE_LABELS:
            words.add(value.removeprefix("~").lower())
    return any(len(word) > 2 and word in text for word in words)


def alerts_over(estate: EstateView, edge: Edge) -> list[Node]:
    """The alerts that look at what a scrape job or probe watches over an edge, or at all of the job."""
    above = [edge.provider, edge.consumer, job_of(estate, edge.consumer)]
    found = (one.consumer for node in above for one in estate.incoming(node, Relation.WATCHES))
    return list(each_once(node for node in found if node.kind is Kind.ALERT))


def blind_watchers(estate: EstateView, ways: Ways) -> Iterator[Blind]:
    """The alerts that watch only what is going, and such probes that no alert looks at.

    Not those whose own Prometheus is to be switched off: they are gone with it. Never those to which service discovery
    may add targets.
    """
    leaving = {one.host for one in estate.going if one.lifecycle is not Lifecycle.READ_ONLY}
    for kind in (Kind.ALERT, Kind.PROBE):
        for node in estate.nodes(kind):
            if estate.impact_of(node) not in (Impact.BLIND, Impact.BROKEN) or node.scope in leaving or is_ping(node):
                continue
            if kind is Kind.PROBE and _has_alert(estate, node):
                continue
            watched = watched_by(estate, node)
            if watched.dynamic or not watched.targets:
                continue
            ends = [ways.hosts(target.node) for target in watched.targets]
            if all(ends):
                yield Blind(node, watched.targets, tuple(sorted(frozenset[str]().union(*ends))))


def _has_alert(estate: EstateView, probe: Node) -> bool:
    """Whether an alert looks at a probe, itself or through its scrape job."""
    above = [edge.consumer for edge in estate.incoming(probe, Relation.WATCHES)]
    jobs = [node for node in above if node.kind is Kind.SCRAPE]
    above += [edge.consumer for job in jobs for edge in estate.incoming(job, Relation.WATCHES)]
    return any(node.kind is Kind.ALERT for node in above)


def is_ping(node: Node) -> bool:
    """Whether a watcher is a dead man's switch, which a job pings: it raises an alarm when the job goes, and never sees
    anything but that job."""
    return node.kind is Kind.PROBE and node.attributes.get("program") == "ping"


def name_of(alert: Node) -> str:
    """What people call an alert, a probe or a scrape job: its name without its group or job."""
    if called := alert.attributes.get("called"):
        return str(called)
    if alert.kind is Kind.PROBE:
        return asked_by(alert) or alert.text
    if alert.kind is not Kind.ALERT:
        return alert.text
    if alert.attributes.get("declared"):
        return alert.text.removeprefix("declared/")
    return alert.text.rpartition("/")[2] or alert.text


def asked_by(probe: Node) -> str:
    """What a probe asks: its name without its job, whose name may hold slashes."""
    job = probe.attributes.get("job")
    return probe.text.removeprefix(f"{job}/") if job else probe.text.partition("/")[2]


def stages_of(alert: Node) -> tuple[str, ...]:
    """The stages of a renewal that an alert watches."""
    stages = alert.attributes.get("stage")
    return stages if isinstance(stages, tuple) else ()


def job_of(estate: EstateView, node: Node) -> Node:
    """The scrape job of a probe; any other node as it is."""
    if node.kind is Kind.PROBE:
        for edge in estate.incoming(node, Relation.WATCHES):
            if edge.consumer.kind is Kind.SCRAPE:
                return edge.consumer
    return node


def watchers_of(estate: EstateView, host: Node) -> list[Node]:
    """The alerts, probes and scrape jobs that look at a host, directly or through one another; not what it pings."""
    seen: dict[int, Node] = {}
    pending = [host, *references_to(estate, host)]
    while pending:
        for edge in estate.incoming(pending.pop(), Relation.WATCHES):
            if edge.consumer.id not in seen and not is_ping(edge.consumer):
                seen[edge.consumer.id] = edge.consumer
                pending.append(edge.consumer)
    return list(seen.values())
