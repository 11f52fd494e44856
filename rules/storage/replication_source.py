"""Replicas elsewhere that follow what is on a host that is going."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Final

from auditor.api import Area, Confidence, EstateView, Finding, Impact, Relation, Rule, Severity, listed
from rules.services.losses import Loss, behind, called_as, is_replica, is_whole, losses, once
from rules.texts import files

PROMOTE: Final = {
    "postgresql standby": "`pg_ctl promote`, or `SELECT pg_promote()`",
    "mysql replica": "`STOP REPLICA; RESET REPLICA ALL`, and `SET GLOBAL read_only = OFF`",
    "redis replica": "`REPLICAOF NO ONE`",
    "slapd replica": "take `syncrepl` out, and set `updateref` of the others",
}
"""How a replica becomes the one that is written, in the words of its program."""


class ReplicationSourceGoingRule(Rule):
    """Databases and directories elsewhere whose source is on a host that is going.

    What it does
    ------------
    Takes the standbys of PostgreSQL, the replicas of MySQL, MariaDB and Redis and the consumers of slapd on other hosts
    that follow the host and nothing else. Equal ones on many hosts are one finding. Where another source is left, it
    warns. Nothing is said for a read-only host, which can be followed on.

    Why it matters
    --------------
    A replica whose source is gone looks healthy: it answers, with the data of yesterday. Unless one of them was made
    the source before, everything that is written has no place to go; if two were, the data goes apart.

    Example
    -------
    `primary_conninfo = 'host=old.example.net user=replicator'` on two standbys

    What to do
    ----------
    Stop writing, wait until one replica has all, promote it, point the others and the clients at it, and only then
    switch the old source off.

    What it can't see
    -----------------
    How far behind a replica is, logical subscriptions inside databases, and tools that promote by themselves (Patroni,
    repmgr, orchestrator).
    """

    id: ClassVar[str] = "replication-source-going"
    title: ClassVar[str] = "Replicas follow the host"
    area: ClassVar[Area] = Area.STORAGE
    severity: ClassVar[Severity] = Severity.BLOCK
    since: ClassVar[str] = "0.2.0"
    needs: ClassVar[frozenset[Relation]] = frozenset({Relation.CONNECTS})

    def check(self, estate: EstateView) -> Iterator[Finding]:
        """One finding for each kind of replica, equal ones on many hosts as one."""
        for loss in losses(estate, is_replica):
            yield self._finding(estate, loss)

    def _finding(self, estate: EstateView, loss: Loss) -> Finding:
        whole = any(is_whole(estate, edge) for edge in loss.edges)
        sure = loss.confidence is not Confidence.LOW
        evidence, hosts = loss.evidence(), listed(loss.hosts)
        follow = "follow" if len(loss.consumers) > 1 else "follows"
        left = "" if whole else ", and may turn to another source"
        alias = next((text for edge in loss.edges if (text := called_as(estate, edge))), "")
        after = behind(estate, loss.consumers)
        why = (
            "What they answer is then as old as the switch."
            if len(loss.consumers) > 1
            else "It then answers with old data."
        )
        promote = next((text for name, text in PROMOTE.items() if loss.bare.startswith(name)), "promote it")
        successors = sorted({one.successor for one in loss.going.values() if one.successor})
        first = next((one for one in loss.homes if one in successors), loss.homes[0] if loss.homes else "one of them")
        return Finding(
            rule=self.id,
            area=self.area,
            severity=self.severity if whole and sure else Severity.WARN,
            confidence=loss.confidence,
            subject=loss.label,
            identity=(loss.bare, *loss.hosts, files(evidence)[0]),
            message=f"{loss.label} {follow} {hosts}{alias}{left}: {once(list(loss.going.values()))} nothing new "
            "arrives",
            why=why + (f" On it depends {listed(after)}." if after else ""),
            action=f"Before the switch, stop writing and make {first} the source ({promote}); point the others at it "
            f"({listed(files(evidence))}), and the clients.",
            impact=Impact.BROKEN if whole else Impact.DEGRADED,
            evidence=evidence,
            path=estate.path_over(loss.edges[0]),
            hosts=tuple(loss.hosts),
        )
