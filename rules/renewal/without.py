"""A certificate of a host that is going, and that nothing renews any more."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import ClassVar

from auditor.api import (
    Area,
    Confidence,
    EstateView,
    Finding,
    Going,
    Impact,
    Kind,
    Node,
    Period,
    Provenance,
    Relation,
    Rule,
    Severity,
    is_timer,
    listed,
)
from rules.renewal.lineages import (
    Lineages,
    Renewal,
    called,
    consumers,
    deadline,
    expiry,
    lines,
    move,
    names_of,
    not_after,
    served_elsewhere,
)


class CertificateWithoutRenewalRule(Rule):
    """A certificate that has to do with a host that is going, and that no client renews or no job starts the client.

    What it does
    ------------
    Reports lineages of the host that no job starts (or only jobs that never run: a file name that cron skips, a line
    for machines without systemd, a timer that is masked or not enabled), and lineages with `autorenew = False`. Then
    certificates that lie on the host and belong to no lineage, if other hosts have the same certificate or names that
    lead elsewhere depend on it. A certificate whose names a living lineage renews is left out.

    Why it matters
    --------------
    What nobody renews was renewed by hand, on this machine, by someone who may not be there next time.

    Example
    -------
    `certbot.timer` is masked and `/etc/cron.d/certbot` is the package's line, which does nothing where systemd runs.

    What to do
    ----------
    Give the certificate a lineage on the successor, with a job that starts its client, and renew it once.

    What it can't see
    -----------------
    Renewal by a service that leaves no configuration on a host (a cloud's certificate manager, a CA's appliance), and
    schedules of hosts that were not captured: there nothing is said. What is renewed by something that the host takes
    along is told by `renewal-on-going-host`.
    """

    id: ClassVar[str] = "certificate-without-renewal"
    title: ClassVar[str] = "Nothing renews a certificate"
    area: ClassVar[Area] = Area.RENEWAL
    severity: ClassVar[Severity] = Severity.WARN
    needs: ClassVar[frozenset[Relation]] = frozenset({Relation.RENEWED_BY, Relation.RUNS_ON, Relation.STORED_AT})
    soon = Period(timedelta(days=30), "how close the end must be to block")
    forgotten = Period(timedelta(days=30), "how long after its end nobody misses a certificate any more")

    def check(self, estate: EstateView) -> Iterator[Finding]:
        """One finding for each lineage, and for each certificate without one."""
        known = Lineages(estate)
        for going, renewal in known.on_going_hosts():
            if not renewal.runs and not known.renew(names_of(renewal.lineage)):
                yield from self._lineage(estate, renewal, going)
        by_host = {going.host: going for going in estate.going}
        for certificate in estate.nodes(Kind.CERTIFICATE):
            if not _is_orphan(certificate, known) or estate.outgoing(certificate, Relation.CERTIFIED_BY):
                continue
            for stored in estate.outgoing(certificate, Relation.STORED_AT):
                if stored.provider.scope in by_host:
                    yield from self._certificate(estate, certificate, stored.provenance, by_host[stored.provider.scope])
                    break

    def _lineage(self, estate: EstateView, renewal: Renewal, going: Going) -> Iterator[Finding]:
        lineage = renewal.lineage
        blast = estate.blast_radius(lineage)
        ends = deadline(blast)
        if ends is not None and ends < estate.now - self.forgotten:
            return
        needed = served_elsewhere(estate, lineage, blast)
        idle = _idle(estate, renewal)
        if renewal.enabled:
            reason = f"no job on {lineage.scope} starts {renewal.client}"
            if idle:
                reason += f"; {_why_idle(idle[0])}"
        else:
            reason = "its configuration says `autorenew = False`" if renewal.clients else "nothing is set to renew it"
            if lineage.attributes.get("autorenew") is False:
                reason = "its configuration says `autorenew = False`"
        yield Finding(
            rule=self.id,
            area=self.area,
            severity=_severity(
                estate, needed, blast is not None and ends is not None and ends < estate.now + self.soon
            ),
            confidence=Confidence.HIGH if idle or not renewal.enabled else Confidence.MEDIUM,
            subject=lineage.label,
            identity=(lineage.scope, lineage.text),
            message=f"Nothing renews {called(lineage)} of {going.host}: {reason}",
            why=expiry(estate, blast),
            action=move(renewal, going) if needed else "Delete it with the host, if nobody needs it any more.",
            impact=Impact.NONE,
            evidence=lines(lineage.provenance[:1], (one.provenance[0] for one in idle if one.provenance)),
            hosts=(going.host,),
            deadline=ends if needed else None,
        )

    def _certificate(self, estate: EstateView, certificate: Node, place: Provenance, going: Going) -> Iterator[Finding]:
        blast = estate.blast_radius(certificate)
        if blast is None or not blast.not_after or blast.not_after < estate.now - self.forgotten:
            return
        others = consumers(estate, blast)
        if not others:
            return
        soon = blast.not_after < estate.now + self.soon
        name = certificate.label.removeprefix("certificate ")
        yield Finding(
            rule=self.id,
            area=self.area,
            severity=_severity(estate, True, soon),
            confidence=Confidence.MEDIUM,
            subject=certificate.label,
            identity=(certificate.text, going.host),
            message=f"Nothing is known to renew the certificate for {name}, which lies on {going.host} and on "
            f"{listed(list(others))}",
            why=f"{expiry(estate, blast)} If it is made by hand on {going.host}, that way ends with the host.",
            action=f"Find out who makes it, give it a lineage on {going.successor or 'a host that stays'}, and "
            "renew it there once.",
            impact=Impact.NONE,
            evidence=lines([place]),
            hosts=(going.host,),
            deadline=not_after(certificate),
        )


def _severity(estate: EstateView, needed: bool, soon: bool) -> Severity:
    if not needed:
        return Severity.INFO
    return Severity.BLOCK if soon else Severity.WARN


def _is_orphan(certificate: Node, known: Lineages) -> bool:
    """Whether a certificate is a server's own and in use, and its names are not what some lineage renews."""
    about = certificate.attributes
    if about.get("is_ca") or about.get("superseded") or about.get("position") == "chain" or about.get("self_signed"):
        return False
    sans = about.get("sans")
    return isinstance(sans, tuple) and bool(sans) and not known.renew(sans)


def _idle(estate: EstateView, renewal: Renewal) -> list[Node]:
    """The jobs that would start a lineage's client, and never run."""
    found, seen, pending = [], set[int](), list(renewal.clients)
    while pending:
        node = pending.pop()
        for edge in estate.incoming(node, Relation.CALLS):
            caller = edge.consumer
            if caller.id in seen or caller.kind is Kind.LINEAGE:
                continue
            seen.add(caller.id)
            if caller.kind is Kind.JOB:
                found.append(caller)
            else:
                pending.append(caller)
    return sorted(found, key=lambda node: node.label)


def _why_idle(job: Node) -> str:
    known = job.attributes
    name = job.text if is_timer(job.text) else f"the line of {job.text.partition(': ')[0]}"
    for key in ("ignored", "never_runs"):
        if known.get(key):
            return f"{name} never runs ({known[key]})"
    if known.get("enabled") is False:
        return f"{name} is not enabled"
    return f"{name} does nothing where systemd runs"
