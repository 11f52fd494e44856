"""What writes to a place that can't be written any more."""

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
    Kind,
    Lifecycle,
    Need,
    Node,
    Provenance,
    Relation,
    Rule,
    Severity,
    listed,
)

_WRITERS: Final = (Kind.JOB, Kind.UNIT, Kind.CLIENT, Kind.PATH)
_IN_MEMORY: Final = frozenset({"tmpfs", "devtmpfs", "ramfs", "proc", "sysfs", "devpts", "mqueue", "cgroup2"})
_VOLATILE: Final = ("/dev/", "/proc/", "/run/", "/sys/", "/var/run/", "/var/lock/")
_OF_LINEAGES: Final = (Relation.READS, Relation.CALLS, Relation.DEPLOYED_BY, Relation.VALIDATED_THROUGH)


class WriteOnReadOnlyRule(Rule):
    """Jobs, scripts and services that write to a host or mount which is read-only.

    What it does
    ------------
    Lists what must write to a path of a read-only host, or of a mount of it that is read-only. One finding for each
    job, script or service. It blocks if something starts it, warns of what people start, and only remarks on scripts
    that nothing is known to call. What lies in memory (`/tmp` on tmpfs, `/run`) can still be written.

    Why it matters
    --------------
    A read-only server answers and runs its jobs, so that nothing looks wrong; what they should have written is just
    not there.

    Example
    -------
    A nightly job writes a list to `/srv/inventory.csv` and uploads it; since `/srv` is read-only it ends before that.

    What to do
    ----------
    Let it write on the successor. Delete jobs that only kept the old server tidy.

    What it can't see
    -----------------
    Programs that write without saying where on their command line, and paths that are put together at run time.
    Renewals and what belongs to them (hooks, credentials) are told by the rules about renewals, writers on other hosts
    by `job-calls-going-host`, and mounts of others by `mount-of-going-host`. Of retired hosts it says nothing: there
    nothing runs at all.
    """

    id: ClassVar[str] = "write-on-read-only"
    title: ClassVar[str] = "Something writes where nothing can be written"
    area: ClassVar[Area] = Area.STORAGE
    severity: ClassVar[Severity] = Severity.BLOCK
    needs: ClassVar[frozenset[Relation]] = frozenset({Relation.MOUNTS})

    def check(self, estate: EstateView) -> Iterator[Finding]:
        """One finding for each writer."""
        going = {one.host: one for one in estate.going if one.lifecycle is Lifecycle.READ_ONLY}
        if not going:
            return
        told = _of_lineages(estate)
        for kind in _WRITERS:
            for writer in estate.nodes(kind):
                if writer.scope not in going or writer.id in told or _idle(writer):
                    continue
                writes = [
                    edge
                    for edge in estate.outgoing(writer, Relation.WRITES)
                    if edge.lost and edge.need is Need.WRITE and not _in_memory(estate, edge.provider)
                ]
                if writes:
                    yield self._finding(estate, writer, writes, going[writer.scope])

    def _finding(self, estate: EstateView, writer: Node, writes: list[Edge], going: Going) -> Finding:
        callers = _callers(estate, writer)
        since = f"has been read-only since {going.since[:10]}" if going.since else _now(going)
        run = f", run by {listed([_place(one) for one in callers])}," if callers else ""
        if writer.kind is Kind.JOB or callers or (writer.kind is Kind.UNIT and writer.attributes.get("wanted_by")):
            severity, why = self.severity, "It fails each time it runs, and what it does after that is not done either."
        elif writer.kind is Kind.PATH:
            severity, why = Severity.INFO, "Nothing is known to call it; whoever runs it by hand sees it fail."
        else:
            severity, why = Severity.WARN, "It fails when somebody starts it."
        place = writes[0].provenance
        return Finding(
            rule=self.id,
            area=self.area,
            severity=severity,
            confidence=min((edge.confidence for edge in writes), key=list(Confidence).index),
            subject=writer.label,
            identity=(writer.label,),
            message=f"{_name(writer)}{run} writes {listed(sorted({edge.provider.text for edge in writes}))} on "
            f"{going.host}, which {since}",
            why=why,
            action=f"Move it to {going.successor or 'a host that stays'}, or delete it if it only served "
            f"{going.host} itself ({place.path}:{place.line}).",
            impact=estate.impact_of(writer),
            evidence=_lines(
                *(edge.provenance for edge in writes),
                *(one.provenance[0] for one in callers if one.provenance),
            ),
            path=estate.path_over(writes[0]),
            hosts=(going.host,),
        )


def _now(going: Going) -> str:
    return {"observed": "is read-only", "tagged": "is tagged read-only"}.get(going.origin, "is to be read-only")


def _of_lineages(estate: EstateView) -> set[int]:
    """Clients, hooks and credentials of lineages, and the scripts that hooks call: the rules about renewals tell."""
    found: set[int] = set()
    pending = list(estate.nodes(Kind.LINEAGE))
    while pending:
        node = pending.pop()
        for edge in estate.outgoing(node, *_OF_LINEAGES):
            if edge.provider.kind is Kind.PATH and edge.provider.id not in found:
                found.add(edge.provider.id)
                pending.append(edge.provider)
    return found


def _idle(writer: Node) -> bool:
    known = writer.attributes
    return bool(
        known.get("ignored") or known.get("never_runs") or (writer.kind is Kind.JOB and known.get("enabled") is False)
    )


def _in_memory(estate: EstateView, target: Node) -> bool:
    """Whether a path is on a file system that a read-only host still can write."""
    if target.kind is not Kind.PATH:
        return False
    for edge in estate.outgoing(target, Relation.STANDS_FOR):
        mount = edge.provider
        if mount.kind is Kind.MOUNT and mount.attributes.get("mounted"):
            if mount.attributes.get("read_only"):
                return False
            if mount.attributes.get("fstype") in _IN_MEMORY:
                return True
    return target.text.startswith(_VOLATILE)


def _callers(estate: EstateView, writer: Node) -> list[Node]:
    """The jobs that start a script or service."""
    found: dict[int, Node] = {}
    seen, pending = {writer.id}, [writer]
    while pending:
        for edge in estate.outgoing(pending.pop(), Relation.TRIGGERED_BY):
            caller = edge.provider
            if caller.id in seen:
                continue
            seen.add(caller.id)
            if caller.kind is Kind.JOB:
                found[caller.id] = caller
            else:
                pending.append(caller)
    return sorted(found.values(), key=lambda one: one.label)


def _place(job: Node) -> str:
    return job.text.partition(": ")[0]


def _name(writer: Node) -> str:
    return f"The job of {_place(writer)}" if writer.kind is Kind.JOB and ": " in writer.text else writer.text


def _lines(*found: Provenance) -> tuple[Provenance, ...]:
    unique = {(one.path, one.line): one for one in found}
    return tuple(unique.values())
