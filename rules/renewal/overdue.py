"""A certificate that its client should have renewed already."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import ClassVar, Final

from auditor.api import (
    Area,
    Confidence,
    Count,
    EstateView,
    Finding,
    Impact,
    Node,
    Period,
    Relation,
    Rule,
    Severity,
    day,
    duration,
    parse_time,
    plural,
)
from rules.jobs.evidence import interval_of
from rules.renewal.lineages import (
    Lineages,
    Renewal,
    called,
    deadline,
    expiry,
    lines,
    not_after,
    served_elsewhere,
)

_BEFORE: Final = re.compile(r"(\d{1,5})\s*(second|minute|hour|day|week|month|year)s?\b")
_UNITS: Final = {
    "second": 1,
    "minute": 60,
    "hour": 3600,
    "day": 86400,
    "week": 604800,
    "month": 2592000,
    "year": 31536000,
}
_LOG: Final = {"certbot": " (/var/log/letsencrypt/letsencrypt.log)", "acme.sh": " (acme.sh.log in its directory)"}


class CertificateOverdueRule(Rule):
    """A lineage of a host that is going, whose newest certificate is older than its client would let it become.

    What it does
    ------------
    Computes when the client would have renewed: certbot from version 4 on with a third of the lifetime left, or half
    of it if the lifetime is under ten days; before version 4 with 30 days left; or as `renew_before_expiry` says. If
    that is longer ago than two runs of the schedule that starts it, the renewal does not happen.

    Why it matters
    --------------
    This is no forecast: the renewal has failed already, each time it ran. A lineage that is moved as it is may go on
    failing on the successor.

    Example
    -------
    A certificate for 90 days that ends tomorrow, and a job that runs twice a day: 58 runs have renewed nothing.

    What to do
    ----------
    Read the client's log of its last run, renew by hand, and only then move the lineage.

    What it can't see
    -----------------
    The clock of the moment at which the files were collected, if the inventory does not say: the audit's `--now`
    counts. Clients other than certbot are taken to renew with a third of the lifetime left.
    """

    id: ClassVar[str] = "certificate-overdue"
    title: ClassVar[str] = "A renewal is overdue"
    area: ClassVar[Area] = Area.RENEWAL
    severity: ClassVar[Severity] = Severity.WARN
    needs: ClassVar[frozenset[Relation]] = frozenset({Relation.RENEWED_BY, Relation.STORED_AT})
    # One may fail for a reason of the moment, such as a CA that does not answer.
    runs = Count(2, "run", "how many runs of the job must have passed since the renewal was due")
    urgent = Period(timedelta(days=7), "how close the end must be to block")

    def check(self, estate: EstateView) -> Iterator[Finding]:
        """One finding for each lineage of a going host."""
        known = Lineages(estate)
        for going, renewal in known.on_going_hosts():
            if renewal.enabled and renewal.triggers and not known.twins(renewal.lineage):
                yield from self._lineage(estate, renewal, going.host)

    def _lineage(self, estate: EstateView, renewal: Renewal, host: str) -> Iterator[Finding]:
        lineage = renewal.lineage
        blast = estate.blast_radius(lineage)
        due = None if blast is None else due_at(lineage, blast.certificate)
        if blast is None or due is None or not served_elsewhere(estate, lineage, blast):
            return
        every, trigger = min(
            ((interval_of(one, estate.now), one) for one in renewal.triggers), key=lambda pair: pair[0]
        )
        late = (estate.now - due).total_seconds()
        if late <= self.runs * every:
            return
        ends = deadline(blast)
        urgent = ends is not None and ends < estate.now + self.urgent
        stored = (edge.provenance for edge in estate.outgoing(blast.certificate, Relation.STORED_AT))
        own = [one for one in stored if one.path.startswith(f"hosts/{host}/")] or list(blast.certificate.provenance)
        yield Finding(
            rule=self.id,
            area=self.area,
            severity=Severity.BLOCK if urgent else self.severity,
            confidence=Confidence.HIGH if renewal.client == "certbot" else Confidence.MEDIUM,
            subject=lineage.label,
            identity=(lineage.scope, lineage.text),
            message=f"{renewal.client} on {host} should have renewed {called(lineage)} {duration(late)} ago, "
            f"{day(due)}: {plural(max(int(late // every), 1), 'run')} of its job since then renewed nothing",
            why=f"The renewal fails already, whatever becomes of the host. {expiry(estate, blast)}",
            action=f"Read what {renewal.client} on {host} said at its last run{_LOG.get(renewal.client, '')}, and "
            "renew before the move.",
            impact=Impact.NONE,
            evidence=lines(own[:1], trigger.provenance[:1]),
            hosts=(host,),
        )


def due_at(lineage: Node, certificate: Node) -> datetime | None:
    """When a lineage's client renews a certificate; None if its times are not known.

    Sources: certbot's `renewal.should_autorenew` and its changelog of 4.0.0.
    """
    start, end = parse_time(certificate.attributes.get("not_before")), not_after(certificate)
    if start is None or end is None or end <= start:
        return None
    before = _BEFORE.search(str(lineage.attributes.get("renew_before_expiry", "")))
    if before is not None:
        return end - timedelta(seconds=min(int(before[1]) * _UNITS[before[2]], 10**9))
    lifetime = end - start
    version = re.match(r"\d+", str(lineage.attributes.get("version", "")))
    if lineage.attributes.get("client") == "certbot" and version is not None and int(version[0]) < 4:
        return end - timedelta(days=30)
    return end - lifetime / (2 if lifetime < timedelta(days=10) else 3)
