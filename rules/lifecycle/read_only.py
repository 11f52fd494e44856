"""A host that can't be written any more, and that nobody has declared so."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Final

from auditor.api import (
    Area,
    Confidence,
    EstateView,
    Finding,
    Impact,
    Kind,
    Lifecycle,
    Node,
    Provenance,
    Relation,
    Rule,
    Severity,
    listed,
    ranged,
)
from rules.lifecycle.states import MADE_TO_BE_WRITTEN, asked, concerned, lines, role

_OFTEN_SO: Final = re.compile(r"/(?:usr|boot|efi|nix/store|sysroot|ostree)(?:/|$)|/(?:snap|media|run|cdrom)(?:/|$)")
_RUNS: Final = (Kind.JOB, Kind.LINEAGE, Kind.UNIT)


@dataclass(frozen=True, slots=True)
class _Stuck:
    """A mount or path that can't be written, and what of its host fails by that."""

    mount: Node
    how: str
    broken: tuple[Node, ...]

    @property
    def emergency(self) -> bool:
        return self.how == "in an emergency"


class LifecycleReadOnlyObservedRule(Rule):
    """A host has file systems that can't be written any more, and the inventory does not say so.

    What it does
    ------------
    Takes each mount that was captured and whose file system is read-only (`ro` among its own options, not only a bind
    mount's), or in an emergency (`emergency_ro`: ext4 gave up after an error, and statvfs and `[ -w ]` still say
    writable); and volumes that AWS calls broken. Left out are mounts that fstab or the inventory want so, file systems
    that are never written, and places that often are read-only (`/usr`, `/boot`, `/snap`). Files and directories that
    are immutable or append-only (`chattr +i`, `chflags schg`) are told if a job, a service or a renewal must write
    them, as when somebody has frozen `/etc/letsencrypt`.

    For the hosts of the scenario and those that take over it blocks if jobs, services or renewals there fail by it, or
    in an emergency; else it warns. Of other hosts it makes a note, one for all that are alike. `auditor audit` asks
    about a host whose root can't be written as if it were declared read-only.

    Why it matters
    --------------
    A machine that can't write answers, and its monitoring stays green. The incident that this tool was made after began
    with a server that had become read-only, and of which nobody knew.

    Example
    -------
    `/dev/vda1 / ext4 rw,relatime,emergency_ro` in `/proc/self/mountinfo` of a host that is declared active

    What to do
    ----------
    Look at `dmesg`, and repair it; or declare the host `read-only`, and ask `auditor checklist HOST --as read-only`.
    Take the attribute off what is immutable (`chattr -i`), or let what writes there write elsewhere.

    What it can't see
    -----------------
    Mounts that were made after the collection, containers, quotas, and file systems that are full. Of immutable files
    those alone that live collection asks for: where ACME clients write, and certificates. Whether a file in an
    immutable directory is replaced, which fails, or overwritten in its place, which does not.
    """

    id: ClassVar[str] = "lifecycle-read-only-observed"
    title: ClassVar[str] = "A host can't be written, and nobody has declared it"
    area: ClassVar[Area] = Area.STORAGE
    severity: ClassVar[Severity] = Severity.WARN
    needs: ClassVar[frozenset[Relation]] = frozenset({Relation.MOUNTS})

    def check(self, estate: EstateView) -> Iterator[Finding]:
        """One finding for each host of the scenario; of others one for all with the same mounts."""
        own = concerned(estate)
        stuck: dict[str, list[_Stuck]] = {}
        for mount in estate.nodes(Kind.MOUNT):
            if mount.scope and (one := _stuck(estate, mount)) is not None:
                stuck.setdefault(mount.scope, []).append(one)
        for path in estate.nodes(Kind.PATH):
            if path.scope and path.attributes.get("unwritable") and (one := _frozen(estate, path)) is not None:
                stuck.setdefault(path.scope, []).append(one)
        others: dict[tuple[str, ...], list[str]] = {}
        for host, mounts in sorted(stuck.items()):
            if host in own:
                yield self._host(estate, host, mounts)
            else:
                others.setdefault(tuple(_said(one) for one in mounts), []).append(host)
        for said, hosts in others.items():
            yield self._others(estate, said, hosts, stuck)
        for node in estate.nodes(Kind.HOST):
            volumes = node.attributes.get("broken_volumes")
            if isinstance(volumes, tuple) and volumes and not _expected(estate, node.text, "/"):
                yield self._volumes(estate, node, volumes, node.text in own)

    def _host(self, estate: EstateView, host: str, mounts: list[_Stuck]) -> Finding:
        broken = list(dict.fromkeys(node.text for one in mounts for node in one.broken))
        emergency = any(one.emergency for one in mounts)
        why = f"What must write there fails: {listed(broken, 4)}." if broken else "Nothing that writes there is known."
        declared = estate.declared(host)
        frozen = [one.mount.text for one in mounts if one.mount.kind is Kind.PATH]
        repair = [f"Look at `dmesg` on {host} and repair it"] if len(frozen) < len(mounts) else []
        repair += [f"take the attribute off {listed(frozen)} (`lsattr -d`, `chattr -ia`)"] if frozen else []
        return Finding(
            rule=self.id,
            area=self.area,
            severity=Severity.BLOCK if broken or emergency else self.severity,
            confidence=Confidence.HIGH,
            subject=host,
            identity=(host,),
            message=f"{host}{role(estate, host)} can't be written any more: {listed([_said(one) for one in mounts])}; "
            + (f"it is declared {declared.lifecycle.value}" if declared else "no inventory declares it"),
            why=f"{why} It answers all the same, and whatever watches it stays green.",
            action=f"{_sentence('; '.join(repair))}; or declare it `lifecycle: read-only`, and ask `auditor "
            f"checklist {host} --as read-only`.",
            impact=Impact.BROKEN if broken else Impact.NONE,
            evidence=lines(*(_line(one.mount) for one in mounts), declared.where if declared else None),
            hosts=(host,),
        )

    def _others(
        self, estate: EstateView, said: tuple[str, ...], hosts: list[str], stuck: dict[str, list[_Stuck]]
    ) -> Finding:
        several = len(hosts) > 1
        return Finding(
            rule=self.id,
            area=self.area,
            severity=Severity.INFO,
            confidence=Confidence.HIGH,
            subject=listed(ranged(hosts)),
            identity=("others", *sorted(hosts), *said),
            message=f"{listed(ranged(hosts))} can't be written any more, and nothing declares "
            f"{'them' if several else 'it'} so: {listed(list(said))}",
            why=f"{'They have' if several else 'It has'} nothing to do with the hosts asked about.",
            action=f"Ask `auditor checklist {hosts[0]} --as read-only` what fails by that.",
            impact=Impact.NONE,
            evidence=lines(*(_line(one.mount) for host in hosts[:20] for one in stuck[host])),
        )

    def _volumes(self, estate: EstateView, host: Node, volumes: tuple[str, ...], own: bool) -> Finding:
        what = "volumes" if len(volumes) > 1 else "a volume"
        return Finding(
            rule=self.id,
            area=self.area,
            severity=self.severity if own else Severity.INFO,
            confidence=Confidence.HIGH,
            subject=host.text,
            identity=("volumes", host.text, *volumes),
            message=f"{host.text}{role(estate, host.text)} has {what} that AWS calls broken: {listed(list(volumes))}",
            why="What is written to it may be lost, and its file system becomes read-only at the first error.",
            action=f"Look at the volume and at `dmesg` on {host.text}.",
            impact=Impact.NONE,
            evidence=lines(*host.provenance) or (Provenance(host.text),),
            hosts=(host.text,) if own else (),
        )


