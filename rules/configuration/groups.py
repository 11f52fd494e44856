"""What the rules about configuration management share."""

from __future__ import annotations

from auditor.api import EstateView, Kind, Node, Relation


def members_of(estate: EstateView, group: Node) -> set[str]:
    """The hosts of a group, and of the groups in it."""
    hosts, seen, pending = set(), {group.id}, [group]
    while pending:
        for edge in estate.outgoing(pending.pop(), Relation.MEMBER):
            if edge.provider.kind is Kind.HOST:
                hosts.add(edge.provider.text)
            elif edge.provider.id not in seen:
                seen.add(edge.provider.id)
                pending.append(edge.provider)
    return hosts
