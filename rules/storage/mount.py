"""File systems that a going host exports and others mount."""

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
    Provenance,
    Relation,
    Rule,
    Severity,
    listed,
    plural,
    ranged,
)
from rules.jobs.schedules import idle
from rules.texts import written

_NOW: Final = {"observed": "is", "tagged": "is tagged"}


class MountOfGoingHostRule(Rule):
    """Hosts that mount a file system which a going host exports.

    What it does
    ------------
    Takes the network mounts of each host (NFS, CIFS, sshfs, Ceph, GlusterFS; what is mounted, and fstab) and reports
    those whose server is going. One finding for a server, an export and a place, with all hosts that mount it there.
    Of a read-only server only mounts that are written are told: as a warning, unless a job or service is known that
    writes there.

    Why it matters
    --------------
    A mount whose server is gone does not fail, it hangs: processes on it can't even be killed, and a machine that has
    it in fstab may not start again.

    Example
    -------
    `files-01:/srv/share /mnt/share nfs defaults 0 0` in the fstab of 20 web servers.

    What to do
    ----------
    Move the export, change the line of fstab, and unmount it on each host before the server goes.

    What it can't see
    -----------------
    Maps of autofs that were not captured, mounts inside containers, and servers behind a name that was not resolved.
    """

    id: ClassVar[str] = "mount-of-going-host"
    title: ClassVar[str] = "Other hosts mount its file systems"
    area: ClassVar[Area] = Area.STORAGE
    severity: ClassVar[Severity] = Severity.BLOCK
    needs: ClassVar[frozenset[Relation]] = frozenset({Relation.MOUNTS})

    def check(self, estate: EstateView) -> Iterator[Finding]:
        """One finding for each going server, export and mount point."""
        found: dict[tuple[str, str, str], list[Edge]] = {}
        going = {one.host: one for one in estate.going}
        for mount in estate.nodes(Kind.MOUNT):
            for edge in estate.outgoing(mount, Relation.MOUNTS):
                for host in estate.reaches(edge.provider):
                    if host.text in going and mount.scope != host.text and mount.scope not in going:
                        source = str(
                            mount.attributes.get("source") or mount.attributes.get("device") or edge.provider.text
                        )
                        found.setdefault((host.text, source, mount.text), []).append(edge)
        mounting = {mount.scope for mount in estate.nodes(Kind.MOUNT) if mount.scope} if found else set()
        for (server, source, place), edges in found.items():
            server_going = going[server]
            if server_going.lifecycle is Lifecycle.READ_ONLY:
                edges = [edge for edge in edges if edge.consumer.attributes.get("read_only") is not True]
            if edges:
                known = len(mounting) - (server in mounting)
                yield self._finding(estate, edges, server_going, source, place, known)

    def _finding(
        self, estate: EstateView, edges: list[Edge], going: Going, source: str, place: str, known: int
    ) -> Finding:
        """`known` other hosts have mounts that are known."""
        hosts = sorted({edge.consumer.scope for edge in edges if edge.consumer.scope})
        who = listed(ranged(hosts)) or listed(sorted({edge.provenance.path for edge in edges}))
        verb = "mount" if len(hosts) > 1 else "mounts"
        read_only = going.lifecycle is Lifecycle.READ_ONLY
        others = sorted(
            {
                server.text
                for edge in edges
                if edge.group
                for sibling in estate.outgoing(edge.consumer, Relation.MOUNTS)
                if sibling.group == edge.group
                for server in estate.reaches(sibling.provider)
            }
            - {one.host for one in estate.going}
        )
        target = going.successor or "a server that stays"
        state = (
            f"has been {going.lifecycle.value} since {going.since[:10]}"
            if going.since
            else f"{_NOW.get(going.origin, 'is to be')} "
            f"{'read-only' if going.lifecycle is Lifecycle.READ_ONLY else 'retired'}"
        )
        if read_only:
            why = "It is mounted to be written, and nothing written to it is kept."
        else:
            why = "A mount whose server is gone hangs whatever touches it, and may keep the machine from starting."
        if others:
            why = f"{listed(others)} is left to serve it. {why}"
        if hosts:
            why = f"{len(hosts)} of {plural(known, 'other host')} whose mounts are known. {why}"
        writers = _writers(estate, edges) if read_only else {}
        if writers:
            verb_of = "writes" if len(writers) == 1 else "write"
            fail = "fails" if len(writers) == 1 else "fail"
            why = f"{why} {listed(sorted(writers), 3)} {verb_of} there, and {fail}."
        elif users := _users(estate, edges):
            why = f"{why} Used by {listed(users, 3)}."
        provenance = edges[0].provenance
        places = [one for edge in edges for one in _places(edge)]
        return Finding(
            rule=self.id,
            area=self.area,
            severity=Severity.WARN if others or (read_only and not writers) else self.severity,
            confidence=min((edge.confidence for edge in edges), key=list(Confidence).index),
            subject=edges[0].consumer.label if len(hosts) < 2 else f"mount {place} on {plural(len(hosts), 'host')}",
            identity=(going.host, source, place),
            message=f"{who} {verb} {source} at {place}, and {going.host} {state}",
            why=why,
            action=(
                f"Mount it from {target}, or read-only ({provenance.path}:{provenance.line})."
                if read_only
                else f"Export it from {target}, change {provenance.path}:{provenance.line}, and unmount the old one."
            )
            + written(estate, places, [going.host]),
            impact=Impact.DEGRADED if others or (read_only and not writers) else Impact.BROKEN,
            evidence=tuple({(one.path, one.line): one for one in (*places, *writers.values())}.values()),
            path=estate.path_over(edges[0]),
            hosts=(going.host,),
        )


def _places(edge: Edge) -> Iterator[Provenance]:
    """Where a mount is written, and where it is seen: fstab and mountinfo say the same of one mount."""
    yield edge.provenance
    yield from edge.consumer.provenance


def _writers(estate: EstateView, edges: list[Edge]) -> dict[str, Provenance]:
    """What is started by itself and writes below a mount that can't be written any more, with the line that says so."""
    found: dict[str, Provenance] = {}
    for path in (one.consumer for edge in edges for one in estate.incoming(edge.consumer, Relation.STANDS_FOR)):
        for write in estate.incoming(path, Relation.WRITES):
            writer = write.consumer
            started = writer.kind in (Kind.JOB, Kind.UNIT) or any(
                call.consumer.kind in (Kind.JOB, Kind.UNIT) for call in estate.incoming(writer, Relation.CALLS)
            )
            if write.lost and write.need is Need.WRITE and started and not idle(estate, writer):
                found.setdefault(writer.label.removeprefix("job ").removeprefix("path "), write.provenance)
    return found


def _users(estate: EstateView, edges: list[Edge]) -> list[str]:
    """The jobs that read or write below a mount."""
    found = {
        node.label.removeprefix("job ")
        for edge in edges
        for node in estate.dependents(edge.consumer)
        if node.kind is Kind.JOB
    }
    return sorted(found)
