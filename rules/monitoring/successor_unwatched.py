"""Successors that nobody watches yet."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Final

from auditor.api import (
    Area,
    Confidence,
    EstateView,
    Finding,
    Going,
    Impact,
    Kind,
    Node,
    Provenance,
    Relation,
    Rule,
    Severity,
    listed,
    plural,
)
from rules.monitoring.watched import job_of, name_of, names_host, stages_of, watched_by, watchers_of
from rules.texts import settings
from rules.ways import distinct, each_once, references_to

_STAGES: Final = {"attempted": "are attempted", "deployed": "are deployed", "succeeded": "succeed"}


class SuccessorUnwatchedRule(Rule):
    """Finds hosts that are watched while the host that takes over is not, or not in the same ways.

    What it does
    ------------
    Compares who watches a host that is going with who watches its declared successor: scrape jobs, probes (by their
    job), and the stages of a renewal that alerts watch. If nobody watches the successor, or a scrape job, or a stage,
    is missing, it lists what is. It blocks if the successor renews a certificate and nobody watches it at all. Alerts
    on the old host's name alone are alert-blind's; they do not count here if the successor has others. Jobs with
    service discovery may watch the successor unseen: they are not called missing, and lower the confidence.

    Why it matters
    --------------
    In a move the work goes to the new server, and the monitoring stays with the old one. From then on everything is
    green.

    Example
    -------
    `legacy-cert-01:9100` is a target of `node` and `https://certs.example.net` one of `tls`; `cert-core-01` is in
    neither.

    What to do
    ----------
    Add the successor to each scrape job and probe that is listed, and let each alert speak of it.

    What it can't see
    -----------------
    Service discovery, and monitoring that is not in the estate and not declared as `watches` in the inventory.
    """

    id: ClassVar[str] = "successor-unwatched"
    title: ClassVar[str] = "The successor is not watched as the old host is"
    area: ClassVar[Area] = Area.MONITORING
    severity: ClassVar[Severity] = Severity.WARN
    needs: ClassVar[frozenset[Relation]] = frozenset({Relation.WATCHES})

    def check(self, estate: EstateView) -> Iterator[Finding]:
        """One finding for each host with a successor that stays."""
        for going in estate.going:
            host = estate.host(going.host)
            successor = estate.successor(host) if host is not None else None
            if host is None or successor is None or estate.going_for(successor) is not None:
                continue
            found = self._compare(estate, going, host, successor)
            if found is not None:
                yield found

    def _compare(self, estate: EstateView, going: Going, host: Node, successor: Node) -> Finding | None:
        old, new = watchers_of(estate, host), watchers_of(estate, successor)
        old_jobs, new_jobs = _jobs(estate, old), _jobs(estate, new)
        old_alerts = [node for node in old if node.kind is Kind.ALERT]
        new_alerts = [node for node in new if node.kind is Kind.ALERT]
        if not old:
            return None
        known = {job.id for job in new_jobs}
        jobs = [job for job in old_jobs if job.id not in known and not job.attributes.get("dynamic")]
        watched_stages = {stage for alert in new_alerts for stage in stages_of(alert)}
        same = {alert.id for alert in new_alerts}
        alerts = [alert for alert in old_alerts if alert.id not in same]
        stages = {stage for alert in alerts for stage in stages_of(alert)} - watched_stages
        if not (jobs or stages or (alerts and not new_alerts)):
            return None
        dynamic = [job for job in estate.nodes(Kind.SCRAPE) if job.attributes.get("dynamic")]
        renews = any(True for _ in estate.nodes_at(successor.text, Kind.LINEAGE))
        jobs.sort(key=lambda job: job.text)
        alerts.sort(key=lambda alert: alert.text)
        missing = [f"{'scrape job' if job.kind is Kind.SCRAPE else 'probe'} {name_of(job)}" for job in jobs]
        missing += [f"alert {name_of(alert)}" for alert in alerts]
        by = "by nobody" if not new else f"by {_count(new_jobs, new_alerts)}"
        unseen = f" {plural(len(dynamic), 'scrape job')} with service discovery may watch it unseen." if dynamic else ""
        unwatched = listed([_STAGES[stage] for stage in sorted(stages & _STAGES.keys())]) if new else ""
        of_stages = f", and nobody watches there whether renewals {unwatched}" if unwatched else ""
        lines = _lines(estate, host, {node.id for node in (*jobs, *alerts)}) or host.provenance[:1]
        if not lines:
            return None
        steps = [f"add {successor.text} to the targets of {listed([name_of(job) for job in jobs], 8)}"] if jobs else []
        if alerts:
            steps.append(f"let {listed([name_of(alert) for alert in alerts], 8)} speak of {successor.text}")
        action = f"{', and '.join(steps)}: {listed(settings(lines), 8)}."
        return Finding(
            rule=self.id,
            area=self.area,
            severity=Severity.BLOCK if renews and not new and not dynamic else self.severity,
            confidence=Confidence.LOW if dynamic and not new else Confidence.HIGH,
            subject=successor.text,
            identity=(going.host, successor.text),
            message=f"{going.host} is watched by {_count(old_jobs, old_alerts)}, "
            f"its successor {successor.text} {by}{of_stages}",
            why=f"What happens on {successor.text} shows nowhere: {listed(missing, 8)} "
            f"{'looks' if len(missing) == 1 else 'look'} at {going.host} and not at it.{unseen}",
            action=action[0].upper() + action[1:],
            impact=Impact.BLIND,
            evidence=lines,
            hosts=(going.host,),
        )


def _jobs(estate: EstateView, watchers: list[Node]) -> list[Node]:
    """The scrape jobs among watchers, and the probes that have none."""
    return list(each_once(job_of(estate, node) for node in watchers if node.kind is not Kind.ALERT))


def _count(jobs: list[Node], alerts: list[Node]) -> str:
    parts = []
    for kind, what in ((Kind.SCRAPE, "scrape job"), (Kind.PROBE, "probe")):
        if count := sum(job.kind is kind for job in jobs):
            parts.append(plural(count, what))
    if alerts:
        parts.append(plural(len(alerts), "alert"))
    return listed(parts)


def _lines(estate: EstateView, host: Node, wanted: set[int]) -> tuple[Provenance, ...]:
    """The lines by which these watchers look at a host."""
    found: list[Provenance] = []
    for node in (host, *references_to(estate, host)):
        found += [
            edge.provenance
            for edge in estate.incoming(node, Relation.WATCHES)
            if (edge.consumer.id in wanted or job_of(estate, edge.consumer).id in wanted)
            and (
                edge.consumer.kind is not Kind.ALERT
                or bool(edge.consumer.attributes.get("declared"))
                or names_host(estate, edge.consumer, edge.provenance, [host.text])
            )
        ]
    if not found:
        found = [
            target.edges[-1].provenance
            for node in watchers_of(estate, host)
            if node.id in wanted
            for target in watched_by(estate, node).targets
            if any(one.id == host.id for one in estate.reaches(target.node))
        ]
    return distinct(found)
