"""Which stages of a renewal nobody watches."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
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
    Relation,
    Rule,
    Severity,
    listed,
    plural,
)
from rules.monitoring.watched import name_of
from rules.renewal.lineages import (
    Lineages,
    Renewal,
    called,
    going_behind,
    lines,
    names_of,
    served_elsewhere,
    shown,
)

STAGES: Final = {
    "attempted": "were not attempted",
    "succeeded": "did not succeed",
    "deployed": "were not deployed",
}
_LIMIT: Final = 2000


class RenewalStagesUnwatchedRule(Rule):
    """Stages of a renewal (attempted, succeeded, deployed) whose failure no alert would show.

    What it does
    ------------
    For each lineage that runs on a host that is going or through it, and for those of its successor, it looks for an
    alert on each stage. An alert counts if it watches the lineage's host or what serves the certificate, goes on seeing
    in this scenario, and does not run on the host itself; one whose series vanishes with its target
    (`probe_ssl_earliest_cert_expiry`) counts only if it or another alert tells of that (`absent()`, `up`,
    `probe_success`). So does the ping of a dead man's switch in what starts the
    renewal, as long as somebody takes it, and an alert on what that job pushes to a Pushgateway.

    Why it matters
    --------------
    An alert on the certificate's end alone comes when the time to act is over; an alert on the old server sees a
    server that looks healthy. Each stage can fail by itself.

    Example
    -------
    The only alert on the renewal is a probe of the old server's port 443.

    What to do
    ----------
    Alert on the age of the last attempt and of the last success (a metric of the job, or a dead man's switch), and
    probe the certificate that is served, at each name. Declare what can't be collected as `watches` with a `stage`.

    What it can't see
    -----------------
    Whether somebody reads the mail of cron, and checks of monitoring services that were neither captured nor declared.
    Whether alerts on the host itself go blind is told by the rules about monitoring.
    """

    id: ClassVar[str] = "renewal-stages-unwatched"
    title: ClassVar[str] = "Stages of a renewal that nobody watches"
    area: ClassVar[Area] = Area.RENEWAL
    severity: ClassVar[Severity] = Severity.WARN
    needs: ClassVar[frozenset[Relation]] = frozenset({Relation.WATCHES, Relation.RENEWED_BY})

    def check(self, estate: EstateView) -> Iterator[Finding]:
        """One finding for each lineage."""
        staged = _staged(estate)
        for renewal, going in in_question(estate):
            yield from self._lineage(estate, renewal, going, staged)

    def passed(self, estate: EstateView) -> Iterator[str]:
        """The renewals all of whose stages are watched, with what watches each."""
        staged = _staged(estate)
        for renewal, _ in in_question(estate):
            seeing = _seeing(estate, alerts_on(estate, renewal, staged))
            by_stage = {stage: [name_of(one) for one in seeing if stage in _stages(one)] for stage in STAGES}
            if all(by_stage.values()):
                said = "; ".join(f"{stage} by {listed(names)}" for stage, names in by_stage.items())
                count = len(STAGES)
                yield f"{count} of {count} stages of the renewal of {called(renewal.lineage)} are watched: {said}"

    def _lineage(self, estate: EstateView, renewal: Renewal, going: Going, staged: list[Node]) -> Iterator[Finding]:
        lineage = renewal.lineage
        mine = alerts_on(estate, renewal, staged)
        seeing = _seeing(estate, mine)
        watched = {stage for alert in seeing for stage in _stages(alert)}
        missing = [stage for stage in STAGES if stage not in watched]
        if not missing:
            return
        unseeing = [alert for alert in mine if alert not in seeing and set(_stages(alert)) & set(missing)]
        blind = [alert for alert in unseeing if not _sees(estate, alert)]
        silent = [alert for alert in unseeing if alert not in blind]
        name, count = called(lineage), len(STAGES) - len(missing)
        said = [STAGES[stage] for stage in missing]
        what = f"{', '.join(said[:-1])} or {said[-1]}" if len(said) > 1 else said[0]
        lost = (
            f" {plural(len(blind), 'alert')} would, and {'goes' if len(blind) == 1 else 'go'} blind: "
            f"{listed([one.text for one in blind])}."
            if blind
            else ""
        )
        if silent:
            lost += (
                f" {listed([one.text for one in silent])} would, as long as its target answers: after that there is "
            )
            lost += "nothing to compare, and no `absent()` or `up` beside it."
        stays = lineage.scope if lineage.scope != going.host else ""
        stays = stays or "the host that takes over"
        yield Finding(
            rule=self.id,
            area=self.area,
            severity=self.severity,
            confidence=Confidence.HIGH,
            subject=lineage.label,
            identity=(lineage.scope, lineage.text, *missing),
            message=f"Nobody would notice if the renewal of {name} on {lineage.scope or going.host} {what}",
            why=f"{count} of its {len(STAGES)} stages {'is' if count == 1 else 'are'} watched.{lost}",
            action=f"Alert on {_wanted(missing)} of {renewal.client} on {going.successor or stays}.",
            impact=Impact.NONE,
            evidence=lines(
                (edge.provenance for edge in estate.outgoing(lineage, Relation.RENEWED_BY) if shown(edge.provenance)),
                (one.provenance[0] for one in unseeing if one.provenance),
            )
            or lineage.provenance[:1],
            hosts=(going.host,),
        )


def in_question(estate: EstateView) -> Iterator[tuple[Renewal, Going]]:
    """The renewals in use of hosts that are going, through them, and of their successors, with the going host."""
    by_host = {one.host: one for one in estate.going}
    for one in estate.going:
        if one.successor:
            by_host.setdefault(one.successor, one)
    known = Lineages(estate)
    for renewal in map(known.of, known.all):
        lineage = renewal.lineage
        through = [going for edge in renewal.lost for going in going_behind(estate, edge.provider)]
        going = by_host.get(lineage.scope) or (through[0] if through else None)
        if going is None or not renewal.enabled or (lineage.scope == going.host and known.twins(lineage)):
            continue
        if served_elsewhere(estate, lineage, estate.blast_radius(lineage)):
            yield renewal, going


def alerts_on(estate: EstateView, renewal: Renewal, alerts: Iterable[Node]) -> list[Node]:
    """Of these alerts and pings those that look at a renewal: at its job, its host, or what has its certificate."""
    hosts, names = around(estate, renewal.lineage)
    runs = _runs(estate, renewal)
    pushed = {
        report.removeprefix("push ")
        for node in runs.values()
        for report in _reports(node)
        if report.startswith("push ")
    }
    return [
        alert
        for alert in alerts
        if _pings(estate, alert, runs) or _is_about(alert, pushed) or watches(estate, alert, hosts, names)
    ]


def _staged(estate: EstateView) -> list[Node]:
    return [one for kind in (Kind.ALERT, Kind.PROBE) for one in estate.nodes(kind) if _stages(one) and heard(one)]


def _seeing(estate: EstateView, alerts: Iterable[Node]) -> list[Node]:
    return [alert for alert in alerts if _sees(estate, alert) and not _vanishes(estate, alert)]


def _wanted(missing: list[str]) -> str:
    words = {
        "attempted": "the age of the last run",
        "succeeded": "the age of the last success",
        "deployed": "the end of the certificate that is served",
    }
    return listed([words[stage] for stage in missing])


def _stages(alert: Node) -> tuple[str, ...]:
    stages = alert.attributes.get("stage")
    return tuple(one for one in stages if one in STAGES) if isinstance(stages, tuple) else ()


def heard(alert: Node) -> bool:
    """Whether an alert is not paused, muted at all times or dropped on its way."""
    return not alert.attributes.get("muted") and alert.attributes.get("enabled") is not False


def _runs(estate: EstateView, renewal: Renewal) -> dict[int, Node]:
    """All that has a part in starting a renewal: clients, and the jobs, units and scripts that call them."""
    found: dict[int, Node] = {}
    pending = [*renewal.clients, *renewal.triggers]
    while pending and len(found) < _LIMIT:
        node = pending.pop()
        if node.id not in found:
            found[node.id] = node
            pending += [edge.provider for edge in estate.outgoing(node, Relation.TRIGGERED_BY)]
    return found


def _reports(node: Node) -> tuple[str, ...]:
    reports = node.attributes.get("reports")
    return reports if isinstance(reports, tuple) else ()


def _pings(estate: EstateView, probe: Node, runs: Mapping[int, Node]) -> bool:
    """Whether a probe is a ping that one of these sends."""
    return probe.kind is Kind.PROBE and any(
        edge.provider.id in runs for edge in estate.outgoing(probe, Relation.WATCHES)
    )


def _is_about(alert: Node, pushed: Collection[str]) -> bool:
    """Whether an alert selects the series of a job that pushes them."""
    matchers = alert.attributes.get("matchers")
    wanted = {f"{label}={name}" for label in ("job", "exported_job") for name in pushed}
    return isinstance(matchers, tuple) and not wanted.isdisjoint(matchers)


def _sees(estate: EstateView, alert: Node) -> bool:
    """Whether an alert still works in this scenario, and does not run on a host that is going.

    A ping that stays away is an alarm: all that can silence it is that nobody is there to miss it.
    """
    if alert.kind is Kind.PROBE:
        return not any(edge.lost for edge in estate.outgoing(alert, Relation.CONNECTS))
    if estate.impact_of(alert) in (Impact.BLIND, Impact.BROKEN):
        return False
    going = {one.host for one in estate.going}
    return not any(
        host.text in going
        for edge in estate.outgoing(alert, Relation.RUNS_ON)
        for host in ((edge.provider,) if edge.provider.kind is Kind.HOST else estate.reaches(edge.provider))
    )


def _vanishes(estate: EstateView, alert: Node) -> bool:
    """Whether an alert falls silent together with the probe that it reads, and no other alert tells of that.

    `probe_ssl_earliest_cert_expiry` is not there for a target that does not answer: no series, no alert.
    """
    metrics = alert.attributes.get("metrics")
    if not isinstance(metrics, tuple) or not metrics or alert.attributes.get("watches_absence"):
        return False
    if not all(metric.startswith("probe_ssl_") for metric in metrics):
        return False
    targets = [edge.provider for edge in estate.outgoing(alert, Relation.WATCHES)]
    return not all(
        any(
            edge.consumer.attributes.get("watches_absence") and heard(edge.consumer)
            for edge in estate.incoming(target, Relation.WATCHES)
        )
        for target in targets
    )


def around(estate: EstateView, lineage: Node) -> tuple[frozenset[str], frozenset[str]]:
    """The hosts and names at which a lineage can be watched: its own host, and what has its certificate."""
    blast = estate.blast_radius(lineage)
    hosts = frozenset({lineage.scope, *(blast.hosts if blast else ())})
    return hosts, frozenset({*(blast.names if blast else ()), *names_of(lineage)})


def watches(estate: EstateView, alert: Node, hosts: frozenset[str], names: frozenset[str]) -> bool:
    """Whether what an alert watches is one of these hosts or names.

    An alert of which nothing is known but its stage (an absent metric of the job) counts.
    """
    seen, pending, any_target = {alert.id}, [alert], False
    while pending and len(seen) < _LIMIT:
        for edge in estate.outgoing(pending.pop(), Relation.WATCHES, Relation.STANDS_FOR, Relation.RESOLVES):
            target = edge.provider
            if target.id in seen:
                continue
            seen.add(target.id)
            any_target = True
            if target.kind is Kind.HOST:
                if target.text in hosts:
                    return True
                continue
            if target.text in names:
                return True
            pending.append(target)
    return not any_target
