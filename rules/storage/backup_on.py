"""Backups of others that lie on a host that is going."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
    Need,
    Node,
    Relation,
    Rule,
    Severity,
    listed,
    plural,
    ranged,
)
from rules.services.losses import Loss, is_backup, losses
from rules.texts import settings
from rules.ways import distinct, strongest


class BackupKeptOnGoingHostRule(Rule):
    """Repositories and archives with the backups of other hosts, on a host that is going.

    What it does
    ------------
    Takes the repositories of borg, borgmatic, restic, pgBackRest, Kopia and duply that lead to the host, what zrepl
    pushes there, storages of Bacula and Bareos there, and the snapshots that rsnapshot on the host makes of others. It
    counts the hosts whose backups are there, and says for how long they are kept, where the configuration does. It
    blocks for a retired host; for a read-only one the backups are there and no new ones are stored.

    Why it matters
    --------------
    It is noticed on the day of a restore. What was kept for a year goes with the disks, also where the new backups have
    long been sent elsewhere.

    Example
    -------
    `repositories: [{path: "ssh://backup@old.example.net/./web"}]` on 20 web servers, with `keep_monthly: 12`

    What to do
    ----------
    Copy the repositories to the successor and restore something from the copy once, or keep the disks until the last
    backup on them is as old as what must be kept. Send new backups elsewhere before the host goes.

    What it can't see
    -----------------
    Archives that nothing in the estate writes any more, buckets, and copies that somebody made by hand.
    """

    id: ClassVar[str] = "backup-kept-on-going-host"
    title: ClassVar[str] = "Backups of others lie on the host"
    area: ClassVar[Area] = Area.STORAGE
    severity: ClassVar[Severity] = Severity.BLOCK
    since: ClassVar[str] = "0.2.0"
    needs: ClassVar[frozenset[Relation]] = frozenset({Relation.CONNECTS})

    def check(self, estate: EstateView) -> Iterator[Finding]:
        """One finding for each host that goes."""
        stored = [loss for loss in losses(estate, is_backup) if strongest(loss.edges) is Need.WRITE]
        for going in estate.going:
            mine = [loss for loss in stored if going.host in loss.going]
            own = [node for node in estate.nodes_at(going.host, Kind.SERVICE) if node.text.startswith("rsnapshot")]
            if mine or any("snapshot_root" in node.attributes for node in own):
                yield self._finding(estate, going, mine, own)

    def _finding(self, estate: EstateView, going: Going, stored: Sequence[Loss], own: Sequence[Node]) -> Finding:
        writers = [one for loss in stored for one in loss.consumers]
        clients = {one.scope or one.text for one in writers}
        fetched = [node for node in own if node.text.startswith("rsnapshot backup of ")]
        for node in fetched:
            ends = [
                host.text for edge in estate.outgoing(node, Relation.CONNECTS) for host in estate.reaches(edge.provider)
            ]
            clients.update(ends or [node.text.removeprefix("rsnapshot backup of ")])
        clients.discard(going.host)
        kept = sorted({text for node in (*writers, *own) for text in _retention(node)})
        root = next((str(node.attributes["snapshot_root"]) for node in own if "snapshot_root" in node.attributes), "")
        lines = distinct(
            (
                *(line for loss in stored for line in loss.evidence()),
                *(node.provenance[0] for node in own if node.provenance and node.provenance[0].line),
            )
        )
        sure = all(loss.confidence is not Confidence.LOW for loss in stored)
        read_only = going.lifecycle is Lifecycle.READ_ONLY
        where = f" in {root}" if root else ""
        whose = f"{plural(len(clients), 'host')} ({listed(ranged(clients))})" if clients else "others"
        ends_so = "no new ones can be stored" if read_only else "they go with it"
        target = going.successor or "a host that stays"
        return Finding(
            rule=self.id,
            area=self.area,
            severity=self.severity if sure and not (read_only and not stored) else Severity.WARN,
            confidence=min((loss.confidence for loss in stored), key=list(Confidence).index, default=Confidence.HIGH),
            subject=f"backups on {going.host}",
            identity=(going.host,),
            message=f"The backups of {whose} are on {going.host}{where}, and {ends_so}",
            why=(
                f"They are kept for {listed(kept, 8)}. " if kept else "For how long they are kept is in no file here. "
            )
            + "Nobody misses a backup before the day of a restore.",
            action=f"Copy them to {target} and restore from the copy once, or keep the disks for as long; send new "
            f"ones to {target} ({listed(settings(lines))}).",
            impact=Impact.BROKEN,
            evidence=lines,
            path=estate.path_over(stored[0].edges[0]) if stored else (),
            hosts=(going.host,),
        )


def _retention(node: Node) -> tuple[str, ...]:
    value = node.attributes.get("retention")
    return value if isinstance(value, tuple) else ()
