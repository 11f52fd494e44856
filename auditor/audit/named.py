"""What a repository names on one side of a change: hosts, names and groups, each with the places that say so."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from auditor.audit.engine import Survey
from auditor.capture.reading import items
from auditor.model import Dependency, Entity, Kind, Provenance, Relation
from auditor.text import normal_name

LEAVING: Final = frozenset({"decommissioning", "offline", "inventory"})
"""Statuses of NetBox with which a machine is on its way out, or out already."""
NAMING: Final = frozenset({Relation.MEMBER, Relation.RESOLVES, Relation.STANDS_FOR})
"""Relations that say what a name or a group stands for."""
_OF_GROUPS_AND_NAMES: Final = NAMING | {Relation.SELECTS}
_NAMED: Final = frozenset({Kind.HOST, Kind.NAME})


@dataclass(slots=True)
class Named:
    """What the repository names on one side, each with its places. What is only in a snapshot beside it is left out.

    The living estate still has what a change takes out: that must not hide it.
    """

    hosts: dict[str, list[Provenance]] = field(default_factory=dict)
    origins: dict[str, set[str]] = field(default_factory=dict)
    noted: dict[str, tuple[str, Provenance]] = field(default_factory=dict)
    """Hosts of NetBox: the status, and the place."""
    also: dict[str, dict[str, None]] = field(default_factory=dict)
    """What lists of machines and the monitoring call a host, its addresses among it."""
    resolved: dict[str, list[Provenance]] = field(default_factory=dict)
    addresses: set[str] = field(default_factory=set)
    watched: dict[str, list[Provenance]] = field(default_factory=dict)
    destroyed: dict[str, list[Provenance]] = field(default_factory=dict)
    planned: set[str] = field(default_factory=set)
    """What a Terraform plan makes or keeps."""
    edges: set[tuple[object, ...]] = field(default_factory=set)
    leads: dict[str, list[str]] = field(default_factory=dict)
    """What each name resolves to, as it is written."""
    members: dict[str, list[tuple[Dependency, str]]] = field(default_factory=dict)
    """The members of each group, with the path that says so."""
    selected: dict[str, list[tuple[Dependency, str]]] = field(default_factory=dict)
    """What selects each group."""

    @classmethod
    def of(cls, found: Survey, living: frozenset[str]) -> Named:
        """What one side names. `living` are the labels of the estates that are read beside the repository."""
        named = cls()
        collectors = found.reading.collectors

        def own(path: str) -> bool:
            return not living or found.tree.origin(path) not in living

        for source, path, _, index, item in items(found.reading):
            if type(item) is Dependency:
                if item.relation in _OF_GROUPS_AND_NAMES and not source:
                    named._dependency(path, item, own=own(path))
            elif type(item) is Entity and item.ref.kind in _NAMED and item.ref.text and own(path):
                named._entity(found, path, item, collectors[index].name)
        return named

    def _entity(self, found: Survey, path: str, item: Entity, collector: str) -> None:
        name = normal_name(item.ref.text)
        action = item.attributes.get("action")
        where = Provenance(path, item.where.line, item.where.excerpt)
        if action == "delete":
            self.destroyed.setdefault(name, []).append(where)
            return
        if collector == "terraform":
            self.planned.add(name)
        if item.ref.kind is not Kind.HOST:
            return
        called = found.hosts.find(name) or name
        known_as = item.attributes.get("known_as")
        if isinstance(known_as, tuple):
            self.also.setdefault(called, {}).update(dict.fromkeys(known_as))
        if known_as is None:
            self.hosts.setdefault(called, []).append(where)
            self.origins.setdefault(called, set()).add(str(item.attributes.get("origin", "configuration")))
        elif collector == "nagios":
            self.watched.setdefault(name, []).append(where)
        elif collector == "netbox":
            status = str(item.attributes.get("netbox_status", ""))
            self.noted[called] = (status, where)
            if status not in LEAVING:
                self.origins.setdefault(called, set()).add("netbox")

    def _dependency(self, path: str, item: Dependency, *, own: bool) -> None:
        if item.relation is not Relation.SELECTS:
            self.edges.add((item.consumer, item.relation, item.provider))
        elif item.provider.kind is Kind.GROUP:
            self.selected.setdefault(item.provider.text, []).append((item, path))
        if item.relation is Relation.MEMBER:
            self.members.setdefault(item.consumer.text, []).append((item, path))
            return
        if item.relation is not Relation.RESOLVES or item.consumer.kind is not Kind.NAME:
            return
        self.leads.setdefault(normal_name(item.consumer.text), []).append(item.provider.text)
        if own:
            where = Provenance(path, item.where.line, item.where.excerpt)
            self.resolved.setdefault(normal_name(item.consumer.text), []).append(where)
            if item.provider.kind is Kind.ADDRESS:
                self.addresses.add(item.provider.text)

    def own_record(self, host: str) -> set[str]:
        """Files that name a host only to say that it goes: plans that destroy it, and lists with its status."""
        status, place = self.noted.get(host, ("", None))
        listed_in = {place.path} if place is not None and status in LEAVING else set()
        return listed_in | {one.path for one in self.destroyed.get(host, ())}

    def hosts_in(self, group: str) -> set[str]:
        """The members of a group and of the groups in it, as they are written."""
        found: set[str] = set()
        seen, pending = {group}, [group]
        while pending:
            for member, _ in self.members.get(pending.pop(), ()):
                text = member.provider.text
                if member.provider.kind is not Kind.GROUP:
                    found.add(text)
                elif text not in seen:
                    seen.add(text)
                    pending.append(text)
        return found
