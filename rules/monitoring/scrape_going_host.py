"""Scrape jobs and probes that still list a host that is to be switched off."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

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
    Node,
    Relation,
    Rule,
    Severity,
    listed,
    plural,
)
from rules.monitoring.watched import alerts_over, blind_watchers, is_ping, job_of, name_of, watched_by
from rules.texts import settings, written
from rules.ways import Ways, distinct, each_once, references_to


class ScrapeGoingHostRule(Rule):
    """Finds the targets of scrape jobs and probes that lead to a host that is to be switched off.

    What it does
    ------------
    Lists, for each scrape job, the targets that lead to the host: by its name, its address, or a name that leads to it
    alone. Targets that only blind alerts use are left out (see alert-blind), and so are jobs of a Prometheus that is
    going itself. For a read-only host, which can still be scraped, it says nothing. It warns if an alert looks at the
    target and will fire, or if the job federates from a Prometheus there, and informs if not.

    Why it matters
    --------------
    A target that is down for ever is an alert that fires for ever, and soon one that somebody silences for all.

    Example
    -------
    `targets: ["legacy-cert-01:9100", "web1:9100"]` with `InstanceDown` on the job: it fires five minutes after the
    switch-off.

    What to do
    ----------
    Remove the target on the day, after the host is off; put the successor in its place.

    What it can't see
    -----------------
    Targets of service discovery: the host must leave the registry, tag or API that they come from.
    """

    id: ClassVar[str] = "scrape-going-host"
    title: ClassVar[str] = "A scrape job lists a host that is going"
    area: ClassVar[Area] = Area.MONITORING
    severity: ClassVar[Severity] = Severity.WARN
    needs: ClassVar[frozenset[Relation]] = frozenset({Relation.WATCHES})

    def check(self, estate: EstateView) -> Iterator[Finding]:
        """One finding for each host and scrape job."""
        ways = Ways(estate)
        leaving = [one for one in estate.going if one.lifecycle is not Lifecycle.READ_ONLY]
        told = {blind.watcher.id for blind in blind_watchers(estate, ways)}
        for going in leaving:
            host = estate.host(going.host)
            if host is None:
                continue
            jobs: dict[int, tuple[Node, list[Edge]]] = {}
            for node in (host, *references_to(estate, host)):
                if node is not host and going.host not in ways.hosts(node):
                    continue
                for edge in estate.incoming(node, Relation.WATCHES):
                    watcher = edge.consumer
                    if watcher.kind is Kind.ALERT or watcher.id in told or is_ping(watcher):
                        continue
                    users = {alert.id for alert in alerts_over(estate, edge)}
                    if users and users <= told:
                        continue
                    if any(watcher.scope == one.host for one in leaving):
                        continue
                    job = job_of(estate, watcher)
                    jobs.setdefault(job.id, (job, []))[1].append(edge)
            for job, edges in jobs.values():
                yield self._finding(estate, ways, going, job, edges)

    def _finding(self, estate: EstateView, ways: Ways, going: Going, job: Node, edges: list[Edge]) -> Finding:
        whole = watched_by(estate, job)
        firing = [
            name_of(node)
            for node in each_once(alert for edge in edges for alert in alerts_over(estate, edge))
            if node.attributes.get("watches_absence")
        ]
        names = list(dict.fromkeys(edge.provider.text for edge in edges))
        total = f" ({len(names)} of {plural(len(whole.targets), 'target')})" if len(whole.targets) > len(names) else ""
        lines = distinct(edge.provenance for edge in edges)
        what = "Scrape job" if job.kind is Kind.SCRAPE else "Probe"
        fires = f", and {listed(firing)} will fire" if firing else ""
        federates = bool(job.attributes.get("federation"))
        why = "A target that is down for ever hides those that are down by accident."
        if federates:
            why = "It federates: what the Prometheus there has seen of other hosts arrives no more."
        instead = f"put {going.successor} in its place" if going.successor else "put what takes over in its place"
        return Finding(
            rule=self.id,
            area=self.area,
            severity=self.severity if firing or federates else Severity.INFO,
            confidence=Confidence.HIGH,
            subject=job.label,
            identity=(going.host, job.scope, job.text),
            message=f"{what} {job.text} lists {listed(names)}{total}, on {going.host}: it will be down{fires}",
            why=why,
            action=f"Remove {listed(names)} from {listed(settings(lines))}, or {instead}."
            + written(estate, lines, [going.host]),
            impact=Impact.BLIND if len(names) == len(whole.targets) else Impact.DEGRADED,
            evidence=lines,
            path=ways.steps(edges[0]),
            hosts=(going.host,),
        )
