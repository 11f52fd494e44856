"""One certificate for everything."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Final

from auditor.api import Area, Confidence, Count, EstateView, Finding, Impact, Relation, Rule, Severity, listed, plural
from rules.recovery.stakes import stakes
from rules.renewal.lineages import consumers, lines, names_of, shown

_SHOWN: Final = 5


class CertificateForEverythingRule(Rule):
    """One certificate that so many names or servers share that its end is an outage of everything.

    What it does
    ------------
    Counts the names, servers and sites of each certificate that loses its renewal, and says whether it is a wildcard.
    It speaks up from 5 names or 10 servers on.

    Why it matters
    --------------
    With one certificate for all, one missed renewal takes all down in the same second, and one key that gets out is the
    key of all.

    Example
    -------
    `*.example.net` for 9 names on 340 servers at one site.

    What to do
    ----------
    Split it, by site or by service, with ends that are apart; renew the parts on different days.

    What it can't see
    -----------------
    Servers and names that were neither captured nor declared. Who loses TLS, and when, is told by `certificate-expiry`.
    """

    id: ClassVar[str] = "certificate-for-everything"
    title: ClassVar[str] = "One certificate for everything"
    area: ClassVar[Area] = Area.RENEWAL
    severity: ClassVar[Severity] = Severity.WARN
    since: ClassVar[str] = "0.2.0"
    needs: ClassVar[frozenset[Relation]] = frozenset({Relation.RENEWED_BY, Relation.STORED_AT})
    names = Count(5, "name", "the number of names from which one certificate is for too many")
    servers = Count(10, "server", "the number of servers from which one certificate is on too many")

    def check(self, estate: EstateView) -> Iterator[Finding]:
        """One finding for each certificate."""
        for stake in stakes(estate):
            blast = stake.blast
            if blast is None:
                continue
            servers = consumers(estate, blast)
            if len(blast.names) < self.names and len(servers) < self.servers:
                continue
            sites = sorted({site for host in servers if (site := estate.site(host))})
            wildcard = any(name.startswith("*.") for name in names_of(stake.lineage))
            counts = [plural(len(servers), "server")] if servers else []
            counts = [plural(len(blast.names), "name"), *counts] if blast.names else counts
            at = f" at {plural(len(sites), 'site')}, {listed(sites)}" if sites else ""
            stored = estate.outgoing(blast.certificate, Relation.STORED_AT)
            served = estate.incoming(blast.certificate, Relation.SERVES)
            yield Finding(
                rule=self.id,
                area=self.area,
                severity=self.severity,
                confidence=Confidence.HIGH,
                subject=blast.certificate.label,
                identity=(stake.name,),
                message=f"One {'wildcard' if wildcard else 'certificate'}, {stake.name}, is for {listed(counts)}{at}",
                why="They all lose TLS in the same second, and they all have the same key.",
                action="Split it by site or by service when it is reissued, with ends that are apart.",
                impact=Impact.NONE,
                evidence=lines(
                    [edge.provenance for edge in (*served, *stored) if shown(edge.provenance)][:_SHOWN],
                    blast.certificate.provenance[:1],
                ),
                hosts=(stake.going.host,),
            )
