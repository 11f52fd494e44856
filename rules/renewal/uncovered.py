"""Names that are served with a certificate that is not for them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Final

from auditor.api import (
    Area,
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
    is_hostname,
    listed,
    plural,
)
from rules.recovery.stakes import stakes
from rules.renewal.lineages import lines

_SHOWN: Final = 5


class NameNotCoveredRule(Rule):
    """Names that a server serves with a certificate whose SANs don't hold them.

    What it does
    ------------
    For each certificate that loses its renewal it compares the names of the virtual hosts and services that serve it
    with its SANs. A wildcard stands for one label: `*.example.net` is not for `api.eu.example.net`, nor for
    `example.net` (RFC 6125, 6.4.3).

    Why it matters
    --------------
    A renewal under the same names leaves them out again. The reissue is the moment at which they can be added.

    Example
    -------
    `api.eu.example.net` is served with `*.example.net`: each client that checks refuses it.

    What to do
    ----------
    Add the names to the lineage before it is renewed (`certbot certonly --expand -d …`), or give them one of their own.

    What it can't see
    -----------------
    Names that clients use and no configuration has.
    """

    id: ClassVar[str] = "name-not-covered"
    title: ClassVar[str] = "Names that the certificate is not for"
    area: ClassVar[Area] = Area.RENEWAL
    severity: ClassVar[Severity] = Severity.WARN
    since: ClassVar[str] = "0.2.0"
    needs: ClassVar[frozenset[Relation]] = frozenset({Relation.RENEWED_BY, Relation.STORED_AT})

    def check(self, estate: EstateView) -> Iterator[Finding]:
        """One finding for each certificate."""
        domains = estate.own_domains()
        for stake in stakes(estate):
            sans = stake.blast.certificate.attributes.get("sans") if stake.blast is not None else None
            if stake.blast is None or not isinstance(sans, tuple) or not sans:
                continue
            served = _served(estate, stake.blast.certificate)
            names = set(served)
            left = sorted(
                name
                for name in names
                if not _covered(name, sans) and any(name == one or name.endswith(f".{one}") for one in domains)
            )
            if not left:
                continue
            yield Finding(
                rule=self.id,
                area=self.area,
                severity=self.severity,
                confidence=Confidence.HIGH,
                subject=stake.blast.certificate.label,
                identity=(stake.name, *left),
                message=f"{stake.name} is not for {listed(left, 5)}, which {'is' if len(left) == 1 else 'are'} served "
                "with it",
                why=f"{plural(len(left), 'name')} of {len(names)} that are served with it; its SANs are "
                f"{listed(list(sans), 5)}.",
                action=f"Add {'it' if len(left) == 1 else 'them'} to the lineage before it is renewed on "
                f"{stake.going.successor or 'the host that takes over'}, or give "
                f"{'it a certificate of its own' if len(left) == 1 else 'them a certificate of their own'}.",
                impact=Impact.NONE,
                evidence=lines(one for name in left for one in served[name])[:_SHOWN],
                hosts=(stake.going.host,),
            )


def _served(estate: EstateView, certificate: Node) -> dict[str, list[Provenance]]:
    """The names that a certificate is served for, by virtual hosts that read its file and by declaration."""
    found: dict[str, list[Provenance]] = {}
    for edge in estate.incoming(certificate, Relation.SERVES):
        if edge.consumer.kind is Kind.NAME:
            found.setdefault(edge.consumer.text, []).append(edge.provenance)
    for stored in estate.outgoing(certificate, Relation.STORED_AT):
        for read in estate.incoming(stored.provider, Relation.READS):
            names = read.consumer.attributes.get("names")
            if read.consumer.kind is Kind.SERVICE and isinstance(names, tuple):
                where = read.consumer.provenance[:1]
                for name in filter(is_hostname, names):
                    found.setdefault(name, []).extend(where)
    return found


def _covered(name: str, sans: tuple[str, ...]) -> bool:
    return name in sans or f"*.{name.partition('.')[2]}" in sans
