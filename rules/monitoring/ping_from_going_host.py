"""Dead man's switches that are pinged from what is going, and from nowhere else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from auditor.api import (
    Area,
    Confidence,
    EstateView,
    Finding,
    Impact,
    Kind,
    Node,
    Relation,
    Rule,
    Severity,
    day,
    duration,
    listed,
    parse_time,
    plural,
)
from rules.monitoring.watched import is_ping, name_of
from rules.ways import Ways, distinct, only_read_only, successor_of


class PingFromGoingHostRule(Rule):
    """Finds checks of Healthchecks whose last pings all came from hosts that are going.

    What it does
    ------------
    Takes each check that is not paused and the addresses that its last pings came from. If all of them are of hosts
    that are going, what it waits for runs there: on a retired host the pings stop, and the check raises an alarm that
    everybody expects; on a read-only host a job that only pings goes on, and the check stays green whatever happens
    where the work has moved. A check that was pinged from elsewhere, too, is left out.

    Why it matters
    --------------
    A check that fires because its host was switched off is deleted, and with it the only thing that would have noticed
    that the job was never set up on the successor.

    Example
    -------
    `certbot renew`, expected every 12 hours, pinged from 10.20.4.17 alone.

    What to do
    ----------
    Let the job on the successor ping the same check, and look that a ping came from there before the host goes.

    What it can't see
    -----------------
    Pings through a translation of addresses that is no host of the estate, checks of projects whose read-write API key
    nobody gave, and dead man's switches of other services: they are known by the scripts that ping them.
    """

    id: ClassVar[str] = "ping-from-going-host"
    title: ClassVar[str] = "A dead man's switch is pinged only from what is going"
    area: ClassVar[Area] = Area.MONITORING
    severity: ClassVar[Severity] = Severity.WARN
    confidence: ClassVar[Confidence] = Confidence.MEDIUM
    needs: ClassVar[frozenset[Relation]] = frozenset({Relation.WATCHES})

    def check(self, estate: EstateView) -> Iterator[Finding]:
        """One finding for each check."""
        ways = Ways(estate)
        for probe in estate.nodes(Kind.PROBE):
            known = probe.attributes
            if not is_ping(probe) or not known.get("pinged_from") or known.get("status") == "paused":
                continue
            edges = estate.outgoing(probe, Relation.WATCHES)
            ends = [ways.hosts(edge.provider) for edge in edges]
            if not edges or not all(ends):
                continue
            hosts = tuple(sorted(frozenset[str]().union(*ends)))
            read_only = only_read_only(estate, hosts)
            successor = successor_of(estate, hosts) or "what takes over"
            after = (
                "it stays green whatever happens elsewhere"
                if read_only
                else "it raises an alarm once that server is off, and sees nothing of what takes over"
            )
            called = name_of(probe)
            yield Finding(
                rule=self.id,
                area=self.area,
                severity=self.severity,
                confidence=Confidence.MEDIUM,
                subject=probe.label,
                identity=(probe.text, *hosts),
                message=f"{called[0].upper()}{called[1:]} is pinged only from {listed(hosts)}: {after}",
                why=_why(probe),
                action=f"Let the job on {successor} ping it, and look that a ping came from there before "
                f"{listed(hosts)} {'is' if len(hosts) == 1 else 'are'} {'left' if read_only else 'gone'}.",
                impact=Impact.BLIND,
                evidence=distinct([*(edge.provenance for edge in edges), *probe.provenance[:1]]),
                path=ways.steps(edges[0]),
                hosts=hosts,
            )


def _why(probe: Node) -> str:
    known = probe.attributes
    count = known.get("pings_known")
    since = parse_time(known.get("pinged_since"))
    told = f"Its last {plural(count, 'ping')}" if isinstance(count, int) and count > 1 else "Its last ping"
    begun = f" since {day(since)}" if since else ""
    parts = [f"{told} came from {listed(list(_texts(probe, 'pinged_from')))}{begun}"]
    if schedule := known.get("schedule"):
        zone = known.get("timezone")
        parts.append(f"it is expected at `{schedule}`" + (f" ({zone})" if zone else ""))
    elif isinstance(period := known.get("period"), int):
        parts.append(f"it is expected every {duration(period)}")
    if known.get("status") == "down":
        parts.append("it is down now")
    return f"{'; '.join(parts)}."


def _texts(node: Node, key: str) -> tuple[str, ...]:
    found = node.attributes.get(key)
    return found if isinstance(found, tuple) else ()
