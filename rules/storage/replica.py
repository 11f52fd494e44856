"""Replicas on a host that is going, of what stays."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from auditor.api import (
    Area,
    Confidence,
    EstateView,
    Finding,
    Going,
    Impact,
    Kind,
    Lifecycle,
    Node,
    Relation,
    Rule,
    Severity,
    listed,
    plural,
)
from rules.services.losses import is_replica
from rules.ways import distinct


class ReplicaOnGoingHostRule(Rule):
    """The replica of a database or directory on a host that is going, whose source stays.

    What it does
    ------------
    Takes the standbys of PostgreSQL, the replicas of MySQL, MariaDB and Redis and the consumers of slapd that run on
    the host and follow one that stays, and counts the other replicas of the same source. Also for a read-only host:
    what can't be written can't follow.

    Why it matters
    --------------
    The source runs on without a word, and has nobody to take over, perhaps on the very day on which it fails. And with
    PostgreSQL the slot of a standby that is gone keeps all that it has not fetched, until the source's disk is full.

    Example
    -------
    The one standby of the billing database runs on the host; `primary_slot_name = 'old'`

    What to do
    ----------
    Set up a replica on the successor and let it catch up before the host goes. Drop the old one's slot on the source
    afterwards.

    What it can't see
    -----------------
    Slots and users on the source itself, and replicas whose hosts were not captured.
    """

    id: ClassVar[str] = "replica-on-going-host"
    title: ClassVar[str] = "A source loses its replica"
    area: ClassVar[Area] = Area.STORAGE
    severity: ClassVar[Severity] = Severity.WARN
    since: ClassVar[str] = "0.2.0"
    needs: ClassVar[frozenset[Relation]] = frozenset({Relation.CONNECTS})

    def check(self, estate: EstateView) -> Iterator[Finding]:
        """One finding for each replica on a host that goes."""
        going = {one.host: one for one in estate.going}
        replicas = [node for node in estate.nodes(Kind.SERVICE) if is_replica(node)]
        for node in replicas:
            if node.scope not in going:
                continue
            sources = _sources(estate, node)
            if not sources or set(sources) & going.keys():
                continue
            others = [
                one.scope
                for one in replicas
                if one.scope and one.scope not in going and set(_sources(estate, one)) & set(sources)
            ]
            yield self._finding(estate, node, going[node.scope], sources, sorted(set(others)))

    def _finding(self, estate: EstateView, node: Node, going: Going, sources: list[str], others: list[str]) -> Finding:
        edges = estate.outgoing(node, Relation.CONNECTS)
        source, count = listed(sources), 1 + len(others)
        lost = "its only replica" if not others else f"1 of its {plural(count, 'replica')}"
        read_only = going.lifecycle is Lifecycle.READ_ONLY
        state = "can't store what it is sent" if read_only else "goes"
        slot = node.attributes.get("slot")
        left = (
            f"{listed(others)} {'is' if len(others) == 1 else 'are'} left."
            if others
            else "Nothing is left to take over."
        )
        why = left
        if slot:
            why += f" Its slot {slot} makes {source} keep all that it has not fetched, until the disk is full."
        after = f"; then `SELECT pg_drop_replication_slot('{slot}')` on {source}" if slot else ""
        return Finding(
            rule=self.id,
            area=self.area,
            severity=self.severity,
            confidence=min((edge.confidence for edge in edges), key=list(Confidence).index),
            subject=node.label,
            identity=(going.host, node.text),
            message=f"{source} loses {lost}: {node.text} on {going.host} {state}",
            why=why,
            action=f"Set up a replica on {going.successor or 'a host that stays'} and let it catch up before{after}.",
            impact=Impact.DEGRADED,
            evidence=distinct(edge.provenance for edge in edges),
            hosts=(going.host,),
        )


def _sources(estate: EstateView, replica: Node) -> list[str]:
    """The hosts that a replica follows; a name of which no host is known counts as one."""
    found: dict[str, None] = {}
    for edge in estate.outgoing(replica, Relation.CONNECTS):
        if edge.provider.kind is not Kind.SERVICE:
            hosts = [host.text for host in estate.reaches(edge.provider)]
            found.update(dict.fromkeys(hosts or [edge.provider.text]))
    return list(found)
