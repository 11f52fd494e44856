"""Who loses TLS when a certificate ends that nothing renews any more."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
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
    Period,
    Provenance,
    Relation,
    Rule,
    Severity,
    day,
    listed,
    plural,
    ranged,
    time_left,
)
from rules.renewal.lineages import (
    Lineages,
    called,
    consumers,
    going_behind,
    lines,
    served_elsewhere,
    shown,
)

_SHOWN: Final = 20


class CertificateExpiryRule(Rule):
    """The servers and names that lose TLS at a certificate's end, because its renewal goes with the host.

    What it does
    ------------
    For each certificate whose lineages all lose their run (see `renewal-on-going-host`) it names the hosts that keep
    the certificate and the names it is served for, with the time at which it ends: one finding for a certificate, not
    for a copy. It blocks if that is within 30 days of now or of the date of the change, and warns if it is later.

    Why it matters
    --------------
    The renewal's failure is on one server; what it breaks is on all those that have the certificate, and their owners
    are the ones to ask.

    Example
    -------
    `*.example.net` is on `api[001:340].example.net`, and ends in 34 h.

    What to do
    ----------
    Renew before that, on the successor, and look at what each of these servers serves afterwards.

    What it can't see
    -----------------
    Servers whose certificates were not captured or declared: clients with pinned copies, appliances, CDNs. What has no
    lineage at all is told by `certificate-without-renewal`.
    """

    id: ClassVar[str] = "certificate-expiry"
    title: ClassVar[str] = "Servers whose certificate ends without a renewal"
    area: ClassVar[Area] = Area.RENEWAL
    severity: ClassVar[Severity] = Severity.BLOCK
    needs: ClassVar[frozenset[Relation]] = frozenset({Relation.RENEWED_BY, Relation.STORED_AT})
    soon = Period(timedelta(days=30), "how close the end must be to block, and how long after it a certificate counts")

    def check(self, estate: EstateView) -> Iterator[Finding]:
        """One finding for each certificate that is in use."""
        known = Lineages(estate)
        for certificate in estate.nodes(Kind.CERTIFICATE):
            lineages = [edge.provider for edge in estate.outgoing(certificate, Relation.CERTIFIED_BY)]
            if not lineages or certificate.attributes.get("superseded") or certificate.attributes.get("is_ca"):
                continue
            sans = certificate.attributes.get("sans")
            if isinstance(sans, tuple) and known.renew(sans):
                continue
            hosts = self._lost_with(known, lineages)
            blast = estate.blast_radius(certificate)
            if hosts and blast is not None and served_elsewhere(estate, lineages[0], blast):
                yield from self._finding(estate, certificate, lineages[0], blast, hosts)

    @staticmethod
    def _lost_with(known: Lineages, lineages: list[Node]) -> list[str]:
        """The going hosts that take down all of a certificate's lineages; none if one of them goes on."""
        found: set[str] = set()
        for lineage in lineages:
            renewal = known.of(lineage)
            if not renewal.runs:
                continue
            hosts = {one.host for edge in renewal.lost for one in going_behind(known.estate, edge.provider)}
            if not hosts:
                return []
            found |= hosts
        return sorted(found)

    def _finding(
        self, estate: EstateView, certificate: Node, lineage: Node, blast: Blast, hosts: list[str]
    ) -> Iterator[Finding]:
        keepers = consumers(estate, blast)
        ends = blast.not_after
        if ends is None or ends < estate.now - self.soon or not (keepers or blast.names):
            return
        horizon = max(estate.now, estate.on or estate.now) + self.soon
        who = listed(ranged(keepers)) if keepers else plural(len(blast.names), "name")
        verb = "lose" if len(keepers) > 1 or (not keepers and len(blast.names) > 1) else "loses"
        verb = verb if ends >= estate.now else f"{'have' if verb == 'lose' else 'has'} lost"
        going = next(one for one in estate.going if one.host == hosts[0])
        names = f"{plural(len(keepers), 'server')} and {plural(len(blast.names), 'name')}: " if keepers else ""
        yield Finding(
            rule=self.id,
            area=self.area,
            severity=self.severity if ends <= horizon else Severity.WARN,
            confidence=Confidence.HIGH,
            subject=certificate.label,
            identity=(called(lineage), *hosts),
            message=f"{who} {verb} TLS {time_left(estate.now, ends)}, {day(ends)}: "
            f"the certificate {called(lineage)} ends then, and nothing but {listed(hosts)} renews it",
            why=(f"{names}{listed(list(blast.names), 9)}." if blast.names else _on(keepers)) + _services(estate, blast),
            action=f"Renew it before then on {going.successor or 'a host that stays'}, put it on "
            f"{'all of these' if len(keepers) != 1 else keepers[0]}, and look at what they serve.",
            impact=Impact.BROKEN,
            evidence=lines(self._places(estate, certificate, hosts))[:_SHOWN],
            path=estate.path(certificate),
            hosts=tuple(hosts),
            deadline=ends,
        )

    @staticmethod
    def _places(estate: EstateView, certificate: Node, hosts: list[str]) -> list[Provenance]:
        """Where the certificate is kept and served, places that stay first."""
        stored = sorted(estate.outgoing(certificate, Relation.STORED_AT), key=lambda edge: edge.provider.scope in hosts)
        served = estate.incoming(certificate, Relation.SERVES)
        kept = [edge for edge in stored if edge.provider.scope not in hosts] or stored[:1]
        return [one.provenance for one in (*kept, *served) if shown(one.provenance)] or list(certificate.provenance)


def _on(keepers: Sequence[str]) -> str:
    return f"It is on {plural(len(keepers), 'server')}."


def _services(estate: EstateView, blast: Blast) -> str:
    """The services that the inventory says are used under these names, critical ones first."""
    found: dict[str, bool] = {}
    for text in blast.names:
        name = estate.find(Kind.NAME, text)
        for edge in estate.incoming(name, Relation.CONNECTS) if name is not None else ():
            service = edge.consumer
            if service.kind is Kind.SERVICE and "critical" in service.attributes:
                found[service.text] = service.attributes["critical"] is True
    critical = sorted(text for text in found if found[text])
    others = sorted(text for text in found if not found[text])
    said = [f"{listed(critical, 9)} ({'critical' if len(critical) < 3 else 'all critical'})"] if critical else []
    said += [listed(others, 9)] if others else []
    return f" Services used under them: {'; '.join(said)}." if said else ""
