"""One certificate that two hosts renew and put in the same places."""

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
    ranged,
    split_endpoint,
)
from rules.jobs.schedules import idle
from rules.renewal.lineages import Lineages, Renewal, called, lines, names_of
from rules.ways import switch_of

_MEANS = (Relation.DEPLOYED_BY, Relation.CALLS)


class RenewalTwoWritersRule(Rule):
    """The old host and another one both renew a certificate, and both deploy it to the same places.

    What it does
    ------------
    For each lineage of a host that is going and still renews (it is switched on, and can write) it looks for another
    one with the same names that renews, too. If both lead to the same place (the same hook's URL, the same host, the
    same playbook, a copy on the same servers), they are two writers of one certificate.

    Why it matters
    --------------
    Whichever renews last wins: the certificate of the other disappears from the servers, with a key that only its host
    has. If CAA or TLSA, or the CA's limit of equal certificates, fits one of the two only, the servers break at a time
    that nobody chose. And a test of the new one proves nothing while the old one mends its work.

    Example
    -------
    `old` and `new` both have `*.example.net` in certbot, and both hooks push to the 340 API servers

    What to do
    ----------
    Switch the old one off as soon as the new one has renewed once (`autorenew = False`, or the timer), and leave its
    files for the way back.

    What it can't see
    -----------------
    Pushes inside programs that are not read here. Other lineages with the same names that deploy nowhere in common are
    a note of `renewal-on-going-host`.
    """

    id: ClassVar[str] = "renewal-two-writers"
    title: ClassVar[str] = "Two hosts renew and deploy one certificate"
    area: ClassVar[Area] = Area.RENEWAL
    severity: ClassVar[Severity] = Severity.WARN
    since: ClassVar[str] = "0.2.0"
    needs: ClassVar[frozenset[Relation]] = frozenset({Relation.RENEWED_BY, Relation.RUNS_ON})

    def check(self, estate: EstateView) -> Iterator[Finding]:
        """One finding for each lineage of a host that is going."""
        known = Lineages(estate)
        for going, renewal in known.on_going_hosts():
            if not _renews_now(estate, going, renewal):
                continue
            for other in known.twins(renewal.lineage):
                if other.lineage.scope == renewal.lineage.scope:
                    continue
                common = sorted(_places(estate, renewal) & _places(estate, other))
                if common:
                    yield self._finding(estate, going, renewal, other, common)
                    break

    def _finding(
        self, estate: EstateView, going: Going, renewal: Renewal, other: Renewal, common: list[str]
    ) -> Finding:
        lineage, twin = renewal.lineage, other.lineage
        blast = estate.blast_radius(lineage)
        servers = [host for host in blast.hosts if host not in (going.host, twin.scope)] if blast else []
        count = f", on {plural(len(servers), 'server')}" if servers else ""
        off = f"`autorenew = False` in its configuration ({lineage.provenance[0].path})" if lineage.provenance else "it"
        off = off if renewal.client == "certbot" else f"what starts {renewal.client}"
        switch = switch_of(estate, going)
        until = f" until {switch:%Y-%m-%d}" if switch else f" until {going.host} is off"
        if going.lifecycle is Lifecycle.READ_ONLY:
            until = ""
        return Finding(
            rule=self.id,
            area=self.area,
            severity=self.severity,
            confidence=Confidence.HIGH,
            subject=lineage.label,
            identity=(lineage.scope, lineage.text, twin.scope, twin.text),
            message=f"{called(lineage)} is renewed on {going.host} and on {twin.scope or twin.text}, and both put it "
            f"in the same place: {listed(ranged(common))}",
            why=f"Whichever renews last wins{count}{until}, with a key that the other one does not have.",
            action=f"Switch the old one off as soon as {twin.scope or 'the other'} has renewed once: set {off}."
            if renewal.client == "certbot"
            else f"Switch the old one off as soon as {twin.scope or 'the other'} has renewed once: stop {off}.",
            impact=Impact.NONE,
            evidence=lines(
                lineage.provenance[:1],
                twin.provenance[:1],
                (one.provenance[0] for one in (*renewal.triggers, *other.triggers) if one.provenance),
            ),
            hosts=(going.host,),
        )


def _renews_now(estate: EstateView, going: Going, renewal: Renewal) -> bool:
    """Whether a lineage of a going host is renewed there today, whatever becomes of the host later."""
    if not renewal.runs or all(idle(estate, one) for one in renewal.triggers):
        return False
    if going.lifecycle is Lifecycle.READ_ONLY:
        return renewal.living
    over = going.lifecycle is Lifecycle.RETIRED and bool(going.since)
    return not over and not any(
        mount.provider.attributes.get("read_only")
        for written in estate.outgoing(renewal.lineage, Relation.WRITES)
        for mount in estate.outgoing(written.provider, Relation.STANDS_FOR)
        if mount.provider.kind is Kind.MOUNT
    )


def _places(estate: EstateView, renewal: Renewal) -> set[str]:
    """Where a renewal puts what it gets: hosts that its hooks lead to, our endpoints, and who has its certificate."""
    lineage = renewal.lineage
    found: set[str] = set()
    seen = {lineage.id}
    pending: list[Edge] = list(estate.outgoing(lineage, *_MEANS))
    while pending:
        edge = pending.pop()
        node = edge.provider
        if node.id in seen:
            continue
        seen.add(node.id)
        if node.kind in (Kind.ENDPOINT, Kind.NAME, Kind.ADDRESS):
            found.update(_leads(estate, node))
        elif node.kind is Kind.PATH:
            pending += estate.outgoing(node, *_MEANS, Relation.CONNECTS)
    blast = estate.blast_radius(lineage)
    if blast is not None and set(names_of(lineage)):
        found.update(blast.hosts)
    return found - {lineage.scope}


def _leads(estate: EstateView, node: Node) -> set[str]:
    """The hosts of an endpoint, or itself if it is under a domain of ours: a ping of a service deploys nothing."""
    parts = split_endpoint(node.text)
    name = parts.host if parts is not None else node.text
    ours = any(name == domain or name.endswith(f".{domain}") for domain in estate.own_domains())
    return {host.text for host in estate.reaches(node)} or ({node.text} if ours else set())
