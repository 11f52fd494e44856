"""What proves to the CA that a name is ours, and that leads through a host that is going."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Final, NamedTuple

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
    Need,
    Node,
    Relation,
    Rule,
    Severity,
    Step,
    is_address,
    listed,
    split_endpoint,
)
from rules.renewal.lineages import (
    Lineages,
    called,
    expiry,
    kept_on,
    leads_to,
    lines,
    path_over,
    shown,
    state_of,
)

_FOLLOWED: Final = (Relation.RESOLVES, Relation.STANDS_FOR, Relation.RECORDS)
_LIMIT: Final = 64


class _Through(NamedTuple):
    """A way of the validation to a going host: its edges in order, and the hosts that it leads to besides."""

    edges: tuple[Edge, ...]
    going: Going
    left: tuple[str, ...]


class RenewalValidationOnGoingHostRule(Rule):
    """A renewal's validation that leads through a host that is going: the CA would refuse the renewal.

    What it does
    ------------
    Follows what each lineage is validated through: the webroot if another host exports it, the `_acme-challenge` name
    with its CNAME or the name servers of its own zone, and the server that takes the dynamic updates (RFC 2136, also
    from the credentials file). A webroot on the lineage's own host moves with the lineage.

    Why it matters
    --------------
    The CA asks anew at each renewal. If the answer was to come from the old server, the renewal fails on the new one,
    and only there is it noticed, after the old server is gone.

    Example
    -------
    `_acme-challenge.example.net` is delegated to `ns-acme`, which is an address of the old certificate server.

    What to do
    ----------
    Move the zone, the delegation or the webroot first; then run the client's test against the CA's staging directory.

    What it can't see
    -----------------
    Validation through a provider's API, and challenge names in zones that were not captured. On a read-only host a
    name server still answers, but takes no updates that must be kept: this is said with medium confidence, unless the
    updates are seen to go there.
    """

    id: ClassVar[str] = "renewal-validation-on-going-host"
    title: ClassVar[str] = "A renewal's validation leads through the host"
    area: ClassVar[Area] = Area.RENEWAL
    severity: ClassVar[Severity] = Severity.BLOCK
    needs: ClassVar[frozenset[Relation]] = frozenset(
        {Relation.RENEWED_BY, Relation.VALIDATED_THROUGH, Relation.RESOLVES}
    )

    def check(self, estate: EstateView) -> Iterator[Finding]:
        """One finding for each lineage and host, with all ways to it."""
        known = Lineages(estate)
        for lineage in known.all:
            if not known.of(lineage).enabled:
                continue
            ways: dict[str, list[_Through]] = {}
            for way in _ways(estate, lineage):
                ways.setdefault(way.going.host, []).append(way)
            for several in ways.values():
                yield self._finding(estate, lineage, several)

    def _finding(self, estate: EstateView, lineage: Node, ways: list[_Through]) -> Finding:
        # Where the updates go says more than who answers for the zone.
        best = min(ways, key=lambda way: (bool(way.left), not way.edges[-1].lost, len(way.edges)))
        going, left = best.going, best.left
        sure = best.edges[-1].lost or going.lifecycle is not Lifecycle.READ_ONLY
        name, blast = called(lineage), estate.blast_radius(lineage)
        target = going.successor or "a server that stays"
        what = listed(list(dict.fromkeys(_said(way) for way in ways)))
        return Finding(
            rule=self.id,
            area=self.area,
            severity=Severity.WARN if left else self.severity,
            confidence=best.edges[0].confidence if sure else Confidence.MEDIUM,
            subject=lineage.label,
            identity=(lineage.scope, lineage.text, going.host),
            message=f"The validation of {name} leads through {going.host}, which {state_of(estate, going)}: {what}",
            why="The CA would refuse the next renewal, wherever it runs. "
            + (f"{listed(list(left))} answers as well. " if left else "")
            + expiry(estate, blast),
            action=_action(best, target, lineage),
            impact=Impact.DEGRADED if left or not best.edges[-1].lost else Impact.BROKEN,
            evidence=lines(
                edge.provenance
                for way in ways
                for edge in way.edges
                if edge.relation is not Relation.STANDS_FOR and shown(edge.provenance)
            )
            or lineage.provenance[:1],
            path=_steps(estate, best),
            hosts=(going.host,),
        )


def _ways(estate: EstateView, lineage: Node) -> Iterator[_Through]:
    for edge in estate.outgoing(lineage, Relation.VALIDATED_THROUGH):
        target = edge.provider
        if target.kind is Kind.NAME:
            yield from _of_name(estate, edge)
        elif target.kind is Kind.PATH:
            for going in kept_on(estate, target) if edge.lost else ():
                if going.host != lineage.scope:
                    yield _Through((edge,), going, ())
        elif edge.lost or edge.need is not Need.READ:
            for going in leads_to(estate, target):
                if not (target.kind is Kind.HOST and target.text == lineage.scope):
                    yield _Through((edge,), going, _others(estate, target))
    # The credentials of an update (dns_rfc2136_credentials) name the server that takes it.
    for edge in estate.outgoing(lineage, Relation.READS):
        for update in estate.outgoing(edge.provider, Relation.CONNECTS):
            if update.need is Need.WRITE:
                for going in leads_to(estate, update.provider):
                    yield _Through((edge, update), going, _others(estate, update.provider))


def _of_name(estate: EstateView, edge: Edge) -> Iterator[_Through]:
    """Ways from a challenge's name over CNAME, its zone's own name servers and addresses to going hosts."""
    ends: dict[str, tuple[Edge, ...]] = {}
    seen = {edge.provider.id}
    pending: list[tuple[Edge, ...]] = [(edge,)]
    while pending and len(seen) < _LIMIT:
        way = pending.pop(0)
        at = way[-1].provider
        if at.kind is Kind.HOST:
            ends.setdefault(at.text, way)
            continue
        for following in estate.outgoing(at, *_FOLLOWED):
            if following.relation is Relation.RECORDS and not _leads(following):
                continue
            if following.provider.id not in seen or following.provider.kind is Kind.HOST:
                seen.add(following.provider.id)
                pending.append((*way, following))
    going = {one.host: one for one in estate.going}
    left = tuple(sorted(set(ends) - set(going)))
    for host, way in ends.items():
        if host in going:
            yield _Through(way, going[host], left)


def _leads(edge: Edge) -> bool:
    """Whether a record says where a name's answers come from: a delegation, or an alias."""
    record = edge.consumer if edge.consumer.kind is Kind.RECORD else edge.provider
    return record.attributes.get("type") in ("NS", "CNAME", "DNAME")


