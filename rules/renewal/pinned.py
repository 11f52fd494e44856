"""Keys and certificates that are pinned, and that a reissue breaks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar, Final

from auditor.api import (
    Area,
    Confidence,
    EstateView,
    Finding,
    Impact,
    Kind,
    Lifecycle,
    Node,
    Provenance,
    Relation,
    Rule,
    Severity,
    listed,
    plural,
)
from rules.recovery.stakes import Stake, stakes
from rules.renewal.lineages import lines
from rules.texts import files

_TRUSTS: Final = re.compile(
    r"trusted_certificate|client_certificate|trusted_ca|CACertificateFile|ca-(?:verify-)?file|cafile|CAfile",
    re.IGNORECASE,
)


class CertificatePinnedRule(Rule):
    """Programs that know a certificate by the hash of its key, or trust it by itself, and refuse the next one.

    What it does
    ------------
    For each certificate that loses its renewal it compares the hash of its key and of itself with the pins that were
    found in configurations, scripts and source code (`pin-sha256`, `--pinnedpubkey`, OkHttp, Android's network
    security configuration, fingerprints). And it looks for servers whose file of trusted certificates holds the
    certificate itself rather than its CA (`ssl_trusted_certificate`, `ca-file`). A key that the client keeps
    (`reuse_key = True`) may be pinned.

    Why it matters
    --------------
    A reissue makes another key, on another host always. What pins the old one refuses the new certificate the moment it
    is deployed, and an app in people's hands can't be changed that evening.

    Example
    -------
    `<pin digest="SHA-256">` of the present key as the only pin of the app

    What to do
    ----------
    Make the next key now, pin it beside the present one, wait until all have that, and only then reissue with it. Or
    keep the key, and pin the CA's.

    What it can't see
    -----------------
    Pins in programs that were built already, hashes of SHA-1, and clients of other companies. Pins in DNS are told by
    `dns-refuses-reissue`.
    """

    id: ClassVar[str] = "certificate-pinned"
    title: ClassVar[str] = "Something pins the key that a reissue replaces"
    area: ClassVar[Area] = Area.RENEWAL
    severity: ClassVar[Severity] = Severity.WARN
    since: ClassVar[str] = "0.2.0"
    needs: ClassVar[frozenset[Relation]] = frozenset({Relation.RENEWED_BY, Relation.STORED_AT})

    def check(self, estate: EstateView) -> Iterator[Finding]:
        """One finding for each certificate."""
        pins: dict[str, list[Node]] = {}
        leaving = {one.host for one in estate.going if one.lifecycle is not Lifecycle.READ_ONLY}
        for node in estate.nodes(Kind.SERVICE):
            pin = node.attributes.get("pin")
            if isinstance(pin, str) and node.scope not in leaving:
                pins.setdefault(pin, []).append(node)
        for stake in stakes(estate):
            if stake.blast is not None:
                found = [*_pinned(stake, pins), *_trusted(estate, stake.blast.certificate, leaving)]
                if found:
                    yield self._finding(stake, found, sum(map(len, pins.values())))

    def _finding(self, stake: Stake, found: list[tuple[str, Provenance]], count: int) -> Finding:
        kinds: dict[str, list[Provenance]] = {}
        for what, line in found:
            kinds.setdefault(what, []).append(line)
        said = "; ".join(f"{listed(files(places))} {what}" for what, places in kinds.items())
        pins = sum("pin" in what for what, _ in found)
        of = f"{pins} of {plural(count, 'pin')} that were found. " if pins else ""
        return Finding(
            rule=self.id,
            area=self.area,
            severity=self.severity,
            confidence=Confidence.HIGH,
            subject=stake.lineage.label,
            identity=(stake.name, *sorted(files(line for _, line in found))),
            message=f"{plural(len(found), 'place')} {'refuses' if len(found) == 1 else 'refuse'} the next certificate "
            f"for {stake.name}: {said}",
            why=f"{of}A reissue has another key, and another hash.",
            action=f"Before it is reissued on {stake.going.successor or 'the host that takes over'}: add the hash of "
            f"the next key beside this one in {listed(files(line for _, line in found))}, or trust its CA there, and "
            "wait until all have it.",
            impact=Impact.NONE,
            evidence=lines(line for _, line in found),
            hosts=(stake.going.host,),
        )


def _pinned(stake: Stake, pins: dict[str, list[Node]]) -> Iterator[tuple[str, Provenance]]:
    assert stake.blast is not None
    certificate = stake.blast.certificate
    hashes = {certificate.text.removeprefix("sha256:"): "pins the certificate"}
    if not stake.renewal.lineage.attributes.get("reuse_key"):
        hashes[str(certificate.attributes.get("key_id", ""))] = "pins its key"
    for text, what in hashes.items():
        for node in pins.get(text, ()) if text else ():
            if node.provenance:
                yield what, node.provenance[0]


def _trusted(estate: EstateView, certificate: Node, leaving: set[str]) -> Iterator[tuple[str, Provenance]]:
    """The servers whose file of trusted certificates begins with the certificate itself."""
    for stored in estate.outgoing(certificate, Relation.STORED_AT):
        for read in estate.incoming(stored.provider, Relation.READS):
            if read.consumer.scope not in leaving and _TRUSTS.search(read.provenance.excerpt):
                yield "trusts the certificate itself", read.provenance
