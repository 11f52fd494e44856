"""Monitoring that checks hosts by itself (Nagios, Icinga 2, Zabbix, Monit and others), where it is going."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from auditor.api import Edge, EstateView, Going, Kind, Node, Provenance, Relation
from rules.monitoring.watched import WATCHERS, is_ping
from rules.ways import distinct

PROGRAMS: Final = {
    "collectd": "collectd",
    "icinga2": "Icinga 2",
    "monit": "Monit",
    "nagios": "Nagios",
    "telegraf": "Telegraf",
    "uptime-kuma": "Uptime Kuma",
    "zabbix": "Zabbix",
}
"""The value of `program` on what they check, and how people call them."""
STORES: Final = {
    "collectd": "its samples",
    "icinga2": "its state and its history",
    "monit": "its state and its log",
    "nagios": "its state, its results and its log",
    "telegraf": "what it has not sent yet",
    "uptime-kuma": "its database",
    "zabbix": "its database",
}
SERVERS: Final = frozenset({"nagios", "zabbix"})
"""Those that run to watch others. The rest, also as agents, are on every host, and count where they look at another."""

_LINES: Final = 20


@dataclass(frozen=True, slots=True)
class Checker:
    """One such program on a going host: its own service if that is known, and what it looks at."""

    program: str
    service: Node | None
    watchers: tuple[Node, ...]
    watched: frozenset[str]
    """Hosts that stay, and endpoints of unknown hosts."""
    alone: frozenset[str]
    """Those of them that nothing else of the estate looks at."""

    @property
    def lines(self) -> tuple[Provenance, ...]:
        """The service's lines, else the first ones of what it checks."""
        if self.service is not None:
            return distinct(self.service.provenance)
        return distinct(line for node in self.watchers for line in node.provenance)[:_LINES]


def checkers_on(estate: EstateView, going: Going) -> Iterator[Checker]:
    """The programs on a host that look at others, and servers of monitoring whatever is known of their checks."""
    by_program: dict[str, list[Node]] = {}
    for kind in (Kind.ALERT, Kind.PROBE):
        for node in estate.nodes_at(going.host, kind):
            if node.attributes.get("program") in PROGRAMS:
                by_program.setdefault(str(node.attributes["program"]), []).append(node)
    services = {
        str(node.attributes.get("program")): node
        for node in estate.nodes_at(going.host, Kind.SERVICE)
        if node.attributes.get("program") in PROGRAMS
    }
    for program in sorted(by_program.keys() | (services.keys() & SERVERS)):
        leaving = {one.host for one in estate.going}
        watchers = tuple(node for node in by_program.get(program, ()) if looked_at(estate, [node]) - leaving)
        watched = frozenset(looked_at(estate, watchers) - leaving)
        service = services.get(program)
        if not watched and (service is None or program not in SERVERS):
            continue
        others = watched_elsewhere(estate, going.host, Kind.SCRAPE, Kind.PROBE, Kind.ALERT) if watched else set()
        yield Checker(program, service, watchers, watched, watched - others)


def looked_at(estate: EstateView, nodes: Sequence[Node]) -> set[str]:
    """The hosts, and the endpoints of unknown hosts, that watchers look at themselves."""
    found: set[str] = set()
    for node in nodes:
        for edge in estate.outgoing(node, Relation.WATCHES):
            found.update(_ends(estate, edge))
    return found


def _ends(estate: EstateView, edge: Edge) -> list[str]:
    if edge.provider.kind in WATCHERS or edge.provider.kind is Kind.GROUP:
        return []
    return [host.text for host in estate.reaches(edge.provider)] or [edge.provider.text]


def watched_elsewhere(estate: EstateView, host: str, *kinds: Kind) -> set[str]:
    """What is looked at from elsewhere by monitoring that stays: by watchers of these kinds."""
    nodes = [
        node
        for kind in kinds
        for node in estate.nodes(kind)
        if node.scope != host and not _on_going(estate, node) and not is_ping(node)
    ]
    return looked_at(estate, nodes)


def _on_going(estate: EstateView, node: Node) -> bool:
    home = estate.home(node)
    return home is not None and estate.going_for(home) is not None
