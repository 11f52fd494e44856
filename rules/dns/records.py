"""What the rules about DNS share: which names are a host's own, and how records are called."""

from __future__ import annotations

from auditor.api import Edge, EstateView, Going, Kind, Node, Relation

REDIRECTS = frozenset({"CNAME", "ALIAS", "ANAME", "DNAME"})
MAX_ALIASES = 16
MAX_NAMES = 1000


def is_own(name: str, going: Going) -> bool:
    """Whether a name is the machine's, rather than a service's: its own, or with the same first label."""
    return name == going.host or name.partition(".")[0] == going.host.partition(".")[0]


def is_in_zone(name: Node) -> bool:
    """Whether a zone that was captured has address records, an alias or a redirection of this name."""
    return name.kind is Kind.NAME and not name.scope and isinstance(name.attributes.get("type"), str)


def type_of(edge: Edge) -> str:
    """The record type behind a resolution: A, AAAA, CNAME, …"""
    if edge.provider.kind is Kind.ADDRESS:
        return "AAAA" if ":" in edge.provider.text else "A"
    kind = str(edge.consumer.attributes.get("type", ""))
    # Terraform's configuration gives a name a machine's address without saying which that is.
    return kind if kind in REDIRECTS or (kind and edge.provider.kind is Kind.HOST) else "CNAME"


def ttl_of(node: Node) -> int:
    """Seconds that resolvers may keep an answer; 0 if that is not known."""
    ttl = node.attributes.get("ttl")
    return ttl if isinstance(ttl, int) else 0


def users_of(estate: EstateView, name: Node) -> list[Node]:
    """Who uses a name, directly or through a URL: jobs, alerts, webhooks, configurations; no DNS.

    Over at most 16 aliases, after which resolvers give up (BIND 9's max-query-restarts is 11).
    """
    found: dict[int, Node] = {}
    seen, level = {name.id}, [name]
    for _ in range(MAX_ALIASES):
        above: list[Node] = []
        for edge in (edge for at in level for edge in estate.incoming(at)):
            consumer = edge.consumer
            if consumer.kind is Kind.DOCUMENT or consumer.kind is Kind.RECORD:
                continue
            if edge.relation not in (Relation.STANDS_FOR, Relation.RESOLVES):
                found[consumer.id] = consumer
            elif consumer.id not in seen and len(seen) < MAX_NAMES:
                seen.add(consumer.id)
                above.append(consumer)
        level = above
    return [found[key] for key in sorted(found)]
