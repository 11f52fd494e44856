"""Pools of alternatives that lose some of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar, Final

from auditor.api import (
    Area,
    Confidence,
    Edge,
    EstateView,
    Finding,
    Going,
    Impact,
    Relation,
    Rule,
    Severity,
    listed,
)
from rules.services.losses import (
    Loss,
    Pool,
    behind,
    is_among,
    is_whole,
    losses,
    member_name,
    only_writing,
    pools_of,
    sends,
    successor_names,
)
from rules.texts import files, settings

_SHOWN: Final = 1000


class PoolLosesMemberRule(Rule):
    """Lists pools, and other lists of alternatives, that lose some of their members with the host.

    What it does
    ------------
    Takes upstreams and back ends of web servers and load balancers, name servers of a resolver, time servers, LDAP
    servers, members of a cluster, load balancers of the inventory and floating addresses: whatever has alternatives.
    One finding for a pool that keeps a member, with how many it loses and what is left: whether that is but a backup,
    or but what nothing checks. Members that are marked as down are counted as gone already.

    Pools that keep nothing are told by service-needs-going-host.

    Why it matters
    --------------
    A pool hides that it shrinks. The first member that fails after this one is the outage; and where members are not
    checked, their share of the requests fails at once.

    Example
    -------
    `server old-01.example.net:8080; server new-01.example.net:8080 backup;`

    What to do
    ----------
    Put the successor in the host's place, and reload what holds the list before the host goes.

    What it can't see
    -----------------
    Whether the members that are left can carry the load, and members that are set at run time.
    """

    id: ClassVar[str] = "pool-loses-member"
    title: ClassVar[str] = "A pool loses a member"
    area: ClassVar[Area] = Area.TRAFFIC
    severity: ClassVar[Severity] = Severity.WARN
    needs: ClassVar[frozenset[Relation]] = frozenset({Relation.CONNECTS})

    def check(self, estate: EstateView) -> Iterator[Finding]:
        """One finding for each pool, equal ones on many hosts as one."""
        for loss in losses(estate):
            if any(is_whole(estate, edge) for edge in loss.edges):
                continue
            yield self._finding(estate, loss, pools_of(estate, loss.edges)[0])

    def _finding(self, estate: EstateView, loss: Loss, pool: Pool) -> Finding:
        going = list(loss.going.values())
        evidence = loss.evidence()
        lost, size = len(pool.lost), pool.size
        many = "" if len(loss.consumers) == 1 else "each "
        said = [*_left(pool), *_checks(pool)]
        if len(pool.kept) == 1 or len(pool.kept) == len(pool.backups):
            after = behind(estate, loss.consumers) or _above(estate, loss)
            if after:
                said.append(f"On it {'depends' if len(after) == 1 else 'depend'} {listed(after)}")
        if any(one.attributes.get("critical") is True for one in loss.consumers):
            said.append("It is declared as critical")
        return Finding(
            rule=self.id,
            area=Area.LOGS if sends(loss) else self.area,
            severity=self.severity if loss.confidence is not Confidence.LOW else Severity.INFO,
            confidence=loss.confidence,
            subject=loss.label,
            identity=(loss.node.kind.value, loss.bare, *loss.hosts, files(evidence)[0]),
            message=f"{lost} of {pool.counted(size)} of {many}{loss.label} "
            f"{'goes' if lost == 1 else 'go'}: {listed(loss.hosts)}"
            if not only_writing(going)
            else f"{lost} of {pool.counted(size)} of {many}{loss.label} can't be written to any more: "
            f"{listed(loss.hosts)}",
            why=". ".join(said) + ".",
            action=_action(estate, loss, pool, going),
            impact=Impact.DEGRADED,
            evidence=evidence[:_SHOWN],
            path=estate.path_over(loss.edges[0]),
            hosts=tuple(loss.hosts),
        )


def _left(pool: Pool) -> Iterator[str]:
    names = [member_name(edge) for edge in pool.kept]
    down = f"; {listed(pool.down)} {'is' if len(pool.down) == 1 else 'are'} down" if pool.down else ""
    if len(pool.backups) == len(pool.kept):
        what = "the backup" if len(names) == 1 else "backups"
        yield f"Only {what} {listed(names)} {'is' if len(names) == 1 else 'are'} left{down}"
    elif len(names) == 1:
        yield f"Only {names[0]} is left{down}"
    else:
        yield f"{listed(names)} are left{down}"


def _checks(pool: Pool) -> Iterator[str]:
    """HAProxy tells by itself that a member is gone only where it checks it."""
    unseen = [edge for edge in pool.lost if is_among(edge, "unchecked")]
    if unseen:
        yield (
            f"{listed([member_name(edge) for edge in unseen])} {'is' if len(unseen) == 1 else 'are'} not checked: "
            f"{'its' if len(unseen) == 1 else 'their'} share of the requests fails until the line is changed"
        )
    elif pool.kept and all(is_among(edge, "unchecked") for edge in pool.kept):
        yield f"Nothing checks {'the one that is' if len(pool.kept) == 1 else 'those that are'} left"


def _above(estate: EstateView, loss: Loss) -> list[str]:
    """What uses the pool directly, whether or not it is harmed."""
    users: Sequence[Edge] = [
        edge for one in loss.consumers for edge in estate.incoming(one, Relation.BACKED_BY, Relation.CONNECTS)
    ]
    return sorted({edge.consumer.text for edge in users})


def _action(estate: EstateView, loss: Loss, pool: Pool, going: Sequence[Going]) -> str:
    places = listed(settings(loss.evidence()))
    then = ", and reload it" if loss.homes else ""
    it, its = ("it", "its") if len(loss.edges) == 1 else ("them", "their")
    kept = {host.text for edge in pool.kept for host in estate.reaches(edge.provider)}
    missing = [name for name in successor_names(going) if name not in kept]
    if missing:
        return f"Put {listed(missing)} in {its} place in {places}{then}."
    return f"Take {it} out of {places}{then}."