def _others(estate: EstateView, node: Node) -> tuple[str, ...]:
    going = {one.host for one in estate.going}
    return tuple(host.text for host in estate.reaches(node) if host.text not in going)


def _said(way: _Through) -> str:
    """`its dynamic updates go to 10.20.4.17`, `_acme-challenge.example.net is answered by ns-acme.example.net`."""
    first, last = way.edges[0], way.edges[-1]
    if first.relation is Relation.READS:
        return f"its dynamic updates go to {last.provider.text}"
    if first.provider.kind is Kind.NAME:
        names = [edge.provider.text for edge in way.edges[1:] if edge.provider.kind is Kind.NAME]
        return f"{first.provider.text} is answered by {names[0] if names else way.going.host}"
    if first.provider.kind is Kind.PATH:
        return f"its webroot {first.provider.text} is there"
    return f"it goes through {first.provider.text}"


def _action(way: _Through, target: str, lineage: Node) -> str:
    first, last = way.edges[0], way.edges[-1]
    then = f"then {_trial(lineage)}."
    if first.relation is Relation.READS:
        place = f"{last.provenance.path}:{last.provenance.line}"
        return f"Move the challenges' zone to {target}; set `dns_rfc2136_server` ({place}) and its NS record to that."
    if first.provider.kind is Kind.NAME:
        at = next((edge.provenance for edge in way.edges[1:] if edge.provenance.line), first.provenance)
        return f"Point {first.provider.text} ({at.path}:{at.line}) at {target}, {then}"
    if first.provider.kind is Kind.PATH:
        return f"Serve the webroot {first.provider.text} from {target}, {then}"
    place = f"{first.provenance.path}:{first.provenance.line}"
    parts = split_endpoint(first.provider.text)
    if first.provenance.line and is_address(parts.host if parts is not None else first.provider.text):
        return (
            f"Set up what answers there on {target}, put that in the place of {first.provider.text} ({place}), {then}"
        )
    return f"Let {first.provider.text} lead to {target}, {then}"


def _trial(lineage: Node) -> str:
    """How a renewal is tried, in its client's words."""
    client, _, name = lineage.text.partition(":")
    if client == "certbot":
        return f"run `certbot renew --cert-name {name} --dry-run`"
    if client == "cert-manager" and "/" in name:
        namespace, _, certificate = name.partition("/")
        return f"renew once with `cmctl renew {certificate} -n {namespace}`"
    return "renew once, at the staging server of the CA if it has one"


def _steps(estate: EstateView, way: _Through) -> tuple[Step, ...]:
    steps = tuple(step for edge in way.edges[:-1] for step in path_over(estate, edge, way.going)[:1])
    return (*steps, *path_over(estate, way.edges[-1], way.going))
