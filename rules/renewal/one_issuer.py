"""All issuance in one place."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from auditor.api import Area, Confidence, EstateView, Finding, Impact, Relation, Rule, Severity, listed, split_endpoint
from rules.recovery.stakes import stakes
from rules.renewal.lineages import Lineages, consumers, lines, names_of


class IssuanceSinglePlaceRule(Rule):
    """Certificates that one host, at one site, with one account, can get, and nobody else.

    What it does
    ------------
    For each certificate that loses its renewal it looks for other lineages with any of its names. If there are none, or
    all of them are at the same site with the same CA, it names the host, its site, and the CA and account that all
    issuance goes through.

    Why it matters
    --------------
    What is issued in one place can be issued nowhere when that place is down, moved, or made read-only.

    Example
    -------
    `*.example.net` is issued on `old` at the first site, by one account of the CA; the second site has none.

    What to do
    ----------
    Set up the client at a second site with an account of its own, and issue something with it once; allow it in CAA.

    What it can't see
    -----------------
    Accounts at CAs that no client was configured with.
    """

    id: ClassVar[str] = "issuance-single-place"
    title: ClassVar[str] = "All issuance goes through one place"
    area: ClassVar[Area] = Area.RENEWAL
    severity: ClassVar[Severity] = Severity.WARN
    confidence: ClassVar[Confidence] = Confidence.MEDIUM
    since: ClassVar[str] = "0.2.0"
    needs: ClassVar[frozenset[Relation]] = frozenset({Relation.RENEWED_BY})

    def check(self, estate: EstateView) -> Iterator[Finding]:
        """One finding for each certificate whose host's site the inventory knows."""
        known = Lineages(estate)
        for stake in stakes(estate):
            lineage = stake.lineage
            site = estate.site(lineage.scope) if lineage.scope else ""
            names = set(names_of(lineage))
            others = [one for one in known.all if one.id != lineage.id and names & set(names_of(one))]
            if not site or any(estate.site(one.scope) != site for one in others):
                continue
            server = str(lineage.attributes.get("server", ""))
            parts = split_endpoint(server)
            authority = parts.host if parts is not None else server
            account = " and one account" if lineage.attributes.get("account") and not others else ""
            sites = sorted({there for host in consumers(estate, stake.blast) if (there := estate.site(host))})
            rest = [one for one in sites if one != site]
            yield Finding(
                rule=self.id,
                area=self.area,
                severity=self.severity,
                confidence=Confidence.MEDIUM,
                subject=lineage.label,
                identity=(lineage.scope, lineage.text),
                message=f"{stake.name} can be issued at one site only, {site}: on "
                f"{listed(sorted({lineage.scope, *(one.scope for one in others)}))}"
                + (f", with {authority}{account}" if authority else ""),
                why=(
                    f"All {1 + len(others)} lineages with its names are there"
                    if others
                    else "No other lineage has its names"
                )
                + (f", and {listed(rest)} lives on it." if rest else "."),
                action="Set up the client at a second site, with an account of its own that CAA allows, and issue "
                "something with it once.",
                impact=Impact.NONE,
                evidence=lines(
                    lineage.provenance[:1],
                    (edge.provenance for edge in estate.outgoing(lineage, Relation.ISSUED_BY)),
                ),
                hosts=(stake.going.host,),
            )
