"""Alerts that watch only what is going."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import ClassVar, Final

from auditor.api import (
    Area,
    Blast,
    Confidence,
    EstateView,
    Finding,
    Impact,
    Kind,
    Node,
    Provenance,
    Relation,
    Rule,
    Severity,
    day,
    listed,
    plural,
    split_endpoint,
    time_left,
)
from rules.monitoring.watched import Blind, blind_watchers, lines_of, name_of, stages_of, watched_by, watchers_of
from rules.texts import is_answer, settings, written
from rules.ways import Ways, distinct, is_own_name, only_read_only, since, successor_of

_CHECKS_OF_HOSTS: Final = frozenset({"nagios", "icinga2", "zabbix"})
"""Programs whose checks belong to a host object: with the host they are deleted, rather than pointed elsewhere."""


class AlertBlindRule(Rule):
    """Finds alerts, and probes that no alert looks at, all of whose targets are hosts that are going.

    What it does
    ------------
    Follows each alert through its selectors, scrape jobs and probes to what it looks at in the end: an address, a name
    with its CNAMEs, a URL. If all of that leads to hosts that are going, the alert is blind: on a retired host its
    metric vanishes and the alert with it; on a read-only host it stays green, whatever happens to the job that has
    moved away. An alert on `up == 0` or `absent()` fires instead when the host is switched off, and the finding says
    so. An alert that watches a stage of a certificate's renewal blocks, unless another alert watches that stage where
    the certificate is used now. To an alert whose targets come from service discovery this never applies. A scrape
    job or a probe that only such alerts use is not reported again.

    Why it matters
    --------------
    Nothing is as quiet as an alert that watches a healthy server on which nothing happens any more.

    Example
    -------
    `probe_ssl_earliest_cert_expiry{job="tls"} - time() < 86400 * 3`, where the only target of `tls` is
    `https://certs.eventide.net`, a CNAME of the old server.

    What to do
    ----------
    Point the target or the selector at the successor, or at the name that clients use; delete what only spoke of the
    old server.

    What it can't see
    -----------------
    Targets of service discovery, alerts of systems whose configuration is not in the estate (declare those as
    `watches` in the inventory), and what people look at on a dashboard.
    """

    id: ClassVar[str] = "alert-blind"
    title: ClassVar[str] = "An alert watches only what is going"
    area: ClassVar[Area] = Area.MONITORING
    severity: ClassVar[Severity] = Severity.BLOCK
    needs: ClassVar[frozenset[Relation]] = frozenset({Relation.WATCHES})

    def check(self, estate: EstateView) -> Iterator[Finding]:
        """One finding for each alert; the same alert on several servers is one."""
        ways = Ways(estate)
        alike: dict[tuple[Kind, str, tuple[str, ...]], list[Blind]] = {}
        found = list(blind_watchers(estate, ways))
        told = {blind.watcher.id for blind in found}
        for blind in found:
            alike.setdefault((blind.watcher.kind, blind.watcher.text, blind.hosts), []).append(blind)
        counts: dict[tuple[str, ...], str] = {}
        children = _children(estate)
        for same in alike.values():
            hosts = same[0].hosts
            if hosts not in counts:
                counts[hosts] = _counted(estate, found, hosts)
            behind = [child for one in same for child in children.get(_named(one.watcher), ())]
            yield self._finding(estate, ways, same, told, counts[hosts], behind)

    def _finding(
        self, estate: EstateView, ways: Ways, same: list[Blind], told: set[int], count: str, behind: list[Node]
    ) -> Finding:
        first = same[0]
        alert, hosts = first.watcher, first.hosts
        stages = stages_of(alert)
        blast = _nearest_end(estate, hosts) if stages else None
        block = bool(stages) and not _only_in_time(estate, alert, hosts) and not _covered(estate, ways, first, blast)
        evidence = distinct(
            line for one in same for target in one.targets for line in lines_of(estate, one.watcher, target, told)
        )
        edges = [edge for one in first.targets for edge in one.edges]
        low = all(edge.confidence is Confidence.LOW for edge in edges)
        medium = any(edge.confidence is not Confidence.HIGH for edge in edges)
        return Finding(
            rule=self.id,
            area=self.area,
            severity=self.severity if block else Severity.WARN,
            confidence=Confidence.LOW if low else Confidence.MEDIUM if medium else Confidence.HIGH,
            subject=alert.label + (f" and {plural(len(same) - 1, 'other server')}" if len(same) > 1 else ""),
            identity=(alert.text, *hosts),
            message=_message(estate, alert, hosts),
            why=_why(estate, alert, hosts, blast) + (count if alert.kind is Kind.ALERT else ""),
            action=_action(estate, first, evidence, len(same))
            + _as_parent(behind)
            + written(estate, _rewritable(alert, evidence), hosts),
            impact=Impact.BLIND,
            evidence=distinct((*evidence, *_parent_lines(behind))),
            path=ways.steps(*first.targets[0].edges),
            hosts=hosts,
            deadline=blast.not_after if blast is not None else None,
        )


def _counted(estate: EstateView, found: list[Blind], hosts: tuple[str, ...]) -> str:
    """` 4 of 5 alerts that watch it watch nothing else.`: for the alerts on these hosts."""
    nodes = [host for name in hosts if (host := estate.host(name)) is not None]
    every = {one.text for node in nodes for one in watchers_of(estate, node) if one.kind is Kind.ALERT}
    blind = {one.watcher.text for one in found if one.watcher.kind is Kind.ALERT and set(one.hosts) <= set(hosts)}
    whom = "it" if len(hosts) == 1 else "them"
    verb = "watches" if len(every | blind) == 1 else "watch"
    return f" {len(blind)} of {plural(len(every | blind), 'alert')} that {verb} {whom} {verb} nothing else."


def _only_in_time(estate: EstateView, alert: Node, hosts: tuple[str, ...]) -> bool:
    """Whether an alert counts the time since a renewal on a host that stays: it fires, as it should."""
    counts = set(stages_of(alert)) <= {"attempted", "succeeded"} and not alert.attributes.get("declared")
    return counts and only_read_only(estate, hosts)


def _message(estate: EstateView, alert: Node, hosts: tuple[str, ...]) -> str:
    what = f"{'Alert' if alert.kind is Kind.ALERT else 'The probe of'} {name_of(alert)}"
    names = listed(hosts)
    looks = f"{what} watches only {names}" if alert.kind is Kind.ALERT else f"{what} asks only {names}"
    if only_read_only(estate, hosts):
        if stages_of(alert) and _only_in_time(estate, alert, hosts):
            return f"{looks}: it tells of renewals there, and never of those that take over"
        return f"{looks}: it stays green whatever happens elsewhere"
    if alert.kind is not Kind.ALERT:
        return f"{looks}, and fails with it"
    if not alert.attributes.get("watches_absence"):
        return f"{looks}: its metric vanishes with that server, and the alert falls silent"
    if "absent" in str(alert.attributes.get("expr", "")):
        return f"{looks}: it fires when that server is gone, and until the rule is deleted"
    return f"{looks}: it fires when that server is switched off, and is silent for ever once its target is removed"


def _silence(alert: Node) -> str:
    """What becomes of an alert whose metric is there no more, by the program that judges it."""
    if alert.attributes.get("program") == "CloudWatch":
        return "An alarm without data is INSUFFICIENT_DATA, of which its actions for ALARM tell nobody"
    return "An alert without series is no error to Prometheus: it shows as inactive, like a healthy one"


def _why(estate: EstateView, alert: Node, hosts: tuple[str, ...], blast: Blast | None) -> str:
    parts = []
    if alert.kind is not Kind.ALERT:
        parts.append("No alert of this estate looks at the probe: people may do so on a dashboard")
    begun = since(estate, hosts)
    if only_read_only(estate, hosts):
        since_then = f" since {begun}" if begun else ""
        parts.append(f"{listed(hosts)} answers as ever, and nothing changes there any more{since_then}")
    elif alert.kind is Kind.ALERT and alert.attributes.get("watches_absence"):
        parts.append("An alarm that everybody expects teaches people to ignore the next one")
    elif alert.kind is Kind.ALERT:
        parts.append(_silence(alert))
    if words := _stage_words(stages_of(alert)):
        parts.append(f"it is to tell that a renewal {words}")
    if blast is not None and blast.not_after is not None:
        reach = [plural(len(blast.hosts), "host")] if blast.hosts else []
        reach += [plural(len(blast.names), "name")] if blast.names else []
        over = f", for {' and '.join(reach)}" if reach else ""
        ends = "ended" if blast.not_after < estate.now else "ends"
        parts.append(f"the certificate {ends} {time_left(estate.now, blast.not_after)} ({day(blast.not_after)}){over}")
    return "; ".join(parts) + "."


def _stage_words(stages: tuple[str, ...]) -> str:
    words = {
        "attempted": "was not attempted",
        "succeeded": "did not succeed",
        "deployed": "was not deployed",
        "expiry": "comes too late",
    }
    return " or ".join(words[stage] for stage in stages if stage in words)


def _action(estate: EstateView, blind: Blind, lines: tuple[Provenance, ...], servers: int) -> str:
    successor = successor_of(estate, blind.hosts)
    alert = blind.watcher
    names = list(dict.fromkeys(_reference(target.node) for target in blind.targets))
    if alert.attributes.get("declared"):
        to = f"to {successor}" if successor else "to what takes over"
        return f"Have {name_of(alert)} changed {to}, and correct `watches` in inventory.yaml."
    where = listed(settings(lines))
    each = f" on all {servers} servers" if servers > 1 else ""
    if alert.attributes.get("program") in _CHECKS_OF_HOSTS:
        anew = f", and define what it must still check for {successor}" if successor else ""
        own = next((f"{line.path}:{line.line}" for line in alert.provenance[:1]), "")
        defined = (
            f", and the check itself ({own}) if nothing else is left in it" if own and len(blind.targets) == 1 else ""
        )
        return f"Delete {listed(blind.hosts)} from it in {where}{each}{defined}{anew}."
    if not successor and (alert.kind is not Kind.ALERT or all(map(is_answer, lines))):
        return f"Point it at what takes over, or delete it, in {where}{each}."
    if not successor:
        return f"Point it at what takes over, or delete the alert and {listed(names)} in {where}{each}."
    if all(is_own_name(estate, target.node) for target in blind.targets):
        return f"Replace {listed(names)} by {successor} in {where}{each}."
    return f"Lead {listed(names)} to {successor}, or write {successor} in its place in {where}{each}."


def _named(alert: Node) -> tuple[str, str]:
    """The place of an alert on a host in Nagios, and what Nagios calls the host; an empty name for others."""
    is_host = alert.attributes.get("program") == "nagios" and alert.text.endswith("/host")
    return alert.scope, alert.text.removesuffix("/host") if is_host else ""


def _children(estate: EstateView) -> dict[tuple[str, str], list[Node]]:
    """The alerts on hosts of Nagios that have another as a parent, by its place and name."""
    found: dict[tuple[str, str], list[Node]] = {}
    for alert in estate.nodes(Kind.ALERT):
        parents = alert.attributes.get("parents")
        for parent in parents if isinstance(parents, tuple) else ():
            found.setdefault((alert.scope, parent), []).append(alert)
    return found


def _parent_lines(children: list[Node]) -> tuple[Provenance, ...]:
    return distinct(line for one in children for line in one.provenance if line.excerpt.lstrip().startswith("parents"))


def _as_parent(children: list[Node]) -> str:
    if not children:
        return ""
    names = listed(sorted({name_of(one) for one in children}), 5)
    return f" Take it out of `parents` of {names} first: Nagios refuses a parent that is defined nowhere."


def _rewritable(alert: Node, lines: tuple[Provenance, ...]) -> tuple[Provenance, ...]:
    """The lines of an alert in which the successor may take the host's place.

    The address of a host's own definition is none: its checks would be called as before, and be of another machine.
    """
    if alert.attributes.get("program") not in _CHECKS_OF_HOSTS:
        return lines
    return tuple(one for one in lines if not one.excerpt.lstrip().startswith("address"))


def _reference(node: Node) -> str:
    parts = split_endpoint(node.text) if node.kind is Kind.ENDPOINT else None
    return parts.host if parts is not None else node.text


def _nearest_end(estate: EstateView, hosts: tuple[str, ...]) -> Blast | None:
    """Of the certificates that these hosts renew the one that ends first."""
    found = [
        blast
        for host in hosts
        for lineage in estate.nodes_at(host, Kind.LINEAGE)
        if (blast := estate.blast_radius(lineage)) is not None and blast.not_after is not None
    ]
    return min(found, key=lambda one: one.not_after or datetime.max.replace(tzinfo=estate.now.tzinfo), default=None)


def _covered(estate: EstateView, ways: Ways, blind: Blind, blast: Blast | None) -> bool:
    """Whether living alerts watch all stages of a blind one, on the successor or where its certificate is served."""
    places = set(blast.hosts) if blast is not None else set()
    places |= {successor_of(estate, blind.hosts)} - {""}
    places -= {one.host for one in estate.going}
    names = set(blast.names) if blast is not None else set()
    left = set(stages_of(blind.watcher))
    for alert in estate.nodes(Kind.ALERT):
        common = left & set(stages_of(alert))
        if not common or estate.impact_of(alert) in (Impact.BLIND, Impact.BROKEN):
            continue
        for target in watched_by(estate, alert).targets:
            here = _reference(target.node) in names or any(host.text in places for host in estate.reaches(target.node))
            if here and not ways.hosts(target.node):
                left -= common
                break
    return not left
