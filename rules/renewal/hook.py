"""What a renewal calls when it has renewed, and that leads to a host that is going."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Final

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
    listed,
)
from rules.renewal.lineages import (
    also_elsewhere,
    called,
    going_behind,
    kept_on,
    leads_to,
    lines,
    path_over,
    reach_of,
    shown,
    state_of,
)

_HOOKS: Final = (Relation.DEPLOYED_BY, Relation.CALLS, Relation.CONNECTS)
_REMOTE: Final = frozenset({Kind.ENDPOINT, Kind.NAME, Kind.ADDRESS, Kind.HOST})
_OF_SCRIPTS: Final = (Relation.CALLS, Relation.CONNECTS, Relation.WRITES, Relation.READS)
_DEPTH: Final = 5


class RenewalHookOnGoingHostRule(Rule):
    """A hook of a renewal that leads to a host that is going: the new certificate is not delivered.

    What it does
    ------------
    Takes the deploy, pre and post hooks of each lineage: URLs, hosts of rsync, scp and ssh, scripts with what these
    call, connect to and write. A hook is reported if it leads to the host, also through CNAME records and addresses,
    whether the lineage itself is on that host or not. A script that only lies on the lineage's own host moves with it.

    Why it matters
    --------------
    A renewal can succeed and change nothing: the certificate is renewed on disk, the hook calls a dead address, and
    all servers go on with the old one until it ends.

    Example
    -------
    `renew_hook = curl https://acme-hook.example.net/renewed`, and `acme-hook` is a CNAME to the old server.

    What to do
    ----------
    Point the hook, or the name that it calls, at what deploys certificates from now on, and run it once by hand.

    What it can't see
    -----------------
    What the receiver of a webhook does with it. It is taken to store something: on a read-only host it may answer, and
    do nothing. What only has to run there is said with medium confidence.
    """

    id: ClassVar[str] = "renewal-hook-on-going-host"
    title: ClassVar[str] = "A renewal's hook leads to the host"
    area: ClassVar[Area] = Area.RENEWAL
    severity: ClassVar[Severity] = Severity.BLOCK
    needs: ClassVar[frozenset[Relation]] = frozenset({Relation.RENEWED_BY, Relation.DEPLOYED_BY})

    def check(self, estate: EstateView) -> Iterator[Finding]:
        """One finding for each lineage, hook (or script of a hook), target and host; all that is written is one."""
        for lineage in estate.nodes(Kind.LINEAGE):
            found: dict[tuple[int, str, str], list[tuple[Edge, Edge, Going]]] = {}
            for hook in estate.outgoing(lineage, *_HOOKS):
                for edge, going in _led(estate, lineage, hook):
                    what = "" if edge.relation is Relation.WRITES else edge.provider.label
                    found.setdefault((edge.consumer.id, what, going.host), []).append((hook, edge, going))
            for several in found.values():
                yield self._finding(estate, lineage, several)

    def _finding(self, estate: EstateView, lineage: Node, several: list[tuple[Edge, Edge, Going]]) -> Finding:
        hook, edge, going = several[0]
        deploys = hook.relation is Relation.DEPLOYED_BY
        left = also_elsewhere(estate, edge.provider)
        sure = edge.lost or going.lifecycle is not Lifecycle.READ_ONLY
        name, blast = called(lineage), estate.blast_radius(lineage)
        whom = f" to {reach_of(estate, blast)}" if blast and reach_of(estate, blast) else ""
        why = f"A renewed {name} would not be delivered{whom}." if deploys else f"Each renewal of {name} runs it."
        if not sure:
            why = f"It may still answer, but what it is told can't be stored there. {why}"
        if left:
            why += f" It leads to {listed(left)} as well."
        via = f"{edge.consumer.text} " if edge.consumer.id != lineage.id else ""
        return Finding(
            rule=self.id,
            area=self.area,
            severity=Severity.WARN if left or not deploys else self.severity,
            confidence=edge.confidence if sure or edge.confidence is Confidence.LOW else Confidence.MEDIUM,
            subject=lineage.label,
            identity=(lineage.scope, lineage.text, edge.consumer.label, edge.provider.label, going.host),
            message=f"The {'deploy hook' if deploys else 'hook'} {via}of {name} {_does([one for _, one, _ in several])}"
            f" {going.host}, which {state_of(estate, going)}",
            why=why,
            action=_action(lineage, edge, going),
            impact=Impact.BROKEN if edge.lost and not left else Impact.DEGRADED,
            evidence=lines(
                (one.provenance for _, one, _ in several if shown(one.provenance)),
                (one.provenance for one, _, _ in several if shown(one.provenance)),
            )
            or lineage.provenance[:1],
            path=(*(path_over(estate, hook)[:1] if edge is not hook else ()), *path_over(estate, edge, going)),
            hosts=(going.host,),
        )


def _led(estate: EstateView, lineage: Node, hook: Edge) -> Iterator[tuple[Edge, Going]]:
    """The edges of a hook, its own or of the scripts that it runs, that lead to going hosts."""
    seen: set[int] = set()
    pending = [(hook, 0)]
    while pending:
        edge, depth = pending.pop(0)
        target = edge.provider
        if target.id in seen and edge is not hook:
            continue
        seen.add(target.id)
        if target.kind in _REMOTE:
            if target.kind is Kind.HOST and target.text == lineage.scope:
                continue
            for going in leads_to(estate, target):
                # Whoever only reads from a read-only host goes on as before.
                if edge.lost or edge.need is not Need.READ or going.lifecycle is not Lifecycle.READ_ONLY:
                    yield edge, going
        elif target.kind is Kind.PATH:
            found = going_behind(estate, target) if edge.lost else []
            if edge.relation is Relation.WRITES:
                for going in found:
                    if going.lifecycle is Lifecycle.READ_ONLY or going.host != lineage.scope:
                        yield edge, going
                continue
            outside = [one for one in kept_on(estate, target) if one.host != lineage.scope]
            if outside and edge.lost:
                for going in outside:
                    yield edge, going
            elif depth < _DEPTH and edge.relation is not Relation.READS:
                pending.extend((one, depth + 1) for one in estate.outgoing(target, *_OF_SCRIPTS))


def _does(edges: list[Edge]) -> str:
    edge = edges[0]
    if edge.relation is Relation.WRITES:
        return f"writes {listed(sorted({one.provider.text for one in edges}))} on"
    if edge.provider.kind is Kind.HOST:
        return "leads to"
    verb = "calls" if edge.provider.kind is Kind.ENDPOINT else "runs" if edge.provider.kind is Kind.PATH else "uses"
    return f"{verb} {edge.provider.text}, which leads to"


def _action(lineage: Node, edge: Edge, going: Going) -> str:
    target = going.successor or "what deploys certificates from now on"
    where = edge.provenance
    place = f" in {where.path}:{where.line}" if where.path != "." and where.line else ""
    if edge.relation is Relation.WRITES and edge.consumer.scope == going.host:
        return (
            f"Take the hook to {target} with the lineage, see that it can write the same places there, and run it once."
        )
    if edge.relation is Relation.WRITES:
        return f"Let the hook{place} write on {target}, and run it once."
    return (
        f"Point {edge.provider.text}{place}, or the name behind it, at {target}, "
        f"then renew {lineage.text.partition(':')[2]} once with the hook and look at what is served."
    )
