"""What the rules about configuration management share."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from auditor.api import EstateView, Kind, Node, Relation

_NAMED: Final = re.compile(r"(nagios|icinga|zabbix) hostgroup |(salt) (?:nodegroup|minions) |(puppet) node ")
PATTERNS: Final = ("salt minions ", "puppet node ")
"""What the groups begin with that are globs and regular expressions: they name no host."""
_REFERENCES: Final = (Kind.NAME, Kind.ADDRESS, Kind.ENDPOINT)


@dataclass(frozen=True, slots=True)
class Tool:
    """What a tool calls its groups of hosts, and what it does with one that is left empty (`empty`) or names a host
    that is gone (`stale`; empty if the group does not name its members).

    `watches`: it is monitoring, whose checks the rules about monitoring tell.
    """

    name: str
    group: str
    empty: str
    stale: str
    watches: bool = False


ANSIBLE: Final = Tool(
    "Ansible",
    "group",
    "A play for a group without hosts is skipped, and the run stays green.",
    "Every run for {them} tries to log in to {the_host}, and reports it as unreachable once it is gone.",
)
TOOLS: Final = {
    "nagios": Tool(
        "Nagios",
        "Nagios host group",
        "Nagios refuses to start while a check is assigned to a group without hosts, or a group names a host that is "
        "not defined any more.",
        "Once the definition of the host is deleted, Nagios refuses to start while a group still names it.",
        True,
    ),
    "icinga": Tool(
        "Icinga",
        "Icinga host group",
        "Rules that are assigned by the group then match nothing, and no error tells so.",
        "",
        True,
    ),
    "zabbix": Tool(
        "Zabbix",
        "Zabbix host group",
        "Actions and permissions that are bound to the group then reach nothing, and no error tells so.",
        "",
        True,
    ),
    "salt": Tool(
        "Salt",
        "Salt node group",
        "States and commands for a node group without minions are applied to nobody, and no error tells so.",
        "Salt goes on without it; the next minion of that name is in the group from its first day.",
    ),
    "puppet": Tool(
        "Puppet",
        "Puppet node definition",
        "A definition for nodes that are gone is never compiled; the next node of such a name gets it.",
        "",
    ),
}


def tool_of(group: Node) -> Tool:
    """The tool that a group belongs to, by the prefix that its collector gives it; Ansible's have none."""
    found = _NAMED.match(group.text)
    return TOOLS[next(one for one in found.groups() if one)] if found is not None else ANSIBLE


def bare_name(group: Node) -> str:
    """A group's name without its tool's prefix."""
    found = _NAMED.match(group.text)
    return group.text[found.end() :] if found is not None else group.text


class Leaving:
    """Which groups lose all of their hosts. What was found of a group is remembered, and stands for it in others."""

    def __init__(self, estate: EstateView, hosts: Iterable[str]) -> None:
        """`hosts` are those that are leaving."""
        self._estate, self.hosts = estate, frozenset(hosts)
        self._known: dict[int, frozenset[str] | None] = {}

    def of(self, group: Node) -> frozenset[str] | None:
        """The hosts of a group, and of the groups in it; None if one of them stays.

        A name that leads to no known host counts as one that stays.
        """
        if group.id not in self._known:
            self._known[group.id] = self._look(group)
        return self._known[group.id]

    def selected(self, target: Node) -> frozenset[str] | None:
        """The hosts that a target selects; None if one of them stays, as in a group of which nothing is known."""
        if target.kind is Kind.HOST:
            return frozenset((target.text,)) if target.text in self.hosts else None
        return self.of(target) or None

    def _look(self, group: Node) -> frozenset[str] | None:
        hosts: set[str] = set()
        seen, pending = {group.id}, [group]
        while pending:
            for edge in self._estate.outgoing(pending.pop(), Relation.MEMBER):
                member = edge.provider
                found: frozenset[str] | None
                if member.kind is Kind.HOST:
                    found = frozenset((member.text,))
                elif member.kind in _REFERENCES:
                    found = frozenset(host.text for host in self._estate.reaches(member)) or frozenset((member.text,))
                elif member.id in self._known:
                    found = self._known[member.id]
                else:
                    found = frozenset()
                    if member.id not in seen:
                        seen.add(member.id)
                        pending.append(member)
                if found is None or not found.issubset(self.hosts):
                    return None
                hosts |= found
        return frozenset(hosts)