def _stuck(estate: EstateView, mount: Node) -> _Stuck | None:
    known = mount.attributes
    by = str(known.get("read_only_by", "")).split(",")
    emergency = "emergency" in by
    if not known.get("mounted") or not known.get("read_only") or not (emergency or "filesystem" in by):
        return None
    if not emergency:
        if known.get("fstab_read_only") or _OFTEN_SO.match(mount.text):
            return None
        if known.get("fstype") not in MADE_TO_BE_WRITTEN:
            return None
    if _expected(estate, mount.scope, mount.text):
        return None
    return _Stuck(mount, "in an emergency" if emergency else "mounted read-only", _broken(estate, mount))


def _frozen(estate: EstateView, path: Node) -> _Stuck | None:
    """That files are immutable is mostly meant so: it matters where something must write them."""
    if _expected(estate, path.scope, path.text):
        return None
    writers = [edge.consumer for edge in estate.incoming(path) if edge.lost]
    broken = tuple(
        dict.fromkeys(node for writer in writers for node in (writer, *_broken(estate, writer)) if node.kind in _RUNS)
    )
    return _Stuck(path, str(path.attributes["unwritable"]), broken) if broken else None


def _broken(estate: EstateView, place: Node) -> tuple[Node, ...]:
    return tuple(
        node
        for node in estate.dependents(place)
        if node.kind in _RUNS and node.scope == place.scope and estate.impact_of(node) is Impact.BROKEN
    )


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _expected(estate: EstateView, host: str, path: str) -> bool:
    """Whether it is declared, or asked, that this can't be written."""
    if asked(estate, host) is Lifecycle.READ_ONLY:
        return True
    declared = estate.declared(host)
    if declared is None:
        return False
    if declared.lifecycle is Lifecycle.RETIRED or any(path == one for one in declared.read_only_paths):
        return True
    return declared.lifecycle is Lifecycle.READ_ONLY and not declared.read_only_paths


def _said(one: _Stuck) -> str:
    return f"{one.mount.text} ({one.how})"


def _line(mount: Node) -> Provenance | None:
    """The line of what is mounted, rather than that of fstab."""
    places = mount.provenance
    return next((one for one in places if not one.path.endswith("fstab")), places[0] if places else None)
