"""A renewal that runs on a host that is going, or that can no longer write."""

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
    Lifecycle,
    Need,
    Node,
    Relation,
    Rule,
    Severity,
    listed,
    plural,
)
from rules.renewal.lineages import (
    Lineages,
    Renewal,
    called,
    deadline,
    expiry,
    going_behind,
    lines,
    move,
    path_over,
    served_elsewhere,
    shown,
    state_of,
)


class RenewalOnGoingHostRule(Rule):
    """A certificate's renewal that stops, because its run is on a host that is going, or writes where nothing can.

    What it does
    ------------
    Takes each lineage (what an ACME client renews) with its client, the jobs that start the client, the directories
    it writes to and its CA. If one of these is lost, the renewal is. If only some of several triggers are lost, it
    warns. Another lineage with the same names that goes on elsewhere, and whose validation does, makes it a remark.

    Why it matters
    --------------
    A renewal on a read-only server fails in silence: the server answers, the job runs, and the certificate ends all
    the same, months later, for every server that has it.

    Example
    -------
    `/etc/cron.d/certbot` of `cert-01` runs `certbot renew`, and `cert-01` has been read-only for five months. The
    wildcard that it renews is on 340 servers.

    What to do
    ----------
    Move the lineage with its trigger to the successor, and let it renew there once (`certbot renew --dry-run`) before
    the old server goes.

    What it can't see
    -----------------
    Clients whose configuration was not captured, and renewals that people do by hand. What a hook or a validation
    needs is told by `renewal-hook-on-going-host` and `renewal-validation-on-going-host`; a lineage that nothing starts
    by `certificate-without-renewal`.
    """

    id: ClassVar[str] = "renewal-on-going-host"
    title: ClassVar[str] = "A renewal runs on the host, or must write there"
    area: ClassVar[Area] = Area.RENEWAL
    severity: ClassVar[Severity] = Severity.BLOCK
    needs: ClassVar[frozenset[Relation]] = frozenset({Relation.RENEWED_BY, Relation.RUNS_ON})

    def check(self, estate: EstateView) -> Iterator[Finding]:
        """One finding for each lineage."""
        known = Lineages(estate)
        for renewal in map(known.of, known.all):
            if not renewal.runs:
                continue
            if renewal.lost:
                yield from self._stopped(estate, renewal, known.twins(renewal.lineage))
            elif renewal.lost_triggers:
                yield from self._fewer_triggers(estate, renewal)

    def _stopped(self, estate: EstateView, renewal: Renewal, others: list[Renewal]) -> Iterator[Finding]:
        lineage = renewal.lineage
        first = next((edge for edge in _in_order(renewal.lost) if going_behind(estate, edge.provider)), None)
        if first is None:
            return
        going = going_behind(estate, first.provider)
        hosts = sorted({one.host for edge in renewal.lost for one in going_behind(estate, edge.provider)})
        blast = estate.blast_radius(lineage)
        needed = served_elsewhere(estate, lineage, blast)
        severity, why = self.severity, expiry(estate, blast)
        if others:
            severity = Severity.INFO
            why = f"{listed([_place(one.lineage) for one in others])} renews the same names already. {why}"
        elif not needed:
            severity = Severity.INFO
            why = f"All its names lead to what is going, so the certificate goes too. {why}"
        else:
            why = f"{why} {_alone(renewal)}".strip()
        if others or not needed:
            action = "Delete it here, so that nobody takes it for the one in use: " + (
                f"`certbot delete --cert-name {renewal.name}`."
                if renewal.client == "certbot"
                else f"remove {renewal.name} from {renewal.client}'s configuration."
            )
        else:
            action = _move(estate, renewal, first, going[0])
        yield Finding(
            rule=self.id,
            area=self.area,
            severity=severity,
            confidence=min((edge.confidence for edge in renewal.lost), key=list(Confidence).index),
            subject=lineage.label,
            identity=(lineage.scope, lineage.text, *hosts),
            message=_says(estate, renewal, first, going[0]),
            why=why,
            action=action,
            impact=Impact.BROKEN,
            evidence=lines(
                (one.provenance[0] for one in renewal.triggers if one.provenance),
                (edge.provenance for edge in _in_order(renewal.lost) if shown(edge.provenance)),
            )
            or lineage.provenance[:1],
            path=path_over(estate, first, *going),
            hosts=tuple(hosts),
            deadline=deadline(blast) if needed and not others else None,
        )

    def _fewer_triggers(self, estate: EstateView, renewal: Renewal) -> Iterator[Finding]:
        lineage, lost = renewal.lineage, renewal.lost_triggers
        hosts = sorted({one.host for trigger in lost for one in going_behind(estate, trigger)})
        going = [one for one in estate.going if one.host in hosts]
        left = [one for one in renewal.triggers if one not in lost]
        if not going or not left:
            return
        blast = estate.blast_radius(lineage)
        yield Finding(
            rule=self.id,
            area=self.area,
            severity=Severity.WARN,
            confidence=Confidence.HIGH,
            subject=lineage.label,
            identity=(lineage.scope, lineage.text, *hosts, "triggers"),
            message=f"{len(lost)} of {plural(len(renewal.triggers), 'trigger')} of the renewal of {called(lineage)} "
            f"{'needs' if len(lost) == 1 else 'need'} {going[0].host}, which {state_of(estate, going[0])}",
            why=f"{listed([one.label for one in left])} is left to start it. {expiry(estate, blast)}",
            action=f"See that {left[0].label} has renewed it at least once by itself; "
            f"delete {listed([one.text for one in lost])}.",
            impact=Impact.DEGRADED,
            evidence=lines(one.provenance[0] for one in lost if one.provenance),
            path=estate.path(lost[0]),
            hosts=tuple(hosts),
        )


