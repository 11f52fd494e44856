"""Records whose answers are remembered for longer than the time to the switch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import ClassVar

from auditor.api import (
    Area,
    Confidence,
    EstateView,
    Finding,
    Going,
    Impact,
    Node,
    Period,
    Provenance,
    Relation,
    Rule,
    Severity,
    day,
    duration,
    listed,
    plural,
)
from rules.dns.records import is_in_zone, is_own, ttl_of
from rules.ways import distinct, references_to, switch_of


@dataclass(slots=True)
class _Late:
    """Records of one TTL that lead to a host, by owner and type, with their lines."""

    going: Going
    ttl: int
    beyond: float
    owners: dict[str, tuple[Provenance, ...]] = field(default_factory=dict)


class DnsTtlTooLongRule(Rule):
    """Names that lead to a host whose day is so near that resolvers remember the old answer beyond it.

    What it does
    ------------
    Where the day is known (`--on`, or a date in the inventory), it compares the TTL of each name of a service that
    leads to the host with the time that is left: an answer that is fetched now is kept for a TTL. Those that are kept
    beyond the switch are told, one finding for each TTL, with how long; those that were lowered in time are not. The
    host's own name and address, which end with it, don't count.

    Why it matters
    --------------
    A TTL can be lowered only for answers that are fetched afterwards. Whoever lowers it on the evening of the move
    finds that half of the clients still have the old address the day after.

    Example
    -------
    `repo 86400 IN CNAME old` and a switch in 6 hours: for 18 hours after it clients are sent to a host that is off

    What to do
    ----------
    Lower it now, move the switch by what is missing, or keep the old host answering (or redirecting) for a TTL after
    the record was changed.

    What it can't see
    -----------------
    Resolvers that keep answers longer than they may, clients that ask once at their start, and TTLs of records that no
    captured zone or answer has.
    """

    id: ClassVar[str] = "dns-ttl-too-long"
    title: ClassVar[str] = "Answers are remembered beyond the switch"
    area: ClassVar[Area] = Area.NAMES
    severity: ClassVar[Severity] = Severity.WARN
    since: ClassVar[str] = "0.2.0"
    needs: ClassVar[frozenset[Relation]] = frozenset({Relation.RESOLVES})
    short = Period(timedelta(minutes=5), "the TTL to write before a switch", least=timedelta(minutes=1))

    def check(self, estate: EstateView) -> Iterator[Finding]:
        """One finding for each host and TTL."""
        for going in estate.going:
            switch, host = switch_of(estate, going), estate.host(going.host)
            if switch is None or host is None or switch <= estate.now:
                continue
            left = (switch - estate.now).total_seconds()
            found: dict[int, _Late] = {}
            count = 0
            for name in references_to(estate, host):
                lines = () if is_own(name.text, going) or not is_in_zone(name) else _lines(estate, name)
                if lines:
                    count += 1
                    ttl = ttl_of(name)
                    if ttl > left:
                        late = found.setdefault(ttl, _Late(going, ttl, ttl - left))
                        late.owners[name.text] = lines
            for ttl in sorted(found, reverse=True):
                yield self._finding(found[ttl], count, switch)

    def _finding(self, late: _Late, count: int, switch: datetime) -> Finding:
        going, names = late.going, sorted(late.owners)
        lines = distinct(line for name in names for line in late.owners[name])
        verb = "is" if len(names) == 1 else "are"
        start = switch - timedelta(seconds=late.ttl)
        return Finding(
            rule=self.id,
            area=self.area,
            severity=self.severity,
            confidence=Confidence.HIGH,
            subject=listed(names),
            identity=(going.host, *names),
            message=f"{listed(names)} {verb} remembered for {duration(late.ttl)}: answers that are fetched now lead "
            f"to {going.host} until {duration(late.beyond)} after the switch",
            why=f"{len(names)} of {plural(count, 'name')} that {'leads' if count == 1 else 'lead'} to it. The switch "
            f"is {day(switch)}; the TTL had to be lower from {day(start)} on.",
            action=f"Write a TTL of {int(self.short.total_seconds())} in {lines[0].path}:{lines[0].line}"
            + (f" and {plural(len(lines) - 1, 'more line')}" if len(lines) > 1 else "")
            + f" now, and move the switch by {duration(late.beyond)}, or let {going.host} answer for so long after it.",
            impact=Impact.DEGRADED,
            evidence=lines,
            hosts=(going.host,),
        )


def _lines(estate: EstateView, name: Node) -> tuple[Provenance, ...]:
    """Where a name's records were written."""
    edges = estate.outgoing(name, Relation.RESOLVES)
    return distinct(edge.provenance for edge in edges if edge.provenance.path != "." and edge.provenance.line)
