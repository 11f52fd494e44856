"""Backups that others make of a host that is going."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from auditor.api import (
    Area,
    EstateView,
    Finding,
    Impact,
    Kind,
    Need,
    Relation,
    Rule,
    Severity,
    listed,
    plural,
)
from rules.services.losses import Loss, behind, is_backup, losses
from rules.texts import files, written
from rules.ways import strongest


class BackupOfGoingHostRule(Rule):
    """Backup jobs elsewhere that fetch from a host that is to be switched off.

    What it does
    ------------
    Takes the jobs of rsnapshot, the clients of Bacula and Bareos, and databases that borgmatic dumps, where they are
    fetched from the host. Equal ones on many hosts are one finding. Nothing is said for a read-only host, which can be
    read on.

    Why it matters
    --------------
    Each night the job fails, until nobody reads its mail any more; rsnapshot skips its rotation meanwhile, and with it
    the other hosts of the same file. And once the last backup is as old as what is kept, the host's data is gone for
    good, on a day that nobody chose.

    Example
    -------
    `backup root@old.example.net:/etc/ old/` in the rsnapshot.conf of the backup server

    What to do
    ----------
    Make a last backup, and mark it to be kept for as long as the data must be. Then take the host out, and put the
    successor in.

    What it can't see
    -----------------
    How long its data must be kept by law or contract, and backups that a script makes, which `job-calls-going-host`
    tells.
    """

    id: ClassVar[str] = "backup-of-going-host"
    title: ClassVar[str] = "A backup is made of the host"
    area: ClassVar[Area] = Area.STORAGE
    severity: ClassVar[Severity] = Severity.WARN
    since: ClassVar[str] = "0.2.0"
    needs: ClassVar[frozenset[Relation]] = frozenset({Relation.CONNECTS})

    def check(self, estate: EstateView) -> Iterator[Finding]:
        """One finding for each backup, equal ones on many hosts as one."""
        found = [loss for loss in losses(estate, is_backup) if strongest(loss.edges) is not Need.WRITE]
        count = sum(
            1
            for node in (estate.nodes(Kind.SERVICE) if found else ())
            if is_backup(node) and any(edge.need is not Need.WRITE for edge in estate.outgoing(node, Relation.CONNECTS))
        )
        for loss in found:
            yield self._finding(estate, loss, count)

    def _finding(self, estate: EstateView, loss: Loss, count: int) -> Finding:
        evidence = loss.evidence()
        hosts = listed(loss.hosts)
        jobs = behind(estate, loss.consumers)
        fails = f", and with it {'fails' if len(jobs) == 1 else 'fail'} {listed(jobs)}" if jobs else ""
        successors = sorted({one.successor for one in loss.going.values() if one.successor})
        where = listed(files(evidence))
        then = f"put {listed(successors)} in its place in {where}" if successors else f"take the line out of {where}"
        return Finding(
            rule=self.id,
            area=self.area,
            severity=self.severity,
            confidence=loss.confidence,
            subject=loss.label,
            identity=(loss.bare, *loss.hosts, files(evidence)[0]),
            message=f"{loss.label} fetches from {hosts}: it fails once that is gone{fails}",
            why=f"{len(loss.consumers)} of {plural(count, 'backup')} that fetch. What it has made until then ages out "
            "like any other backup.",
            action=f"Make a last backup, keep it for as long as its data must be kept, then {then}."
            + written(estate, evidence, loss.hosts),
            impact=Impact.BROKEN,
            evidence=evidence,
            path=estate.path_over(loss.edges[0]),
            hosts=tuple(loss.hosts),
        )
