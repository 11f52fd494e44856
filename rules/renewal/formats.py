"""Consumers of a certificate that want it in another form than the renewal makes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
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
    Provenance,
    Relation,
    Rule,
    Severity,
    listed,
    plural,
    ranged,
)
from rules.renewal.lineages import Renewal, called, consumers, lines
from rules.renewal.stages import in_question

PEM_ONLY: Final = frozenset({"certbot", "dehydrated", "getssl", "lego", "acme.sh", "uacme", "simp_le", "acme-tiny"})
"""Clients that write PEM, unless they are told otherwise."""
_MAKES: Final = {
    "PKCS#12": "openssl pkcs12 -export -in fullchain.pem -inkey privkey.pem -out {path}",
    "JKS": "openssl pkcs12 -export … | keytool -importkeystore -srcstoretype PKCS12 -destkeystore {path}",
    "BCFKS": "keytool -importkeystore -srcstoretype PKCS12 -deststoretype BCFKS -destkeystore {path}",
    "DER": "openssl x509 -in cert.pem -outform DER -out {path}",
}


@dataclass(slots=True)
class _Forms:
    """In which form each host has a certificate: those with PEM, and those that want something else."""

    keepers: set[str]
    """All that have it, or serve it by the inventory."""
    pem: set[str] = field(default_factory=set)
    wanting: dict[tuple[str, str], list[tuple[str, Provenance]]] = field(default_factory=dict)
    """By form and path: hosts, with the line that says so."""


class CertificateFormatRule(Rule):
    """Servers that want a certificate as PKCS#12, in a Java key store or as DER, from a renewal that makes PEM alone.

    What it does
    ------------
    Takes the renewals of hosts that are going and of their successors whose client writes PEM, and the hosts that have
    the certificate. It looks for copies in DER, and for key stores of programs there (`*.p12`, `*.pfx`, `*.jks`) that
    lie beside a copy, or on a host that has none in PEM. If nothing that was captured writes that file, people do.
    Where all hosts have it as PEM and no key store wants it, it says so.

    Why it matters
    --------------
    The renewal succeeds, and all servers get the new certificate but the two with Java on them. Whoever converted it
    last year did so by hand, on the old host.

    Example
    -------
    340 servers with nginx have `fullchain.pem`; two with Tomcat have `keystore.p12`, which nobody makes

    What to do
    ----------
    Convert it in a deploy hook (`openssl pkcs12 -export …`) on the host that takes over, and restart the program there.

    What it can't see
    -----------------
    What is in a key store: that it holds this certificate is concluded from where it lies. Programs that convert in a
    way that is not read here.
    """

    id: ClassVar[str] = "certificate-format"
    title: ClassVar[str] = "A consumer wants another form than PEM"
    area: ClassVar[Area] = Area.RENEWAL
    severity: ClassVar[Severity] = Severity.WARN
    confidence: ClassVar[Confidence] = Confidence.MEDIUM
    since: ClassVar[str] = "0.2.0"
    needs: ClassVar[frozenset[Relation]] = frozenset({Relation.RENEWED_BY, Relation.STORED_AT})

    def check(self, estate: EstateView) -> Iterator[Finding]:
        """One finding for each lineage, form and file."""
        for renewal, going in in_question(estate):
            forms = _forms(estate, renewal)
            if forms is not None:
                for (form, path), places in forms.wanting.items():
                    yield self._finding(renewal, going, form, path, places, len(forms.keepers))

    def passed(self, estate: EstateView) -> Iterator[str]:
        """The certificates that all of their hosts have as PEM."""
        for renewal, _ in in_question(estate):
            forms = _forms(estate, renewal)
            if forms is not None and forms.pem and forms.pem == forms.keepers and not forms.wanting:
                count = len(forms.pem)
                yield (
                    f"{count} of {plural(count, 'server')} {'has' if count == 1 else 'have'} {called(renewal.lineage)} "
                    f"as PEM, the form that {renewal.client} writes; no key store wants another"
                )

    def _finding(
        self, renewal: Renewal, going: Going, form: str, path: str, places: list[tuple[str, Provenance]], count: int
    ) -> Finding:
        hosts = sorted({host for host, _ in places})
        make = _MAKES[form].format(path=path)
        return Finding(
            rule=self.id,
            area=self.area,
            severity=self.severity,
            confidence=self.confidence,
            subject=renewal.lineage.label,
            identity=(renewal.lineage.scope, renewal.lineage.text, form, path),
            message=f"{listed(ranged(hosts))} {'wants' if len(hosts) == 1 else 'want'} {called(renewal.lineage)} as "
            f"{form}, in {path}, and nothing makes that",
            why=f"{len(hosts)} of {plural(count, 'server')} with it. {renewal.client} writes PEM, and no hook, job or "
            f"script that was captured writes {path}.",
            action=f"Make it in a deploy hook on {going.successor or 'the host that takes over'} (`{make}`), copy it "
            "there, and restart what reads it.",
            impact=Impact.NONE,
            evidence=lines(line for _, line in places),
            hosts=(going.host,),
        )


def _forms(estate: EstateView, renewal: Renewal) -> _Forms | None:
    """The forms in which the hosts of a certificate have it; None if that is not known, or its client makes others."""
    blast = estate.blast_radius(renewal.lineage)
    if blast is None or renewal.client not in PEM_ONLY:
        return None
    keepers = set(consumers(estate, blast))
    found = _Forms(keepers)
    directories: dict[str, set[str]] = {}
    for stored in estate.outgoing(blast.certificate, Relation.STORED_AT):
        host, path = stored.provider.scope, stored.provider.text
        if host not in keepers:
            continue
        directories.setdefault(host, set()).add(path.rpartition("/")[0])
        # A certificate in a PEM file has a line; one in DER is the whole file.
        if stored.provenance.line:
            found.pem.add(host)
        elif not _is_made(estate, stored.provider):
            found.wanting.setdefault(("DER", path), []).append((host, stored.provenance))
    for node in estate.nodes(Kind.SERVICE):
        form = node.attributes.get("form")
        if not isinstance(form, str) or form not in _MAKES or node.scope not in keepers or not node.provenance:
            continue
        for read in estate.outgoing(node, Relation.READS):
            path = read.provider.text
            beside = path.rpartition("/")[0] in directories.get(node.scope, ())
            if (beside or node.scope not in found.pem) and not _is_made(estate, read.provider):
                found.wanting.setdefault((form, path), []).append((node.scope, node.provenance[0]))
    return found


def _is_made(estate: EstateView, path: Node) -> bool:
    """Whether something on its host writes a file, or a file of its name anywhere: a hook that copies it after."""
    if estate.incoming(path, Relation.WRITES):
        return True
    name = path.text.rpartition("/")[2]
    return any(
        other.text.rpartition("/")[2] == name and estate.incoming(other, Relation.WRITES)
        for other in estate.nodes(Kind.PATH)
    )
