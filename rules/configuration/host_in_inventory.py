"""Where configuration management lists a host that will be gone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar, Final

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
)
from rules.configuration.groups import ANSIBLE, PATTERNS, Leaving, Tool, bare_name, tool_of
from rules.ways import references_to

_EVERYONE: Final = re.compile(r"(?:^|[\s,])\*(?:$|[\s,])")
"""The word that takes every host into a group of monitoring."""


class HostInInventoryRule(Rule):
    """Lists the lines that have a retired host in a group: Ansible's inventories, Nagios's host groups, Salt's groups.

    What it does
    ------------
    Takes each group that the host is a member of, by its name or in a range (`web[01:20]`), and the lines that say
    so. One finding for each host and inventory file, with all its lines. Nothing is said for a read-only host, which
    is managed like any other.

    Groups that are left without a host, and playbooks that select nothing else, are told by group-left-empty; members
    of a host group that a check watches, by the rules about monitoring.

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
    Inventories that a program makes at run time, and those of other tools than Ansible, Nagios and Salt.
    """

    id: ClassVar[str] = "host-in-inventory"
    title: ClassVar[str] = "Configuration management lists the host"
    area: ClassVar[Area] = Area.CONFIGURATION
    severity: ClassVar[Severity] = Severity.WARN
    needs: ClassVar[frozenset[Relation]] = frozenset({Relation.MEMBER})

    def check(self, estate: EstateView) -> Iterator[Finding]:
        """One finding for each host and inventory file."""
        leaving = {one.host for one in estate.going if one.lifecycle is not Lifecycle.READ_ONLY}
        wholly = Leaving(estate, leaving)
        for going in estate.going:
            host = estate.host(going.host)
            if host is None or going.lifecycle is Lifecycle.READ_ONLY:
                continue
            groups: dict[tuple[str, str], list[str]] = {}
            lines: dict[tuple[str, str], dict[int, Provenance]] = {}
            shared: dict[tuple[str, str], list[str]] = {}
            tools: dict[str, Tool] = {}
            ways = [host, *references_to(estate, host)]
            watched = {edge.provenance for node in ways for edge in estate.incoming(node, Relation.WATCHES)}
            for node in ways:
                for edge in estate.incoming(node, Relation.MEMBER):
                    place, group = edge.provenance, edge.consumer
                    tool = tool_of(group)
                    # What goes with the host's own definition, and what a check of the group has shown.
                    if place.path == "." or not tool.stale or (tool.watches and place in watched):
                        continue
                    if tool.watches and _EVERYONE.search(place.excerpt):
                        continue  # nothing there names it
                    if group.text.startswith(PATTERNS) or wholly.of(group) is not None:
                        continue
                    same = [
                        other.provider.text
                        for other in estate.outgoing(group, Relation.MEMBER)
                        if other.provenance == place and other.provider.id != node.id
                    ]
                    stay = any(other not in leaving for other in same)
                    if stay and edge.confidence is not Confidence.HIGH:
                        continue  # a pattern that other hosts fit too need not change
                    tools[tool.name] = tool
                    key = (tool.name, place.path)
                    if bare_name(group) not in groups.setdefault(key, []):
                        groups[key].append(bare_name(group))
                    lines.setdefault(key, {}).setdefault(place.line, place)
                    if stay:
                        shared.setdefault(key, []).append(place.excerpt.strip())
            variables = sorted(
                edge.consumer.text
                for edge in estate.incoming(host, Relation.SELECTS)
                if "host_vars/" in edge.consumer.text
            )
            for key in sorted(lines):
                tool, path = tools[key[0]], key[1]
                names = groups[key]
                split = sorted(set(shared.get(key, ())))
                verb = "Split" if tool is ANSIBLE else "Take it out of"
                around = " around it" if tool is ANSIBLE else ""
                own = "line" if len(lines[key]) == 1 else f"{len(lines[key])} lines"
                action = f"Delete its {own} from {path}."
                if split:
                    action = f"{verb} {listed(split)}{around} in {path}"
                    action += "." if len(lines[key]) == len(split) else ", and delete its other lines."
                if variables and tool is ANSIBLE:
                    action += f" Its variables go with it: {listed(variables)}."
                counted = f"the {tool.group} {names[0]}" if len(names) == 1 else f"{len(names)} {tool.group}s"
                yield Finding(
                    rule=self.id,
                    area=self.area,
                    severity=self.severity,
                    confidence=Confidence.HIGH,
                    subject=path,
                    identity=(going.host, path, *([] if tool is ANSIBLE else [tool.name])),
                    message=f"{path} has {going.host} in {counted}"
                    + (f": {listed(names, 8)}" if len(names) > 1 else ""),
                    why=tool.stale.format(
                        them="them" if len(names) > 1 else "it", the_host="it" if len(names) > 1 else "the host"
                    ),
                    action=action,
                    impact=Impact.NONE,
                    evidence=tuple(lines[key][number] for number in sorted(lines[key])),
                    hosts=(going.host,),
                )
