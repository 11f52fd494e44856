"""Monitoring that runs on, or through, what is going."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Final

from auditor.api import (
    Area,
    Confidence,
    Edge,
    EstateView,
    Finding,
    Going,
    Impact,
    Kind,
    Lifecycle,
    Need,
    Node,
    Relation,
    Rule,
    Severity,
    listed,
    plural,
)
from rules.monitoring.checkers import PROGRAMS, STORES, Checker, checkers_on, looked_at, watched_elsewhere
from rules.monitoring.watched import WATCHERS, asked_by, is_ping, job_of, name_of
from rules.texts import settings
from rules.ways import Ways, distinct, successor_of

_STORES: Final = {
    "prometheus": "its database of samples",
    "alertmanager": "its silences and its log of notifications",
    "promtail": "its positions",
    "grafana": "the state of its alerts, its sessions and what people save",
}
_CALLED: Final = {
    "prometheus": "Prometheus",
    "alertmanager": "Alertmanager",
    "promtail": "Promtail",
    "grafana": "Grafana",
}


class MonitoringServerGoingRule(Rule):
    """Finds monitoring of all kinds, and exporters that probe for others, on a host that is going.

    What it does
    ------------
    Counts what the monitoring on the host watches elsewhere: hosts that no other Prometheus of the estate watches, and
    alerts that it evaluates. Finds probes of other Prometheus servers that ask through an exporter on the host,
    servers that send alerts only to an Alertmanager there, that write their samples there, or that find their targets
    there; jobs that ping a dead man's switch there, and alerts of Grafana that ask for their data there. On a read-
    only host Prometheus and Alertmanager run, and can't store what they must store: a warning. What only needs an
    answer goes on there.

    Nagios, Icinga 2, Zabbix, Monit, Telegraf, collectd and Uptime Kuma likewise: the hosts that checks on the host look
    at, without those that other monitoring of the estate looks at too. An agent that looks at its own host alone is
    left out; a server of Nagios or Zabbix is a warning even if nothing is known of what it checks.

    Why it matters
    --------------
    Monitoring that is switched off raises no alert.

    Example
    -------
    A blackbox exporter on the old server, through which 40 names of customers are probed.

    What to do
    ----------
    Move the server with its data, or let another one take over its targets and rules, before it goes. Have something
    outside watch that it runs (a dead man's switch).

    What it can't see
    -----------------
    Whether a configuration that lies on a host is the one that runs, and monitoring without a parser here.
    """

    id: ClassVar[str] = "monitoring-server-going"
    title: ClassVar[str] = "Monitoring runs on what is going"
    area: ClassVar[Area] = Area.MONITORING
    severity: ClassVar[Severity] = Severity.BLOCK
    needs: ClassVar[frozenset[Relation]] = frozenset({Relation.WATCHES})

    def check(self, estate: EstateView) -> Iterator[Finding]:
        """One finding for each server on a host, and one for each exporter or service that others use there."""
        ways = Ways(estate)
        for going in estate.going:
            for checker in checkers_on(estate, going):
                yield self._checker(going, checker)
        services = [node for node in estate.nodes(Kind.SERVICE) if node.attributes.get("program") in _CALLED]
        for going in estate.going:
            for service in services:
                if service.scope == going.host:
                    yield self._server(estate, going, service)
        gone = {one.host for one in estate.going if one.lifecycle is not Lifecycle.READ_ONLY}
        users = [node for kind in (Kind.PROBE, Kind.SCRAPE) for node in estate.nodes(kind)]
        users += [node for node in estate.nodes(Kind.ALERT) if node.attributes.get("program") == "grafana"]
        through: dict[tuple[str, str, str], list[Edge]] = {}
        for node in (*services, *users):
            if node.scope in gone:
                continue
            edges = [edge for edge in estate.outgoing(node, Relation.CONNECTS) if ways.hosts(edge.provider)]
            if node.kind is Kind.PROBE and not is_ping(node):
                # A probe that asks only what is going, through what is going, is alert-blind's.
                edges = [edge for edge in edges if _asks_elsewhere(estate, ways, node)]
            for edge in edges:
                if _fails(estate, node, edge):
                    many = is_ping(node) or node.kind is Kind.ALERT
                    user = node.scope if many else job_of(estate, node).label
                    key = (node.kind.value, user, edge.provider.text)
                    through.setdefault(key, []).append(edge)
        for edges in through.values():
            yield self._through(estate, ways, edges)

    def _server(self, estate: EstateView, going: Going, service: Node) -> Finding:
        program = str(service.attributes["program"])
        read_only = going.lifecycle is Lifecycle.READ_ONLY
        watched = _watched_from(estate, going.host)
        elsewhere = {one.host for one in estate.going}
        own = watched - elsewhere
        others = own & watched_elsewhere(estate, going.host, Kind.SCRAPE, Kind.PROBE) if own else set()
        of_grafana = program == "grafana"
        alerts = sum(
            (alert.attributes.get("program") == "grafana") is of_grafana
            for alert in estate.nodes_at(going.host, Kind.ALERT)
        )
        if program == "prometheus":
            watches = plural(len(own), "other host")
            lost = f"{len(own - others)} of the {watches} it watches" if others else f"the {watches} it watches"
            judged = f", with {plural(alerts, 'alert')}" if alerts else ""
            what = f"{lost}{judged}"
        else:
            what = ""
        called = _CALLED[program]
        if read_only:
            message = f"{called} on {going.host} can't store {_STORES[program]} any more"
        elif program == "prometheus" and own:
            message = f"{called} on {going.host} goes, and nothing watches {what}"
        else:
            message = f"{called} on {going.host} goes"
            message += ", and alerts that are sent to it reach nobody" if program == "alertmanager" else ""
            message += f", with {plural(alerts, 'alert')}" if of_grafana and alerts else ""
        spared = program == "prometheus" and not (own - others)
        to = f"to {going.successor}" if going.successor else "to another host"
        lines = distinct(line for line in service.provenance)
        return Finding(
            rule=self.id,
            area=self.area,
            severity=Severity.WARN
            if read_only or spared or program == "promtail" or (of_grafana and not alerts)
            else self.severity,
            confidence=Confidence.MEDIUM if read_only else Confidence.HIGH,
            subject=service.label,
            identity=(going.host, service.text),
            message=message,
            why=(f"It watches {what}. " if read_only and what else "")
            + "Nothing tells that monitoring has stopped, but another monitoring.",
            action=f"Move {called} with {listed(settings(lines))} {to} before {going.host} "
            + ("is made read-only" if read_only else "is switched off")
            + ", and have something else watch that it runs.",
            impact=Impact.DEGRADED if read_only else Impact.BROKEN,
            evidence=lines,
            hosts=(going.host,),
        )

    def _checker(self, going: Going, checker: Checker) -> Finding:
        called = PROGRAMS[checker.program]
        read_only = going.lifecycle is Lifecycle.READ_ONLY
        whole, alone = len(checker.watched), len(checker.alone)
        checks = f", with {plural(len(checker.watchers), 'check')}" if checker.watchers else ""
        lost = f"the {plural(whole, 'other host')} it watches"
        if alone < whole:
            lost = f"{alone} of {lost}"
        if read_only:
            message = f"{called} on {going.host} can't store {STORES[checker.program]} any more"
        elif alone:
            message = f"{called} on {going.host} goes, and nothing watches {lost}{checks}"
        else:
            message = f"{called} on {going.host} goes{checks}"
        if not whole:
            why = "What it watches is in no file that was captured. "
        else:
            why = "" if alone else "Other monitoring looks at all that it watches, though perhaps not in the same way. "
            why = f"It watches {plural(whole, 'other host')}{checks}. " if read_only else why
        to = f"to {going.successor}" if going.successor else "to another host"
        return Finding(
            rule=self.id,
            area=self.area,
            severity=Severity.WARN if read_only or not alone else self.severity,
            confidence=Confidence.MEDIUM if read_only else Confidence.HIGH,
            subject=checker.service.label if checker.service is not None else f"{called} on {going.host}",
            identity=(going.host, checker.program),
            message=message,
            why=why + "Nothing tells that monitoring has stopped, but another monitoring.",
            action=f"Move {called} with {listed(settings(checker.lines))} {to} before {going.host} "
            + ("is made read-only" if read_only else "is switched off")
            + ", and have something else watch that it runs.",
            impact=Impact.DEGRADED if read_only else Impact.BROKEN,
            evidence=checker.lines,
            hosts=(going.host,),
        )

    def _through(self, estate: EstateView, ways: Ways, edges: list[Edge]) -> Finding:
        first = edges[0]
        user, target = first.consumer, first.provider
        hosts = tuple(sorted({host for edge in edges for host in ways.hosts(edge.provider)}))
        where = listed(hosts)
        server = f" on {user.scope}" if user.scope else ""
        if is_ping(user):
            senders = listed([edge.consumer.text.partition("/")[2] for edge in edges])
            message = f"Whether {senders} ran{server} is reported to {where}"
            why = "Once nothing takes their pings there, nobody is told when they stop."
        elif user.kind is Kind.ALERT:
            alike = listed([name_of(edge.consumer) for edge in edges], 8)
            message = f"{plural(len(edges), 'alert')} of Grafana{server} can ask {where} no more: {alike}"
            why = "Without its data source a rule is in error, and says nothing of what it watches."
        elif user.kind is Kind.PROBE:
            asked = listed([asked_by(edge.consumer) for edge in edges])
            message = (
                f"{plural(len(edges), 'probe')} of {job_of(estate, user).text}{server} ask through {where}: {asked}"
            )
            why = "The probes fail with the exporter, whatever the state of what they ask."
        elif user.kind is Kind.SCRAPE:
            message = f"Scrape job {user.text}{server} finds its targets at {where}"
            why = "It keeps the targets that it knew last, and learns of no other."
        elif first.need is Need.WRITE:
            message = f"{_CALLED[str(user.attributes['program'])]}{server} writes to {where}"
            why = "What it writes there is lost once its queue is full."
        elif first.group == "alertmanagers":
            message = f"Prometheus{server} sends all its alerts to {where}"
            why = "No alert that it raises reaches anybody."
        else:
            message = f"{_CALLED[str(user.attributes['program'])]}{server} reads from {where}"
            why = "What it reads from there is missing in what it answers."
        lines = distinct(edge.provenance for edge in edges)
        successor = successor_of(estate, hosts)
        severe = user.kind in (Kind.PROBE, Kind.ALERT) or first.group == "alertmanagers" or first.need is Need.WRITE
        return Finding(
            rule=self.id,
            area=self.area,
            severity=self.severity if severe else Severity.WARN,
            confidence=first.confidence,
            subject=job_of(estate, user).label,
            identity=(user.scope, user.kind.value, job_of(estate, user).text, target.text),
            message=message,
            why=why,
            action=f"Replace {target.text} in {listed(settings(lines))} by "
            + (f"{successor}." if successor else "what takes over."),
            impact=Impact.BLIND if user.kind in WATCHERS else Impact.BROKEN,
            evidence=lines,
            path=ways.steps(first),
            hosts=hosts,
        )


def _fails(estate: EstateView, node: Node, edge: Edge) -> bool:
    """Whether a connection fails, and no alternative of its group is left."""
    if not edge.lost:
        return False
    if not edge.group:
        return True
    return all(other.lost for other in estate.outgoing(node, Relation.CONNECTS) if other.group == edge.group)


def _asks_elsewhere(estate: EstateView, ways: Ways, probe: Node) -> bool:
    return any(not ways.hosts(edge.provider) for edge in estate.outgoing(probe, Relation.WATCHES))


def _watched_from(estate: EstateView, host: str) -> set[str]:
    """The hosts, and the endpoints of unknown hosts, that jobs and probes on a host look at."""
    nodes = [*estate.nodes_at(host, Kind.SCRAPE), *estate.nodes_at(host, Kind.PROBE)]
    return looked_at(
        estate, [node for node in nodes if not is_ping(node) and node.attributes.get("program") not in PROGRAMS]
    )
