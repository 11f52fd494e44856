"""Services elsewhere that can't do without a host that is going."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
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
    Need,
    Relation,
    Rule,
    Severity,
    listed,
    plural,
)
from rules.services.losses import (
    Loss,
    Pool,
    alias_of,
    behind,
    called_as,
    is_whole,
    losses,
    once,
    only_writing,
    pools_of,
    sends,
    state,
    successor_names,
)
from rules.texts import files, settings, written
from rules.ways import strongest

_SHOWN: Final = 1000
_SEVERAL: Final = re.compile(r"\w+ servers of ")
_DECLARED: Final = re.compile(r"(?:^|/)inventory\.yaml$")
_VERBS: Final = {
    Relation.BACKED_BY: "passes requests to",
    Relation.CONNECTS: "connects to",
    Relation.MOUNTS: "mounts from",
    Relation.RUNS_ON: "runs on",
}


class ServiceNeedsGoingHostRule(Rule):
    """Finds services elsewhere that need a host which is going, and have no alternative left.

    What it does
    ------------
    Takes the services of hosts and repositories: web servers and their upstreams, load balancers, directory and time
    clients, containers and Kubernetes objects, load balancers and services of the inventory. It reports those that
    connect to the host, pass requests to it, mount from it or run on it, directly or over names that lead to it alone,
    where every alternative goes with it. It names what stops working in turn. Of a host that becomes read-only only
    those are told that must write there. Equal services on many hosts are one finding.

    Left to others: pools that keep a member (pool-loses-member), Prometheus and Alertmanager (monitoring-server-going),
    logs and mail (logs-and-mail-through-going-host), jobs and scripts (job-calls-going-host), file systems that are
    mounted on hosts (mount-of-going-host), backups (backup-of-going-host, backup-kept-on-going-host) and replicas
    (replication-source-going).

    Why it matters
    --------------
    The service stops on another host, often of another team, and only when somebody uses it.

    Example
    -------
    `upstream tracking { server old-01.example.net:8080; }`

    What to do
    ----------
    Point the line at the successor and reload the service before the host goes.

    What it can't see
    -----------------
    Whether the service is still used, configuration that a template makes at run time, and addresses that it gets from
    a service registry.
    """

    id: ClassVar[str] = "service-needs-going-host"
    title: ClassVar[str] = "A service elsewhere has nothing but the host"
    area: ClassVar[Area] = Area.CONFIGURATION
    severity: ClassVar[Severity] = Severity.BLOCK
    needs: ClassVar[frozenset[Relation]] = frozenset({Relation.CONNECTS})

    def check(self, estate: EstateView) -> Iterator[Finding]:
        """One finding for each service, equal ones on many hosts as one."""
        alike = Counter(one.text for one in estate.nodes(Kind.SERVICE))
        for loss in losses(estate):
            whole = [edge for edge in loss.edges if is_whole(estate, edge)]
            if whole and self.is_told(loss):
                yield self._finding(estate, loss, whole, alike[loss.bare])

    def is_told(self, loss: Loss) -> bool:
        """Whether a loss is told by this rule, and not by the one about logs and mail."""
        return not sends(loss)

    def _finding(self, estate: EstateView, loss: Loss, whole: Sequence[Edge], alike: int) -> Finding:
        going = list(loss.going.values())
        sure = any(edge.confidence is not Confidence.LOW for edge in whole)
        evidence = loss.evidence()
        return Finding(
            rule=self.id,
            area=self.area,
            severity=self.severity if sure else Severity.WARN,
            confidence=min((edge.confidence for edge in whole), key=list(Confidence).index) if sure else Confidence.LOW,
            subject=loss.label,
            identity=(loss.node.kind.value, loss.bare, *loss.hosts, files(evidence)[0]),
            message=_message(estate, loss, whole, going),
            why=_why(estate, loss, whole, going, alike),
            action=_action(estate, loss, whole, going) + written(estate, evidence, loss.hosts),
            impact=Impact.BROKEN,
            evidence=evidence[:_SHOWN],
            path=estate.path_over(whole[0]),
            hosts=tuple(loss.hosts),
        )


def _message(estate: EstateView, loss: Loss, whole: Sequence[Edge], going: Sequence[Going]) -> str:
    pools = [pool for pool in pools_of(estate, whole) if not pool.kept]
    if pools:
        lost = _all_of(pools[0])
        if _SEVERAL.match(loss.label):
            return f"{loss.label} lose {lost.replace('its', 'their')} {once(going)}{_as(estate, whole)}"
        return f"{loss.label} loses {lost} {once(going)}{_as(estate, whole)}"
    first = whole[0]
    does = "writes to" if strongest(whole) is Need.WRITE and first.relation is Relation.CONNECTS else ""
    does = does or _VERBS.get(first.relation, "needs")
    return f"{loss.label} {does} {listed(loss.hosts)}{_as(estate, whole)}, {state(going)}"


def _all_of(pool: Pool) -> str:
    """`its only server`, `both its servers`, `the last of 3 servers`."""
    lost, down = len(pool.lost), len(pool.down)
    if down:
        which = "the last" if lost == 1 else f"the last {lost}"
        return f"{which} of {pool.counted(pool.size)} ({down} {'is' if down == 1 else 'are'} down)"
    if lost == 1:
        return f"its only {pool.noun}"
    return f"both its {pool.nouns}" if lost == 2 else f"all {lost} of its {pool.nouns}"


def _as(estate: EstateView, edges: Sequence[Edge]) -> str:
    return next((text for edge in edges if (text := called_as(estate, edge))), "")


def _why(estate: EstateView, loss: Loss, whole: Sequence[Edge], going: Sequence[Going], alike: int) -> str:
    if strongest(whole) is Need.WRITE:
        said = ["What it sends there is refused or lost"]
    elif only_writing(going):
        said = ["It can't change anything there any more"]
    elif whole[0].relation is Relation.RUNS_ON:
        said = ["It ends with the host"]
    elif whole[0].relation is Relation.BACKED_BY:
        said = ["Requests to it fail then"]
    else:
        said = ["It has nothing else to turn to"]
    if len(loss.consumers) > 1:
        said[0] += f", on {plural(len(loss.consumers), 'host')}"
    if loss.homes and alike > len(loss.consumers):
        said[0] += f": {len(loss.consumers)} of {alike} hosts with it have it so"
    if any(one.attributes.get("critical") is True for one in loss.consumers):
        said.append("It is declared as critical")
    after = behind(estate, loss.consumers)
    if after:
        said.append(f"With it {'goes' if len(after) == 1 else 'go'} {listed(after)}")
    owners = sorted({str(owner) for one in loss.consumers if (owner := one.attributes.get("owner"))})
    if owners:
        said.append(f"Its owner: {listed(owners)}")
    return ". ".join(said) + "."


def _action(estate: EstateView, loss: Loss, whole: Sequence[Edge], going: Sequence[Going]) -> str:
    lines = [edge.provenance for edge in loss.edges]
    places = listed(settings(lines))
    successors = listed(successor_names(going))
    if all(_DECLARED.search(line.path) for line in lines):
        return f"Move it {f'to {successors}' if successors else 'elsewhere, or end it'}, and correct {places}."
    if whole[0].relation is Relation.BACKED_BY:
        member = successors or "another one"
        return f"Put {member} in its place in {places}{_reload(loss) if successors else ', or take it out of use'}."
    if not successors:
        return f"Point it elsewhere in {places}, or take it out of use."
    alias = next((name for edge in whole if (name := alias_of(estate, edge))), "")
    if alias:
        return f"Lead {alias} to {successors}, or write {successors} in its place in {places}{_reload(loss)}."
    return f"Point it at {successors} in {places}{_reload(loss)}."


def _reload(loss: Loss) -> str:
    """A file of a repository or an inventory is not what runs."""
    return ", and reload it before the host goes" if loss.homes else ""