def _in_order(edges: tuple[Edge, ...]) -> list[Edge]:
    """By the stage of a run: what starts it and runs it, the CA, what it writes."""
    order = (Relation.RENEWED_BY, Relation.RUNS_ON, Relation.ISSUED_BY, Relation.WRITES)
    return sorted(edges, key=lambda edge: (order.index(edge.relation), edge.provider.text))


def _place(lineage: Node) -> str:
    return lineage.label.removeprefix("lineage ")


def _alone(renewal: Renewal) -> str:
    count = len(renewal.triggers)
    if count == 1:
        return "Nothing else starts it."
    every = "Both" if count == 2 else f"All {count}"
    return f"{every} jobs that start it are lost with it." if count and len(renewal.lost_triggers) == count else ""


def _says(estate: EstateView, renewal: Renewal, first: Edge, going: Going) -> str:
    """What happens, by the first stage that fails."""
    name, client, state = called(renewal.lineage), renewal.client, state_of(estate, going)
    by_host = renewal.lineage.scope
    if first.relation is Relation.ISSUED_BY:
        return (
            f"The renewal of {name} asks {first.provider.text}, which leads to {going.host}, and {going.host} {state}"
        )
    if first.relation is Relation.WRITES or first.need is Need.WRITE:
        if by_host == going.host:
            runs = f"The renewal of {name} by {client} runs on {going.host}, which {state}"
            return f"{runs}: it can't store a new certificate"
        return f"The renewal of {name} on {by_host} writes {first.provider.text} to {going.host}, which {state}"
    if by_host and by_host != going.host and renewal.lost_triggers:
        started = listed([one.label for one in renewal.lost_triggers])
        return f"The renewal of {name} on {by_host} is started by {started} alone, and {going.host} {state}"
    failing = ": its job then fails" if going.lifecycle is Lifecycle.READ_ONLY else ""
    return f"The renewal of {name} by {client} runs on {going.host}, which {state}{failing}"


def _move(estate: EstateView, renewal: Renewal, first: Edge, going: Going) -> str:
    target = going.successor or "a host that stays"
    if first.relation is Relation.ISSUED_BY:
        return f"Move the CA to {target}, or set another `server` for {renewal.name}, and renew once."
    if renewal.lineage.scope and renewal.lineage.scope != going.host:
        if first.relation is Relation.WRITES:
            return f"Let {renewal.client} on {renewal.lineage.scope} write {first.provider.text} to {target}."
        return f"Let {target}, or {renewal.lineage.scope} itself, start the renewal of {renewal.name}."
    return move(renewal, going)
