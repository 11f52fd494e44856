"""Where configuration management lists a host that will be gone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from auditor.api import (
    Area,
    Confidence,
    EstateView,
    Finding,
    Impact,
    Lifecycle,
    Provenance,
    Relation,
    Rule,
    Severity,
    listed,
    plural,
)
from rules.configuration.groups import members_of


class HostInInventoryRule(Rule):
    """Lists the lines of configuration management's inventories that hold a host that is retired.

    What it does
    ------------
    Takes each group that the host is a member of, by its name or in a range (`web[01:20]`), and the lines that say
    so. One finding for each host and inventory file, with all its lines. Nothing is said for a read-only host, which
    is managed like any other.

    Groups that are left without a host, and playbooks that select nothing else, are told by group-left-empty.

    Why it matters
    --------------
    Each run for one of these groups tries to log in to a host that is gone: at best it is reported as unreachable,
    every time, until nobody reads these lines any more; at worst somebody else has its name or address.

    Example
    -------
    `web-07.example.net` under `[web]`, `[nginx]` and `[backup_clients]`

    What to do
    ----------
    Delete the host's lines; split a range around it. Variables of the host (host_vars) go with it.

    What it can't see
    -----------------
    Inventories that a program makes at run time, and those of other tools than Ansible.
    """

    id: ClassVar[str] = "host-in-inventory"
    title: ClassVar[str] = "Configuration management lists the host"
    area: ClassVar[Area] = Area.CONFIGURATION
    severity: ClassVar[Severity] = Severity.WARN
    needs: ClassVar[frozenset[Relation]] = frozenset({Relation.MEMBER})

    def check(self, estate: EstateView) -> Iterator[Finding]:
        """One finding for each host and inventory file."""
        leaving = {one.host for one in estate.going if one.lifecycle is not Lifecycle.READ_ONLY}
        for going in estate.going:
            host = estate.host(going.host)
            if host is None or going.lifecycle is Lifecycle.READ_ONLY:
                continue
            groups: dict[str, list[str]] = {}
            lines: dict[str, dict[int, Provenance]] = {}
            shared: dict[str, list[str]] = {}
            for edge in estate.incoming(host, Relation.MEMBER):
                place = edge.provenance
                if place.path == ".":
                    continue
                name = edge.consumer.text
                if members_of(estate, edge.consumer) <= leaving:
                    continue
                if name not in groups.setdefault(place.path, []):
                    groups[place.path].append(name)
                lines.setdefault(place.path, {}).setdefault(place.line, place)
                same = [
                    other.provider.text
                    for other in estate.outgoing(edge.consumer, Relation.MEMBER)
                    if other.provenance == place and other.provider.id != host.id
                ]
                if any(other not in leaving for other in same):
                    shared.setdefault(place.path, []).append(place.excerpt.strip())
            variables = sorted(
                edge.consumer.text
                for edge in estate.incoming(host, Relation.SELECTS)
                if "host_vars/" in edge.consumer.text
            )
            for path in sorted(lines):
                names = groups[path]
                action = f"Delete its {plural(len(lines[path]), 'line')} from {path}."
                if path in shared:
                    action = (
                        f"Split {listed(sorted(set(shared[path])))} around it in {path}, and delete its other lines."
                    )
                    if len(lines[path]) == len(set(shared[path])):
                        action = f"Split {listed(sorted(set(shared[path])))} around it in {path}."
                if variables:
                    action += f" Its variables go with it: {listed(variables)}."
                counted = f"the group {names[0]}" if len(names) == 1 else f"{len(names)} groups"
                yield Finding(
                    rule=self.id,
                    area=self.area,
                    severity=self.severity,
                    confidence=Confidence.HIGH,
                    subject=path,
                    identity=(going.host, path),
                    message=f"{path} has {going.host} in {counted}"
                    + (f": {listed(names, 8)}" if len(names) > 1 else ""),
                    why="Every run for them tries to log in to it, and reports it as unreachable once it is gone."
                    if len(names) > 1
                    else "Every run for it tries to log in to the host, and reports it as unreachable once it is gone.",
                    action=action,
                    impact=Impact.NONE,
                    evidence=tuple(lines[path][number] for number in sorted(lines[path])),
                    hosts=(going.host,),
                )
